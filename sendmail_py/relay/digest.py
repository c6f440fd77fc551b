"""A digest: one message that holds several, each as it was (RFC 2046 5.1.5), and a line for people. Pure."""

from __future__ import annotations

import textwrap

from sendmail_py.errors import printable
from sendmail_py.mail import header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sendmail_py.relay.bounce import Sender

CRLF = b"\r\n"
COPIED = (
    b"from",
    b"sender",
    b"reply-to",
    b"to",
    b"cc",
)  # fields of the first message that the digest has too
MARK = b".digest@"  # in the Message-ID of every digest


class Part:
    """A message in a digest.

    fields  of its header; created: when it arrived (seconds); eight_bit: whether it holds octets above 127
    """

    __slots__ = ("created", "eight_bit", "fields", "size")

    def __init__(self, fields: list[bytes], created: float, size: int, eight_bit: bool) -> None:
        self.fields = fields
        self.created = created
        self.size = size
        self.eight_bit = eight_bit


def compose(parts: list[Part], contents: Iterable[Iterable[bytes]], sender: Sender) -> Iterator[bytes]:
    """The digest in wire form; `contents` are the messages of the parts, in pieces."""
    outer, inner = b"=_" + sender.boundary, b"=_d" + sender.boundary
    encoding = b"8bit" if any(one.eight_bit for one in parts) else b"7bit"
    yield from fields(parts, sender)
    yield typed(b'multipart/mixed;\r\n\tboundary="%s"' % outer, encoding)
    yield b"--" + outer + CRLF + typed(b"text/plain; charset=us-ascii", b"7bit")
    yield explanation(parts) + CRLF
    yield b"--" + outer + CRLF + typed(b'multipart/digest;\r\n\tboundary="%s"' % inner, encoding)
    for part, content in zip(parts, contents, strict=True):
        yield b"--" + inner + CRLF + typed(b"message/rfc822", b"8bit" if part.eight_bit else b"7bit")
        yield from content
        yield CRLF
    yield b"--" + inner + b"--" + CRLF + CRLF + b"--" + outer + b"--" + CRLF


def fields(parts: list[Part], sender: Sender) -> Iterator[bytes]:
    """The header down to MIME-Version."""
    first = parts[0].fields
    yield from [one for one in first if header.name(one) in COPIED]
    subject = next((header.value(one) for one in first if header.name(one) == b"subject"), CRLF)
    yield b"Subject: [%d messages]" % len(parts) + subject
    yield b"Date: " + header.date_time(sender.now) + CRLF
    yield b"Message-ID: <" + sender.queue_id.encode() + MARK + sender.domain + b">" + CRLF
    yield b"Auto-Submitted: auto-generated" + CRLF
    yield b"MIME-Version: 1.0" + CRLF


def typed(kind: bytes, encoding: bytes) -> bytes:
    """The fields that say what a part is, and the empty line."""
    return b"Content-Type: " + kind + CRLF + b"Content-Transfer-Encoding: " + encoding + CRLF + CRLF


def explanation(parts: list[Part]) -> bytes:
    """The part for people: what this is, and when each message arrived."""
    text = f"{len(parts)} messages with the same sender, recipients and subject arrived within a short time."
    lines = [*textwrap.wrap(f"{text} They follow as they are."), ""]
    for one in parts:
        when = header.date_time(one.created).decode()
        lines.append(f"{when}  {one.size:>9} octets")
    return CRLF.join([printable(line).encode("ascii", "backslashreplace") for line in lines]) + CRLF


def is_digest(fields_: list[bytes]) -> bool:
    """Whether a message is one, so that digests never hold digests."""
    return any(header.name(one) == b"message-id" and MARK in one for one in fields_)
