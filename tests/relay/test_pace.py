"""max_rate: even intervals, a little ahead at once, over runs; the flush leaves rather than wait for long."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sendmail_py.relay.pace import Pace, Paces
from sendmail_py.spool import rates

from relay.flushing import World, smarthost


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now


def sent(pace: Pace, clock: Clock, seconds: float) -> int:
    """How many messages leave in that time if they are always there."""
    count, end = 0, clock.now + seconds
    while True:
        clock.now = min(end, clock.now + pace.wait())
        if clock.now >= end:
            return count
        pace.take()
        count += 1


@pytest.mark.parametrize(
    ("rate", "at_once", "in_all"),
    [("60/m", 6, 66), ("1/s", 1, 1), ("500/h", 50, 550), ("5/d", 1, 5), ("100/m", 10, 110)],
)
def test_a_rate_holds_for_every_stretch_of_its_time(rate: str, at_once: int, in_all: int) -> None:
    clock = Clock()
    pace = Pace(rate, 0.0, clock)
    assert sent(pace, clock, 0.001) == at_once
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}[rate[-1]]
    assert in_all - 2 <= at_once + sent(pace, clock, unit - 0.001) <= in_all


def test_no_rate_is_no_limit() -> None:
    clock = Clock()
    pace = Pace("", 0.0, clock)
    for _ in range(1000):
        assert pace.wait() == 0.0
        pace.take()


def test_a_new_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    clock = Clock()
    for expected in (6, 0, 0):
        paces = Paces(str(tmp_path), clock)
        assert sent(paces.of("isp", "60/m"), clock, 0.001) == expected
        assert paces.of("other", "").wait() == 0.0
    assert list(rates.read(str(tmp_path))) == ["isp"]


def test_runs_at_the_same_time_share_the_rate(tmp_path: Path) -> None:
    clock = Clock()
    both = [Paces(str(tmp_path), clock).of("isp", "60/m") for _ in range(2)]
    count = 0
    while any(pace.wait() == 0.0 for pace in both):
        for pace in both:
            if pace.wait() == 0.0:
                pace.take()
                count += 1
    assert count == 6
    clock.now += 10
    assert [sent(pace, clock, 0.001) for pace in both] == [6, 0]


def test_without_a_folder_each_keeps_the_rate_for_itself(tmp_path: Path) -> None:
    clock = Clock()
    for directory in ("", str(tmp_path / "nowhere")):
        assert sent(Paces(directory, clock).of("isp", "60/m"), clock, 0.001) == 6


def test_a_clock_that_was_wrong_holds_nothing_up() -> None:
    clock = Clock()
    assert Pace("60/m", clock.now + 1e6, clock).wait() == 0.0
    assert Pace("60/m", 0.0, clock).wait() == 0.0


def test_a_file_that_is_damaged_counts_as_lost(tmp_path: Path) -> None:
    (tmp_path / "rates").write_bytes(b"sendmail-py rates 1\nisp\tsoon\n\xff\nother\t5.0\n")
    assert rates.read(str(tmp_path)) == {"other": 5.0}
    (tmp_path / "rates").write_bytes(b"something else\nother\t5.0\n")
    assert rates.read(str(tmp_path)) == {}


def test_messages_leave_no_faster_than_the_rate(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host, max_rate="20/s")
        for number in range(8):
            world.put(b"r%d@y.example" % number)
        began = time.monotonic()
        assert world.flush(clock=time.time).delivered == 8
        assert time.monotonic() - began >= 6 * 0.05
    assert host.connections == 1


def test_what_would_have_to_wait_for_long_waits_in_the_queue(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host, max_rate="20/h")
        for number in range(5):
            world.put(b"r%d@y.example" % number)
        summary = world.flush(clock=time.time)
    assert (summary.delivered, summary.fault, len(world.queued())) == (2, "", 3)
    assert "waits for max_rate" in world.log
    assert not world.paused()
