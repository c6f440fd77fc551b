"""Standard input read to its end, but not for ever: for calls that are wrong before any message is read.

Reached through one door of dispatch.py. Callers who write a message take a broken pipe for a failure, so it
is taken from them. But who tries out an option (`sendmail -F`, as netdata does) may have the standard input
of a service, into which nobody writes and which nobody closes; other mailers do not wait there.
"""

from __future__ import annotations

import posix

from sendmail_py.commands import signals
from sendmail_py.errors import InputError, TemporaryError
from sendmail_py.submission.stdin import read

SILENCE = 5.0  # seconds


class SilenceError(TemporaryError):
    """Nothing came for that long."""


def give_up(number: int, frame: object) -> None:
    """Handler of the alarm."""
    raise SilenceError("nothing comes")


def drain_unless_silent(fd: int) -> None:
    """Read to the end and forget it, as long as something comes and no person types it."""
    try:
        signals.alarm(SILENCE, give_up)
        while not posix.isatty(fd) and read(fd):
            signals.alarm(SILENCE, give_up)
    except (SilenceError, InputError):
        return
    finally:
        signals.alarm(0, give_up)
