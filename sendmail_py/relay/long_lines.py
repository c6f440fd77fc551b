"""Whether content can be sent as it is stored: lines over 998 octets, 8-bit text where none is allowed.

Nearly all can; only for the rest are the modules that change it loaded (recode.py).
"""

from __future__ import annotations

import codecs

from sendmail_py.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.relay.transaction import Content, Wire

CRLF = b"\r\n"
LONGEST = 998  # octets of a line without its line end (RFC 5321 4.5.3.1.6)


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


def needs(stored: Content, wire: Wire) -> bool:
    """Whether anything might have to be changed; one fast pass that looks at no more than it must."""
    if stored.eight_bit and not wire.eight_bit:
        return True
    if stored.octets is not None and not stored.eight_bit:
        longest = max(map(len, stored.octets.split(b"\n")))  # with the CR
        return longest > LONGEST and has_long_line(stored.octets)
    lines = LongLines()
    in_header = stored.eight_bit
    check = codecs.getincrementaldecoder("utf-8" if wire.utf8 else "ascii")()
    tail = CRLF
    for chunk in stored.chunks():
        if in_header:
            end = (tail + chunk).find(b"\r\n\r\n")
            in_header = end < 0
            try:
                check.decode(chunk if in_header else chunk[: max(0, end - len(tail))], not in_header)
            except UnicodeDecodeError:
                return True
            tail = (tail + chunk)[-3:]
        lines.feed(chunk)
        if lines.found:
            return True
    return lines.finish()


def has_long_line(octets: bytes) -> bool:
    """Whether a line of a whole message is too long, the last one counted as it is."""
    lines = LongLines()
    lines.feed(octets)
    return lines.finish()
