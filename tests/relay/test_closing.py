"""What is closed beside the run: all of it, once, before `join` returns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from sendmail_py.relay import closing
from sendmail_py.relay.closing import MOST, Closing
from sendmail_py.spool.claim import Claim


class Slow:
    """A claim whose release waits for `gate`, and may fail."""

    def __init__(self, gate: threading.Event, fails: bool = False) -> None:
        self.gate, self.fails = gate, fails
        self.released: list[int] = []

    def release(self) -> None:
        """Note which thread does it."""
        self.gate.wait(10)
        self.released.append(threading.get_ident())
        if self.fails:
            raise OSError(5, "Input/output error")


@contextmanager
def opened(count: int, is_open: bool = False) -> Iterator[tuple[Closing, list[Slow], threading.Event]]:
    """So many claims that were handed over; the gate is open at the end."""
    gate = threading.Event()
    if is_open:
        gate.set()
    made, claims = Closing(), [Slow(gate, fails=n % 7 == 3) for n in range(count)]
    for one in claims:
        made.release(cast("Claim", one))
    yield made, claims, gate
    gate.set()
    made.join()
    assert [len(one.released) for one in claims] == [1] * count


@pytest.mark.parametrize("count", [0, 1, 2, 100])
@pytest.mark.parametrize("is_open", [True, False])
def test_everything_is_released_once_before_join_returns(count: int, is_open: bool) -> None:
    with opened(count, is_open) as (_, claims, _):
        pass
    assert all(one.released != [threading.get_ident()] for one in claims)


def test_the_run_does_not_wait_for_the_disk() -> None:
    with opened(MOST) as (_, claims, _):
        assert not any(one.released for one in claims)


def test_too_many_are_released_at_once() -> None:
    with opened(MOST + 1) as (made, _, gate):  # one of them is in the thread's hands
        gate.set()
        late = [Slow(gate) for _ in range(1000)]
        for one in late:
            made.release(cast("Claim", one))
            assert len(made.waiting) <= MOST
    assert all(len(one.released) == 1 for one in late)


def test_bursts_do_not_lose_any() -> None:
    gate = threading.Event()
    gate.set()
    made = Closing()
    claims = [Slow(gate) for _ in range(3000)]
    for number, one in enumerate(claims):
        made.release(cast("Claim", one))
        if number % 10 == 0:
            made.join()
    made.join()
    assert all(len(one.released) == 1 for one in claims)


def test_without_a_thread_it_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(closing._thread, "start_new_thread", refuse)
    with opened(3, is_open=True) as (_, claims, _):
        assert all(one.released == [threading.get_ident()] for one in claims)
