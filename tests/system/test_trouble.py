"""The shared spool when the smart host is in trouble, or a few owners would like it to look so.

The attackers are accounts whose mail the scripted smart host answers as they wish: what they can provoke
costs their own mail only. A smart host that treats everybody like that is left alone all the same.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator

import pytest

from support.launch import admin_command
from support.script import Action, Close
from support.smarthost import USUAL_EXTENSIONS, SmartHost
from support.system import PASSWORD, STATE, System, new_system

ATTACKERS = (2001, 2002, 2003, 2004)
VICTIMS = (2011, 2012, 2013)
RATE = b"450 4.7.1 Error: too many messages, rate limit exceeded"
PROVOKED: dict[str, tuple[bytes, Action]] = {
    "421-to-the-recipient": (b"RCPT TO:<bomb", b"421 4.7.0 too many errors"),
    "closes": (b"RCPT TO:<bomb", Close()),
    "resets": (b"RCPT TO:<bomb", Close(reset=True)),
    "bad-sequence": (b"RCPT TO:<bomb", b"503 5.5.1 bad sequence of commands"),
    "unknown-command": (b"RCPT TO:<bomb", b"500 5.5.2 what?"),
    "throttles": (b"RCPT TO:<bomb", RATE),
    "throttles-the-sender": (b"MAIL FROM:<u200", RATE),
    "refuses-the-sender-and-goes": (b"MAIL FROM:<u200", b"421 4.7.0 you again"),
    "refuses-and-goes": (b"RCPT TO:<bomb", Close(after=b"550 5.7.1 spam\r\n")),
    "login-missing": (b"RCPT TO:<bomb", b"530 5.7.0 authentication required"),
}


@pytest.fixture
def host() -> Iterator[SmartHost]:
    with SmartHost(users={"greg": PASSWORD}, extensions=[*USUAL_EXTENSIONS, "CHUNKING"]) as running:
        yield running


@pytest.fixture
def system(host: SmartHost) -> Iterator[System]:
    with new_system() as made:
        made.configure(host)
        made.flush()
        yield made


def is_host_resting(system: System) -> bool:
    """Whether all mail waits."""
    pauses = system.at(f"{STATE}/relay/pauses")
    return pauses.exists() and "\nhere\t" in pauses.read_text()


def age(system: System, seconds: int) -> None:
    """All rests and pauses began so much earlier."""
    for name, places in (("relay/rests", (2, 5)), ("relay/pauses", (1, 3)), ("pauses", (1, 3)), ("due", ())):
        path = system.at(f"{STATE}/{name}")
        if not places:
            path.unlink(missing_ok=True)
        elif path.exists():
            lines = [line.split("\t") for line in path.read_text().splitlines()]
            for fields in lines[1:]:
                for place in places:
                    fields[place] = str(max(0, int(fields[place]) - seconds))
            path.write_text("".join("\t".join(fields) + "\n" for fields in lines))


@pytest.mark.parametrize("answer", PROVOKED.values(), ids=PROVOKED)
def test_what_a_few_owners_provoke_costs_only_their_own_mail(
    system: System, host: SmartHost, answer: tuple[bytes, Action]
) -> None:
    for uid in ATTACKERS:
        for n in range(3):
            system.submit(uid, f"bomb{n}@example.org")
    host.script(*answer)
    system.flush()  # theirs is all the mail there is
    assert not is_host_resting(system)
    for uid in VICTIMS:
        system.submit(uid)
    for uid in ATTACKERS:
        system.submit(uid, "bomb@example.org")
    system.flush()
    assert sorted(host.recipients()) == [b"to%d@example.org" % uid for uid in VICTIMS]
    assert not is_host_resting(system)
    assert "Traceback" not in system.log()


def test_rests_of_a_few_owners_never_add_up(system: System, host: SmartHost) -> None:
    host.script(b"RCPT TO:<bomb", b"421 4.7.0 too many errors")
    for round_ in range(4):
        for uid in ATTACKERS:
            system.submit(uid, f"bomb{round_}@example.org")
        system.flush()
        assert not is_host_resting(system)
        age(system, 3600)
    system.submit(VICTIMS[0])
    system.flush()
    assert host.recipients() == [b"to%d@example.org" % VICTIMS[0]]


def test_subordinate_uids_are_one_account_in_trouble(system: System, host: SmartHost) -> None:
    """Everybody may have thousands of them."""
    system.at("/etc/subuid").write_text("u2001:2021:15\n")
    host.script(b"RCPT TO:<bomb", RATE)
    for uid in range(2021, 2031):
        system.submit(uid, "bomb@example.org")
    system.flush()
    assert not is_host_resting(system)
    system.submit(VICTIMS[0])
    system.flush()
    assert host.recipients() == [b"to%d@example.org" % VICTIMS[0]]


def test_an_owner_whose_mail_rests_is_left_alone_and_sees_why(system: System, host: SmartHost) -> None:
    host.script(b"RCPT TO:<bomb", RATE)
    for n in range(3):
        system.submit(2001, f"bomb{n}@example.org")
    system.flush()
    asked = host.connections
    for _ in range(2):
        system.submit(2001, "harmless@example.org")
        system.flush()
    assert host.connections == asked
    rows = [json.loads(line) for line in system.run("mailq", "--json", uid=2001).stdout.splitlines()]
    assert len(rows) == 5
    assert all("rate limit exceeded" in row["recipients"][0]["delay_reason"] for row in rows)
    assert b"rate limit" not in system.run("mailq", uid=2002).stdout
    told = system.run(sys.executable, admin_command(), "queue", "list", uid=2001).stdout
    assert b"smart host here gets none of this mail until" in told
    host.script(b"RCPT TO:<bomb", None)
    age(system, 3600)
    system.flush()
    assert len(host.recipients()) == 5
    assert system.run("mailq", uid=2001).stdout == b"Mail queue is empty\n"
    assert not system.at("/var/spool/sendmail-py/2001.0/pauses").read_text().count("here")


@pytest.mark.parametrize("answer", [RATE, b"421 4.7.28 rate limit, closing"])
def test_a_smart_host_that_answers_so_to_everybody_is_left_alone(
    system: System, host: SmartHost, answer: Action
) -> None:
    everybody = range(2001, 2013)
    for uid in everybody:
        system.submit(uid)
    host.script(b"MAIL", answer)
    system.flush()
    assert is_host_resting(system), system.log()
    asked = len([one for one in host.commands if one.startswith(b"MAIL")])
    assert asked <= 12
    assert host.connections <= 8
    logins = host.logins
    system.submit(2020)
    system.flush()
    assert host.logins == logins
    host.script(b"MAIL", None)
    age(system, 3600)
    system.flush()
    assert not is_host_resting(system)
    left = sum(
        len(system.queued(uid)) for uid in (*everybody, 2020)
    )  # those that were tried have their own time
    assert len(host.recipients()) + left == len(everybody) + 1
    assert b"to2020@example.org" in host.recipients()


def test_a_smart_host_that_hangs_up_on_everybody_is_not_pressed(system: System, host: SmartHost) -> None:
    host.script(b"MAIL", Close())
    for _ in range(3):
        for uid in range(2001, 2013):
            system.submit(uid)
        asked = host.connections
        system.flush()
        assert host.connections - asked <= 8
    assert not host.messages


def test_rests_of_the_smart_host_grow_while_nobodys_mail_goes_through(
    system: System, host: SmartHost
) -> None:
    host.script(b"MAIL", RATE)
    waits = []
    for first in (2001, 2006, 2011):
        for uid in range(first, first + 5):
            system.submit(uid)
        system.flush()
        waits.append(int(re.findall(r"its messages wait for (\d+) seconds", system.log())[-1]))
        age(system, waits[-1] + 1)
    assert waits[0] >= 300
    assert waits[1] >= 600
    assert waits[2] >= 1200
    host.script(b"MAIL", None)
    system.flush()
    assert len(host.recipients()) == 15


def test_mail_that_goes_with_a_bomb_is_hurt_at_most_once(system: System, host: SmartHost) -> None:
    """A server that hangs up loses its answers to whatever came after: after that bombs fly alone."""
    host.script(b"RCPT TO:<bomb", Close(reset=True))
    for round_ in range(3):
        for uid in ATTACKERS[:2]:
            for n in range(2):
                system.submit(uid, f"bomb{round_}-{n}@example.org")
        for uid in VICTIMS:
            system.submit(uid, f"v{uid}-{round_}@example.org")
        system.flush()
        age(system, 3600)
    system.flush()
    got = host.recipients()
    assert sorted({one for one in got if one.startswith(b"v")}) == sorted(set(got))
    lost = re.findall(r"to=<v\d+-(\d)@example.org>.*answer unknown", system.log())
    assert set(lost) <= {"0"}
