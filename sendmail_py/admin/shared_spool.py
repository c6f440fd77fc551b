"""The shared spool for people: root's flush of it on request, and what the doctor says of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

import click

from sendmail_py.errors import EX_OK, EX_TEMPFAIL
from sendmail_py.policy import homes
from sendmail_py.policy.config import Config
from sendmail_py.shared import rights, seats, start
from sendmail_py.spool import shared

OK, WARN, BAD = "ok", "warn", "bad"
CURE = "as root, run: sendmail-py install"


def flush(config: Config, stop: Callable[[], bool]) -> int:
    """Send everybody's mail, as root; anybody else can only ask for it. Status 75 when mail is left."""
    base = config.queue.shared
    if os.geteuid() != 0:
        shared.announce(base, config.queue.directory)
        shared.ring()
        click.echo("root's flush was asked to send your mail")
        return EX_OK
    if not os.path.isdir(base):
        click.echo("nobody has sent anything yet")
        return EX_OK
    summary = start.run(config, force=True, stop=stop)
    click.echo(str(summary))
    return EX_TEMPFAIL if summary.deferred or summary.fault else EX_OK


def findings(config: Config) -> Iterator[tuple[str, str]]:
    """What is wrong with the shared spool, if it is the one that counts."""
    base = config.queue.shared
    if not base:
        return
    try:
        status = os.stat(base, follow_symlinks=False)
    except OSError as error:
        yield BAD, f"shared spool {base}: {error.strerror}: only root can send; {CURE}"
        return
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or stat.S_IMODE(status.st_mode) != 0o1733:
        yield BAD, f"shared spool {base}: must be a folder of root's with mode 1733; {CURE}"
    else:
        yield OK, f"shared spool {base}: root's flush sends for everybody"
    if not rights.relay_account().own:
        yield WARN, f"no account {rights.RELAY}: the process that holds the password runs as root; {CURE}"
    yield from secrets(config)
    yield from code()
    if os.geteuid() == 0 and os.path.exists(f"{homes.STATE}/relay"):
        owner = os.stat(f"{homes.STATE}/relay").st_uid
        if owner != rights.relay_account().uid:
            yield WARN, f"{homes.STATE}/relay belongs to uid {owner}; root's next flush puts that right"


def secrets(config: Config) -> Iterator[tuple[str, str]]:
    """Whether a secret of the system's smart hosts is root's alone."""
    for setting in config.smarthosts:
        if setting.password:
            yield BAD, f"smart host {setting.name}: all can read its password; move it to a password_file"
        for path in (setting.password_file, setting.client_key):
            try:
                open_to = os.stat(path).st_mode & 0o077 if path else 0
            except OSError:
                continue  # a folder that only root may look into is as it should be
            if open_to:
                yield WARN, f"smart host {setting.name}: {path} is open to others; run: chmod 600 {path}"


def code() -> Iterator[tuple[str, str]]:
    """Whether everybody's reader can read the program."""
    folder = seats.PACKAGE
    while folder not in ("", "/"):
        if os.stat(folder).st_mode & 0o005 != 0o005:
            yield BAD, f"{folder}: not everybody may read the program in it, so only root's mail leaves"
            return
        folder = os.path.dirname(folder)
