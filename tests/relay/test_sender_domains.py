"""Claims about the question beside a queue run, whether the senders' domains can receive mail."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sendmail_py.policy import verdicts
from sendmail_py.policy.config import load
from sendmail_py.relay import receiving, sender_domains

from relay.flushing import World, smarthost
from support.dnsserver import SILENT, Server, dns_server

RECORDS = "x.example MX 10 mail.x.example.\nmail.x.example A 192.0.2.1\nsilent.example A 192.0.2.1\n"
SLOW = 60.0  # seconds; no test waits for that


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy: what was asked has come when the run is over."""
    monkeypatch.setattr(sender_domains, "WAIT", 20.0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with dns_server(RECORDS, {"silent.example": SILENT}) as server:
        monkeypatch.setattr(receiving, "ask_system", lambda: server.resolver(one=0.2))
        yield server


def run(folder: Path, *senders: bytes, dns: bool = True) -> World:
    """Send a message from each, in one run."""
    with smarthost() as host:
        world = World.beside(folder, host)
        world.config.masquerade.dns = dns
        for sender in senders:
            world.put(b"b@y.example", sender=sender)
        assert world.flush().delivered == len(senders)
    return world


def kept(directory: str) -> dict[bytes, str]:
    return {domain: why for domain, _, why in verdicts.lines(verdicts.read(directory))}


def test_dns_is_asked_unless_the_configuration_says_no(tmp_path: Path) -> None:
    assert load({"HOME": str(tmp_path)}, system_file="/nowhere").masquerade.dns
    environ = {"HOME": str(tmp_path), "SENDMAIL_PY_MASQUERADE_DNS": "false"}
    assert not load(environ, system_file="/nowhere").masquerade.dns


def test_a_domain_that_cannot_receive_is_remembered_and_told(tmp_path: Path, server: Server) -> None:
    world = run(tmp_path, b"a@x.example", b"a@gone.example", b"a@GONE.example", b"a@silent.example")
    found = {b"x.example": "", b"gone.example": "DNS knows no such domain", b"?silent.example": ""}
    assert kept(world.directory) == found
    assert list(verdicts.load(world.directory)) == [b"gone.example"]
    assert world.log.count("warning: sender domain gone.example: DNS knows no such domain") == 1


def test_with_dns_false_nobody_is_asked(tmp_path: Path, server: Server) -> None:
    run(tmp_path, b"a@gone.example", dns=False)
    assert server.asked == []


def test_what_is_known_or_needs_no_dns_is_not_asked(tmp_path: Path, server: Server) -> None:
    run(tmp_path, b"", b"a@nas.lan", b"a@[192.0.2.1]", b"a@x.example")
    assert server.asked == ["x.example MX", "mail.x.example A"]
    run(tmp_path, b"a@x.example")
    assert len(server.asked) == 2


def test_a_machine_that_reaches_no_smart_host_asks_nothing(tmp_path: Path, server: Server) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host)
    world.config.masquerade.dns = True
    world.put(b"b@y.example", sender=b"a@gone.example")
    assert world.flush().delivered == 0
    assert server.asked == []


def test_mail_into_a_folder_asks_nothing(tmp_path: Path, server: Server) -> None:
    world = World(tmp_path, {"name": "here", "host": "", "transport": f"maildir:{tmp_path}/mail"})
    world.config.masquerade.dns = True
    world.put(b"b@y.example", sender=b"a@gone.example")
    assert world.flush().delivered == 1
    assert server.asked == []


def test_a_run_does_not_wait_long_for_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_domains, "WAIT", 0.05)
    answered, late = threading.Event(), threading.Event()

    def learn(directory: str, domain: str, resolver: object, is_late: object) -> str:
        answered.wait(SLOW)
        assert is_late()  # type: ignore[operator]
        late.set()
        return ""

    monkeypatch.setattr(receiving, "learn", learn)
    begin = time.monotonic()
    run(tmp_path, b"a@x.example")
    assert time.monotonic() - begin < SLOW / 2
    answered.set()
    assert late.wait(SLOW)


def test_an_answer_that_did_not_come_is_asked_for_again_an_hour_later(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, b"a@silent.example")
    first = list(server.asked)
    assert first
    run(tmp_path, b"a@silent.example")
    assert server.asked == first
    monkeypatch.setattr(sender_domains, "AGAIN_AFTER", 0)
    world = run(tmp_path, b"a@silent.example")
    assert len(server.asked) == 2 * len(first)
    server.moods.clear()
    world = run(tmp_path, b"a@silent.example")
    assert kept(world.directory) == {b"silent.example": ""}


def test_an_answer_that_comes_too_late_is_not_kept(tmp_path: Path, server: Server) -> None:
    (tmp_path / "spool").mkdir()
    found = receiving.learn(str(tmp_path / "spool"), "gone.example", server.resolver(), lambda: True)
    assert (found, kept(str(tmp_path / "spool"))) == ("", {b"?gone.example": ""})


@pytest.mark.parametrize(
    ("age", "why", "asked", "due"),
    [
        (None, "", None, True),
        (6 * 86400, "", None, False),
        (8 * 86400, "", None, True),
        (3600, "gone", None, False),
        (2 * 86400, "gone", None, True),
        (8 * 86400, "", 60, False),
        (8 * 86400, "", 3700, True),
        (None, "", 60, False),
        (-60, "", None, True),
        (None, "", -60, True),
    ],
)
def test_when_a_domain_is_asked_about(age: int | None, why: str, asked: int | None, due: bool) -> None:
    now = 1_000_000_000
    known = {b"a": (now - age, why)} if age is not None else {}
    known |= {b"?a": (now - asked, "")} if asked is not None else {}
    assert sender_domains.is_due(known, b"a", now) == due
