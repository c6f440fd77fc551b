"""The player: what leaves when, what may not arrive, and how long it waits; without a socket."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from sendmail_py.relay import actions, auth, sasl, session, smtp
from sendmail_py.relay.actions import Write
from sendmail_py.relay.ehlo import Server
from sendmail_py.relay.faults import ContentFault, EarlyReplyFault, Fault, ProtocolFault, RefusedFault
from sendmail_py.relay.session import Session
from sendmail_py.relay.transaction import Transaction

from relay.dialogue import CONTENT, Mail, as_stored, transaction
from relay.flushing import setting


class FakeLine:
    """Says `says` piece by piece, remembers each send and each deadline."""

    def __init__(self, *says: bytes) -> None:
        self.says = deque(says)
        self.sends: list[bytes] = []
        self.deadlines: list[float] = []
        self.doing = ""
        self.peer = "fake"
        self.sent = 0
        self.ready = b""

    def send(self, octets: bytes, deadline: float, heard: Callable[[bytes], None]) -> None:
        """Remember."""
        self.sends.append(octets)
        self.sent += len(octets)
        self.deadlines.append(deadline - time.monotonic())

    def receive(self, deadline: float) -> bytes:
        """The next piece."""
        self.deadlines.append(deadline - time.monotonic())
        return self.says.popleft()

    def hear(self, heard: Callable[[bytes], None]) -> None:
        """What is ready."""
        octets, self.ready = self.ready, b""
        if octets:
            heard(octets)

    def start_tls(self, setting: Any, name: str, deadline: float) -> None:
        """Remember."""
        self.deadlines.append(deadline - time.monotonic())

    def close(self) -> None:
        """Nothing."""


def made(line: FakeLine, *messages: str) -> tuple[Session, Mail]:
    mail = Mail([one.split() for one in messages])
    return Session(line, setting(timeout=100.0), "mail.example.net", mail), mail


def relay(size: int, *says: bytes, chunks: Callable[[], Any] = lambda: [CONTENT]) -> tuple[FakeLine, Mail]:
    """Relay one message over a line that has said 354 before and says `says` then."""
    line = FakeLine(b"250 ok\r\n250 ok\r\n354 go\r\n", *says)
    player, mail = made(line, "<a@x.example> <b@y.example>")
    mail.waiting[0].content.size = size
    mail.waiting[0].content.chunks = chunks
    mail.waiting[0].fitted = as_stored(mail.waiting[0])
    player.play(smtp.relay(Server([b"PIPELINING"])))
    return line, mail


def test_a_small_message_and_its_end_are_one_write() -> None:
    line, mail = relay(20, b"250 ok\r\n")
    assert line.sends == [
        b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
        b"Subject: x\r\n\r\n..dot\r\n.\r\n",
    ]
    assert mail.results == ["b@y.example: delivered 2.0.0"]


def test_a_big_message_leaves_in_pieces() -> None:
    chunk = b"x" * 65534 + b"\r\n"
    line, _ = relay(100 * 65536, b"250 ok\r\n", chunks=lambda: [chunk] * 100)
    assert len(line.sends) == 102
    assert max(map(len, line.sends)) <= 65536 + 3
    assert b"".join(line.sends[1:]) == chunk * 100 + b".\r\n"


def test_each_step_has_its_own_deadline() -> None:
    line, _ = relay(2_048_000, b"250 ok\r\n")
    write, reply, content, end = line.deadlines
    assert (round(write), round(reply), round(end)) == (100, 100, 200)
    assert round(content) == 2 * 100 + 1000


def test_a_reply_that_drips_does_not_get_more_time() -> None:
    line = FakeLine(*[bytes([octet]) for octet in b"220 hi\r\n"])
    player, _ = made(line)

    def greeting() -> actions.Dialogue[Any]:
        return (yield actions.GREETING)

    assert player.play(greeting()).code == 220
    assert len({round(deadline) for deadline in line.deadlines}) == 1


@pytest.mark.parametrize("octets", [b"250 ok\r\n", b"250 o", b"250-ok\r\n"])
def test_octets_nobody_asked_for_are_a_fault(octets: bytes) -> None:
    line = FakeLine()
    line.ready = octets
    player, _ = made(line)

    def command() -> actions.Dialogue[None]:
        yield Write(b"NOOP\r\n")

    with pytest.raises(ProtocolFault, match="fake: unexpected reply"):
        player.play(command())
    assert line.sends == []


def test_a_421_that_nobody_asked_for_is_a_goodbye() -> None:
    line = FakeLine()
    line.ready = b"421 4.3.2 idle for too long\r\n"
    player, _ = made(line, "<a@x.example> <b@y.example>")
    with pytest.raises(RefusedFault, match="idle for too long"):
        player.play(smtp.relay(Server([b"PIPELINING"])))
    assert line.sends == []


def test_replies_that_belong_to_one_write_may_come_together_or_apart() -> None:
    for says in ([b"250 a\r\n250 b\r\n"], [b"250 a\r\n", b"250 b\r\n"]):
        player, _ = made(FakeLine(*says))

        def group() -> actions.Dialogue[list[bytes]]:
            yield Write(b"A\r\nB\r\n", 2)
            return [(yield actions.MAIL).lines[0], (yield actions.RCPT).lines[0]]

        assert player.play(group()) == [b"a", b"b"]


def test_a_message_that_cannot_be_read_is_its_own_fault() -> None:
    def broken() -> Any:
        yield CONTENT
        raise OSError(5, "Input/output error")

    with pytest.raises(ContentFault, match="Input/output error"):
        relay(20, chunks=broken)


def test_a_reply_in_the_middle_of_the_content_ends_it() -> None:
    line = FakeLine(b"250 ok\r\n250 ok\r\n354 go\r\n")
    player, mail = made(line, "<a@x.example> <b@y.example>")

    def chunks() -> Any:
        yield b"x" * 65534 + b"\r\n"
        line.ready = b"451 enough\r\n"
        yield b"x" * 65534 + b"\r\n"
        yield b"x" * 65534 + b"\r\n"
        raise AssertionError("goes on")

    mail.waiting[0].content.chunks = chunks
    mail.waiting[0].fitted = as_stored(mail.waiting[0])
    with pytest.raises(EarlyReplyFault, match="451 enough"):
        player.play(smtp.relay(Server([b"PIPELINING"])))
    assert not any(b"\r\n.\r\n" in sent for sent in line.sends)


def test_transactions_are_in_hand_until_they_are_judged() -> None:
    seen: list[int] = []

    class Watching(Mail):
        def judged(self, done: Transaction) -> None:
            seen.append(len(player.in_hand))

    line = FakeLine(
        b"250 ok\r\n250 ok\r\n354 go\r\n", b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", b"250 ok\r\n"
    )
    mail = Watching([["<a@x.example>", "<b@y.example>"], ["<a@x.example>", "<c@y.example>"]])
    player = Session(line, setting(timeout=1.0), "", mail)
    player.play(smtp.relay(Server([b"PIPELINING"])))
    assert seen == [1, 0]
    assert player.judged == 2


def test_taking_leave_waits_only_a_moment_and_minds_nothing() -> None:
    line = FakeLine(b"nonsense\r\n")
    player, _ = made(line)
    player.quit()
    assert line.sends == [b"QUIT\r\n"]
    assert max(line.deadlines) <= session.GOODBYE + 0.01


def test_the_next_message_is_claimed_while_a_reply_is_on_its_way() -> None:
    prepared: list[int] = []

    class Preparing(Mail):
        def prepare(self) -> None:
            prepared.append(len(line.sends))

    line = FakeLine(b"250 ok\r\n250 ok\r\n354 go\r\n", b"250 ok\r\n")
    player = Session(line, setting(timeout=1.0), "", Preparing([["<a@x.example>", "<b@y.example>"]]))
    player.play(smtp.relay(Server([b"PIPELINING"])))
    assert prepared == [1, 2]
    assert transaction(["<>", "<b@y.example>"]).open() == [0]


@pytest.mark.parametrize(
    "says",
    [
        b"535 5.7.8 no: AGdyZWcAc2VjcmV0\r\n",
        b"500 unknown command 'AUTH PLAIN AGDYZWCAC2VJCMV0'\r\n",
        b"500 unknown command 'AUTH PLAIN AGdyZWcAc2V'\r\n",
        b"535-the password\r\n535 secret is wrong\r\n",
        b"421 4.7.0 no: AGdyZWcAc2VjcmV0\r\n",
        b"what is AUTH PLAIN AGdyZWcAc2VjcmV0?\r\n",
        b"what is AUTH PLAIN " + b"x" * 40 + b"AGdyZWcAc2VjcmV0?\r\n",
    ],
)
def test_a_server_that_quotes_our_login_makes_nobody_show_it(says: bytes) -> None:
    player, _ = made(FakeLine(says))
    shown: list[str] = []
    player.trace = shown.append
    with pytest.raises(Fault) as caught:
        player.play(auth.authenticate(sasl.Login(b"greg", b"secret"), ["PLAIN"]))
    said = "\n".join([str(caught.value), *shown])
    assert "***" in said
    assert not any(word in said.lower() for word in ("secret", "aGdyZWcAc2V".lower()))


def test_what_a_server_quotes_later_is_not_shown_either() -> None:
    player, _ = made(FakeLine(b"235 ok\r\n", b"550 who is AGdyZWcAc2VjcmV0?\r\n"))
    player.play(auth.authenticate(sasl.Login(b"greg", b"secret"), ["PLAIN"]))
    assert player.play(smtp.ask(b"NOOP", actions.RSET)).text == "550 who is ***?"


def test_a_challenge_is_taken_as_it_is() -> None:
    """The user is called as the challenge begins."""
    line = FakeLine(b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n", b"235 ok\r\n")
    player, _ = made(line)
    player.play(auth.authenticate(sasl.Login(b"Password:", b"Password:"), ["LOGIN"]))
    assert line.sends[1:] == [b"UGFzc3dvcmQ6\r\n", b"UGFzc3dvcmQ6\r\n"]
