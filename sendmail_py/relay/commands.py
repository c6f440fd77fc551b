"""What a server is told of a transaction (RFC 5321 3.3): MAIL and RCPT, and what may not be said. Pure.

Guarantees: no command holds an octet that could end it early: addresses are checked again, values are xtext;
what the server does not take is judged before an octet is sent.
"""

from __future__ import annotations

import re
import time

from sendmail_py.mail import address
from sendmail_py.relay import extras, idn, long_lines
from sendmail_py.relay.long_lines import ConversionError
from sendmail_py.relay.transaction import JUDGED, UNSENT, Verdict, Wire, own_reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.mail.envelope import Recipient
    from sendmail_py.relay.ehlo import Server
    from sendmail_py.relay.reply import Reply
    from sendmail_py.relay.transaction import Content, Transaction

XTEXT = re.compile(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")  # RFC 3461 4
NOT_XCHAR = re.compile(rb"[^!-*,-<>-~]")
# Addresses that surely fit a command, which nearly all are; address.check knows them all.
PLAIN = re.compile(
    rb"[A-Za-z0-9_+=-]+(?:\.[A-Za-z0-9_+=-]+)*@(?:[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*\.)*[A-Za-z]+"
)
LONGEST_PLAIN = 63
NOTIFY = re.compile(rb"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}")


def refuse_unfit(server: Server, transaction: Transaction) -> None:
    """Make the content fit for the server; judge, before an octet is sent, what may not or cannot be sent."""
    for n in transaction.open():
        reply = unfit_address(server, transaction.recipients[n].address, "5.1.3")
        if reply is not None:
            transaction.verdicts[n] = Verdict(UNSENT, reply)
    if transaction.open():
        reply = unfit_sender(server, transaction) or unfit_content(server, transaction)
        if reply is not None:
            transaction.judge(UNSENT, reply)
    else:
        transaction.stage = JUDGED


def unfit_sender(server: Server, transaction: Transaction) -> Reply | None:
    """Why the reverse-path cannot stand in a command."""
    sender = transaction.envelope.reverse_path
    return unfit_address(server, sender, "5.1.7") if sender else None


def unfit_content(server: Server, transaction: Transaction) -> Reply | None:
    """Why nobody can get this message; if somebody can, `content` is what will be sent."""
    if transaction.envelope.wishes:
        status, text = extras.unmet(server, transaction.envelope, time.time())
        if status:
            return own_reply(550, status, text)
    wire = Wire(server.offers(b"8BITMIME"), server.offers(b"SMTPUTF8") and transaction.is_beyond_ascii())
    if is_too_big(server, transaction):
        return too_big(server, transaction)
    try:
        transaction.content = fitted(transaction, wire)
    except ConversionError as error:
        return own_reply(554, "5.6.2", str(error))
    except OSError as error:
        return own_reply(451, "4.3.0", f"cannot read the message: {error.strerror}")
    return too_big(server, transaction) if is_too_big(server, transaction) else None


def fitted(transaction: Transaction, wire: Wire) -> Content:
    """The message as a server takes it, made once for all transactions and servers alike."""
    key = (wire.eight_bit, wire.utf8)
    if key not in transaction.fitted:
        transaction.fitted[key] = fit(transaction.stored, wire)
    return transaction.fitted[key]


def fit(stored: Content, wire: Wire) -> Content:
    """As recode.fit."""
    if not long_lines.needs(stored, wire):
        return stored
    from sendmail_py.relay import recode  # noqa: PLC0415 (a named door: few messages need it)

    return recode.changed(stored, wire)


def is_too_big(server: Server, transaction: Transaction) -> bool:
    """Whether the server said that it does not take that much (RFC 1870 6.1)."""
    return 0 < server.size < transaction.size


def too_big(server: Server, transaction: Transaction) -> Reply:
    """The verdict on it."""
    text = f"message of {transaction.size} octets is larger than the server's limit of {server.size}"
    return own_reply(552, "5.3.4", text)


def unfit_address(server: Server, mailbox: bytes, enhanced: str) -> Reply | None:
    """Why an address cannot stand in a command; `enhanced` if it is no address at all."""
    if len(mailbox) <= LONGEST_PLAIN and PLAIN.fullmatch(mailbox):
        return None
    try:
        address.check(mailbox)
    except address.AddressError as error:
        return own_reply(553, enhanced, str(error))
    if not shown_to(server, mailbox).isascii() and not server.offers(b"SMTPUTF8"):  # RFC 6531 3.2
        return own_reply(553, "5.6.7", "the server does not take addresses beyond ASCII (SMTPUTF8)")
    return None


def mail_command(server: Server, transaction: Transaction) -> bytes:
    """MAIL with the parameters that the server offers and the message needs.

    8-bit content that must not be converted goes even to a server without 8BITMIME, see recode.py.
    """
    envelope = transaction.envelope
    words = [b"MAIL FROM:" + path(shown_to(server, envelope.reverse_path))]
    if server.offers(b"SIZE"):  # RFC 1870
        words.append(b"SIZE=%d" % transaction.size)
    if server.offers(b"8BITMIME") and (transaction.content.eight_bit or envelope.body == b"8BITMIME"):
        words.append(b"BODY=8BITMIME")
    if server.offers(b"SMTPUTF8") and transaction.is_beyond_ascii():
        words.append(b"SMTPUTF8")
    if server.offers(b"DSN"):  # RFC 3461 4.3, 4.4
        if envelope.ret in (b"FULL", b"HDRS"):
            words.append(b"RET=" + envelope.ret)
        if envelope.envid:
            words.append(b"ENVID=" + xtext(envelope.envid))
    if server.extras or server.deliver_by or envelope.wishes:
        words += extras.words(server, envelope, time.time())
    return b" ".join(words) + b"\r\n"


def rcpt_command(server: Server, recipient: Recipient) -> bytes:
    """RCPT with NOTIFY and ORCPT (RFC 3461 4.1, 4.2) when the server offers DSN."""
    words = [b"RCPT TO:" + path(shown_to(server, recipient.address))]
    if server.offers(b"DSN"):
        if NOTIFY.fullmatch(recipient.notify):
            words.append(b"NOTIFY=" + recipient.notify)
        kind, mark, value = recipient.orcpt.partition(b";")
        if mark and kind.replace(b"-", b"").isalnum():
            words.append(b"ORCPT=" + kind + b";" + xtext(value))
    return b" ".join(words) + b"\r\n"


def shown_to(server: Server, mailbox: bytes) -> bytes:
    """An address in the form that a server can take, if there is one."""
    return mailbox if mailbox.isascii() or server.offers(b"SMTPUTF8") else idn.in_ascii(mailbox)


def path(mailbox: bytes) -> bytes:
    """A reverse- or forward-path; refuse_unfit has seen that nothing in it can end the command."""
    return b"<" + mailbox + b">"


def xtext(value: bytes) -> bytes:
    """`value` as xtext (RFC 3461 4); one that is xtext already stays."""
    if XTEXT.fullmatch(value):
        return value
    return NOT_XCHAR.sub(lambda found: b"+%02X" % found[0][0], value)
