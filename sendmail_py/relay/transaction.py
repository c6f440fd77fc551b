"""One mail transaction (RFC 5321 3.3): the commands that begin it, and what the server said to each. Pure.

Guarantees: no command holds an octet that could end it early (addresses are checked again, values are xtext),
and every recipient gets exactly one verdict, the reply that decided about it.
"""

from __future__ import annotations

import re
import time

from sendmail_py.mail import address
from sendmail_py.relay import extras, recode
from sendmail_py.relay.faults import LoginFault, ProtocolFault
from sendmail_py.relay.recode import Content, Wire
from sendmail_py.relay.reply import Reply
from sendmail_py.relay.survey import ConversionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sendmail_py.mail.envelope import Envelope, Recipient
    from sendmail_py.relay.ehlo import Server

# Phases: which command a reply answers, in the words of the log line.
MAIL = "MAIL FROM command"
RCPT = "RCPT TO command"
DATA = "DATA command"
END = "end of DATA command"
UNSENT = "not sent"  # decided here, from what the server announced

# RFC 4954 6: authentication required; credentials invalid; encryption required for the mechanism.
LOGIN_MISSING = (530, 535, 538)

# Stages: how far a transaction came, which decides what a lost connection means.
OFFERED = "offered"  # at most MAIL, RCPT and DATA are out
CONTENT = "content"  # some of the content may be out, its end is not
ENDED = "ended"  # the final dot may be out: if no reply comes, the answer is unknown
JUDGED = "judged"  # every recipient has a verdict

XTEXT = re.compile(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")  # RFC 3461 4
NOT_XCHAR = re.compile(rb"[^!-*,-<>-~]")
# Addresses that surely fit a command, which nearly all are; address.check knows them all.
PLAIN = re.compile(
    rb"[A-Za-z0-9_+=-]+(?:\.[A-Za-z0-9_+=-]+)*@(?:[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*\.)*[A-Za-z]+"
)
LONGEST_PLAIN = 63
NOTIFY = re.compile(rb"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}")


class Verdict:
    """The reply that decided about a recipient, and the phase that it answered."""

    __slots__ = ("phase", "reply")

    def __init__(self, phase: str, reply: Reply) -> None:
        self.phase = phase
        self.reply = reply


class Transaction:
    """A message on its way to some of its recipients.

    envelope    the message's envelope
    indices     which of its recipients are meant; `recipients` are these
    stored      the content as the spool has it
    content     the content as it is sent: fit for the server once refuse_unfit has seen it
    fit         makes that of the stored one (recode.fit, or somebody who remembers what it gave)
    ending      called with it before the last piece of the content, or all of it, goes out
    verdicts    by position in `recipients`; None until decided
    accepted    positions whose RCPT was accepted
    """

    __slots__ = (
        "accepted",
        "content",
        "ending",
        "envelope",
        "fit",
        "indices",
        "mail_accepted",
        "recipients",
        "stage",
        "stored",
        "verdicts",
    )

    def __init__(
        self,
        envelope: Envelope,
        indices: list[int],
        size: int,
        chunks: Callable[[], Iterable[bytes]],
        fit: Callable[[Content, Wire], Content] = recode.fit,
        octets: bytes | None = None,
    ) -> None:
        self.envelope = envelope
        self.indices = indices
        self.recipients = [envelope.recipients[index] for index in indices]
        self.stored = self.content = Content(chunks, size, envelope.eight_bit, octets)
        self.ending: Callable[[Transaction], None] = do_nothing
        self.fit = fit
        self.verdicts: list[Verdict | None] = [None] * len(indices)
        self.accepted: list[int] = []
        self.mail_accepted = False
        self.stage = OFFERED

    def open(self) -> list[int]:
        """Positions of the recipients that have no verdict yet."""
        return [n for n, verdict in enumerate(self.verdicts) if verdict is None]

    def chunks(self) -> Iterable[bytes]:
        """The content as it is sent, in pieces."""
        done = 0
        for piece in self.content.chunks():
            done += len(piece)
            if done >= self.size:
                self.ending(self)
            yield piece

    @property
    def size(self) -> int:
        """Octets of the content."""
        return self.content.size

    def is_beyond_ascii(self) -> bool:
        """Whether an address in it needs SMTPUTF8 (RFC 6531 3.4)."""
        if b"".join([self.envelope.reverse_path, *[one.address for one in self.recipients]]).isascii():
            return False
        named = [self.envelope.reverse_path, *[self.recipients[n].address for n in self.open()]]
        return not all(one.isascii() for one in named)

    def judge(self, phase: str, reply: Reply) -> None:
        """`reply` decides about every recipient that is still open."""
        verdict = Verdict(phase, reply)
        self.verdicts = [verdict if one is None else one for one in self.verdicts]
        self.stage = JUDGED

    def answer_rcpt(self, n: int, reply: Reply) -> None:
        """The reply to the RCPT of position `n`; one that follows a refused MAIL says nothing.

        Raises ProtocolFault for 3yz, which no server can mean, and LoginFault when the login is missing.
        """
        if reply.go_ahead:
            raise ProtocolFault(f"unexpected reply: {reply.text} (in reply to {RCPT})", reply)
        if self.mail_accepted and reply.code in LOGIN_MISSING:
            raise LoginFault(f"login missing: {reply.text} (in reply to {RCPT})", reply)
        if reply.positive:
            self.accepted.append(n)
        elif self.verdicts[n] is None:
            self.verdicts[n] = Verdict(RCPT, reply)


def do_nothing(sending: Transaction) -> None:
    """What is to be done before the end of a message is sent, if nobody wants to know."""


def own_reply(code: int, enhanced: str, text: str) -> Reply:
    """A verdict of ours in the form of a reply, for recipients that the server need not be asked about."""
    return Reply(code, [f"{enhanced} {text}".encode("utf-8", "backslashreplace")])


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
        transaction.content = transaction.fit(transaction.stored, wire)
    except ConversionError as error:
        return own_reply(554, "5.6.2", str(error))
    except OSError as error:
        return own_reply(451, "4.3.0", f"cannot read the message: {error.strerror}")
    return too_big(server, transaction) if is_too_big(server, transaction) else None


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
    if not mailbox.isascii() and not server.offers(b"SMTPUTF8"):  # RFC 6531 3.2
        return own_reply(553, "5.6.7", "the server does not take addresses beyond ASCII (SMTPUTF8)")
    return None


def mail_command(server: Server, transaction: Transaction) -> bytes:
    """MAIL with the parameters that the server offers and the message needs.

    8-bit content that must not be converted goes even to a server without 8BITMIME, see recode.py.
    """
    envelope = transaction.envelope
    words = [b"MAIL FROM:" + path(envelope.reverse_path)]
    if server.offers(b"SIZE"):  # RFC 1870
        words.append(b"SIZE=%d" % transaction.size)
    if server.offers(b"8BITMIME") and (transaction.content.eight_bit or envelope.body == b"8BITMIME"):
        words.append(b"BODY=8BITMIME")
    if transaction.is_beyond_ascii():  # refuse_unfit has seen that it is offered
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
    words = [b"RCPT TO:" + path(recipient.address)]
    if server.offers(b"DSN"):
        if NOTIFY.fullmatch(recipient.notify):
            words.append(b"NOTIFY=" + recipient.notify)
        kind, mark, value = recipient.orcpt.partition(b";")
        if mark and kind.replace(b"-", b"").isalnum():
            words.append(b"ORCPT=" + kind + b";" + xtext(value))
    return b" ".join(words) + b"\r\n"


def path(mailbox: bytes) -> bytes:
    """A reverse- or forward-path; refuse_unfit has seen that nothing in it can end the command."""
    return b"<" + mailbox + b">"


def xtext(value: bytes) -> bytes:
    """`value` as xtext (RFC 3461 4); one that is xtext already stays."""
    if XTEXT.fullmatch(value):
        return value
    return NOT_XCHAR.sub(lambda found: b"+%02X" % found[0][0], value)
