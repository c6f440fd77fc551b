"""Claims about the question after a queue run, whether the senders' domains can receive mail."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.policy import verdicts
from sendmail_py.relay import receiving

from relay.flushing import World, smarthost
from support.dnsserver import SILENT, Server, dns_server

RECORDS = "x.example MX 10 mail.x.example.\nmail.x.example A 192.0.2.1\nsilent.example A 192.0.2.1\n"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions that a server on loopback got."""
    server: Server
    with dns_server(RECORDS, {"silent.example": SILENT}) as server:
        monkeypatch.setattr(receiving, "ask_system", lambda: server.resolver(one=0.2))
        yield server.asked  # type: ignore[misc]


def run(folder: Path, *senders: bytes, dns: bool = True) -> World:
    """Send a message from each, in one run."""
    with smarthost() as host:
        world = World.beside(folder, host)
        world.config.masquerade.dns = dns
        for sender in senders:
            world.put(b"b@y.example", sender=sender)
        assert world.flush().delivered == len(senders)
    return world


def test_a_domain_that_cannot_receive_is_remembered_and_told(tmp_path: Path, asked: list[str]) -> None:
    world = run(tmp_path, b"a@x.example", b"a@gone.example", b"a@GONE.example", b"a@silent.example")
    kept = {domain: why for domain, _, why in verdicts.lines(verdicts.read(world.directory))}
    assert kept == {b"x.example": "", b"gone.example": "DNS knows no such domain"}
    assert "warning: sender domain gone.example: DNS knows no such domain" in world.log


def test_without_the_key_nobody_is_asked(tmp_path: Path, asked: list[str]) -> None:
    run(tmp_path, b"a@gone.example", dns=False)
    assert asked == []


def test_what_is_known_or_needs_no_dns_is_not_asked(tmp_path: Path, asked: list[str]) -> None:
    world = run(tmp_path, b"", b"a@nas.lan", b"a@[192.0.2.1]", b"a@x.example")
    assert asked and all("x.example" in one for one in asked)
    asked.clear()
    with smarthost() as host:
        again = World.beside(tmp_path, host)
        again.config.masquerade.dns = True
        again.put(b"b@y.example", sender=b"a@x.example")
        again.flush()
    assert asked == []
    assert world.directory == again.directory
