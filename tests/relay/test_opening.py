"""From a setting to a session: which endpoint, which name in EHLO, when to stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.policy.identity import Host
from sendmail_py.relay import smarthost as settings
from sendmail_py.relay.smarthost import Endpoint

from relay.flushing import World, smarthost
from support.smarthost import SmartHost

LOGIN = {"tls": "starttls", "users": {"greg": "secret"}}


def endpoints(monkeypatch: pytest.MonkeyPatch, *hosts: SmartHost) -> None:
    """Have DNS give these hosts."""
    found = [Endpoint("127.0.0.1", host.port, "127.0.0.1") for host in hosts]
    monkeypatch.setattr(settings, "endpoints", lambda setting: found)


def test_the_next_endpoint_is_tried_when_one_is_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with smarthost(**LOGIN) as dead:
        pass
    with smarthost(**LOGIN, replies={b"greeting": b"421 busy"}) as busy, smarthost(**LOGIN) as good:
        world = World.beside(tmp_path, good)
        endpoints(monkeypatch, dead, busy, good)
        world.put(b"r@y.example")
        assert world.flush().delivered == 1
    assert busy.connections == 1


def test_a_refused_login_is_not_repeated_at_the_next_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with smarthost(**LOGIN) as one, smarthost(**LOGIN) as two:
        world = World.beside(tmp_path, one, password="wrong")
        endpoints(monkeypatch, one, two)
        world.put(b"r@y.example")
        assert "login refused" in world.flush().fault
    assert (one.auth_attempts, two.connections) == (1, 0)


@pytest.mark.parametrize(
    ("helo", "said"), [("mail.example.net", b"mail.example.net"), ("[192.0.2.1]", b"[192.0.2.1]")]
)
def test_the_configured_name_is_said_in_ehlo(helo: str, said: bytes, tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host)
        world.config.identity.helo = helo
        world.put(b"r@y.example")
        world.flush()
    assert host.commands[0] == b"EHLO " + said


def test_a_host_without_a_good_name_says_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "helo", b"")
    with smarthost() as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example")
        world.flush()
    assert host.commands[0] == b"EHLO [127.0.0.1]"


def test_clear_text_to_loopback_may_log_in(tmp_path: Path) -> None:
    with smarthost(users={"greg": "secret"}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example")
        assert world.flush().delivered == 1
    assert host.logins == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_every_mechanism_logs_in(mechanism: str, tmp_path: Path) -> None:
    with smarthost(**LOGIN, mechanisms=[mechanism]) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example")
        assert world.flush().delivered == 1
    assert host.messages[0].login == "greg"


def test_a_server_that_does_not_know_the_password_is_not_believed(tmp_path: Path) -> None:
    with smarthost(**LOGIN, mechanisms=["SCRAM-SHA-256"], scram_honest=False) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example")
        assert "does not know the password" in world.flush().fault
    assert host.messages == []


def test_the_last_fault_is_told_when_no_endpoint_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        smarthost(replies={b"greeting": b"554 first"}) as one,
        smarthost(replies={b"greeting": b"554 second"}) as two,
    ):
        world = World.beside(tmp_path, one)
        endpoints(monkeypatch, one, two)
        world.put(b"r@y.example")
        assert "554 second" in world.flush().fault
