"""Every stage of a session times every way to fail: the message stays or is judged exactly, the run ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sendmail_py.relay import session

from relay.flushing import World, received, smarthost
from support.certificates import Authority
from support.script import Action, Close, Drip, Extra, Flood, Garbage, Stall

LIMIT = 4.0  # seconds for a run; the smart host's timeout is a quarter of one
LOGIN = {"tls": "starttls", "users": {"greg": "secret"}}

FAILURES: dict[str, Action] = {
    "4xx": b"451 4.3.0 not now",
    "5xx": b"554 5.7.0 never",
    "421": b"421 4.3.2 closing",
    "close": Close(),
    "reset": Close(reset=True),
    "half a reply": Close(after=b"250-half"),
    "stall": Stall(),
    "drip": Drip(b"250-slow", 0.02, forever=True),
    "drip lines": Drip(b"250-slow\r\n", 0.005, forever=True),
    "garbage": Garbage(b"\x00\xffHTTP/1.1 400 Bad Request\r\n"),
    "no digits": Garbage(b"yes, of course\r\n"),
    "mixed codes": Garbage(b"250-yes\r\n550 no\r\n"),
    "flood": Flood(),
    "endless line": Flood(b"x" * 100),
    "extra": Extra(b"250 2.0.0 ok", b"250 2.0.0 again"),
}
BEFORE = [b"greeting", b"EHLO", b"STARTTLS", b"tls", b"AUTH"]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("stage", BEFORE, ids=bytes.decode)
def test_before_mail_no_message_is_touched(stage: bytes, failure: str, tmp_path: Path) -> None:
    action = FAILURES[failure]
    if stage == b"tls" and isinstance(action, Extra):
        action = Garbage(b"250 ok\r\n250 ok\r\n")
    if stage == b"greeting" and isinstance(action, Extra):
        action = Extra(b"220 hi", b"220 hi again")
    with smarthost(**LOGIN, replies={stage: action}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"bad@y.example")
        world.put(b"good@y.example")
        before = world.files()
        began = time.monotonic()
        summary = world.flush()
        assert time.monotonic() - began < LIMIT
        assert (summary.delivered, summary.deferred, summary.failed) == (0, 0, 0)
        assert summary.fault
        assert "secret" not in summary.fault + world.log + "\n".join(world.transcript)
        assert world.paused()
        assert world.files() == before
        assert host.messages == []
        host.script(stage, None)
        world.now += 301
        assert world.flush().delivered == 2
    assert received(host) == [b"bad@y.example", b"good@y.example"]
    assert not world.paused()


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_of_the_second_ehlo(failure: str, tmp_path: Path) -> None:
    with smarthost(**LOGIN, replies={b"EHLO": [None, FAILURES[failure]]}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example")
        summary = world.flush()
        assert (summary.delivered, summary.deferred, summary.failed) == (0, 0, 0)
        assert summary.fault
        assert host.auth_attempts == 0


JUDGED = {
    ("MAIL", "4xx"): ("deferred", True),
    ("MAIL", "5xx"): ("deferred", True),
    ("RCPT", "4xx"): ("deferred", True),
    ("RCPT", "5xx"): ("failed", True),
    ("DATA", "4xx"): ("deferred", True),
    ("DATA", "5xx"): ("failed", True),
    (".", "4xx"): ("deferred", True),
    (".", "5xx"): ("failed", True),
    (".", "extra"): ("delivered", True),
}
KEYS = {"MAIL": b"MAIL FROM:<bad@", "RCPT": b"RCPT TO:<bad@", "DATA": b"DATA", ".": b"."}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("stage", KEYS)
@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "lock-step"])
def test_from_mail_on_the_message_alone_is_judged(
    stage: str, failure: str, pipelining: bool, tmp_path: Path
) -> None:
    action = FAILURES[failure]
    if stage == "DATA" and isinstance(action, Extra):
        action = Extra(b"354 go", b"250 ok")
    extensions = ("PIPELINING", "SIZE 1000000") if pipelining else ("SIZE 1000000",)
    with smarthost(replies={KEYS[stage]: [action]}, extensions=extensions) as host:
        world = World.beside(tmp_path, host)
        bad = world.put(b"bad@y.example", sender=b"bad@x.example")
        good = world.put(b"good@y.example", sender=b"good@x.example")
        began = time.monotonic()
        summary = world.flush()
        assert time.monotonic() - began < LIMIT
        outcome, goes_on = JUDGED.get((stage, failure), ("deferred", failure != "421"))
        counts = {"delivered": summary.delivered, "deferred": summary.deferred, "failed": summary.failed}
        expected = {"delivered": 0, "deferred": 0, "failed": 0}
        expected[outcome] += 1
        if goes_on:
            expected["delivered"] += 1
        assert counts == expected
        assert bool(summary.fault) == world.paused() == (not goes_on)
        assert (bad in world.queued()) == (outcome == "deferred")
        assert (bad in world.failed()) == (outcome == "failed")
        if not goes_on:
            assert world.queued()[good] == {b"good@y.example": None}
            world.flush(force=True)
    if outcome == "failed":
        assert received(host) == [b"good@y.example"]
    else:
        assert set(received(host)) >= {b"good@y.example"}
        assert list(world.queued()) in ([], [bad])


@pytest.mark.parametrize("end", [Close(), Close(reset=True), Stall(), Garbage(b"?\r\n")], ids=repr)
def test_a_lost_answer_is_called_unknown(end: Action, tmp_path: Path) -> None:
    with smarthost(replies={b".": [end]}) as host:
        world = World.beside(tmp_path, host)
        queue_id = world.put(b"r@y.example")
        world.flush()
        attempt = world.queued()[queue_id][b"r@y.example"]
        assert attempt is not None
        assert attempt.status == "4.4.2"
        assert "answer unknown" in attempt.reply


BIG = b"Subject: big\r\n\r\n" + (b"x" * 70 + b"\r\n") * 200_000  # more than loopback buffers hold


@contextmanager
def one_session(*steps: bytes | int | float) -> Iterator[int]:
    """A server for one session that plays steps, then closes. Yields its port.

    Octets are sent, an int is how many lines to read, a float how many seconds to wait.
    """

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            for step in steps:
                if isinstance(step, bytes):
                    connection.sendall(step)
                elif isinstance(step, float):
                    done.wait(step)
                else:
                    for _ in range(step):
                        lines.readline()

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        done.set()
        thread.join(10)


UP_TO_DATA = (b"220 hi\r\n", 1, b"250-hi\r\n250 PIPELINING\r\n", 3, b"250 ok\r\n250 ok\r\n354 go\r\n")


@pytest.mark.parametrize(
    ("steps", "word"),
    [
        ((1000,), "lost connection while sending the message"),
        ((1000, b"421 4.3.2 closing\r\n", 0.2), "reply before the end of the message: 421 4.3.2 closing"),
        ((1000, b"552 5.3.4 too big\r\n", 0.2), "reply before the end of the message: 552 5.3.4 too big"),
        ((1000, b"250 thank you\r\n", 0.2), "reply before the end of the message: 250 thank you"),
        ((9.0,), "timed out while sending the message"),
    ],
    ids=["close", "421", "552", "250", "does not read"],
)
def test_trouble_in_the_middle_of_the_content(
    steps: tuple[bytes | int | float, ...], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SLOWEST", 1e8)
    with one_session(*UP_TO_DATA, *steps) as port:
        world = World(tmp_path, {"name": "isp", "port": port, "tls": "none"})
        world.config.smarthosts[0].timeout = 0.25
        queue_id = world.put(b"r@y.example", content=BIG)
        began = time.monotonic()
        summary = world.flush()
        assert time.monotonic() - began < LIMIT
    assert (summary.delivered, summary.deferred, summary.failed) == (0, 1, 0)
    attempt = world.queued()[queue_id][b"r@y.example"]
    assert attempt is not None
    assert word in attempt.reply


@pytest.mark.parametrize(
    ("names", "expired", "own_ca", "word"),
    [
        (["127.0.0.1"], True, True, "certificate has expired"),
        (["other.example.net"], False, True, "mismatch"),
        (["127.0.0.1"], False, False, "certificate verify failed"),
    ],
    ids=["expired", "wrong name", "unknown CA"],
)
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_bad_certificate_gets_no_password(
    names: list[str], expired: bool, own_ca: bool, word: str, tls: str, tmp_path: Path
) -> None:
    authority = Authority()
    context = authority.server_context(*names, expired=expired)
    with smarthost(tls=tls, users={"greg": "secret"}, context=context) as host:
        world = World.beside(tmp_path, host)
        if own_ca:
            world.config.smarthosts[0].ca_file = authority.write(tmp_path / "own.pem")
        world.put(b"r@y.example")
        summary = world.flush()
        assert word in summary.fault
        assert (summary.deferred, summary.failed) == (0, 0)
        assert host.auth_attempts == 0
    assert world.paused()


def test_a_server_of_clear_text_at_an_implicit_tls_port(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host, tls="implicit")
        world.put(b"r@y.example")
        fault = world.flush().fault
        assert "TLS" in fault or "unexpected reply: 220" in fault


def test_a_tls_server_at_a_starttls_port_times_out(tmp_path: Path) -> None:
    with smarthost(tls="implicit") as host:
        world = World.beside(tmp_path, host, tls="starttls")
        world.put(b"r@y.example")
        assert world.flush().fault


def test_nobody_listens(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host)
    world.put(b"r@y.example")
    summary = world.flush()
    assert f"connect to 127.0.0.1[127.0.0.1]:{host.port}: Connection refused" in summary.fault
    assert world.paused()


@pytest.mark.parametrize(
    "login",
    [
        {"password": "", "password_file": "/nonexistent/secret"},
        {"password": "", "password_env": "NO_SUCH_VARIABLE"},
        {"password": "", "password_command": ["false"]},
        {"password": "", "password_command": ["/nonexistent"]},
    ],
    ids=lambda login: list(login)[1],
)
def test_a_password_that_cannot_be_had_is_a_fault_of_the_smart_host(
    login: dict[str, object], tmp_path: Path
) -> None:
    with smarthost(**LOGIN) as host:
        world = World.beside(tmp_path, host, **login)
        world.put(b"r@y.example")
        assert "password" in world.flush().fault
        assert host.connections == 0


def test_everything_one_octet_at_a_time(tmp_path: Path) -> None:
    with smarthost(**LOGIN, one_octet_at_a_time=True) as host:
        world = World.beside(tmp_path, host)
        for n in range(5):
            world.put(b"r%d@y.example" % n)
        assert world.flush().delivered == 5
    assert len(host.messages) == 5
