"""Waiting that ends when the run is to end: whoever has no mail in hand need not wait for a server."""

from __future__ import annotations

import time

from sendmail_py.relay.faults import StoppedFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Callable

MOMENT = 0.1  # seconds between looks at whether to stop
LONGEST = 2_000_000.0  # seconds that poll(2) can count


class Hurry:
    """Whether to give up: the run is to end, and what is being done is not `over`."""

    __slots__ = ("over", "stop")

    def __init__(self, stop: Callable[[], bool]) -> None:
        self.stop = stop
        self.over = False

    def __call__(self) -> bool:
        """Whether it is so now."""
        return not self.over and self.stop()


NEVER = Hurry(lambda: False)
NEVER.over = True


def poll(polling: select.poll, until: float, stop: Hurry) -> list[tuple[int, int]]:
    """What is ready, [] when nothing is until then (monotonic seconds); StoppedFault."""
    while True:
        left = until - time.monotonic()
        if stop():
            raise StoppedFault("the run was asked to end")
        wait = min(left, LONGEST if stop.over else MOMENT)
        found = polling.poll(wait * 1000 + 1) if wait > 0 else polling.poll(0)
        if found or left <= wait:
            return found
