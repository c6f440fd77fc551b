"""What the configuration asks of a server: promises that stop the session, wishes that are left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.relay import extras
from sendmail_py.relay.ehlo import Server
from sendmail_py.relay.faults import RefusedFault

from relay.flushing import World, setting, smarthost


@pytest.mark.parametrize(
    ("keys", "offers", "words"),
    [
        ({}, [b"REQUIRETLS", b"MT-PRIORITY"], []),
        ({"require_tls": True}, [b"REQUIRETLS"], [b"REQUIRETLS"]),
        ({"hold_for": 600}, [b"FUTURERELEASE 86400 2030-01-01T00:00:00Z"], [b"HOLDFOR=600"]),
        ({"hold_for": 600}, [b"FUTURERELEASE 60"], [b"HOLDFOR=60"]),
        ({"hold_for": 600}, [], []),
        ({"priority": -3}, [b"MT-PRIORITY MIXER"], [b"MT-PRIORITY=-3"]),
        ({"priority": 3}, [], []),
    ],
)
def test_what_is_wished_and_offered_is_asked(
    keys: dict[str, object], offers: list[bytes], words: list[bytes]
) -> None:
    server = Server(offers)
    extras.agree(setting(**keys), server)
    assert server.extras == words


def test_a_promise_that_is_not_given_stops_the_session() -> None:
    with pytest.raises(RefusedFault, match="REQUIRETLS"):
        extras.agree(setting(require_tls=True), Server([b"SIZE"]))


@pytest.mark.parametrize(
    ("offer", "age", "words"),
    [(b"DELIVERBY", 10, b"BY=3590;R"), (b"DELIVERBY 60", 3599, b"BY=60;R"), (b"DELIVERBY", 9999, b"BY=1;R")],
)
def test_the_time_that_a_message_is_still_of_use(offer: bytes, age: int, words: bytes) -> None:
    server = Server([offer])
    extras.agree(setting(deliver_by=3600), server)
    assert extras.deliver_by(server, 1_800_000_000.0, 1_800_000_000.0 + age) == words


def test_without_the_extension_there_is_no_deadline() -> None:
    server = Server([])
    extras.agree(setting(deliver_by=3600), server)
    assert extras.deliver_by(server, 0.0, 0.0) == b""


def test_mail_waits_for_a_server_that_gives_the_promise(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host)
        world.config.smarthosts[0].require_tls = True
        world.put(b"r@y.example")
        assert "does not promise TLS" in world.flush().fault
    assert not any(one.startswith(b"MAIL") for one in host.commands)
