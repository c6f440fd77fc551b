"""What the smart host offers, and what a caller of -bs asks for, end to end."""

from __future__ import annotations

import time

import pytest

from support.launch import Sandbox, smarthost_table
from support.smarthost import USUAL_EXTENSIONS, SmartHost

IDENTITY = '[identity]\ndomain = "isp.example"\n[masquerade]\ndomain = "isp.example"\n'
SMALL = [one if not one.startswith("SIZE") else "SIZE 2000000" for one in USUAL_EXTENSIONS]


def relay_to(box: Sandbox, *hosts: SmartHost) -> None:
    """Configure them."""
    tables = [smarthost_table(name=f"s{n}", port=one.port, tls="none") for n, one in enumerate(hosts)]
    box.configure(IDENTITY + "".join(tables))


def send(box: Sandbox, octets: int) -> tuple[int, str]:
    """Submit a message of about that size: status, and what was said."""
    body = b"Subject: x\n\n" + (b"x" * 71 + b"\n") * (octets // 73)
    done = box.run("sendmail", "-oi", "r@elsewhere.example", stdin=body)
    return done.returncode, done.stderr.decode()


def test_a_message_that_the_smart_host_would_refuse_is_refused_at_once(sandbox: Sandbox) -> None:
    with SmartHost(extensions=SMALL) as host:
        relay_to(sandbox, host)
        assert send(sandbox, 3_000_000) == (0, "")  # nobody has asked the server yet
        sandbox.run("sendmail", "-q")
        assert "5.3.4" in sandbox.log()
        before = sandbox.queue()  # the report
        status, said = send(sandbox, 3_000_000)
        assert status == 65
        assert said.count("\n") == 1
        assert "is larger than the smart host takes (2000000 octets); nothing was queued" in said
        assert sandbox.queue() == before
        assert send(sandbox, 1_900_000) == (0, "")


def test_it_is_queued_while_another_smart_host_may_take_it(sandbox: Sandbox) -> None:
    with SmartHost(extensions=SMALL) as host, SmartHost() as other:
        relay_to(sandbox, host, other)
        send(sandbox, 100)
        sandbox.run("sendmail", "-q")
        assert send(sandbox, 3_000_000) == (0, "")


def dialogue(box: Sandbox, parameters: str) -> bytes:
    """A message by -bs with these parameters of MAIL; the replies."""
    lines = f"EHLO x\nMAIL FROM:<a@isp.example> {parameters}\nRCPT TO:<r@elsewhere.example>\nDATA\n"
    done = box.run("sendmail", "-bs", stdin=lines.encode() + b"Subject: x\n\ntext\n.\nQUIT\n")
    assert done.returncode == 0
    return done.stdout


OFFERS = (*USUAL_EXTENSIONS, "REQUIRETLS", "DELIVERBY", "MT-PRIORITY")


@pytest.mark.parametrize(
    ("parameters", "offers", "sent"),
    [
        ("MT-PRIORITY=4", OFFERS, b"MT-PRIORITY=4"),
        ("BY=86400;R", OFFERS, b"BY=86"),
        ("MT-PRIORITY=4 BY=86400;N", USUAL_EXTENSIONS, b""),
    ],
)
def test_what_a_caller_asks_for_is_asked_of_the_server(
    parameters: str, offers: tuple[str, ...], sent: bytes, sandbox: Sandbox
) -> None:
    accept = {b"MAIL FROM:": b"250 2.1.0 ok"}
    with SmartHost(extensions=offers, replies=accept) as host:
        relay_to(sandbox, host)
        assert b"queued" in dialogue(sandbox, parameters).lower()
        sandbox.run("sendmail", "-q")
        (mail,) = [one for one in host.commands if one.startswith(b"MAIL")]
        assert sent in mail
        assert (b"BY=" in mail or b"PRIORITY" in mail) == bool(sent)


def test_requiretls_is_not_sent_without(sandbox: Sandbox) -> None:
    with SmartHost(extensions=OFFERS) as host:  # in the clear
        relay_to(sandbox, host)
        dialogue(sandbox, "REQUIRETLS")
        sandbox.run("sendmail", "-q")
        assert "dsn=5.7.30, status=bounced" in sandbox.log()
        assert not any(b"RCPT TO:<r@elsewhere" in one for one in host.commands)


def test_the_queue_holds_what_is_for_later(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        relay_to(sandbox, host)
        dialogue(sandbox, "HOLDFOR=3600")
        dialogue(sandbox, time.strftime("HOLDUNTIL=%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60)))
        sandbox.run("sendmail", "-q")
        assert len(host.messages) == 1
        assert len(sandbox.queue()) == 1
