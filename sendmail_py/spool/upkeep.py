"""What a flush owes besides mail: notices to the owner, the end of old failures, changed sender rules.

The times are those of empty files in the spool. Each question costs a stat(2) or two, so that a flush may ask
when nothing is due.
"""

from __future__ import annotations

import posix

from sendmail_py.spool import durable, refused

HOUR = 3600
DAY = 86400

OWED = "owed"  # a failure that the owner does not know of
NOTICED = "noticed"  # the last notice to the owner
EXPIRED = "expired"  # the last look for what is too old in failed/


def is_due(directory: str, files: list[str], report: str, now: float) -> bool:
    """Whether a run has something to do although no message is due.

    files   of the configuration; report: queue.report
    """
    if report == "owner" and is_notice_due(directory, now):
        return True
    return is_expiry_due(directory, now) or are_rules_new(directory, files)


def is_notice_due(directory: str, now: float) -> bool:
    """Whether the owner is to be told of failures: once an hour at most."""
    return bool(changed(f"{directory}/{OWED}")) and not 0 <= now - changed(f"{directory}/{NOTICED}") < HOUR


def is_expiry_due(directory: str, now: float) -> bool:
    """Whether to look for what is too old in failed/: once a day at most."""
    return bool(changed(f"{directory}/failed")) and not 0 <= now - changed(f"{directory}/{EXPIRED}") < DAY


def are_rules_new(directory: str, files: list[str]) -> bool:
    """Whether a sender was refused under another configuration than that of now."""
    known = refused.read(directory)
    return bool(known) and any(one.rules != refused.rules_of(files) for one in known.values())


def changed(path: str) -> float:
    """When a file was last changed (seconds), 0 when there is none."""
    try:
        return posix.stat(path).st_mtime
    except OSError:
        return 0.0


def touch(path: str, now: float) -> None:
    """Remember a time in a file's own; OSError."""
    fd = posix.open(path, durable.SAFELY | posix.O_WRONLY | posix.O_CREAT, 0o600)
    try:
        posix.utime(fd, (now, now))
    finally:
        posix.close(fd)
