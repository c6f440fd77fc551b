"""The commands of a transaction, and who is judged by what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.relay import commands, transaction
from sendmail_py.relay.ehlo import Server
from sendmail_py.relay.faults import LoginFault, ProtocolFault
from sendmail_py.relay.reply import Reply
from sendmail_py.relay.transaction import Transaction

EVERYTHING = Server([b"SIZE 1000", b"8BITMIME", b"SMTPUTF8", b"DSN", b"PIPELINING"])
OK = Reply(250, [b"ok"])
NO = Reply(550, [b"5.1.1 no"])


def made(*recipients: bytes, sender: bytes = b"a@x.example", size: int = 10) -> Transaction:
    envelope = Envelope(sender, [Recipient(one) for one in recipients])
    return Transaction(envelope, list(range(len(recipients))), size, list)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (b"plain-1@x.example", b"plain-1@x.example"),
        (b"a+b=c", b"a+2Bb+3Dc"),
        (b"a b", b"a+20b"),
        (b"a\r\nDATA", b"a+0D+0ADATA"),
        (b"already+2Bxtext", b"already+2Bxtext"),
        (b"almost+2bxtext", b"almost+2B2bxtext"),
        (b"\xc3\xa9", b"+C3+A9"),
    ],
)
def test_xtext(value: bytes, encoded: bytes) -> None:
    assert commands.xtext(value) == encoded


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_no_value_of_an_envelope_can_end_a_command(
    sender: bytes, address: bytes, orcpt: bytes, envid: bytes
) -> None:
    new = made(address, sender=sender)
    new.envelope.envid, new.envelope.ret = envid, orcpt
    new.envelope.recipients[0].orcpt, new.envelope.recipients[0].notify = orcpt, envid
    commands.refuse_unfit(EVERYTHING, new)
    if not new.open():
        return
    said = [
        commands.mail_command(EVERYTHING, new),
        commands.rcpt_command(EVERYTHING, new.recipients[0]),
    ]
    for command in said:
        assert command.endswith(b"\r\n")
        assert min(command[:-2]) >= 32
        assert 127 not in command


@pytest.mark.parametrize("address", [b"", b"a b@x", b"a@x>\r\nDATA", b"a\0@x", b"<a@x>", b"a@" + b"x" * 2000])
def test_an_unfit_recipient_fails_alone(address: bytes) -> None:
    new = made(address, b"good@y.example")
    commands.refuse_unfit(EVERYTHING, new)
    assert new.open() == [1]
    verdict = new.verdicts[0]
    assert verdict is not None
    assert verdict.reply.enhanced == "5.1.3"


def test_an_unfit_sender_fails_the_message() -> None:
    new = made(b"b@y.example", sender=b"a\n@x")
    commands.refuse_unfit(EVERYTHING, new)
    assert not new.open()
    assert new.stage == transaction.JUDGED


def test_smtputf8_is_asked_for_only_when_an_address_needs_it() -> None:
    plain, beyond = made(b"b@y.example"), made("ü@y.example".encode())
    assert b"SMTPUTF8" not in commands.mail_command(EVERYTHING, plain)
    assert b" SMTPUTF8" in commands.mail_command(EVERYTHING, beyond)


def test_a_server_that_offers_nothing_gets_no_parameters() -> None:
    new = made(b"b@y.example")
    new.envelope.ret, new.envelope.envid, new.envelope.eight_bit = b"FULL", b"x", True
    new.recipients[0].notify, new.recipients[0].orcpt = b"NEVER", b"rfc822;z@y.example"
    assert commands.mail_command(Server([]), new) == b"MAIL FROM:<a@x.example>\r\n"
    assert commands.rcpt_command(Server([]), new.recipients[0]) == b"RCPT TO:<b@y.example>\r\n"


def test_a_size_that_just_fits_is_sent() -> None:
    for size, sent in [(1000, True), (1001, False)]:
        new = made(b"b@y.example", size=size)
        commands.refuse_unfit(EVERYTHING, new)
        assert bool(new.open()) == sent


def test_each_recipient_has_exactly_one_verdict() -> None:
    new = made(b"b@y.example", b"c@y.example", b"d@y.example")
    new.answer_rcpt(0, OK)
    new.answer_rcpt(1, NO)
    new.answer_rcpt(2, OK)
    assert new.open() == [0, 2]
    new.judge(transaction.END, OK)
    assert [one.reply if one else None for one in new.verdicts] == [OK, NO, OK]
    assert new.stage == transaction.JUDGED


def test_replies_to_rcpt_after_a_refused_mail_say_nothing() -> None:
    new = made(b"b@y.example")
    new.judge(transaction.MAIL, Reply(451, [b"later"]))
    new.answer_rcpt(0, NO)
    verdict = new.verdicts[0]
    assert verdict is not None
    assert verdict.reply.code == 451


def test_a_3yz_to_rcpt_is_broken_protocol_and_nobodys_verdict() -> None:
    """A server that is one reply behind must not bounce mail."""
    made = transaction.Transaction(
        Envelope(b"a@x.example", [Recipient(b"b@y.example")]), [0], 3, lambda: [b"x\r\n"]
    )
    made.mail_accepted = True
    with pytest.raises(ProtocolFault):
        made.answer_rcpt(0, Reply(354, [b"go"]))
    with pytest.raises(LoginFault):
        made.answer_rcpt(0, Reply(530, [b"5.7.0 Authentication required"]))
    assert made.open() == [0]
