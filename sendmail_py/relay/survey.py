"""What must change in a message before a server can take it: the first of the two passes of recode.py.

Linear time; memory holds one octet for each part.
"""

from __future__ import annotations

import codecs

from sendmail_py.errors import DataError
from sendmail_py.relay import mime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sendmail_py.relay.mime import Entity

CRLF = b"\r\n"
LONGEST = 998  # octets of a line without its line end (RFC 5321 4.5.3.1.6)

# What becomes of an entity: one octet for each, in their order. The upper bits hold an index into CHARSETS.
KEEP, SEVEN_BIT, TO_QUOTED_PRINTABLE, TO_BASE64, WRAP_QUOTED_PRINTABLE, WRAP_BASE64 = range(6)
CHARSETS = (b"us-ascii", b"utf-8", b"unknown-8bit")  # the last one: RFC 1428
CODE, CHARSET_SHIFT = 15, 4

SAFE = b"\t\n\r" + bytes(octet for octet in range(32, 127) if octet != ord("="))
READABLE = 4  # quoted-printable pays for being readable up to one octet in four that needs three


class ConversionError(DataError):
    """The message would have to be changed where it must not be (RFC 3463: X.6.2)."""


class LongLines:
    """Finds out whether a text has a line over 998 octets; jumps from line end to line end."""

    __slots__ = ("column", "found")

    def __init__(self) -> None:
        self.column = 0
        self.found = False

    def feed(self, text: bytes) -> None:
        """Take CRLF text, cut anywhere."""
        at, room = 0, LONGEST + len(CRLF) - self.column
        while len(text) - at >= room and not self.found:
            at = text.rfind(b"\n", at, at + room) + 1
            room = LONGEST + len(CRLF)
            self.found = not at
        last = text.rfind(b"\n") + 1
        self.column = len(text) - last + (0 if last else self.column)

    def finish(self) -> bool:
        """Whether there was one, the last line counted as it is."""
        return self.found or self.column > LONGEST


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
