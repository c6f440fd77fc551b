"""What the mail commands share: the environment, the configuration and the log of this run."""

from __future__ import annotations

from sendmail_py import maillog
from sendmail_py.commands.options import Request, environment, text
from sendmail_py.policy import config
from sendmail_py.policy.config import Config


def load(request: Request) -> Config:
    """Read the configuration and open the log as it says. Raises ConfigError."""
    named = None if request.config is None else text(request.config)
    found = config.load(environment(), named)
    tag = maillog.TAG if request.tag is None else text(request.tag)
    maillog.configure(found.log.to, found.log.form, tag)
    return found
