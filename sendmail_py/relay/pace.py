"""No more messages in a time than a smart host's owner allows (max_rate), over all sessions and runs.

The generic cell rate algorithm (ITU-T I.371), which is a token bucket that needs one number: messages are due
at even intervals, and a tenth of what the whole time allows may go out ahead of that. So in no stretch of
that time do more than eleven tenths leave. Runs at the same time share it, by a file (spool/rates.py).
"""

from __future__ import annotations

import functools
import math

from sendmail_py.spool import rates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
AHEAD = 10  # which part of the messages of a time may leave at once


class Pace:
    """The rate of one smart host.

    interval  seconds from one message to the next, 0.0 for no limit
    slack     seconds that a message may be early
    due       when the next message is due (seconds since the epoch)
    memory    keeps that for all runs: called with a function from the old time to the new one
    """

    __slots__ = ("clock", "due", "interval", "memory", "slack", "unit")

    def __init__(self, rate: str, due: float, clock: Callable[[], float]) -> None:
        count, _, unit = rate.partition("/")
        self.interval = UNITS[unit] / int(count) if rate else 0.0
        self.slack = self.interval * max(0, int(count) // AHEAD - 1) if rate else 0.0
        self.unit = UNITS.get(unit, 0)
        self.clock = clock
        self.memory: Callable[[Callable[[float], float]], float] | None = None
        self.due = self.sane(due)

    def sane(self, due: float) -> float:
        """That time unless it is over, or so far away that a clock must have jumped; then now."""
        now = self.clock()
        return due if now < due < now + self.unit else now

    def wait(self) -> float:
        """Seconds until a message may leave, 0.0 for now."""
        if not self.interval:
            return 0.0
        self.remember(lambda due: due)
        return max(0.0, self.due - self.slack - self.clock())

    def take(self) -> None:
        """A message leaves."""
        if self.interval:
            self.remember(lambda due: self.sane(due) + self.interval)

    def remember(self, new: Callable[[float], float]) -> None:
        """Change the time, for all runs if that is possible."""
        if self.memory is not None:
            try:
                self.due = self.sane(self.memory(new))
            except OSError:
                self.memory = None  # a fault of the disk is no reason to stop
            else:
                return
        self.due = new(self.due)


class Paces:
    """The rates of all smart hosts in one spool (`directory`, "" for none)."""

    __slots__ = ("clock", "directory", "paces")

    def __init__(self, directory: str, clock: Callable[[], float]) -> None:
        self.directory = directory
        self.clock = clock
        self.paces: dict[str, Pace] = {}

    def of(self, name: str, rate: str) -> Pace:
        """The pace of a smart host; the file is read only if there is a rate."""
        if name not in self.paces:
            pace = self.paces[name] = Pace(rate, -math.inf, self.clock)
            if rate and self.directory:
                pace.memory = functools.partial(rates.change, self.directory, name)
        return self.paces[name]
