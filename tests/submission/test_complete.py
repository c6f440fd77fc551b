"""Claims about the header as it leaves: what is added, what goes, and what stays byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.errors import DataError
from sendmail_py.mail import header
from sendmail_py.policy import config
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.submission import complete
from sendmail_py.submission.submit import sender_rules

WHEN = 1_795_503_909.25
GIVEN = [
    b"From: greg@isp.example\r\n",
    b"Date: Tue, 24 Nov 2026 07:05:09 +0000\r\n",
    b"Message-ID: <1@x>\r\n",
]


@pytest.fixture
def rules(tmp_path: Path) -> SenderRules:
    file = tmp_path / "config.toml"
    file.write_text('[identity]\ndomain = "isp.example"\n[masquerade.users]\n"*" = "greg@isp.example"\n')
    return sender_rules(config.load({"HOME": str(tmp_path)}, str(file)), 0)


@pytest.fixture
def stamp(rules: SenderRules) -> complete.Stamp:
    return complete.Stamp("6B0487A54000", WHEN, rules.host, rules.person, "1.0")


def completed(fields: list[bytes], stamp: complete.Stamp) -> list[bytes]:
    return complete.complete(fields, stamp, b"Greg <greg@isp.example>")


def names(fields: list[bytes]) -> list[bytes]:
    return [header.name(field) for field in fields]


def test_the_trace_field_comes_first_and_names_account_and_id(stamp: complete.Stamp) -> None:
    first = completed(GIVEN, stamp)[0]
    assert first.startswith(b"Received: by ")
    assert b"(sendmail_py 1.0, from uid 0)\r\n\tid 6B0487A54000; Tue, 24 Nov 2026 " in first


def test_what_is_missing_is_added_and_what_is_there_stays_byte_for_byte(stamp: complete.Stamp) -> None:
    assert names(completed([], stamp)) == [b"received", b"message-id", b"date", b"from"]
    assert completed([], stamp)[3] == b"From: Greg <greg@isp.example>\r\n"
    odd = [b"FROM:greg@isp.example\r\n", *GIVEN[1:], b"X-a :\t b\r\n c\r\n", b"Subject:\r\n"]
    assert completed(odd, stamp)[1:] == odd


@pytest.mark.parametrize("name", [b"From", b"Date", b"Message-ID"])
def test_an_empty_field_that_must_say_something_is_replaced(stamp: complete.Stamp, name: bytes) -> None:
    found = completed([name + b": \r\n", b"Subject:\r\n"], stamp)
    assert names(found).count(name.lower()) == 1
    assert header.value(found[names(found).index(name.lower())]).strip()


@pytest.mark.parametrize(
    "field", [b"Bcc: eve@x.example", b"Resent-BCC: e@x", b"Return-Path: <a@b>", b"Content-Length: 7"]
)
def test_what_is_secret_or_not_the_senders_to_say_goes(stamp: complete.Stamp, field: bytes) -> None:
    assert completed([*GIVEN, field + b"\r\n"], stamp)[1:] == GIVEN


def test_all_files_of_one_message_have_its_first_id_as_message_id(stamp: complete.Stamp) -> None:
    stamp.queue_id = "6B0487A54001"
    found = completed([], stamp)
    assert b"id 6B0487A54001;" in found[0]
    assert found[1] == b"Message-ID: <6B0487A54000.0@isp.example>\r\n"


def test_a_message_id_is_ascii_whatever_the_mail_domain(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[identity]\ndomain = "bücher.example"\n')
    rules = sender_rules(config.load({"HOME": str(tmp_path)}, str(file)), 0)
    stamp = complete.Stamp("6B0487A54000", WHEN, rules.host, rules.person, "1.0")
    assert complete.message_id(stamp).isascii()


def test_a_mail_loop_ends_at_a_hundred_hosts(stamp: complete.Stamp) -> None:
    hops = [b"Received: by x\r\n"] * complete.MOST_HOPS
    assert len(completed([*hops, *GIVEN], stamp)) == 104
    with pytest.raises(DataError, match="loop"):
        completed([*hops, b"RECEIVED: by y\r\n"], stamp)


# Field, the field as it leaves with masquerade.headers, and without.
REPAIRS = [
    (b"To: ann, b@x.org", b"To: ann@isp.example, b@x.org", b"To: ann@isp.example, b@x.org"),
    (
        b"From: root (Cron Daemon)",
        b"From: greg@isp.example (Cron Daemon)",
        b"From: root@isp.example (Cron Daemon)",
    ),
    (b"Reply-To: me@localhost", b"Reply-To: me@isp.example", b"Reply-To: me@localhost"),
    (b"Sender: greg@isp.example", b"Sender: greg@isp.example", b"Sender: greg@isp.example"),
    (b"Subject: root, me@localhost", b"Subject: root, me@localhost", b"Subject: root, me@localhost"),
    (b"From: Nightly Backup", b"From: Nightly Backup <greg@isp.example>", b"From: Nightly Backup"),
    (b"From: Backup <>", b"From: Backup <greg@isp.example>", b"From: Backup <>"),
    (b"Reply-To: Nightly Backup", b"Reply-To: Nightly Backup", b"Reply-To: Nightly Backup"),
    (b"To: Nightly Backup", b"To: Nightly Backup", b"To: Nightly Backup"),
]


@pytest.mark.parametrize(("field", "repaired", "only_complete"), REPAIRS)
def test_senders_are_repaired_and_bare_names_completed(
    rules: SenderRules, field: bytes, repaired: bytes, only_complete: bytes
) -> None:
    for own, wanted in ((b"greg@isp.example", repaired), (b"", only_complete)):
        found, changes = complete.repair([field + b"\r\n"], rules, b"isp.example", own)
        assert found == [wanted + b"\r\n"]
        assert bool(changes) == (bool(own) and repaired != only_complete)


def test_a_change_says_field_rule_and_both_addresses(rules: SenderRules) -> None:
    _, changes = complete.repair([b"From: me@localhost\r\n"], rules, b"isp.example", b"greg@isp.example")
    assert [(name, old, new) for name, _, old, new in changes] == [
        (b"from", b"me@localhost", b"greg@isp.example")
    ]
    assert changes[0][1]
