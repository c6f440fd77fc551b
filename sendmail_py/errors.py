"""The one error tree: every fault that a person may see knows its exit status.

Exit statuses are those of sysexits(3). Inner code raises, a front door prints one
line and exits; nothing else in the package ends the process.
"""

from __future__ import annotations

EX_OK = 0
EX_USAGE = 64
EX_DATAERR = 65
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_CANTCREAT = 73
EX_IOERR = 74
EX_TEMPFAIL = 75
EX_NOPERM = 77
EX_CONFIG = 78


class SendmailError(Exception):
    """A fault with one line of text for people (str, no line break) and an exit status (int)."""

    status = EX_SOFTWARE


class UsageError(SendmailError):
    """The command line is wrong (EX_USAGE, 64)."""

    status = EX_USAGE


class DataError(SendmailError):
    """An address or the message is wrong (EX_DATAERR, 65)."""

    status = EX_DATAERR


class UnavailableError(SendmailError):
    """Something that the command needs is not there (EX_UNAVAILABLE, 69)."""

    status = EX_UNAVAILABLE


class CantCreateError(SendmailError):
    """The spool cannot be created; trying again does not help (EX_CANTCREAT, 73)."""

    status = EX_CANTCREAT


class InputError(SendmailError):
    """Standard input cannot be read (EX_IOERR, 74)."""

    status = EX_IOERR


class TemporaryError(SendmailError):
    """Trying again later may help: space, locks, I/O (EX_TEMPFAIL, 75)."""

    status = EX_TEMPFAIL


class NotPermittedError(SendmailError):
    """Not allowed for this user (EX_NOPERM, 77)."""

    status = EX_NOPERM


class ConfigError(SendmailError):
    """The configuration is unreadable or wrong (EX_CONFIG, 78)."""

    status = EX_CONFIG


def printable(text: bytes | str, limit: int = 512) -> str:
    r"""Foreign text made safe to show, log or store: one line of at most `limit` characters.

    Octets that are not UTF-8 become `\xNN`; control characters, line and paragraph separators
    and direction overrides become visible escapes, so that nothing can forge a log line or
    steer a terminal.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if len(text) <= limit and text.isprintable():
        return text
    cut = text[:limit]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return cut if len(text) <= limit else cut + "..."
