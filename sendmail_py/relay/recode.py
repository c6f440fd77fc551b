"""Content as one server takes it: no line over 998 octets, no 8-bit text where none is allowed (RFC 6152 3).

The spool keeps a message as it came; what the wire needs is done here, while it is sent.

Guarantees:

- a message that needs nothing is sent as it is stored: the very same chunks, so signatures hold;
- what is changed can be changed back: bodies become quoted-printable, or base64 where that could not be read
  either, in the MIME part that they are in; text in header fields becomes encoded words; the structure stays;
- nothing inside a signed or encrypted part changes. 8-bit text in one is sent even to a server that did not
  offer 8BITMIME, because every server in use passes it; a line over 998 octets in one is a ConversionError,
  because servers cut such lines or refuse them, and the signature must not break in silence. An
  application/pkcs7-mime part is not one of them: its signature is under the transfer encoding (RFC 8551);
- linear time; memory does not grow with the message, but for one octet for each part and the longest field.

A message that needs something is read twice before it is sent: to find out what each part needs, and to
know the octets that will be sent (SIZE, RFC 1870) before anything is said to the server.
"""

from __future__ import annotations

from sendmail_py.mail import header
from sendmail_py.relay import encoders, fields, long_lines, mime
from sendmail_py.relay import survey as first_pass
from sendmail_py.relay.survey import CHARSET_SHIFT, CHARSETS, CODE, KEEP
from sendmail_py.relay.transaction import Content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sendmail_py.relay.encoders import (
        Base64,
        Base64Again,
        Plain,
        QuotedPrintable,
        QuotedPrintableAgain,
    )
    from sendmail_py.relay.mime import Entity
    from sendmail_py.relay.transaction import Wire

    Encoder = Plain | QuotedPrintable | Base64 | QuotedPrintableAgain | Base64Again

CRLF = b"\r\n"
PIECE = 65536
SMALL = 262144  # a recoded message up to this size is kept, larger ones are made again when they are sent

ENCODINGS = {
    first_pass.SEVEN_BIT: b"7bit",
    first_pass.TO_QUOTED_PRINTABLE: b"quoted-printable",
    first_pass.TO_BASE64: b"base64",
}


def fit(stored: Content, wire: Wire) -> Content:
    """`stored` itself if it can be sent as it is, else what can be. Raises ConversionError."""
    return changed(stored, wire) if long_lines.needs(stored, wire) else stored


def changed(stored: Content, wire: Wire) -> Content:
    """What can be sent in the place of a content that long_lines.needs is about. Raises ConversionError."""
    decisions = first_pass.survey(stored.chunks(), wire.eight_bit)
    size, eight_bit, kept = 0, False, []
    for piece in recode(stored.chunks(), decisions, wire):
        size += len(piece)
        eight_bit = eight_bit or not piece.isascii()
        if size <= SMALL:
            kept.append(piece)
    if size <= SMALL:
        return Content(lambda: kept, size, eight_bit, b"".join(kept))
    return Content(lambda: recode(stored.chunks(), decisions, wire), size, eight_bit)


# --- the second pass: the new message -----------------------------------------------------------------------


def recode(chunks: Iterable[bytes], decisions: bytearray, wire: Wire) -> Iterator[bytes]:
    """The message with every entity as was decided, in pieces of about 64 KiB."""
    gathered: list[bytes] = []
    size, end = 0, CRLF
    for piece in Recoder(chunks, decisions, wire).pieces():
        gathered.append(piece)
        size += len(piece)
        if size >= PIECE:
            whole = b"".join(gathered)
            end = whole[-2:]
            yield whole
            gathered, size = [], 0
    rest = b"".join(gathered)
    if not (end + rest).endswith(CRLF):  # base64 has no line end of its own
        rest += CRLF
    if rest:
        yield rest


class Recoder:
    """Goes through the events of a message and changes what must be changed.

    decision  about the entity that is read
    encoded   whether its Content-Transfer-Encoding was written
    encoder   what the octets of its body go through
    top       the message itself
    """

    __slots__ = ("decision", "decisions", "encoded", "encoder", "parser", "top", "wire")

    def __init__(self, chunks: Iterable[bytes], decisions: bytearray, wire: Wire) -> None:
        self.parser = mime.Parser(chunks)
        self.decisions = iter(decisions)
        self.wire = wire
        self.decision = KEEP
        self.encoded = False
        self.top = self.parser.entity
        self.encoder: Encoder = encoders.Plain()

    def pieces(self) -> Iterator[bytes]:
        """The new message."""
        for kind, octets in self.parser.events():
            if kind in (mime.BODY, mime.BETWEEN):
                yield self.encoder.feed(octets)
            elif kind == mime.FIELD:
                yield self.field(octets)
            elif kind == mime.BLANK:
                yield self.blank(octets)
                self.encoder = self.encoder_for(self.parser.entity)
            elif kind == mime.START:
                yield self.encoder.finish()
                self.encoder = encoders.Plain()
                self.decision = next(self.decisions, KEEP)
                self.encoded = False
            elif kind == mime.DELIMITER:
                yield self.encoder.finish() + octets
                self.encoder = self.outside()
            else:
                yield octets
        yield self.encoder.finish()

    def field(self, octets: bytes) -> bytes:
        """A header field: the encoding's if that changes, else what the wire needs."""
        code = self.decision & CODE
        if code in ENCODINGS and header.name(octets) == b"content-transfer-encoding":
            is_first, self.encoded = not self.encoded, True
            return header.rebuild(octets, b" " + ENCODINGS[code] + CRLF) if is_first else b""
        return fields.fit(octets, self.must_be_ascii(octets))

    def must_be_ascii(self, octets: bytes) -> bool:
        """Whether 8-bit text may not stay in this field. To SMTP, fields of parts are the body."""
        if self.parser.entity is not self.top:
            return not self.wire.eight_bit
        return not (self.wire.utf8 and is_utf8(octets))

    def blank(self, octets: bytes) -> bytes:
        """The end of a header: fields that are missing, and the empty line."""
        code = self.decision & CODE
        if code not in ENCODINGS or code == first_pass.SEVEN_BIT:
            return octets
        entity, added = self.parser.entity, b""
        if entity.is_message and not entity.versioned:
            added += b"MIME-Version: 1.0\r\n"
        if not entity.typed:
            charset = CHARSETS[self.decision >> CHARSET_SHIFT]
            added += b"Content-Type: text/plain; charset=" + charset + CRLF
        if not self.encoded:
            added += b"Content-Transfer-Encoding: " + ENCODINGS[code] + CRLF
        return added + CRLF

    def encoder_for(self, entity: Entity) -> Encoder:
        """The encoder for the body that begins."""
        match self.decision & CODE:
            case first_pass.TO_QUOTED_PRINTABLE:
                return encoders.QuotedPrintable()
            case first_pass.TO_BASE64:
                return encoders.Base64()
            case first_pass.WRAP_QUOTED_PRINTABLE:
                return encoders.QuotedPrintableAgain(not self.wire.eight_bit)
            case first_pass.WRAP_BASE64:
                return encoders.Base64Again(not self.wire.eight_bit)
        return self.outside() if entity.kind == mime.MULTIPART else encoders.Plain()

    def outside(self) -> Encoder:
        """For what belongs to no part and is shown to nobody; it must fit all the same."""
        return encoders.QuotedPrintableAgain(not self.wire.eight_bit, encoders.LONGEST)


def is_utf8(octets: bytes) -> bool:
    """Whether this is UTF-8 (RFC 3629)."""
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
