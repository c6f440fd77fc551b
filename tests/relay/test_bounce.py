"""Reports as octets: forms that other mail systems read, whatever a server said."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.relay import bounce
from sendmail_py.relay.bounce import Report, Sender
from sendmail_py.spool.tries import Try

SENDER = Sender(b"x.example", b"host.x.example", "6B0539A4E3DC", 1_795_503_909.0, b"bound")
BUSY = Try(3, 0, 1_795_503_000, "isp", "4.2.1", "450 4.2.1 Busy")


def report(kind: str, *recipients: Recipient, tries: dict[int, Try] | None = None) -> Report:
    envelope = Envelope(b"me@x.example", list(recipients) or [Recipient(b"a@y.example")], 1_795_500_000.0)
    made = Report(kind, "6B0539A4E3DB", envelope, list(range(len(envelope.recipients))), tries or {0: BUSY})
    made.until = 1_795_900_000.0
    return made


def composed(made: Report, original: bytes = b"Subject: x\r\n") -> bytes:
    return b"".join(bounce.compose(made, SENDER, [original]))


def block(made: Report, number: int = 1) -> dict[str, str]:
    """The fields about a recipient (0: about the message)."""
    part = email.message_from_bytes(composed(made)).get_payload(1)
    found = part.get_payload(number)  # type: ignore[union-attr]
    return {name.lower(): str(value) for name, value in found.items()}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "action", "status"),
    [
        (bounce.FAILED, "failed", "5.2.1"),
        (bounce.DELAYED, "delayed", "4.2.1"),
        (bounce.RELAYED, "relayed", "2.0.0"),
    ],
)
def test_the_three_kinds_and_a_status_whose_class_fits(kind: str, action: str, status: str) -> None:
    found = block(report(kind))
    assert (found["action"], found["status"]) == (action, status)
    assert found["final-recipient"] == "rfc822; a@y.example"
    assert ("will-retry-until" in found) == (kind == bounce.DELAYED)
    assert ("diagnostic-code" in found) == (kind != bounce.RELAYED)


def test_the_form_is_that_of_rfc_3464() -> None:
    read = email.message_from_bytes(composed(report(bounce.FAILED)), policy=email.policy.SMTP)
    assert read.get_content_type() == "multipart/report"
    assert read.get_param("report-type") == "delivery-status"
    assert [one.get_content_type() for one in read.iter_parts()] == [  # type: ignore[attr-defined]
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert read["Auto-Submitted"] == "auto-replied"
    assert read["Message-ID"] == "<6B0539A4E3DC.report@x.example>"


def test_envelope_id_and_original_recipient_come_back_decoded() -> None:
    made = report(bounce.FAILED, Recipient(b"a@y.example", b"", b"rfc822;o+2Brig@z.example"))
    made.envelope.envid = b"QQ+2B314"
    assert block(made)["original-recipient"] == "rfc822;o+rig@z.example"
    assert block(made, 0)["original-envelope-id"] == "QQ+314"


def test_an_address_beyond_ascii_has_the_type_of_rfc_6533() -> None:
    made = report(bounce.FAILED, Recipient("büro@y.example".encode()))
    assert block(made)["final-recipient"] == "utf-8; b\\x{FC}ro@y.example"


def test_a_recipient_that_was_never_tried_has_no_attempt() -> None:
    found = block(report(bounce.FAILED, tries={7: BUSY}))
    assert found["status"] == "5.0.0"
    assert "last-attempt-date" not in found


@given(st.text(), st.binary(max_size=40), st.text(max_size=20))
def test_nothing_that_a_server_or_a_sender_says_makes_a_field(reply: str, orcpt: bytes, name: str) -> None:
    tries = {0: Try(1, 0, 1, name, "5.1.1", reply)}
    made = report(bounce.FAILED, Recipient(b"a@y.example", b"", b"rfc822;" + orcpt), tries=tries)
    text = composed(made)
    assert all(
        line.isascii() and len(line) <= 998 and not line.translate(None, bytes(range(32, 127)) + b"\t")
        for line in text.split(b"\r\n")
    )
    wanted = {"original-recipient", "final-recipient", "action", "status", "remote-mta", "diagnostic-code"}
    assert block(made).keys() <= wanted | {"last-attempt-date"}


def test_a_reply_that_is_long_in_ascii_still_fits_its_line() -> None:
    said = Try(3, 0, 1, "isp", "5.2.1", "550 " + "\U0001f600" * 508)
    text = composed(report(bounce.FAILED, tries={0: said}))
    assert max(map(len, text.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(("name", "shown"), [("smtp.isp.example", "dns; smtp.isp.example"), ("isp", None)])
def test_a_smart_host_is_named_only_by_a_domain_name(name: str, shown: str | None) -> None:
    """RFC 3464 2.3.5."""
    tries = {0: Try(1, 0, 1, name, "5.1.1", "550 no")}
    assert block(report(bounce.FAILED, tries=tries)).get("remote-mta") == shown


def test_a_notice_is_plain_text_of_moderate_width() -> None:
    text = bounce.notice(SENDER, b"me@x.example", "Mail waits \xe9", ["word " * 60, "x" * 300])
    read = email.message_from_bytes(text)
    assert (read.get_content_type(), read["To"], read["Subject"]) == (
        "text/plain",
        "<me@x.example>",
        "Mail waits \\xe9",
    )
    lines = read.get_payload().splitlines()  # type: ignore[union-attr]
    assert max(len(one) for one in lines[:-1]) <= bounce.LINE
    assert lines[-1] == "x" * 300


@pytest.mark.parametrize("status", ["", "4", "4.2", "9.1.1", "4.2.1\r\nX: y", "5.1.1111"])
def test_a_status_that_is_none_becomes_the_general_one(status: str) -> None:
    assert block(report(bounce.FAILED, tries={0: Try(1, 0, 1, "isp", status, "no")}))["status"] == "5.0.0"
