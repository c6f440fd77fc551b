"""Many owners' mail as one: fair, never held by who does not answer, nor by what a server cannot stand."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sendmail_py import maillog
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.policy import identity
from sendmail_py.policy.config import smarthost
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.relay import outcome, transaction
from sendmail_py.relay.backlog import Rules
from sendmail_py.relay.delivery import Via
from sendmail_py.relay.faults import TransportFault
from sendmail_py.relay.outcome import Outcome
from sendmail_py.relay.reply import Reply
from sendmail_py.relay.transaction import Verdict
from sendmail_py.shared import peer as peers
from sendmail_py.shared.copies import Copy
from sendmail_py.shared.crowd import Crowd
from sendmail_py.shared.dialect import Offer
from sendmail_py.shared.frames import Channel, FrameError
from sendmail_py.shared.peer import Held, Peer
from sendmail_py.shared.suspicion import Suspicion
from sendmail_py.spool.rests import Rests

HOST = smarthost(name="isp", host="127.0.0.1")
VIA = Via("isp", "here")
GONE = Outcome(outcome.DEFERRED, "4.4.2", "gone")


class World:
    """Peers without readers, whose mail is at hand already."""

    def __init__(self) -> None:
        self.ends: list[Channel] = []
        self.peers: list[Peer] = []
        self.told: list[str] = []
        queue: Any = SimpleNamespace(retry_min=300.0, retry_max=14400.0)
        self.rules = Rules(queue, lambda: 1000.0, lambda: 0.0)

    def peer(self, uid: int, messages: int, size: int = 100, recipients: int = 1) -> Peer:
        """An owner with so many messages."""
        config: Any = SimpleNamespace(
            identity=SimpleNamespace(domain="example.net", helo="", local_names=[]),
            masquerade=SimpleNamespace(domain="", also=[], exceptions=[], override="allow", users={}),
            queue=SimpleNamespace(directory=""),
        )
        rules = SenderRules(config, identity.host(config), identity.Person(uid, b"u%d" % uid, ""))
        mine, theirs = socket.socketpair()
        self.ends.append(Channel(theirs))
        place: Any = None  # nothing is copied
        made = Peer(uid, Channel(mine), rules, place, 1 << 20)
        self.peers.append(made)
        made.is_dry = True
        for n in range(messages):
            envelope = Envelope(b"", [Recipient(b"x@example.org")] * recipients, 1.0)
            made.ready.append(
                Held(made, Offer((n, 0), "6B0569ACE7BF", (0, size), envelope), Copy(size), None)
            )
        return made

    def crowd(self, *them: Peer, **keywords: Any) -> Crowd:
        """All of them together."""
        suspicion = Suspicion(Rests("", lambda: 1000.0), self.rules)
        return Crowd(list(them), [HOST], suspicion, told=self.told.append, **keywords)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(maillog.log, "sink", lambda line: None)
    made = World()
    yield made
    for one in (*made.ends, *made.peers):
        one.close()


def order(crowd: Crowd, many: int) -> list[int]:
    """Whose mail the next transactions are."""
    found = []
    for _ in range(many):
        held = crowd.next_transaction(HOST, 0)
        assert isinstance(held, Held)
        found.append(held.peer.uid)
    return found


def arrive(crowd: Crowd, held: Any) -> None:
    """The smart host takes a message."""
    held.verdicts = [Verdict(transaction.END, Reply(250, [b"ok"]))] * len(held.indices)
    crowd.judged(held, VIA, HOST)


def test_one_message_does_not_wait_for_anybodys_backlog(world: World) -> None:
    crowd = world.crowd(world.peer(1, 1000), world.peer(2, 1), world.peer(3, 500))
    assert sorted(order(crowd, 3)) == [1, 2, 3]
    assert sorted(order(crowd, 4)) == [1, 1, 3, 3]


def test_who_sends_much_waits_for_who_sends_little(world: World) -> None:
    crowd = world.crowd(world.peer(1, 10, size=1 << 20), world.peer(2, 20), world.peer(3, 5, recipients=1000))
    assert order(crowd, 23).count(2) == 20


def test_who_comes_later_gets_no_more_than_the_others(world: World) -> None:
    first, late = world.peer(1, 100), world.peer(2, 100)
    entrance: Any = SimpleNamespace(channels=list, newcomers=list)
    crowd = world.crowd(first, entrance=entrance)
    order(crowd, 50)
    entrance.newcomers = lambda: [late] if late not in crowd.peers else []
    crowd.hear(0.0)
    assert sorted(order(crowd, 10)) == [1] * 5 + [2] * 5


def test_what_is_at_hand_goes_back_when_the_smart_host_takes_less_at_a_time(world: World) -> None:
    one, two = world.peer(1, 3), world.peer(2, 0)
    crowd = world.crowd(one, two)
    assert order(crowd, 1) == [1]
    end = world.ends[0]
    end.put([b"none", b"100"])  # what it will be asked for
    one.asked = 100
    assert crowd.next_transaction(HOST, 20, 1) is None
    said = []
    while (frame := end.take()) is not None:
        said.append(frame[0])
    assert said.count(b"back") == 2


def test_a_reader_that_does_not_answer_holds_nobody_who_has_mail(world: World) -> None:
    silent = world.peer(1, 0)
    silent.is_dry = False
    crowd = world.crowd(silent, world.peer(2, 5))
    began = time.monotonic()
    assert order(crowd, 5) == [2] * 5
    assert time.monotonic() - began < 1.0


def test_the_run_waits_for_an_answer_when_there_is_nothing_else_and_not_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Peer.look_at_clock, "__defaults__", (0.2,))
    silent = world.peer(1, 0)
    silent.is_dry = False
    crowd = world.crowd(silent)
    began = time.monotonic()
    assert not crowd.prepare(HOST)
    assert 0.1 < time.monotonic() - began < 5.0
    assert silent.is_gone


def test_nobody_waits_for_an_answer_who_was_asked_to_stop(world: World) -> None:
    silent = world.peer(1, 0)
    silent.is_dry = False
    began = time.monotonic()
    assert not world.crowd(silent, stop=lambda: True).prepare(HOST)
    assert time.monotonic() - began < 1.0


def test_an_owner_without_more_mail_is_let_go_while_the_others_go_on(world: World) -> None:
    one, two = world.peer(1, 1), world.peer(2, 5)
    crowd = world.crowd(one, two)
    for _ in range(2):
        arrive(crowd, crowd.next_transaction(HOST, 0))
    world.ends[0].put([b"none", b"%d" % one.asked])
    crowd.listen(HOST, 0.0)
    world.ends[0].put([b"done", b"1234", b"5:6"])
    crowd.listen(HOST, 0.0)
    assert world.told == ["done 1 5:6 1234"]
    assert crowd.peers == [two]


def test_the_end_tells_root_of_everybody(world: World) -> None:
    one, two, three = (world.peer(uid, 0) for uid in (1, 2, 3))
    crowd = world.crowd(one, two, three)
    world.ends[0].put([b"none"])  # a lie
    for end in world.ends[1:]:
        end.outbox += b""
    one.listen()
    two.was_wanted = True
    for peer in (two, three):
        peer.end()
    world.ends[1].put([b"done", b"7", b"1:1"])
    world.ends[2].put([b"done", b"0", b"2:2"])
    crowd.end()
    crowd.dismiss_all("done")
    assert world.told == ["gone 1", "done 2 1:1 7", "more 3 2:2 0"]  # nothing of the third was ever wanted


def end(crowd: Crowd, *held: Any) -> str:
    """A session ends with these in hand; why the smart host is to rest."""
    for one in held:
        crowd.charge(one, GONE, VIA)
    return crowd.broken(list(held), 0, TransportFault("gone"), HOST)


def test_an_owner_in_whose_mail_two_sessions_end_waits_and_the_others_go_on(world: World) -> None:
    bad, good = world.peer(1, 4), world.peer(2, 3)
    crowd = world.crowd(bad)
    for _ in range(2):
        assert not bad.is_aside
        assert end(crowd, crowd.next_transaction(HOST, 0)) == ""
        assert crowd.parted(HOST, TransportFault("gone"))
    assert (bad.is_aside, bad.ready) == (True, [])
    crowd.peers.append(good)
    assert order(crowd, 3) == [2, 2, 2]


def test_when_a_session_ends_in_the_mail_of_two_the_next_one_is_for_one_of_them(world: World) -> None:
    crowd = world.crowd(world.peer(1, 3), world.peer(2, 3))
    assert end(crowd, *[crowd.next_transaction(HOST, 0) for _ in range(2)]) == ""
    assert crowd.parted(HOST, TransportFault("gone"))
    first = order(crowd, 2)
    assert len(set(first)) == 1
    assert crowd.next_transaction(HOST, 0) is None
    assert not crowd.parted(HOST, None)
    assert order(crowd, 1) != first[:1]


def test_a_rest_is_what_the_owner_is_told_and_root_need_not_ask_before(world: World) -> None:
    one = world.peer(1, 2)
    crowd = world.crowd(one)
    held = crowd.next_transaction(HOST, 0)
    assert held is not None
    held.verdicts = [Verdict(transaction.RCPT, Reply(450, [b"4.7.1 too many messages, slow down"]))]
    settled, words = crowd.judged(held, VIA, HOST)
    assert (settled, bool(words)) == (False, True)
    assert crowd.blame(held, words, HOST) == ""
    crowd.settle()
    said = []
    while (frame := world.ends[0].take()) is not None:
        said.append(frame)
    (rest,) = [frame for frame in said if frame[0] == b"rest"]
    assert rest[1:3] == [b"isp", b"1300"]
    one.end()
    world.ends[0].put([b"done", b"1001", b"5:6"])
    crowd.end()
    crowd.dismiss_all("more")
    assert world.told == ["done 1 5:6 1300"]


def test_who_was_refused_last_is_among_those_whose_doing_an_end_may_be(world: World) -> None:
    bad, good = world.peer(1, 4), world.peer(2, 3)
    bad.served = -(1 << 20)
    crowd = world.crowd(bad, good)
    refused = crowd.next_transaction(HOST, 0)
    assert refused is not None
    bad.served = 1 << 20
    behind = crowd.next_transaction(HOST, 0)
    refused.verdicts = [Verdict(transaction.RCPT, Reply(550, [b"5.1.1 no"]))]
    crowd.judged(refused, VIA, HOST)
    assert end(crowd, behind) == ""
    assert crowd.parted(HOST, TransportFault("gone"))
    rests = crowd.suspicion.rests
    assert [rests.get("isp", uid) is not None for uid in (1, 2, 3)] == [True, True, False]


def test_an_end_in_nobodys_mail_is_the_smart_hosts_doing(world: World) -> None:
    crowd = world.crowd(world.peer(1, 3))
    assert not crowd.parted(HOST, TransportFault("no way"))


def test_time_in_a_session_costs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    slow, quick = world.peer(1, 3), world.peer(2, 20)
    crowd = world.crowd(slow, quick)
    for _ in range(2):
        held = crowd.next_transaction(HOST, 0)
        assert isinstance(held, Held)
        now[0] += 10.0 if held.peer is slow else 0.01
        arrive(crowd, held)
    assert order(crowd, 19) == [2] * 19


def test_the_cost_of_a_message_counts_its_recipients(world: World) -> None:
    few, many = world.peer(1, 1), world.peer(2, 1, recipients=100)
    few.take()
    many.take()
    assert many.served - few.served == 99 * peers.RECIPIENT_COST


def test_no_descriptor_stays_open(world: World) -> None:
    before = len(os.listdir("/proc/self/fd"))
    crowd = world.crowd(world.peer(1, 3), world.peer(2, 3))
    crowd.abandon()
    for end in world.ends:
        end.close()
    assert len(os.listdir("/proc/self/fd")) == before


def heard(end: Channel) -> list[bytes]:
    """The kinds of the frames that a reader has got."""
    found = []
    while (frame := end.take()) is not None:
        found.append(frame[0])
    return found


def test_a_reader_is_told_at_once_what_becomes_of_many_and_before_anything_is_sent(world: World) -> None:
    """Each word by itself would wake it each time; `settle` is what a session calls before it sends."""
    crowd = world.crowd(world.peer(1, 5))
    held = [crowd.next_transaction(HOST, 0) for _ in range(3)]
    assert heard(world.ends[0]) == []
    crowd.settle()
    assert heard(world.ends[0]) == [b"sent"] * 3
    for one in held:
        arrive(crowd, one)
    assert heard(world.ends[0]) == []
    crowd.settle()
    assert heard(world.ends[0]) == [b"judged"] * 3


def test_what_was_said_goes_out_when_a_turn_ends(world: World) -> None:
    crowd = world.crowd(world.peer(1, 1))
    arrive(crowd, crowd.next_transaction(HOST, 0))
    crowd.abandon()
    found = []
    with pytest.raises(FrameError):
        while True:
            found.append(world.ends[0].wait()[0])
    assert found == [b"sent", b"judged"]


def test_a_session_waits_a_moment_for_a_reader_although_another_one_has_mail_in_hand(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the session would end, and another one would cost a login."""
    one = world.peer(1, 1)
    crowd = world.crowd(one)
    assert crowd.next_transaction(HOST, 0) is not None
    one.is_dry = False
    looks: list[float] = []
    monkeypatch.setattr(crowd, "hear", looks.append)
    assert crowd.next_transaction(HOST, 0) is None
    assert [seconds > 0 for seconds in looks] == [False, True]


def test_many_readers_are_not_asked_for_every_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = world.crowd(*[world.peer(uid, 50) for uid in range(1, 21)])
    looks: list[float] = []
    monkeypatch.setattr(crowd, "hear", looks.append)
    monkeypatch.setattr("sendmail_py.shared.crowd.time.monotonic", lambda: 5.0)
    order(crowd, 100)
    assert len(looks) == 1
