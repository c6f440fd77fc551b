"""What the admin commands share: the configuration, the spool, and how times and sizes look to people."""

from __future__ import annotations

import os
import sys
import time

import click

from sendmail_py import maillog
from sendmail_py.errors import ConfigError
from sendmail_py.policy import config, users_text
from sendmail_py.policy.config import Config
from sendmail_py.spool import shared
from sendmail_py.spool.queue import Spool
from sendmail_py.spool.tries import LATEST

UNITS = ((86400, "d"), (3600, "h"), (60, "m"))

file_option = click.option(
    "-C",
    "file",
    metavar="FILE",
    type=click.Path(),
    help="Use this configuration file instead of the system's and the user's.",
)


def load(file: str | None) -> Config:
    """The configuration as the mail commands see it, and the log as it says. Raises ConfigError."""
    found = config.load(os.environ, file)
    if found.queue.shared:
        found.queue.directory = shared.folder_of(found.queue.shared, os.geteuid())
    users_text.read_all(found)
    maillog.configure(found.log.to, found.log.form)
    return found


def spool(found: Config) -> Spool:
    """The spool of this configuration; nothing is created. Raises ConfigError when there is no place."""
    if not found.queue.directory and found.delivery == "now":
        raise ConfigError("there is no queue: mail is relayed while the caller waits, see delivery")
    if not found.queue.directory:
        raise ConfigError("no home and no queue.directory: there is no place for a spool")
    return Spool(found.queue.directory)


def announce(found: Config) -> None:
    """After a command that may have made mail due: tell root's flush, if it is the one that sends it."""
    if found.queue.shared:
        shared.announce(found.queue.shared, found.queue.directory)
        shared.ring()


def asks() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def count(number: int, what: str = "message") -> str:
    """`1 message`, `2 messages`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """A length of time in at most two units: `45s`, `3h12m`, `2d4h`."""
    left = max(0, int(seconds))
    for at, (length, unit) in enumerate(UNITS):
        if left >= length:
            next_length, next_unit = UNITS[at + 1] if at + 1 < len(UNITS) else (1, "s")
            rest = left % length // next_length
            return f"{left // length}{unit}" + (f"{rest}{next_unit}" if rest and unit != "m" else "")
    return f"{left}s"


def moment(when: float, now: float) -> str:
    """A local time: `14:05` within a day, `Nov 25 14:05` else; `now` when it is over, `never` if ever."""
    if when <= now:
        return "now"
    if when >= LATEST:
        return "never"
    return time.strftime("%H:%M" if when - now < 86400 else "%b %d %H:%M", time.localtime(when))


def size(octets: int) -> str:
    """`312`, `4.1K`, `52M`."""
    if octets < 1024:
        return str(octets)
    number = float(octets)
    for unit in "KMG":
        number /= 1024
        if number < 1000 or unit == "G":
            break
    return f"{number:.1f}{unit}" if number < 10 else f"{number:.0f}{unit}"
