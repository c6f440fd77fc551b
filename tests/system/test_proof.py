"""The sender rules hold in the shared spool whatever its owner writes there: the relay applies them again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.needs import needs_root
from support.smarthost import SmartHost
from support.system import BASE, System, new_system

SYSTEM = """
[identity]
domain = "example.net"
[masquerade]
override = "{override}"
[masquerade.users]
u2031 = ["u2031@example.net", "*@shop.example"]
"""
# What an attacker writes for himself: his own folder, and no rules.
OWN = f"""
[identity]
domain = "example.net"
[masquerade]
override = "allow"
[aliases]
files = []
[queue]
directory = "{BASE}/2031.0"
[log]
to = "/dev/null"
"""
MESSAGE = b"From: The Boss <ceo@example.net>\nSubject: x\n\nhello\n"


@pytest.fixture
def host() -> Iterator[SmartHost]:
    with SmartHost() as running:
        yield running


@pytest.fixture
def system(host: SmartHost) -> Iterator[System]:
    needs_root()
    with new_system() as made:
        yield made


def forge(system: System, host: SmartHost, override: str, sender: str) -> None:
    """A message by the attacker's own rules, in the folder that root flushes."""
    system.configure(host, SYSTEM.format(override=override))
    system.submit(0, "root@example.org")  # makes the spool
    system.submit(2031, "first@example.org")  # makes the folder
    system.at("/var/spool/own.toml").write_text(OWN)
    words = ["sendmail", "-C", "/var/spool/own.toml", "-f", sender, "ops@example.org"]
    done = system.run(*words, uid=2031, stdin=MESSAGE)
    assert (done.returncode, done.stderr) == (0, b"")
    queue = system.at(f"{BASE}/2031.0/queue")
    assert any(f"\nS {sender}\n".encode() in path.read_bytes() for path in queue.iterdir())
    system.flush()


def test_a_forged_sender_is_repaired_in_envelope_and_header(system: System, host: SmartHost) -> None:
    forge(system, host, "fix", "ceo@example.net")
    message = next(one for one in host.messages if one.rcpts[0][0] == b"ops@example.org")
    assert message.mail_from == b"u2031@example.net"
    head = message.data.partition(b"\r\n\r\n")[0]
    assert b"\r\nFrom: The Boss <u2031@example.net>" in head
    assert b"ceo@" not in head


def test_a_forged_sender_is_never_sent_where_the_rules_refuse_it(system: System, host: SmartHost) -> None:
    forge(system, host, "refuse", "ceo@example.net")
    assert b"ceo@example.net" not in [one.mail_from for one in host.messages]
    assert not any(b"ceo@example.net" in one.data for one in host.messages)


def test_a_sender_that_the_rules_permit_stays(system: System, host: SmartHost) -> None:
    forge(system, host, "fix", "orders@shop.example")
    message = next(one for one in host.messages if one.rcpts[0][0] == b"ops@example.org")
    assert message.mail_from == b"orders@shop.example"
