"""What the configuration asks of a server: promises that stop the session, wishes that are left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.mail.envelope import Envelope
from sendmail_py.relay import extras
from sendmail_py.relay.ehlo import Server
from sendmail_py.relay.faults import RefusedFault

from relay.flushing import World, setting, smarthost
from support.smarthost import USUAL_EXTENSIONS

NOW = 1_800_000_000.0


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


# --- what a message asks for itself -------------------------------------------------------------------------


def envelope(*wishes: bytes) -> Envelope:
    """An envelope of an hour ago."""
    made = Envelope(b"a@x.example", [], NOW - 3600)
    made.wishes = list(wishes)
    return made


@pytest.mark.parametrize(
    ("keys", "offers", "wishes", "words"),
    [
        ({}, [b"MT-PRIORITY"], [b"MT-PRIORITY=3"], [b"MT-PRIORITY=3"]),
        ({}, [], [b"MT-PRIORITY=3"], []),
        ({"priority": -3}, [b"MT-PRIORITY"], [b"MT-PRIORITY=3"], [b"MT-PRIORITY=3"]),
        ({"priority": -3}, [b"MT-PRIORITY"], [b"BY=9;N"], [b"MT-PRIORITY=-3"]),
        ({"require_tls": True}, [b"REQUIRETLS"], [b"REQUIRETLS"], [b"REQUIRETLS"]),
        ({}, [b"DELIVERBY"], [b"BY=7200;R"], [b"BY=3600;R"]),
        ({}, [b"DELIVERBY"], [b"BY=60;NT"], [b"BY=-3540;NT"]),
        ({"deliver_by": 7200}, [b"DELIVERBY"], [b"BY=4000;N"], [b"BY=400;N"]),
        ({"deliver_by": 7200}, [b"DELIVERBY"], [b"MT-PRIORITY=1"], [b"BY=3600;R"]),
        ({}, [], [b"BY=7200;R"], []),
        ({}, [b"DELIVERBY", b"MT-PRIORITY"], [b"BY=x;R", b"MT-PRIORITY=3 EVIL", b"EVIL"], []),
    ],
)
def test_a_message_has_wishes_of_its_own(
    keys: dict[str, object], offers: list[bytes], wishes: list[bytes], words: list[bytes]
) -> None:
    server = Server(offers)
    extras.agree(setting(**keys), server)
    assert extras.words(server, envelope(*wishes), NOW) == words


@pytest.mark.parametrize(
    ("offers", "secure", "wishes", "status"),
    [
        ([b"REQUIRETLS"], True, [b"REQUIRETLS"], ""),
        ([b"REQUIRETLS"], False, [b"REQUIRETLS"], "5.7.30"),
        ([], True, [b"REQUIRETLS"], "5.7.30"),
        ([], True, [], ""),
        ([], True, [b"BY=60;R"], "5.4.7"),
        ([], True, [b"BY=60;N"], ""),
        ([], True, [b"BY=3700;RT"], ""),
    ],
)
def test_what_may_not_be_sent_without(
    offers: list[bytes], secure: bool, wishes: list[bytes], status: str
) -> None:
    server = Server(offers)
    server.secure = secure
    assert extras.unmet(server, envelope(*wishes), NOW)[0] == status


@pytest.mark.parametrize(
    ("offers", "secure", "words"),
    [([b"REQUIRETLS"], True, [b"REQUIRETLS"]), ([b"REQUIRETLS"], False, []), ([], True, [])],
)
def test_a_report_is_sent_without_rather_than_lost(
    offers: list[bytes], secure: bool, words: list[bytes]
) -> None:
    report = envelope(b"REQUIRETLS")
    report.reverse_path = b""
    server = Server(offers)
    server.secure = secure
    assert extras.unmet(server, report, NOW) == ("", "")
    assert extras.words(server, report, NOW) == words


@pytest.mark.parametrize(("tls", "delivered"), [("starttls", 1), ("none", 0)])
def test_a_message_that_requires_tls_fails_alone_without(tls: str, delivered: int, tmp_path: Path) -> None:
    def require(envelope: Envelope) -> None:
        envelope.wishes = [b"REQUIRETLS"]

    with smarthost(tls=tls, extensions=[*USUAL_EXTENSIONS, "REQUIRETLS"]) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example", change=require)
        world.put(b"s@y.example")
        summary = world.flush()
    assert (summary.delivered, summary.failed) == (1 + delivered, 1 - delivered)
    assert ("dsn=5.7.30" in world.log) == (not delivered)
    sent = [command for command in host.commands if command.startswith(b"MAIL")]
    assert sum(b"REQUIRETLS" in one for one in sent) == delivered
