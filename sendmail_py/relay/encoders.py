"""Bodies on the fly: quoted-printable and base64 (RFC 2045 6.7, 6.8), made afresh or only wrapped again.

Each class takes the pieces of one body, cut anywhere, by `feed`, and `finish` gives what it held back: a few
octets. Whoever decodes the output gets the octets of the input, CRLF line ends included. No output
line is longer than 76 octets unless said otherwise, and none begins with a hyphen that was not there, so that
none can become a delimiter.
"""

from __future__ import annotations

import binascii
import re

CRLF = b"\r\n"
WIDTH = 76
BASE64_LINE = 57  # octets of content on a line of base64
LONGEST = 998

TO_ESCAPE = re.compile(rb"[^\t\n\r !-<>-~]+")
NOT_ASCII = re.compile(rb"=?[\x80-\xff]+")  # and an equal sign before, which would become a code
HIGH = bytes(range(128, 256))


def escape(found: re.Match[bytes]) -> bytes:
    """Octets as =XX."""
    return escaped(found[0])


def escaped(octets: bytes) -> bytes:
    """Octets as =XX."""
    return b"=" + binascii.hexlify(octets, b"=").upper() if octets else b""


class Plain:
    """A body that stays."""

    __slots__ = ()

    def feed(self, octets: bytes) -> bytes:
        """Take a piece, return what is certain."""
        return octets

    def finish(self) -> bytes:
        """The rest."""
        return b""


class Wrapper:
    """Cuts lines at `width` octets; `mark` is what a line that goes on ends with.

    The text must not be cut inside a CRLF or a =XX, unless `mark` is empty.
    """

    __slots__ = ("column", "held", "mark", "width")

    def __init__(self, width: int = WIDTH, mark: bytes = b"=") -> None:
        self.width = width
        self.mark = mark
        self.column = 0
        self.held = b""

    def feed(self, text: bytes) -> bytes:
        """The text with its long lines cut; looks at each line at most once."""
        text = self.held + text
        out: list[bytes] = []
        begin = at = 0
        room = self.width - self.column
        while True:
            end = text.rfind(b"\n", at, at + room + len(CRLF))
            if end >= 0:
                at, room = end + 1, self.width
                continue
            if len(text) - at <= room:
                break
            end = self.cut(text, at, room)
            out += [text[begin:end], self.mark, CRLF]
            begin = at = end
            room = self.width
            if self.mark and text.startswith(b"-", at):
                out.append(escaped(b"-"))
                begin = at = end + 1
                room -= 3
        end = self.cut(text, at, room)  # what a full line ends with depends on what follows
        self.held = text[end:]
        self.column = self.width - room + len(text) - len(self.held) - at
        return b"".join([*out, text[begin:end]])

    def finish(self) -> bytes:
        """The rest."""
        return self.held

    def cut(self, text: bytes, low: int, room: int) -> int:
        """The last place that leaves room for the mark and is not inside a =XX; the end if all fits."""
        end = low + room - len(self.mark)
        if len(text) <= end:
            return len(text)
        inside = text.rfind(b"=", max(low, end - 2), end) if self.mark else -1
        return end if inside < 0 else inside


class QuotedPrintable:
    """Text as quoted-printable; a CR or LF that is no line end is escaped too."""

    __slots__ = ("at_start", "held", "wrapper")

    def __init__(self) -> None:
        self.wrapper = Wrapper()
        self.held = b""
        self.at_start = True

    def feed(self, octets: bytes) -> bytes:
        """Take a piece, return what is certain of it: a blank or CR at its end depends on the next one."""
        octets = self.held + octets
        kept = len(octets.removesuffix(b"\r"))
        kept -= octets[:kept].endswith((b" ", b"\t"))
        self.held = octets[kept:]
        return self.encoded(octets[:kept])

    def finish(self) -> bytes:
        """The rest; a blank at the very end would be lost (RFC 2045 6.7 (3))."""
        held, self.held = self.held, b""
        return self.wrapper.feed(escaped(held)) + self.wrapper.finish()

    def encoded(self, text: bytes) -> bytes:
        """The text as quoted-printable; its last line need not be complete."""
        if not text:
            return b""
        begins_with_hyphen = self.at_start and text.startswith(b"-")
        self.at_start = text.endswith(b"\n")
        text = TO_ESCAPE.sub(escape, text)
        if not text.count(b"\r") == text.count(b"\n") == text.count(CRLF):
            text = CRLF.join(
                [line.replace(b"\r", b"=0D").replace(b"\n", b"=0A") for line in text.split(CRLF)]
            )
        text = text.replace(b" \r\n", b"=20\r\n").replace(b"\t\r\n", b"=09\r\n").replace(b"\n-", b"\n=2D")
        return self.wrapper.feed(b"=2D" + text[1:] if begins_with_hyphen else text)


class Base64:
    """Octets as base64; the last line has no line end."""

    __slots__ = ("held", "started")

    def __init__(self) -> None:
        self.held = b""
        self.started = False

    def feed(self, octets: bytes) -> bytes:
        """Take a piece, return whole lines."""
        octets = self.held + octets
        whole = len(octets) - len(octets) % BASE64_LINE
        self.held = octets[whole:]
        return self.lines(octets[:whole])

    def finish(self) -> bytes:
        """The last line."""
        return self.lines(self.held)

    def lines(self, octets: bytes) -> bytes:
        """These octets as lines, with a line end before the first unless it is the first of all."""
        if not octets:
            return b""
        text = binascii.b2a_base64(octets, newline=False)
        lines = [text[at : at + WIDTH] for at in range(0, len(text), WIDTH)]
        before = CRLF if self.started else b""
        self.started = True
        return before + CRLF.join(lines)


class QuotedPrintableAgain:
    """Quoted-printable, or text that means nothing, whose lines are too long, or whose octets are.

    ascii_only   escape octets above 127, which a decoder takes for what they are
    """

    __slots__ = ("ascii_only", "held", "wrapper")

    def __init__(self, ascii_only: bool, width: int = WIDTH) -> None:
        self.ascii_only = ascii_only
        self.wrapper = Wrapper(width)
        self.held = b""

    def feed(self, octets: bytes) -> bytes:
        """Take a piece, return what is certain of it."""
        octets = self.held + octets
        begun = octets.find(b"=", max(0, len(octets) - 2))
        kept = begun if begun >= 0 else len(octets.removesuffix(b"\r"))
        self.held = octets[kept:]
        return self.wrapped(octets[:kept])

    def finish(self) -> bytes:
        """The rest."""
        return self.wrapped(self.held) + self.wrapper.finish()

    def wrapped(self, text: bytes) -> bytes:
        """See the class."""
        return self.wrapper.feed(NOT_ASCII.sub(escape, text) if self.ascii_only else text)


class Base64Again:
    """Base64 whose lines are too long; what is not of its alphabet is nothing to a decoder (RFC 2045 6.8)."""

    __slots__ = ("ascii_only", "held", "wrapper")

    def __init__(self, ascii_only: bool) -> None:
        self.ascii_only = ascii_only
        self.wrapper = Wrapper(mark=b"")
        self.held = b""

    def feed(self, octets: bytes) -> bytes:
        """Take a piece, return what is certain of it."""
        octets = self.held + octets
        kept = len(octets.removesuffix(b"\r"))
        self.held = octets[kept:]
        return self.wrapped(octets[:kept])

    def finish(self) -> bytes:
        """The rest."""
        return self.wrapped(self.held) + self.wrapper.finish()

    def wrapped(self, text: bytes) -> bytes:
        """See the class."""
        return self.wrapper.feed(text.translate(None, HIGH) if self.ascii_only else text)
