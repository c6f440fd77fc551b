"""Sessions side by side: when another one is opened, what a server that does not want it gets, the limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.relay import sessions
from sendmail_py.relay.ehlo import Server
from sendmail_py.spool.claim import Claim

from relay.flushing import World, received, smarthost
from support.script import Action, Close
from support.smarthost import USUAL_EXTENSIONS

CHUNKING = (*USUAL_EXTENSIONS, "CHUNKING")
SLOW = 0.02  # seconds of a round trip


def put(world: World, count: int) -> list[bytes]:
    """Queue that many messages; their recipients."""
    names = [b"r%03d@y.example" % number for number in range(count)]
    for name in names:
        world.put(name)
    return names


@pytest.mark.parametrize("extensions", [USUAL_EXTENSIONS, CHUNKING], ids=["data", "chunks"])
@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_long_queue_gets_as_many_sessions_as_are_allowed(
    extensions: tuple[str, ...], most: int, tmp_path: Path
) -> None:
    with smarthost(extensions=extensions, delay=SLOW) as host:
        world = World.beside(tmp_path, host, max_connections=most)
        names = put(world, 300)
        assert world.flush().delivered == 300
    assert received(host) == names
    assert host.most_open <= most
    enough = 1 if extensions == CHUNKING else 2  # the window makes one session enough
    assert host.most_open >= min(enough, most)
    assert (world.files(), host.violations) == ([], [])


def test_a_short_queue_gets_one_session(tmp_path: Path) -> None:
    with smarthost(delay=SLOW) as host:
        world = World.beside(tmp_path, host, max_connections=10)
        put(world, sessions.ENOUGH + 2)
        world.flush()
    assert host.connections == 1


@pytest.mark.parametrize("action", [b"421 4.7.0 too many connections", b"554 5.7.1 no", Close()])
def test_a_server_that_does_not_want_another_session_is_not_pressed(action: Action, tmp_path: Path) -> None:
    replies: dict[bytes, Action | list[Action]] = {b"greeting": [None, *[action] * 50]}
    with smarthost(delay=SLOW, replies=replies) as host:
        world = World.beside(tmp_path, host, max_connections=10)
        names = put(world, 200)
        summary = world.flush()
    assert (summary.delivered, summary.fault) == (200, "")
    assert received(host) == names
    assert host.connections == 2
    assert not world.paused()
    assert "1 sessions go on" in world.log


def test_a_session_that_breaks_beside_others_loses_nothing(tmp_path: Path) -> None:
    replies: dict[bytes, Action | list[Action]] = {b"RCPT TO:<r150": [Close(), None]}
    with smarthost(delay=SLOW, replies=replies) as host:
        world = World.beside(tmp_path, host, max_connections=3)
        names = put(world, 200)
        assert world.flush().delivered == 200
    assert received(host) == names
    assert world.files() == []


def test_a_disk_that_fails_ends_all_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[int] = []
    mark = Claim.mark

    def failing(self: Claim, *words: object, **more: object) -> None:
        marks.append(1)
        if len(marks) > 100:
            raise OSError(28, "No space left on device")
        mark(self, *words, **more)  # type: ignore[arg-type]

    with smarthost(delay=SLOW) as host:
        world = World.beside(tmp_path, host, max_connections=3)
        put(world, 200)
        monkeypatch.setattr(Claim, "mark", failing)
        assert "No space left on device" in world.flush().fault
    assert len(host.messages) < 110


def test_a_session_carries_no_more_messages_than_is_allowed(tmp_path: Path) -> None:
    with smarthost(extensions=CHUNKING) as host:
        world = World.beside(tmp_path, host, max_messages_per_session=4)
        put(world, 10)
        assert world.flush().delivered == 10
    assert [message.session for message in host.messages] == [1] * 4 + [2] * 4 + [3] * 2


def test_the_limits_of_the_server_hold(tmp_path: Path) -> None:
    with smarthost(extensions=[*USUAL_EXTENSIONS, "LIMITS MAILMAX=2 RCPTMAX=3"]) as host:
        world = World.beside(tmp_path, host, max_messages_per_session=100)
        world.put(*[b"r%d@y.example" % n for n in range(7)])
        world.put(b"z@y.example")
        assert world.flush().delivered == 8
    assert [len(message.rcpts) for message in host.messages] == [3, 3, 1, 1]
    assert [message.session for message in host.messages] == [1, 1, 2, 2]


@pytest.mark.parametrize("extensions", [USUAL_EXTENSIONS, CHUNKING, [], ["PIPELINING"]])
def test_a_session_is_for_no_more_domains_than_the_server_wants(
    tmp_path: Path, extensions: list[str]
) -> None:
    with smarthost(extensions=[*extensions, "LIMITS RCPTDOMAINMAX=2"]) as host:
        world = World.beside(tmp_path, host)
        world.put(b"1@a.example", b"2@b.example", b"3@c.example", b"4@A.EXAMPLE", b"5@b.example")
        world.put(b"6@b.example")
        world.put(b"7@d.example")
        world.put(b"8@e.example", b"9@e.example")
        summary = world.flush()
    assert (summary.delivered, summary.deferred, summary.fault) == (9, 0, "")
    addresses = sorted(one for message in host.messages for one, _ in message.rcpts)
    assert [one[:1] for one in addresses] == [b"%d" % n for n in range(1, 10)]
    domains: dict[int, set[bytes]] = {}
    for message in host.messages:
        domains.setdefault(message.session, set()).update(
            one.rpartition(b"@")[2].lower() for one, _ in message.rcpts
        )
    assert all(len(one) <= 2 for one in domains.values())
    assert len(domains) == 3
    assert world.files() == []


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([b"LIMITS RCPTMAX=20 MAILMAX=5"], 20),
        ([b"LIMITS MAILMAX=5", b"LIMITS RCPTMAX=7"], 7),
        ([b"limits rcptmax=7"], 7),
        ([b"LIMITS RCPTMAX=x"], 0),
        ([b"LIMITS RCPTMAX"], 0),
        ([b"SIZE"], 0),
    ],
)
def test_limits(lines: list[bytes], found: int) -> None:
    assert Server(lines).limit(b"RCPTMAX") == found
