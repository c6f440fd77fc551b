"""What a run has before it: which messages, in which order, by which smart host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sendmail_py.mail.envelope import Envelope
from sendmail_py.relay.backlog import Backlog, Rules
from sendmail_py.spool.queue import Spool

from relay.flushing import World

HOUR = 3600


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two smart hosts, the second for everybody."""
    made = World(
        tmp_path,
        {"name": "own", "port": 1, "tls": "none", "senders": ["*@own.example"]},
        {"name": "isp", "port": 2, "tls": "none"},
    )
    yield made


def backlog(world: World, force: bool = False, only: object = None) -> Backlog:
    rules = Rules(world.config.queue, lambda: world.now, lambda: 0.0, only, force)  # type: ignore[arg-type]
    return Backlog(Spool(world.directory), world.config.smarthosts, rules, world.config)


def order(world: World, made: Backlog) -> list[tuple[str, str]]:
    """Smart host and id of what comes, to the end; everything stays unsent."""
    found = []
    while (setting := made.next_smarthost()) is not None:
        while (delivery := made.next_delivery(setting)) is not None:
            found.append((setting.name, delivery.claim.queue_id))
            delivery.claim.release()
        made.give_up(setting)
    return found


def tried(world: World, queue_id: str, seconds: float) -> None:
    """As if it had been tried and were due then."""
    name = f"{queue_id}.{int(world.now + seconds):08X}"
    line = f"0\t1\t{int(world.now + seconds)}\t{int(world.now)}\tisp\t4.0.0\tbusy\t0\t0"
    Path(world.directory, "queue", name).write_text(f"sendmail-py tries 1\n{line}\n")


def test_never_tried_first_then_those_that_are_due_the_longest(world: World) -> None:
    late, soon, fresh, later = [world.put(b"r@y.example") for _ in range(4)]
    tried(world, late, -60)
    tried(world, soon, -HOUR)
    tried(world, later, HOUR)
    assert [queue_id for _, queue_id in order(world, backlog(world))] == [fresh, soon, late]
    assert len(order(world, backlog(world, force=True))) == 4


def test_a_sender_goes_by_the_first_smart_host_that_is_for_it(world: World) -> None:
    own = world.put(b"r@y.example", sender=b"me@own.example")
    other = world.put(b"r@y.example")
    assert order(world, backlog(world)) == [("own", own), ("isp", other)]


def test_when_one_is_of_no_use_its_messages_look_for_another(world: World) -> None:
    own = world.put(b"r@y.example", sender=b"me@own.example")
    made = backlog(world)
    setting = made.next_smarthost()
    assert setting is not None
    made.give_up(setting)
    assert order(world, made) == [("isp", own)]


def test_held_messages_and_those_of_other_selections_are_left_out(world: World) -> None:
    held, wanted, other = [world.put(b"r@y.example") for _ in range(3)]
    Path(world.directory, "queue", f"{held}.hold").touch()
    only = lambda queue_id, envelope: queue_id != other  # noqa: E731
    assert [queue_id for _, queue_id in order(world, backlog(world, only=only))] == [wanted]


def test_only_recipients_that_are_due_are_tried(world: World) -> None:
    queue_id = world.put(b"now@y.example", b"later@y.example", b"never@y.example")
    name = f"{queue_id}.{int(world.now - 5):08X}"
    rows = [(0, -5), (1, 600)]
    lines = [f"{n}\t1\t{int(world.now + at)}\t{int(world.now)}\tisp\t4.0.0\tbusy\t0\t0" for n, at in rows]
    Path(world.directory, "queue", name).write_text("\n".join(["sendmail-py tries 1", *lines, ""]))
    made = backlog(world)
    setting = made.next_smarthost()
    assert setting is not None
    delivery = made.next_delivery(made.usable[1])
    assert delivery is not None
    assert list(delivery.to_try) == [0, 2]
    delivery.claim.release()


def test_a_damaged_file_is_counted_set_aside_and_passed_over(world: World) -> None:
    bad, good = [world.put(b"r@y.example") for _ in range(2)]
    Path(world.directory, "queue", bad).write_bytes(b"junk")
    made = backlog(world)
    assert order(world, made) == [("isp", good)]
    assert made.damaged == 1
    assert os.listdir(world.directory + "/failed").count(bad) == 1


def test_what_another_flush_has_is_not_waited_for(world: World) -> None:
    world.put(b"r@y.example")
    spool = Spool(world.directory)
    claim = spool.claim(spool.listing()[0])
    assert claim is not None
    assert order(world, backlog(world)) == []
    claim.release()


def test_what_nobody_is_for_says_so_once_and_waits(tmp_path: Path) -> None:
    world = World(tmp_path, {"name": "own", "port": 1, "tls": "none", "senders": ["*@own.example"]})
    world.put(b"r@y.example")
    for _ in range(2):
        assert order(world, backlog(world)) == []
        world.now += HOUR
    assert world.log.count("no smart host is for this sender") == 1


def test_a_message_that_a_dead_flush_had_finished_is_finished(world: World) -> None:
    def delivered(envelope: Envelope) -> None:
        envelope.recipients[0].state = b"D"

    world.put(b"r@y.example", change=delivered)
    assert order(world, backlog(world)) == []
    assert world.files() == []
