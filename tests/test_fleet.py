"""examples/fleet: one configuration for every machine, and what its page says about figures and records."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sendmail_py.admin import units
from sendmail_py.policy import aliases, config, identity
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.relay import mx, trouble

from support.needs import needs

ROOT = Path(__file__).resolve().parent.parent
FLEET = ROOT / "examples" / "fleet"
PAGE = (FLEET / "README.md").read_text()


def host(node: bytes) -> tuple[config.Config, identity.Host]:
    """The configuration on a machine of that name."""
    found = config.load({}, str(FLEET / "config.toml"))
    return found, identity.host(found, node, "/nowhere/hosts", "/nowhere/mailname")


@pytest.mark.parametrize("node", [b"web17.internal", b"db3.internal", b"build-9.example.net"])
def test_the_configuration_is_good_for_every_machine(node: bytes) -> None:
    found, here = host(node)
    rules = SenderRules(found, here, identity.Person(0, b"root", ""))
    assert rules.repair(b"root@" + node)[0] in (b"root@example.net", b"root@" + node)
    assert rules.default() == b"root@example.net"
    assert here.helo == node
    known = aliases.load(["/nowhere"], found.aliases.default)
    assert known.resolve(b"root", here) == [b"ops@example.net"]


def test_it_finds_the_pool_by_srv_records_over_tls() -> None:
    found, _ = host(b"web17.internal")
    (relay,) = found.smarthosts
    assert (relay.lookup, relay.tls, relay.user, relay.max_connections) == ("srv", "starttls", "fleet", 1)
    assert "_submission._tcp." + relay.host in PAGE


def test_the_records_of_the_page_share_the_load_as_it_says() -> None:
    lines = re.findall(r"IN SRV +(\d+) +(\d+) (\d+) (\S+)\.$", PAGE, re.MULTILINE)
    records = [(int(priority), int(weight), target, int(port)) for priority, weight, port, target in lines]
    drawn = [mx.by_weight(records) for _ in range(2000)]
    first = sum(order[0][0].startswith("relay1.") for order in drawn)
    assert 1050 < first < 1350
    assert {order[2] for order in drawn} == {("backup.relay.example.net", 587)}


def test_a_thousand_machines_have_all_the_seconds_of_a_minute() -> None:
    seconds = [units.second_of_minute(f"{number:032x}".encode()) for number in range(1000)]
    assert max(seconds.count(one) for one in range(60)) < 40
    assert min(seconds.count(one) for one in range(60)) > 3


def test_the_waits_are_those_of_the_page() -> None:
    queue = config.Queue("queue")
    spans = [
        tuple(trouble.wait(n, queue.retry_min, queue.retry_max, lambda c=c: c) / 60 for c in (0.0, 1.0))  # type: ignore[misc]
        for n in (1, 2, 3, 9)
    ]
    assert spans == [(5.0, 7.5), (10.0, 15.0), (20.0, 30.0), (180.0, 240.0)]


@pytest.mark.parametrize("words", [[], ["--retry-max", "15m"]])
def test_the_figures_of_the_page_are_those_of_the_simulation(words: list[str]) -> None:
    command = [sys.executable, "-P", str(ROOT / "tests" / "bench" / "fleet"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    rows = [line for line in done.stdout.splitlines() if "breaker" in line][:4]
    assert len(rows) == 4
    assert [row for row in rows if row.rstrip() not in PAGE] == []
    ours, nobodys = rows[3].split(), rows[0].split()
    assert int(ours[6]) * 100 <= int(nobodys[6].replace(",", ""))  # the peak when the relay is back


def test_postfix_knows_every_parameter_of_the_page() -> None:
    postconf = needs("postconf", "postfix")
    names = set(re.findall(r"\b(smtpd_\w+|anvil_\w+)", PAGE))
    assert len(names) == 6
    done = subprocess.run([postconf, "-d", *sorted(names)], capture_output=True, text=True, check=False)
    assert {line.split(" ")[0] for line in done.stdout.splitlines()} == names
