"""What must change in a message before a server can take it: the first of the two passes of recode.py.

Linear time; memory holds one octet for each part.
"""

from __future__ import annotations

import codecs

from sendmail_py.relay import mime
from sendmail_py.relay.long_lines import LONGEST, ConversionError, LongLines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sendmail_py.relay.mime import Entity

CRLF = b"\r\n"

# What becomes of an entity: one octet for each, in their order. The upper bits hold an index into CHARSETS.
KEEP, SEVEN_BIT, TO_QUOTED_PRINTABLE, TO_BASE64, WRAP_QUOTED_PRINTABLE, WRAP_BASE64 = range(6)
CHARSETS = (b"us-ascii", b"utf-8", b"unknown-8bit")  # the last one: RFC 1428
CODE, CHARSET_SHIFT = 15, 4

SAFE = b"\t\n\r" + bytes(octet for octet in range(32, 127) if octet != ord("="))
READABLE = 4  # quoted-printable pays for being readable up to one octet in four that needs three


class Body:
    """What the body of an entity is like; of a multipart only what comes before its first part."""

    __slots__ = ("ascii", "decoder", "entity", "lines", "octets", "unsafe")

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self.lines = LongLines()
        self.ascii = True
        self.octets = self.unsafe = 0
        self.decoder = None if entity.typed else codecs.getincrementaldecoder("utf-8")()

    def feed(self, octets: bytes) -> None:
        """Take a piece of the body."""
        self.lines.feed(octets)
        self.ascii = self.ascii and octets.isascii()
        self.octets += len(octets)
        self.unsafe += len(octets.translate(None, SAFE))
        self.check(octets)

    def check(self, octets: bytes, final: bool = False) -> None:
        """Find out whether it is UTF-8, if somebody wants to know."""
        if self.decoder is not None:
            try:
                self.decoder.decode(octets, final)
            except UnicodeDecodeError:
                self.decoder = None

    def decide(self, eight_bit: bool) -> int:
        """What must become of it."""
        entity = self.entity
        if entity.has_parts or entity.kind == mime.MESSAGE:
            is_wrong = entity.encoded and entity.encoding != b"7bit"
            return SEVEN_BIT if is_wrong and not eight_bit else KEEP
        is_long = self.lines.finish()
        if not is_long and (self.ascii or eight_bit):
            return KEEP
        if entity.kind == mime.SEALED or entity.is_foreign:
            if is_long:
                raise ConversionError(reason(entity))
            return KEEP
        if entity.is_recoded:
            return WRAP_BASE64 if entity.encoding == b"base64" else WRAP_QUOTED_PRINTABLE
        code = TO_BASE64 if self.unsafe * READABLE > self.octets else TO_QUOTED_PRINTABLE
        self.check(b"", final=True)
        charset = 0 if self.ascii else 1 if self.decoder is not None else 2
        return code | charset << CHARSET_SHIFT


def reason(entity: Entity) -> str:
    """Why a long line cannot be helped."""
    what = "is signed or encrypted" if entity.kind == mime.SEALED else "has an encoding that is not MIME's"
    return (
        f"a line of over {LONGEST} octets cannot be sent in a part ({entity.type.decode('ascii', 'replace')})"
        f" that {what} and must not be changed; its author has to encode it (quoted-printable, base64)"
    )


def survey(chunks: Iterable[bytes], eight_bit: bool) -> bytearray:
    """The decisions about all entities of a message, for a server that takes 8-bit bodies or does not.

    Raises ConversionError.
    """
    parser = mime.Parser(chunks)
    decisions = bytearray()
    body: Body | None = None
    for kind, octets in parser.events():
        if kind in (mime.BODY, mime.BETWEEN) and body is not None:
            body.feed(octets)
        elif kind in (mime.START, mime.DELIMITER) and body is not None:
            decisions.append(body.decide(eight_bit))
            body = None
        elif kind == mime.BLANK:
            body = Body(parser.entity)
    if body is not None:
        decisions.append(body.decide(eight_bit))
    return decisions
