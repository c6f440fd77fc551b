"""What the mail commands share: the environment, the configuration and the log of this run."""

from __future__ import annotations

import posix

from sendmail_py import maillog
from sendmail_py.commands.options import Request, environment, text
from sendmail_py.policy import config
from sendmail_py.policy.config import Config
from sendmail_py.spool import shared


def load(request: Request) -> Config:
    """Read the configuration, once, and open the log as it says. Raises ConfigError."""
    if request.loaded is not None:
        return request.loaded
    named = None if request.config is None else text(request.config)
    found = config.load(environment(), named)
    if found.queue.shared:
        found.queue.directory = shared.folder_of(found.queue.shared, posix.geteuid())
    tag = maillog.TAG if request.tag is None else text(request.tag)
    maillog.configure(found.log.to, found.log.form, tag)
    request.loaded = found
    return found
