"""Delivery status notifications (RFC 3461, 3462, 3464) and notices to an owner as messages. Pure.

Guarantees: every line ends in CRLF and is short enough; the text parts are ASCII, with what a server said
made printable and cut; the header says Auto-Submitted (RFC 3834), so that no robot answers.
"""

from __future__ import annotations

import re
import textwrap

from sendmail_py.errors import printable
from sendmail_py.mail import header
from sendmail_py.relay import idn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sendmail_py.mail.envelope import Envelope, Recipient
    from sendmail_py.spool.tries import Try

CRLF = b"\r\n"
FAILED = "failed"
DELAYED = "delayed"
RELAYED = "relayed"

# Subjects as other systems write them, because people and filters know them.
SUBJECTS = {
    FAILED: "Undelivered Mail Returned to Sender",
    DELAYED: "Delayed Mail (still being retried)",
    RELAYED: "Successful Mail Delivery Report",
}
INTRODUCTIONS = {
    FAILED: "Your message could not be delivered to one or more recipients. It is attached below, or its"
    " header. Nothing more will be done about it.",
    DELAYED: "Your message could not be delivered yet to one or more recipients. Delivery is tried until"
    " {until}. You need not send it again.",
    RELAYED: "Your message was passed on to a mail server that sends no delivery reports. You may hear"
    " nothing more about it.",
}
XTEXT = re.compile(rb"\+([0-9A-F]{2})")
LINE = 76
LONGEST = 800  # octets of a text that may not be folded; the line has a name, too (RFC 5321 4.5.3.1.6)


class Report:
    """What a report is about.

    kind      FAILED, DELAYED or RELAYED
    envelope  of the message, `about` the indices of the recipients, `tries` what was tried, by index
    queue_id  of the message
    until     when delivery is given up (seconds), for DELAYED
    whole     whether the message comes back as a whole (RET=FULL)
    """

    __slots__ = ("about", "envelope", "kind", "queue_id", "tries", "until", "whole")

    def __init__(
        self, kind: str, queue_id: str, envelope: Envelope, about: list[int], tries: dict[int, Try]
    ) -> None:
        self.kind = kind
        self.queue_id = queue_id
        self.envelope = envelope
        self.about = about
        self.tries = tries
        self.until = 0.0
        self.whole = False


class Sender:
    """Who sends it: domain of MAILER-DAEMON, name of this host, id of the report, now (seconds)."""

    __slots__ = ("boundary", "domain", "host", "now", "queue_id")

    def __init__(self, domain: bytes, host: bytes, queue_id: str, now: float, boundary: bytes) -> None:
        self.domain = domain
        self.host = host
        self.queue_id = queue_id
        self.now = now
        self.boundary = boundary


def compose(report: Report, sender: Sender, original: Iterable[bytes]) -> Iterator[bytes]:
    """The report in wire form. `original` is what comes back: the message, or its header fields."""
    mark = b"--" + sender.boundary
    yield from fields(sender, report.envelope.reverse_path, SUBJECTS[report.kind])
    kind = b'multipart/report; report-type=delivery-status;\r\n\tboundary="%s"' % sender.boundary
    yield b"Content-Type: " + kind + CRLF + CRLF
    yield b"This is a delivery report in the form of RFC 3464." + CRLF
    yield CRLF + mark + CRLF + b"Content-Type: text/plain; charset=us-ascii" + CRLF + CRLF
    yield explanation(report, sender)
    yield CRLF + mark + CRLF + b"Content-Type: message/delivery-status" + CRLF + CRLF
    yield status(report, sender)
    form = b"message/rfc822" if report.whole else b"text/rfc822-headers"
    encoding = b"8bit" if report.envelope.eight_bit else b"7bit"
    yield CRLF + mark + CRLF + b"Content-Type: " + form + CRLF
    yield b"Content-Transfer-Encoding: " + encoding + CRLF + CRLF
    yield from original
    yield CRLF + mark + b"--" + CRLF


def notice(sender: Sender, to: bytes, subject: str, paragraphs: list[str]) -> bytes:
    """A plain message to an owner."""
    text = CRLF.join([paragraph_of(one) for one in paragraphs])
    head = b"".join(fields(sender, to, subject))
    return head + b"Content-Type: text/plain; charset=us-ascii" + CRLF + CRLF + text


def fields(sender: Sender, to: bytes, subject: str) -> Iterator[bytes]:
    """The header down to MIME-Version."""
    yield b"From: Mail Delivery System <MAILER-DAEMON@%s>\r\n" % sender.domain
    yield b"To: <%s>\r\n" % to
    yield b"Subject: " + ascii_of(subject) + CRLF
    yield b"Date: " + header.date_time(sender.now) + CRLF
    yield b"Message-ID: <%s>\r\n" % idn.in_ascii(b"%s.report@%s" % (sender.queue_id.encode(), sender.domain))
    yield b"Auto-Submitted: auto-replied" + CRLF
    yield b"MIME-Version: 1.0" + CRLF


def explanation(report: Report, sender: Sender) -> bytes:
    """The part for people."""
    until = header.date_time(report.until).decode()
    host = printable(sender.host, 255)
    paragraphs = [
        f"This is the mail system at {host}.",
        INTRODUCTIONS[report.kind].format(until=until),
    ]
    for recipient, attempt in concerned(report):
        said = f" ({attempt.smarthost})" if attempt and attempt.smarthost else ""
        reply = f": {attempt.reply}" if attempt and attempt.reply else ""
        paragraphs.append(f"<{printable(recipient.address, 320)}>{said}{reply}")
    paragraphs.append(f"The queue id of the message was {report.queue_id}.")
    return CRLF.join([paragraph_of(one) for one in paragraphs])


def concerned(report: Report) -> Iterator[tuple[Recipient, Try | None]]:
    """The recipients that the report is about, each with what was tried last."""
    for index in report.about:
        yield report.envelope.recipients[index], report.tries.get(index)


def status(report: Report, sender: Sender) -> bytes:
    """The part for programs (RFC 3464 2)."""
    envelope = report.envelope
    lines = [b"Reporting-MTA: dns; " + ascii_of(printable(sender.host, 255))]
    if envelope.envid:
        lines.append(b"Original-Envelope-Id: " + from_xtext(envelope.envid))
    lines.append(b"Arrival-Date: " + header.date_time(envelope.created))
    for recipient, attempt in concerned(report):
        lines += [b"", *recipient_fields(report, recipient, attempt)]
    return CRLF.join(lines) + CRLF


def recipient_fields(report: Report, recipient: Recipient, attempt: Try | None) -> Iterator[bytes]:
    """The fields of one recipient (RFC 3464 2.3)."""
    kind, mark, value = recipient.orcpt.partition(b";")
    if mark:
        yield b"Original-Recipient: %s;%s" % (ascii_of(printable(kind, 64)), from_xtext(value))
    yield b"Final-Recipient: " + typed(recipient.address)
    yield b"Action: " + report.kind.encode()
    yield b"Status: " + status_code(report, attempt)
    # RFC 3464 2.3.5 wants a domain name, and a smart host may be called anything.
    if attempt is not None and "." in attempt.smarthost and report.kind != RELAYED:
        yield b"Remote-MTA: dns; " + ascii_of(attempt.smarthost)
    if attempt is not None and attempt.reply and report.kind != RELAYED:
        yield b"Diagnostic-Code: smtp; " + ascii_of(attempt.reply)
    if attempt is not None and attempt.last:
        yield b"Last-Attempt-Date: " + header.date_time(attempt.last)
    if report.kind == DELAYED:
        yield b"Will-Retry-Until: " + header.date_time(report.until)


def status_code(report: Report, attempt: Try | None) -> bytes:
    """An enhanced status code whose class fits the action (RFC 3464 2.3.4)."""
    if report.kind == RELAYED:
        return b"2.0.0"
    known = attempt.status if attempt is not None else ""
    first = "5" if report.kind == FAILED else "4"
    return (first + known[1:] if re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", known) else first + ".0.0").encode()


def typed(mailbox: bytes) -> bytes:
    r"""An address with its type; octets beyond ASCII as \x{...} (RFC 6533 3)."""
    if mailbox.isascii():
        return b"rfc822; " + mailbox
    text = mailbox.decode("utf-8", "replace")
    escaped = "".join([c if " " < c < "\x7f" and c not in "\\+=" else f"\\x{{{ord(c):X}}}" for c in text])
    return b"utf-8; " + escaped.encode()


def from_xtext(value: bytes) -> bytes:
    """What xtext stands for (RFC 3461 4), printable."""
    return ascii_of(printable(XTEXT.sub(lambda found: bytes([int(found[1], 16)]), value)))


def ascii_of(text: str) -> bytes:
    """Printable text in ASCII, short enough for a line."""
    return printable(text).encode("ascii", "backslashreplace")[:LONGEST]


def paragraph_of(text: str) -> bytes:
    """A paragraph with lines of a width that people read easily; one long word may be wider."""
    lines = textwrap.wrap(ascii_of(text).decode(), LINE, break_long_words=False, break_on_hyphens=False)
    return CRLF.join([line.encode() for line in lines]) + CRLF
