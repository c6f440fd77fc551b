"""What a few owners can provoke costs only their own mail; what happens to all is the smart host's doing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sendmail_py import maillog
from sendmail_py.relay.backlog import Rules
from sendmail_py.relay.faults import ContentFault, Fault, RefusedFault, TransportFault
from sendmail_py.shared import suspicion
from sendmail_py.shared.suspicion import FEW, PATIENCE, Suspicion
from sendmail_py.spool.rests import Rests

REFUSED = RefusedFault("closing: 421 4.7.0 go away")
LOST = TransportFault("connection lost")


class World:
    """A suspicion with clocks of our own; every owner has mail at hand."""

    def __init__(self, directory: str = "") -> None:
        self.now = 1000.0
        self.watch = 10.0
        queue: Any = SimpleNamespace(retry_min=300.0, retry_max=14400.0)
        self.rules = Rules(queue, lambda: self.now, lambda: 0.0)
        self.rests = Rests(directory, lambda: self.now)
        self.begin()

    def begin(self) -> None:
        """Another run."""
        self.it = Suspicion(self.rests, self.rules, lambda: self.watch)

    def choose(self, *uids: int) -> int:
        """Whose mail is next, of those who have some; 0 for nobody's in this session."""
        ready: Any = [SimpleNamespace(account=uid, served=uid) for uid in uids if not self.rests_now(uid)]
        chosen = self.it.choose("isp", ready)
        return chosen.account if chosen is not None else 0

    def rests_now(self, uid: int) -> bool:
        """Whether an owner's mail is left alone."""
        return self.it.is_resting("isp", uid)

    def end(self, *uids: int, fault: Fault = LOST, judged: int = 0) -> str:
        """A session that ends with the mail of these in hand."""
        for uid in uids:
            self.choose(uid)
        _, words = self.it.broken("isp", set(uids), judged, fault)
        self.it.parted("isp", fault)
        return words


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(maillog.log, "sink", lambda line: None)
    return World()


def test_a_refusal_in_a_session_of_his_own_is_an_owners_doing(world: World) -> None:
    assert world.end(1, fault=REFUSED) == ""
    assert world.rests_now(1)
    assert not world.rests_now(2)


def test_a_connection_that_breaks_may_be_one_messages_doing_twice_is_the_owners(world: World) -> None:
    world.end(1)
    assert not world.rests_now(1)
    world.end(1)
    assert world.rests_now(1)


def test_after_mail_that_arrived_it_may_be_one_message_again(world: World) -> None:
    world.end(1)
    world.it.arrived("isp", 1)
    world.end(1)
    assert not world.rests_now(1)


def test_a_refusal_after_other_mail_in_the_session_is_no_refusal_of_his(world: World) -> None:
    world.end(1, fault=REFUSED, judged=20)
    assert not world.rests_now(1)


def test_a_message_that_cannot_be_read_is_nobodys_doing(world: World) -> None:
    for _ in range(3):
        assert world.end(1, fault=ContentFault("cut off")) == ""
    assert world.rests.get("isp", 1) is None


def test_rests_grow_and_mail_that_arrives_ends_the_growth(world: World) -> None:
    waits = []
    for _ in range(3):
        world.end(1, fault=REFUSED)
        rest = world.rests.get("isp", 1)
        assert rest is not None
        waits.append(rest.until - int(world.now))
        world.now = rest.until
        world.begin()
    assert waits == [300, 600, 1200]
    assert world.it.arrived("isp", 1)
    world.end(1, fault=REFUSED)
    assert world.rests.rests["isp", 1].until == world.now + 300


def test_fewer_than_few_can_never_have_the_smart_host_rest_however_often(world: World) -> None:
    for _ in range(50):
        for uid in range(1, FEW):
            assert world.end(uid, fault=REFUSED) == ""
            assert world.it.accuse("isp", uid, "450 slow down") == ""
        world.now += 14400
        world.begin()
    assert world.it.severity == 0
    assert not world.rests_now(99)


def test_few_with_nobodys_mail_in_between_are_the_smart_hosts_and_more_of_them_are_worse(
    world: World,
) -> None:
    told = [world.end(uid, fault=REFUSED) for uid in range(1, 3 * FEW + 1)]
    assert [bool(words) for words in told] == ([False] * (FEW - 1) + [True]) * 3
    assert world.it.severity == 3
    assert told[FEW - 1] == "5 users had trouble, the last one: closing: 421 4.7.0 go away"


def test_mail_that_arrived_makes_the_trouble_before_it_no_evidence(world: World) -> None:
    for uid in range(1, FEW):
        world.end(uid, fault=REFUSED)
    world.it.arrived("isp", 99)
    for uid in range(11, 11 + FEW - 1):
        assert world.end(uid, fault=REFUSED) == ""


def test_sessions_that_break_in_everybodys_single_message_are_the_smart_hosts(world: World) -> None:
    told = [world.end(uid) for uid in range(1, FEW + 1)]
    assert [bool(words) for words in told] == [False] * (FEW - 1) + [True]


def test_when_the_mail_of_several_is_in_hand_nobody_rests_and_each_gets_a_session_of_his_own(
    world: World,
) -> None:
    assert world.end(1, 2) == ""
    assert not world.rests_now(1)
    assert not world.rests_now(2)
    assert world.choose(1, 2, 3) == 3
    assert world.choose(1, 2) == 0
    world.it.parted("isp", None)
    assert world.choose(1, 2) == 1
    assert world.choose(2) == 0
    assert world.choose(1, 2) == 1


def test_who_was_there_by_chance_is_free_again_after_a_message_that_arrived(world: World) -> None:
    world.end(1, 2)
    assert world.choose(1) == 1
    world.it.arrived("isp", 1)
    world.it.parted("isp", None)
    assert world.rests.get("isp", 1) is None
    assert world.rests.get("isp", 2) is not None


def test_who_is_there_again_and_again_keeps_his_own_sessions_for_a_day(world: World) -> None:
    for partner in (2, 3):
        world.end(1, partner)
    for _ in range(3):
        assert world.choose(1) == 1
        world.it.arrived("isp", 1)
        world.it.parted("isp", None)
    assert world.rests.get("isp", 1) is not None
    world.now += 86401
    assert world.rests.get("isp", 1) is None


def test_neither_those_with_their_own_sessions_nor_the_others_wait_for_long(world: World) -> None:
    world.end(1, 2)
    world.it.arrived("isp", 99)
    world.it.parted("isp", None)
    assert world.choose(1, 3) == 3
    world.watch += PATIENCE + 1
    assert world.choose(1, 3) == 0
    world.it.parted("isp", None)
    assert world.choose(1, 3) == 1
    assert world.choose(1, 3) == 1
    world.watch += PATIENCE + 1
    assert world.choose(1, 3) == 0
    world.it.parted("isp", None)
    assert world.choose(1, 3) == 3


def test_a_session_that_begins_is_always_for_somebody(world: World) -> None:
    for uids in [(1, 2), (3, 4), (5, 6, 7), tuple(range(10, 40))]:
        world.end(*uids)
        for _ in range(5):
            world.watch += 3
            assert world.choose(*range(1, 40))
            world.it.parted("isp", None)


def test_after_the_mail_of_several_everybody_is_alone_until_something_arrives(world: World) -> None:
    world.end(1, 2)
    assert world.choose(3, 4) == 3
    assert world.choose(4) == 0
    world.it.parted("isp", None)
    assert world.choose(4) == 4
    world.it.arrived("isp", 4)
    world.it.parted("isp", None)
    assert world.choose(3, 4) == 3
    assert world.choose(4) == 4


def test_when_too_many_had_the_same_nobody_is_alone(world: World) -> None:
    world.end(*range(1, suspicion.MOST_WATCHED + 2))
    world.it.arrived("isp", 99)
    assert world.choose(*range(1, 20)) == 1
    assert world.choose(*range(1, 20)) == 1
    assert not world.it.alone


def test_sessions_that_end_without_end_are_the_smart_hosts_doing(world: World) -> None:
    told = [bool(world.end(1, 2)) for _ in range(suspicion.MOST_BARREN)]
    assert told.index(True) == suspicion.MOST_BARREN - 1


def test_a_rest_outlives_the_run_and_force_goes_through_it(tmp_path: Any, world: World) -> None:
    kept = World(str(tmp_path))
    kept.end(1, fault=REFUSED)
    again = World(str(tmp_path))
    assert again.rests_now(1)
    assert again.it.until(["isp"], 1) == 1300
    assert again.it.until(["isp", "other"], 1) == 0
    again.rules.force = True
    assert not again.rests_now(1)


def test_a_rests_file_that_cannot_be_read_is_none(tmp_path: Any) -> None:
    for octets in (
        b"",
        b"\xff\x00",
        b"sendmail-py rests 2\nisp\t1\t2\t3\t4\t5\t1\tx\n",
        b"sendmail-py rests 1\nisp\tx\n",
    ):
        (tmp_path / "rests").write_bytes(octets)
        assert Rests(str(tmp_path), lambda: 1.0).rests == {}
