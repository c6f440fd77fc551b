"""The relay's view of a reader: what a liar says is noticed, and an honest one is never taken for a liar."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sendmail_py import maillog
from sendmail_py.policy import identity
from sendmail_py.policy.config import smarthost
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.relay.delivery import Via
from sendmail_py.shared import peer as peers
from sendmail_py.shared.frames import Channel, encode
from sendmail_py.shared.peer import Peer
from sendmail_py.shared.place import Place

CONTENT = b"From: eve@example.net\r\n\r\ntext\r\n"
HOST = smarthost(name="isp", host="127.0.0.1")


class Pair:
    """A peer, and the end that a reader would have."""

    def __init__(self, folder: Path, limit: int = 1 << 20) -> None:
        mine, self.sock = socket.socketpair()
        config: Any = SimpleNamespace(
            identity=SimpleNamespace(domain="example.net", helo="", local_names=[]),
            masquerade=SimpleNamespace(
                domain="",
                also=[],
                exceptions=[],
                override="refuse",
                headers=True,
                users={"eve": ["eve@example.net"]},
            ),
            queue=SimpleNamespace(directory=""),
        )
        rules = SenderRules(config, identity.host(config), identity.Person(os.getuid(), b"eve", ""))
        place = Place(str(folder))
        place.settle()
        self.peer = Peer(os.getuid(), Channel(mine), rules, place, limit)
        self.reader = Channel(self.sock)
        self.folder = folder
        self.log: list[str] = []

    def want(self, many: int) -> None:
        """Have the peer want so many transactions."""
        self.peer.want(HOST, many, (0, 0))

    def offer(
        self, number: int, content: bytes = CONTENT, sender: bytes = b"eve@example.net", **size: int
    ) -> None:
        """Offer a message, from a file of its own."""
        file = self.folder / f"message{number}"
        file.write_bytes(content)
        words = [
            b"mail",
            b"%d" % number,
            b"1",
            b"6B0569ACE7BF",
            b"0",
            b"%d" % size.get("size", len(content)),
            b"5",
        ]
        words += [sender, b"", b"", b"", b"", b"7", b"", b"x@example.org", b"", b""]
        with open(file, "rb") as opened:
            self.reader.put(words, opened.fileno())

    def said(self) -> list[list[bytes]]:
        """What the peer told its reader so far."""
        self.peer.push()
        found = []
        while (frame := self.reader.take()) is not None:
            found.append(frame)
        return found


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    made = Pair(tmp_path)
    monkeypatch.setattr(maillog.log, "sink", made.log.append)
    yield made
    made.peer.close()
    made.reader.close()


def test_what_was_wanted_and_is_good_is_at_hand(pair: Pair) -> None:
    pair.want(2)
    pair.offer(1)
    pair.peer.listen()
    assert [b"".join(one.chunks()) for one in pair.peer.ready] == [CONTENT]
    assert (pair.peer.asked, pair.peer.is_dry) == (1, False)
    held = pair.peer.take()
    pair.peer.report(b"judged", held, Via("isp", "x"), [b"1"])
    assert [one[0] for one in pair.said()] == [b"want", b"sent", b"judged"]


def test_an_offer_that_crosses_a_refusal_is_no_lie(pair: Pair) -> None:
    """The reader had said that there is nothing more; then a message came back to it, and more was wanted."""
    pair.want(4)
    pair.offer(1)
    pair.peer.listen()
    held = pair.peer.take()
    pair.reader.put([b"none", b"3"])  # on its way, not heard yet
    pair.peer.report(b"back", held, Via("isp", "x"), [])
    pair.want(8)
    pair.peer.push()
    pair.peer.listen()
    assert pair.peer.asked == 5  # of the second time
    pair.offer(2)
    pair.peer.listen()
    assert not pair.peer.is_gone
    assert len(pair.peer.ready) == 1


def test_what_was_wanted_for_a_smart_host_that_was_given_up_goes_back(pair: Pair) -> None:
    pair.want(3)
    pair.peer.leave(HOST)
    pair.want(2)
    pair.offer(1)
    pair.reader.put([b"none", b"2"])
    pair.offer(2)
    pair.reader.put([b"none", b"1"])
    pair.peer.listen()
    assert not pair.peer.is_gone
    assert [one.offer.number for one in pair.peer.ready] == [2]
    assert (pair.peer.asked, pair.peer.late, pair.peer.is_dry) == (0, 0, False)
    assert pair.peer.is_worth_asking  # what went back is not in the answer
    pair.want(3)
    pair.reader.put([b"none", b"2"])
    pair.peer.listen()
    assert pair.peer.is_dry
    assert [one[0] for one in pair.said()] == [b"want", b"leave", b"want", b"back", b"want"]


LIES = {
    "unwanted": lambda pair: [pair.offer(n) for n in range(1, 4)],
    "twice": lambda pair: [pair.want(5), pair.offer(1), pair.offer(1)],
    "backwards": lambda pair: [pair.want(5), pair.offer(2), pair.offer(1)],
    "refusal": lambda pair: pair.reader.put([b"none", b"1"]),
    "refusal-of-more": lambda pair: [pair.want(5), pair.reader.put([b"none", b"6"])],
    "refusal-of-nothing": lambda pair: [pair.want(5), pair.reader.put([b"none", b"0"])],
    "refusal-without-a-number": lambda pair: [pair.want(5), pair.reader.put([b"none"])],
    "done": lambda pair: pair.reader.put([b"done", b"0", b"1:1"]),
    "done-without-a-time": lambda pair: [pair.peer.end(), pair.reader.put([b"done", b"", b""])],
    "done-cut": lambda pair: [pair.peer.end(), pair.reader.put([b"done"])],
    "word": lambda pair: pair.reader.put([b"secret"]),
    "shorter": lambda pair: [pair.want(5), pair.offer(1, size=1000)],
    "no-descriptor": lambda pair: [pair.want(5), pair.reader.put([b"mail"])],
    "gone": lambda pair: pair.reader.close(),
    "no-frame": lambda pair: pair.sock.sendall(b"\xff" * 8),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_liar_is_done_with_and_one_line_says_why(pair: Pair, lie: Any) -> None:
    before = len(os.listdir("/proc/self/fd"))
    lie(pair)
    for _ in range(5):
        pair.peer.listen()
    assert pair.peer.is_gone
    assert not pair.peer.ready
    assert len(pair.log) == 1
    assert pair.log[0].startswith(f"warning: the reader of uid {os.getuid()} ")
    assert len(os.listdir("/proc/self/fd")) < before
    assert not pair.peer.is_waited_for


@pytest.mark.parametrize(
    ("content", "sender", "status"),
    [
        (b"From: ceo@example.net\r\n\r\n", b"eve@example.net", b"5.7.1"),
        (CONTENT, b"ceo@example.net", b"5.7.1"),
        (b"From: eve@example.net\r\n\r\nx\n.\r\nRSET\r\n", b"eve@example.net", b"5.6.0"),
        (b"From: eve@example.net\r\n\r\nx\r", b"eve@example.net", b"5.6.0"),
        (b"From: eve@example.net\r\n\r\n" + b"x" * (1 << 20), b"eve@example.net", b"5.3.4"),
    ],
    ids=["author", "sender", "line-end", "last-line-end", "size"],
)
def test_a_message_that_may_not_leave_fails_and_the_next_one_is_taken(
    pair: Pair, content: bytes, sender: bytes, status: bytes
) -> None:
    pair.want(5)
    pair.offer(1, content, sender)
    pair.offer(2)
    pair.peer.listen()
    assert [one.offer.number for one in pair.peer.ready] == [2]
    charge = pair.said()[1]
    assert (charge[:2], charge[6]) == ([b"charge", b"1"], status)


def test_a_reader_that_talks_without_end_neither_fills_the_log_nor_holds_the_relay(pair: Pair) -> None:
    line = encode([b"log", b"x"])
    heard = 0
    while not pair.peer.is_gone and heard < 10_000:
        pair.reader.outbox += line * 500
        pair.reader.push()
        pair.peer.listen()
        heard += 1
    assert pair.peer.is_gone
    assert len(pair.log) == peers.MOST_LOG_LINES + 1
    assert heard >= peers.MOST_TALK / peers.MOST_FRAMES


def test_lines_of_a_reader_are_printable_and_are_never_those_of_an_attempt(pair: Pair) -> None:
    pair.reader.put([b"log", b"\x1b[2Jone\nNov 24 two"])
    pair.reader.put([b"log", b"6B0569ACE7BF: to=<a@b.example>, relay=isp, status=sent"])
    pair.peer.listen()
    assert len(pair.log) == 1
    assert pair.log[0].isprintable()


def test_one_that_does_not_answer_is_given_up_and_one_that_is_not_asked_is_not(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.peer.look_at_clock(-1.0)
    assert not pair.peer.is_gone
    pair.want(1)
    pair.peer.look_at_clock(60.0)
    assert not pair.peer.is_gone
    pair.peer.look_at_clock(-1.0)
    assert pair.peer.is_gone


def test_who_has_big_messages_shows_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(tmp_path, limit=1 << 30)
    monkeypatch.setattr(maillog.log, "sink", pair.log.append)
    pair.want(1)
    pair.offer(1, CONTENT + b"x\r\n" * (peers.BIG // 3))
    pair.peer.listen()
    pair.want(16)
    assert (len(pair.peer.ready), pair.peer.asked) == (1, 0)
    pair.peer.take()
    pair.want(16)
    assert pair.peer.asked == 1
    pair.peer.close()
    pair.reader.close()
