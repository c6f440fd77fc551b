"""Waiting that ends when the run is to end: whoever has no mail in hand need not wait for a server."""

from __future__ import annotations

import threading
import time

from sendmail_py.relay.faults import StoppedFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Callable
    from typing import TypeVar

    Found = TypeVar("Found")

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


def begin(work: Callable[[], object], name: str) -> threading.Thread | None:
    """A thread that does it, None when the system has none to give (RLIMIT_NPROC)."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def beside(work: Callable[[], Found], stop: Hurry) -> Found:
    """What `work` returns or raises; StoppedFault when the run is to end before.

    For what knows no such wish, like a look-up: a thread of its own does it and is left behind then. `work`
    must end by itself, change nothing, and take no lock of ours.
    """
    if stop.over:
        return work()
    found: list[Found] = []
    broken: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # raised where it was asked for
            broken.append(error)

    thread = begin(run, "beside")
    if thread is None:
        return work()
    while thread.is_alive():
        thread.join(MOMENT)
        if thread.is_alive() and stop():
            raise StoppedFault("the run was asked to end")
    if broken:
        raise broken[0]
    return found[0]
