"""Signals during a submission: nothing is queued, nothing is left behind.

Uses `_signal`, the C half of `signal`: the other half imports enum, which costs half a submission.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found,unused-ignore]

from sendmail_py.errors import TemporaryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

WATCHED = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM)
ignored: set[int] = set()  # by the caller, as nohup(1) does; known from `hold_off` on


def interrupt(number: int, frame: object) -> None:
    """Handler: end the submission in an orderly way."""
    raise TemporaryError(f"interrupted by signal {number}; nothing was queued")


def watch(handler: Callable[[int, object], None] = interrupt) -> None:
    """Let the usual signals end a submission; one that the caller ignores stays ignored."""
    for number in WATCHED:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, handler)


def hold_off() -> None:
    """From here on the message is queued, whatever comes: a signal that came before has raised already."""
    for number in WATCHED:
        if _signal.signal(number, _signal.SIG_IGN) == _signal.SIG_IGN:
            ignored.add(number)


def restore() -> None:
    """The usual meaning again, but for what the caller ignores."""
    for number in WATCHED:
        _signal.signal(number, _signal.SIG_IGN if number in ignored else _signal.SIG_DFL)


def block() -> None:
    """Keep signals waiting until `unblock`: what is begun now will be told."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, WATCHED)


def unblock() -> None:
    """Let the signals in that waited."""
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, WATCHED)


def alarm(seconds: float, handler: Callable[[int, object], None]) -> None:
    """Have the handler called after so many seconds; 0 is never."""
    _signal.signal(_signal.SIGALRM, handler)
    _signal.setitimer(_signal.ITIMER_REAL, seconds)


def watch_for_stop() -> Callable[[], bool]:
    """Let SIGTERM, SIGINT and SIGHUP ask a flush to finish what it has in hand; returns "was it asked?".

    One that the caller ignores stays ignored.
    Who asks twice does not want to wait for the smart host: TemporaryError is raised where the flush is.
    """
    asked: list[int] = []

    def heard(number: int, frame: object) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise TemporaryError(f"interrupted by signal {number}; what was not sent stays in the queue")

    for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, heard)
    return lambda: bool(asked)
