"""The reader as a process: what is on the disk when its relay has said so, and when it goes away."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from sendmail_py.mail.envelope import TODO, UNKNOWN

from relay.flushing import World
from support.reader import NAME, PlayedRelay


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, {"name": NAME, "host": "mail.isp.example"})


def filled(world: World, count: int) -> list[str]:
    """So many messages in the queue; their ids."""
    return [world.put(b"b@y.example") for _ in range(count)]


def states(world: World) -> dict[str, bytes]:
    """The state of the recipient of each message that is left."""
    with world.spool() as spool:
        found = [(one.queue_id, spool.read(one)) for one in spool.listing()]
    return {queue_id: one.envelope.recipients[0].state for queue_id, one in found if one is not None}


def test_what_was_delivered_at_a_time_leaves_the_queue_with_one_sync(world: World, tmp_path: Path) -> None:
    filled(world, 20)
    with PlayedRelay(tmp_path) as relay:
        relay.configure(world.config, world.directory)
        relay.want(20)
        relay.delivered(*relay.offers)
        assert relay.end()[0] == b"done"
    assert states(world) == {}
    assert int(relay.reported()[0]) <= 4  # and the end of the run
    assert b"".join(relay.log).count(b"removed") == 20


def test_hundreds_of_messages_need_no_more_descriptors_than_a_reader_may_have(
    world: World, tmp_path: Path
) -> None:
    filled(world, 300)
    with PlayedRelay(tmp_path) as relay:
        relay.configure(world.config, world.directory)
        while relay.want(60):
            relay.delivered(*relay.offers)
            relay.offers.clear()
        assert relay.end()[0] == b"done"
    assert states(world) == {}
    assert b"".join(relay.log).count(b"removed") == 300


def test_what_a_dying_relay_said_last_counts_behind_a_word_that_cannot_be_answered(
    world: World, tmp_path: Path
) -> None:
    """A wish for more fails, and nothing that may have been sent is taken back for that."""
    filled(world, 4)
    with PlayedRelay(tmp_path) as relay:
        relay.configure(world.config, world.directory)
        relay.want(2)
        relay.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, relay.process.pid, os.WSTOPPED | os.WNOWAIT)
        relay.channel.put([b"want", NAME.encode(), b"2", b"0", b"0"])
        relay.channel.put([b"sent", b"%d" % relay.offers[0]])
        relay.channel.close()
        relay.process.send_signal(signal.SIGCONT)
    assert sorted(states(world).values()) == sorted([UNKNOWN, TODO, TODO, TODO])


def test_when_the_relay_dies_what_it_said_counts_and_the_rest_is_as_it_was(
    world: World, tmp_path: Path
) -> None:
    ids = filled(world, 5)
    with PlayedRelay(tmp_path) as relay:
        relay.configure(world.config, world.directory)
        relay.want(5)
        relay.delivered(*relay.offers[:2])
        relay.channel.put([b"sent", b"%d" % relay.offers[2]])
    left = states(world)
    assert set(left) == set(ids[2:])
    assert sorted(left.values()) == sorted([UNKNOWN, TODO, TODO])
