"""Claims about sendmail-py explain: it says what a submission does, and does nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sendmail_py.admin import explain as command
from sendmail_py.admin.cli import cli
from sendmail_py.submission.session import MailData

from support.dnsserver import dns_server

CONFIG = """\
[identity]
domain = "example.net"
helo = "web1.example.net"
[masquerade]
domain = "example.net"
override = "refuse"
[masquerade.users]
root = "greg@isp.example"
www-data = ["shop@shop.example", "*@shop.example"]
"*@old.example" = "*@new.example"
[aliases]
files = ["FOLDER/aliases"]
default = "ops@example.net"
[[smarthost]]
name = "isp"
host = "192.0.2.25"
senders = ["*@isp.example", "*@example.net"]
[[smarthost]]
name = "shop"
host = "192.0.2.26"
[log]
to = "stderr"
"""
ALIASES = """\
root: staff
staff: ann@a.example, bob@b.example
owner-staff: boss@example.net
loop: loop2
loop2: loop
"""
MESSAGE = b"""From: Web <www-data@web1>
Sender: x@old.example
Reply-To: visitor@nas.lan, ok@example.org
To: root, ann@a.example

hello
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "aliases").write_text(ALIASES)
    (tmp_path / "config.toml").write_text(CONFIG.replace("FOLDER", str(tmp_path)))
    return str(tmp_path / "config.toml")


def explain(file: str, *arguments: str, message: bytes = MESSAGE) -> Result:
    return CliRunner().invoke(cli, ["explain", "-C", file, *arguments], input=message)


def told(file: str, *arguments: str, message: bytes = MESSAGE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(explain(file, "--json", *arguments, message=message).stdout)
    return found


def rows(lines: list[dict[str, str]]) -> list[tuple[str, str, str, str]]:
    return [(one["what"], one["before"], one["after"], one["rule"]) for one in lines]


@pytest.fixture(autouse=True)
def stdin_is_the_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The runner of click replaces sys.stdin only; we read the descriptor as the mail commands do."""

    def header_fields(request: Any, found: Any) -> list[bytes]:
        octets = sys.stdin.buffer.read().replace(b"\n", b"\r\n")
        return MailData(iter([octets]), 1 << 20).header()

    monkeypatch.setattr(command, "header_fields", header_fields)


def test_says_for_envelope_and_header_what_becomes_of_each_address(file: str) -> None:
    found = told(file, "--as", "root", "--", "-f", "root@localhost", "root", "bob", "ann@a.example")
    assert rows(found["sender"]) == [
        ("envelope sender", "root@localhost", "greg@isp.example", "users"),
        ("envelope sender", "greg@isp.example", "boss@example.net", "owner"),
    ]
    assert rows(found["header"]) == [
        ("From", "www-data@web1", "", "refused"),
        ("Sender", "x@old.example", "", "refused"),
        ("Reply-To", "visitor@nas.lan", "visitor@example.net", "domain"),
        ("Reply-To", "ok@example.org", "ok@example.org", ""),
        ("To", "root", "root@example.net", "completed"),
    ]
    assert rows(found["recipients"]) == [
        ("recipient", "root", "ann@a.example", "alias"),
        ("recipient", "root", "bob@b.example", "alias"),
        ("recipient", "bob", "ops@example.net", "default"),
        ("recipient", "ann@a.example", "ann@a.example", ""),
    ]
    assert found["smart_hosts"] == ["isp", "shop"]
    assert found["status"] == 77


def test_every_line_has_a_reason(file: str) -> None:
    found = told(file, "--as", "www-data", "--", "-t", "loop", "|program")
    lines = found["sender"] + found["header"] + found["recipients"]
    assert all(one["reason"] for one in lines)
    steps = [one["reason"] for one in found["recipients"] if one["before"] == "root"]
    assert steps[0] == "root: staff; staff: ann@a.example, bob@b.example"
    assert "web1" not in found["sender"][0]["before"]


def test_the_status_is_that_of_the_submission(file: str) -> None:
    assert explain(file, "--as", "root", "--", "x@example.org", message=b"\n").exit_code == 0
    assert explain(file, "--as", "root", "--", "loop", message=b"\n").exit_code == 65
    assert (
        explain(
            file, "--as", "root", "--", "-f", "ceo@bank.example", "x@example.org", message=b"\n"
        ).exit_code
        == 77
    )
    assert explain(file, "--", "-Zx").exit_code == 64
    assert explain(file, "--as", "nobody-here", "x@example.org").exit_code == 64
    assert explain(file, "--", "-q").exit_code == 64


def test_the_owner_of_a_list_becomes_the_envelope_sender(file: str) -> None:
    found = told(file, "--as", "root", "--", "staff", message=b"\n")
    assert rows(found["sender"]) == [
        ("envelope sender", "root", "greg@isp.example", "users"),
        ("envelope sender", "greg@isp.example", "boss@example.net", "owner"),
    ]
    assert ("From", "", "greg@isp.example", "added") in rows(found["header"])


def test_an_owner_is_told_with_those_whom_he_owns(file: str) -> None:
    found = told(file, "--as", "root", "--", "x@example.org", "staff", message=b"\n")
    first, second = found["sender"]
    assert (first["after"], second["after"]) == ("greg@isp.example", "boss@example.net")
    assert second["reason"].startswith("for ann@a.example, bob@b.example: ")


def test_a_valid_address_stays_and_the_reason_is_said(file: str) -> None:
    (line,) = told(file, "--as", "54321", "--", "-f", "a@example.org", "x@example.org", message=b"\n")[
        "sender"
    ]
    assert (line["after"], line["rule"], line["reason"]) == (
        "a@example.org",
        "",
        "the Internet may answer it",
    )


def test_people_get_lines(file: str) -> None:
    result = explain(file, "--as", "root", "--", "-f", "root@nas.lan", "root")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("user             root (uid 0)")
    assert "envelope sender  root@nas.lan -> greg@isp.example" in lines
    assert any(line.endswith("alias: root: staff; staff: ann@a.example, bob@b.example") for line in lines)
    assert lines[-1].startswith("sendmail would exit with 77")


def test_nothing_is_queued(file: str, tmp_path: Path) -> None:
    explain(file, "--as", "root", "x@example.org")
    assert not (tmp_path / "home" / ".local").exists()


RECORDS = """
isp.example TXT "v=spf1 ip4:192.0.2.25 -all"
isp.example MX 10 mail.isp.example.
mail.isp.example A 192.0.2.25
example.org TXT "v=spf1 -all"
"""


@pytest.mark.parametrize(
    ("sender", "words"),
    [
        (
            "greg@isp.example",
            ["EHLO web1.example.net: DNS has no address", "SPF of isp.example: fail (-all) for 192.0.2.26"],
        ),
        ("a@example.org", ["example.org: DNS has neither", "SPF of example.org: fail (-all) for 192.0.2.26"]),
        ("a@gone.example", ["gone.example: DNS knows no such domain"]),
    ],
)
def test_dns_is_asked_on_demand(
    file: str, monkeypatch: pytest.MonkeyPatch, sender: str, words: list[str]
) -> None:
    with dns_server(RECORDS) as server:
        monkeypatch.setattr(command, "Resolver", server.resolver)
        assert told(file, "--as", "54321", "--", "-f", sender, "x@example.org")["dns"] == []
        assert not server.asked
        found = told(file, "--as", "54321", "--dns", "--", "-f", sender, "x@example.org")["dns"]
    assert all(any(text.startswith(word) for text in found) for word in words), found
    assert not any("192.0.2.25" in text and "isp.example" in text for text in found)
