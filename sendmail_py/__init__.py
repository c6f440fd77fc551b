"""sendmail_py: a drop-in sendmail for machines that only send mail."""

__version__ = "0.1.0"
