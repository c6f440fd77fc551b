"""No more messages in a time than a smart host's owner allows (max_rate), over all sessions and runs.

The generic cell rate algorithm (ITU-T I.371), which is a token bucket that needs one number: messages are due
at even intervals, and a tenth of what the whole time allows may go out ahead of that. So in no stretch of
that time do more than eleven tenths leave. Two runs at once each keep the rate for themselves.
"""

from __future__ import annotations

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
    """

    __slots__ = ("clock", "due", "interval", "slack")

    def __init__(self, rate: str, due: float, clock: Callable[[], float]) -> None:
        count, _, unit = rate.partition("/")
        self.interval = UNITS[unit] / int(count) if rate else 0.0
        self.slack = self.interval * max(0, int(count) // AHEAD - 1) if rate else 0.0
        self.clock = clock
        now = clock()
        self.due = due if now < due < now + UNITS.get(unit, 0) else now  # a clock may have jumped

    def wait(self) -> float:
        """Seconds until a message may leave, 0.0 for now."""
        return max(0.0, self.due - self.slack - self.clock()) if self.interval else 0.0

    def take(self) -> None:
        """A message leaves."""
        self.due = max(self.due, self.clock()) + self.interval


class Paces:
    """The rates of all smart hosts in one spool."""

    __slots__ = ("clock", "directory", "known", "paces")

    def __init__(self, directory: str, clock: Callable[[], float]) -> None:
        self.directory = directory
        self.clock = clock
        self.known: dict[str, float] | None = None
        self.paces: dict[str, Pace] = {}

    def of(self, name: str, rate: str) -> Pace:
        """The pace of a smart host; the file is read only if there is a rate."""
        if rate and self.known is None:
            self.known = rates.read(self.directory)
        if name not in self.paces:
            self.paces[name] = Pace(rate, (self.known or {}).get(name, -math.inf), self.clock)
        return self.paces[name]

    def save(self, name: str) -> None:
        """Remember for the next run; a fault of the disk is no reason to stop."""
        pace = self.paces.get(name)
        if pace is not None and pace.interval:
            try:
                rates.write(self.directory, name, pace.due)
            except OSError:
                return
