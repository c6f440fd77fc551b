"""BDAT: who is asked, what the answer must be, and that whole transactions in flight keep their replies."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from sendmail_py.relay import chunking, transaction
from sendmail_py.relay.ehlo import Server
from sendmail_py.relay.faults import EarlyReplyFault, RefusedFault, TransportFault

from relay.dialogue import CHUNK, MemoryLine, Script, as_stored, check, play
from relay.flushing import World, received, smarthost
from relay.test_session import FakeLine, made
from support.script import Action, Close
from support.smarthost import USUAL_EXTENSIONS

CHUNKING = (*USUAL_EXTENSIONS, "CHUNKING")
SERVER = Server([b"CHUNKING", b"PIPELINING"])
BAIT = b"BDAT 12 LAST\r\nRCPT TO:<>\r\nRSET\r\n"


def put(world: World, count: int) -> list[bytes]:
    """Queue that many messages; their recipients."""
    names = [b"r%02d@y.example" % number for number in range(count)]
    for name in names:
        world.put(name)
    return names


# --- the question -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "verdict"),
    [
        (b"503 need RCPT\r\n250 reset\r\n", True),
        (b"421-no\r\n421 bye\r\n", None),
        (b"503 need RCPT\r\n503 need MAIL\r\n250 reset\r\n", False),
        (b"250 12 octets\r\n250 reset\r\n", False),
        (b"354 go\r\n250 reset\r\n", False),
        (b"502 what?\r\n501 empty path\r\n250 reset\r\n", False),
    ],
)
def test_only_a_server_that_drops_the_bait_is_fit(says: bytes, verdict: bool | None) -> None:
    line = FakeLine(says)
    player, _ = made(line)
    if verdict is None:
        with pytest.raises(RefusedFault):
            player.play(chunking.probe(SERVER))
    else:
        assert player.play(chunking.probe(SERVER)) is verdict
        assert (player.outstanding, player.reader.pending) == (0, False)
    assert line.sends == [BAIT]


@pytest.mark.parametrize("words", [[], [b"PIPELINING"], [b"CHUNKING"]])
def test_a_server_without_both_extensions_is_not_asked(words: list[bytes]) -> None:
    assert not chunking.is_possible(Server(words))


def test_the_answer_is_remembered_for_servers_that_say_the_same(tmp_path: Path) -> None:
    with smarthost(extensions=CHUNKING) as host:
        world = World.beside(tmp_path, host)
        for _ in range(2):
            put(world, 1)
            assert world.flush().delivered == 1
    assert [one for one in host.commands if one == b"BDAT 12 LAST"] == [b"BDAT 12 LAST"]
    assert all(message.chunked for message in host.messages)


def test_a_server_that_takes_content_for_commands_gets_data(tmp_path: Path) -> None:
    with smarthost(extensions=CHUNKING, drops_refused_chunks=False) as host:
        world = World.beside(tmp_path, host)
        for _ in range(2):
            put(world, 2)
            assert world.flush().delivered == 2
    assert not any(message.chunked for message in host.messages)
    assert host.commands.count(b"BDAT 12 LAST") == 1


@pytest.mark.parametrize("action", [Close(), b"421 4.7.0 too many errors", b"what?"])
def test_a_server_that_does_not_survive_the_question_is_not_asked_again(
    action: Action, tmp_path: Path
) -> None:
    with smarthost(extensions=CHUNKING, replies={b"BDAT": action}) as host:
        world = World.beside(tmp_path, host)
        for _ in range(2):
            put(world, 1)
            assert world.flush().delivered == 1
    assert host.connections == 3
    assert not any(message.chunked for message in host.messages)


# --- the window ---------------------------------------------------------------------------------------------


def test_forty_messages_need_few_round_trips(tmp_path: Path) -> None:
    with smarthost(extensions=CHUNKING, delay=0.02) as host:
        world = World.beside(tmp_path, host)
        names = put(world, 40)
        assert world.flush().delivered == 40
    assert received(host) == names
    assert host.round_trips <= 6 + 40 / chunking.MOST_MESSAGES
    assert (host.violations, host.connections) == ([], 1)


def test_no_more_than_the_window_is_in_flight() -> None:
    line = FakeLine()
    player, mail = made(line, *["<a@x.example> <b@y.example>"] * 40)
    with pytest.raises(IndexError):  # the fake has nothing to say
        player.play(chunking.relay(SERVER))
    assert len(player.in_hand) == chunking.MOST_MESSAGES
    assert len(mail.waiting) == 40 - chunking.MOST_MESSAGES


def test_big_ones_fill_the_window_earlier() -> None:
    player, _ = made(FakeLine(), *["<a@x.example> <b@y.example> size=250000"] * 40)
    with pytest.raises(IndexError):
        player.play(chunking.relay(SERVER))
    assert len(player.in_hand) == 5


MAILS = {"2": "250 ok", "4": "451 4.3.0 no"}
RECIPIENTS = {"2": ("250 ok", ""), "5": ("550 5.1.1 no", "failed 5.1.1")}
ENDS = {"2": ("250 ok", "delivered 2.0.0"), "4": ("452 4.3.1 no", "deferred 4.3.1")}


def page(answers: Iterable[tuple[str, str, str]]) -> str:
    """A page of messages with one recipient each, answered as told: MAIL, RCPT, BDAT."""
    head, client, server, end = ["wish: chunks"], [], [], []
    for n, (mail, rcpt, last) in enumerate(answers):
        name = f"r{n}@y.example"
        head.append(f"message: <a@x.example> <{name}>")
        client += ["C: RSET"] * (n > 0) + ["C: MAIL FROM:<a@x.example>", f"C: RCPT TO:<{name}>"]
        client += ["C: BDAT 20 LAST", *CHUNK]
        taken = mail + rcpt == "22"
        server += ["S: 250 ok"] * (n > 0) + ["S: " + MAILS[mail]]
        server += ["S: " + RECIPIENTS[rcpt][0] if mail == "2" else "S: 503 need MAIL"]
        server += ["S: " + ENDS[last][0] if taken else "S: 503 need RCPT"]
        verdict = "deferred 4.3.0" if mail == "4" else RECIPIENTS[rcpt][1] or ENDS[last][1]
        end.append(f"{name}: {verdict}")
    talk = ["S: 220 hi", "C: EHLO client.example.net", "S: 250-hi", "S: 250-CHUNKING", "S: 250 PIPELINING"]
    talk += [*client, *server, "C: QUIT", "S: 221 bye"]
    return "\n".join([*head, "---", *talk, "---", *end])


MIXES = list(itertools.product("24", "25", "24"))


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("first", MIXES, ids="".join)
@pytest.mark.parametrize("second", MIXES, ids="".join)
def test_every_mix_of_answers_to_two_messages_in_flight(
    first: tuple[str, str, str], second: tuple[str, str, str], size: int
) -> None:
    script = Script(page([first, second, ("2", "2", "2")]))
    line = MemoryLine(script.talk, size)
    check(play(script, line), script.end)
    assert not line.talk


@pytest.mark.parametrize(
    ("replies", "left"),
    [
        ({b"MAIL FROM:<a@x.example>": [None, b"451 4.3.0 no"]}, [b"r01@y.example"]),
        ({b"RCPT TO:<r02": b"450 4.2.0 no"}, [b"r02@y.example"]),
        ({b".": [None, None, b"452 4.3.1 no"]}, [b"r02@y.example"]),
    ],
)
def test_what_is_refused_in_flight_is_nobody_elses_trouble(
    replies: dict[bytes, Action | list[Action]], left: list[bytes], tmp_path: Path
) -> None:
    with smarthost(extensions=CHUNKING, replies=replies) as host:
        world = World.beside(tmp_path, host)
        names = put(world, 5)
        summary = world.flush()
    assert (summary.delivered, summary.deferred, host.violations) == (4, 1, [])
    assert received(host) == [name for name in names if name not in left]
    assert [list(one) for one in world.queued().values()] == [left]


# --- the end of a connection --------------------------------------------------------------------------------


def test_what_is_in_flight_when_the_line_breaks_is_answer_unknown(tmp_path: Path) -> None:
    replies: dict[bytes, Action | list[Action]] = {b".": [None, None, Close(), None]}
    with smarthost(extensions=CHUNKING, replies=replies) as host:
        world = World.beside(tmp_path, host)
        names = put(world, 6)
        summary = world.flush()
    assert (summary.delivered, summary.deferred) == (2, 4)
    assert received(host) == names[:2]
    assert world.log.count("answer unknown") == 4
    assert len(world.queued()) == 4


class Hangup(FakeLine):
    """Says `last` and hangs up when it is written to for the second time."""

    def __init__(self, first: bytes, last: bytes) -> None:
        super().__init__(first)
        self.last = last

    def send(self, octets: bytes, deadline: float, heard: Callable[[bytes], None]) -> None:
        """The first write goes through."""
        if self.sends:
            heard(self.last)
            raise TransportFault("lost connection")
        super().send(octets, deadline, heard)


def test_what_was_answered_before_the_line_broke_counts() -> None:
    taken = b"250 mail\r\n250 rcpt\r\n250 taken\r\n"
    line = Hangup(taken, (b"250 reset\r\n" + taken) * (chunking.MOST_MESSAGES - 1))
    player, mail = made(line, *["<a@x.example> <b@y.example>"] * (chunking.MOST_MESSAGES + 4))
    with pytest.raises(TransportFault, match="lost connection"):
        player.play(chunking.relay(SERVER))
    assert len(mail.results) == chunking.MOST_MESSAGES
    assert [one.stage for one in player.in_hand] == [transaction.OFFERED]


def test_a_login_that_is_missing_for_one_keeps_what_the_others_got(tmp_path: Path) -> None:
    replies: dict[bytes, Action | list[Action]] = {b"RCPT TO:<b@": [b"530 5.7.0 log in", None]}
    with smarthost(extensions=CHUNKING, replies=replies) as host:
        world = World.beside(tmp_path, host)
        world.put(b"a@y.example", b"b@y.example", b"c@y.example")
        assert world.flush().delivered == 2
        assert [list(one) for one in world.queued().values()] == [[b"b@y.example"]]
        assert world.flush(force=True).delivered == 1
    assert sorted(received(host)) == [b"a@y.example", b"b@y.example", b"c@y.example"]


@pytest.mark.parametrize("extensions", [USUAL_EXTENSIONS, CHUNKING], ids=["data", "chunks"])
def test_a_login_that_is_missing_at_the_end_is_the_smart_hosts_fault(
    extensions: tuple[str, ...], tmp_path: Path
) -> None:
    with smarthost(extensions=extensions, replies={b".": [b"530 5.7.1 not authenticated", None]}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"a@y.example")
        assert world.flush().failed == 0
        assert world.paused()
        assert world.flush(force=True).delivered == 1


def test_what_stands_behind_a_421_is_sent_again_at_once(tmp_path: Path) -> None:
    replies: dict[bytes, Action | list[Action]] = {b"RCPT TO:<r02": [b"421 4.3.2 a moment", None]}
    with smarthost(extensions=CHUNKING, replies=replies) as host:
        world = World.beside(tmp_path, host)
        names = put(world, 6)
        assert world.flush().delivered == 6
    assert received(host) == names
    assert "answer unknown" not in world.log
    assert host.connections == 2


# --- big messages -------------------------------------------------------------------------------------------


def big(size: int) -> bytes:
    """A message of about that many octets, with a line that begins with a dot."""
    return b"Subject: x\r\n\r\n.dot\r\n" + (b"x" * 70 + b"\r\n") * (size // 72)


def test_a_big_message_arrives_as_it_is(tmp_path: Path) -> None:
    content = big(3_000_000)
    with smarthost(extensions=CHUNKING) as host:
        world = World.beside(tmp_path, host)
        world.put(b"a@y.example", content=content)
        world.put(b"b@y.example")
        for one in world.config.smarthosts:
            one.timeout = 10.0
        assert world.flush().delivered == 2
    assert host.messages[0].data == content
    assert host.messages[0].chunked


def test_a_refused_chunk_ends_the_message_and_not_the_session(tmp_path: Path) -> None:
    refused: Action = b"552 5.3.4 too much"
    with smarthost(extensions=CHUNKING, replies={b"BDAT 65536": [None, None, refused]}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"a@y.example", content=big(6_000_000))
        world.put(b"b@y.example")
        for one in world.config.smarthosts:
            one.timeout = 10.0
        summary = world.flush()
    assert (summary.delivered, summary.failed, host.connections) == (1, 1, 1)
    assert received(host) == [b"b@y.example"]
    assert b"BDAT 0 LAST" not in host.commands


def test_why_a_server_hung_up_in_the_middle_is_heard() -> None:
    class Dying(FakeLine):
        def send(self, octets: bytes, deadline: float, heard: object) -> None:
            if octets.startswith(b"BDAT"):
                player.reader.feed(b"452 4.3.1 disk full\r\n")
                raise TransportFault("lost connection")

    player, mail = made(Dying(b"250 ok\r\n250 ok\r\n"), "<a@x.example> <b@y.example> size=300000")
    with pytest.raises(EarlyReplyFault, match="disk full"):
        player.play(chunking.relay(SERVER))
    assert not mail.results


def test_content_that_cannot_be_read_is_not_begun() -> None:
    def broken() -> Iterable[bytes]:
        yield b"Subject: x\r\n"
        raise OSError(5, "Input/output error")

    line = FakeLine(b"250 ok\r\n250 ok\r\n250 ok\r\n")
    player, mail = made(line, "<a@x.example> <b@y.example>", "<a@x.example> <c@y.example>")
    mail.waiting[0].content.chunks = broken
    mail.waiting[0].fitted = as_stored(mail.waiting[0])
    player.play(chunking.relay(SERVER))
    assert mail.results == ["b@y.example: deferred 4.3.0", "c@y.example: delivered 2.0.0"]
    assert b"".join(line.sends).count(b"MAIL") == 1
