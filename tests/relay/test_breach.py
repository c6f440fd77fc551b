"""A server that finds our dialogue wrong ("bad sequence of commands") bounces no mail, and is not pressed."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.flushing import World
from support.smarthost import SmartHost

OUT_OF_STEP = b"503 5.5.1 bad sequence of commands"


def names(count: int) -> list[bytes]:
    """So many recipients."""
    return [b"r%d@y.example" % number for number in range(count)]


@pytest.mark.parametrize("key", [b"RCPT", b"DATA"])
def test_nothing_fails_and_the_smart_host_rests(key: bytes, tmp_path: Path) -> None:
    """What was not yet in flight is not even tried."""
    with SmartHost(replies={key: OUT_OF_STEP}) as host:
        world = World.beside(tmp_path, host)
        for name in names(20):
            world.put(name)
        summary = world.flush()
    assert (summary.delivered, summary.failed) == (0, 0)
    assert "out of step: 503 5.5.1 bad sequence" in summary.fault
    assert world.paused()
    assert summary.deferred < 20
    assert (len(world.queued()), world.failed()) == (20, {})
    assert sum(attempt is not None for one in world.queued().values() for attempt in one.values()) < 20


def test_after_the_breach_everything_is_delivered(tmp_path: Path) -> None:
    with SmartHost(replies={b"RCPT": OUT_OF_STEP}) as host:
        world = World.beside(tmp_path, host)
        for name in names(5):
            world.put(name)
        world.flush()
    with SmartHost() as host:
        world.config.smarthosts[0].port = host.port
        assert world.flush(force=True).delivered == 5
    assert not world.paused()


@pytest.mark.parametrize("odd", [1, 2])
def test_an_odd_address_holds_nobody_else(odd: int, tmp_path: Path) -> None:
    """Two that are first in the queue cost one rest; then they are behind the others."""
    with SmartHost(replies={b"RCPT TO:<odd": b"500 5.5.2 what?"}) as host:
        world = World.beside(tmp_path, host)
        for number in range(odd):
            world.put(b"odd%d@y.example" % number)
        for name in names(5):
            world.put(name)
        delivered = world.flush().delivered
        world.now += 301
        delivered += world.flush().delivered
    assert delivered == 5
    assert not world.paused()
    assert len(world.queued()) == odd


def test_an_odd_address_fails_when_its_lifetime_is_over(tmp_path: Path) -> None:
    with SmartHost(replies={b"RCPT TO:<odd": b"500 5.5.2 what?"}) as host:
        world = World.beside(tmp_path, host)
        queue_id = world.put(b"odd@y.example")
        failed = 0
        for _ in range(6):
            failed += world.flush(force=True).failed
            world.now += 2 * 86400
    assert failed == 1
    assert list(world.failed()) == [queue_id]


def test_the_other_recipients_of_a_message_get_it(tmp_path: Path) -> None:
    with SmartHost(replies={b"RCPT TO:<odd": OUT_OF_STEP}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"odd@y.example", b"a@y.example")
        summary = world.flush()
    assert (summary.delivered, summary.deferred, summary.failed) == (1, 1, 0)
    assert not world.paused()
