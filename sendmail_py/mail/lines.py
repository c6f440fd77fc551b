"""Line ends and line lengths (RFC 5322 2.1.1, 2.3; RFC 5321 4.5.3.1.6).

Whatever came in, CRLF and nothing else goes out: LF and CRLF end a line, a CR anywhere else
becomes a blank (so that no server can see an end of data that we did not write), NUL is removed.
Both classes work on a stream that is cut anywhere and keep no more than a few octets of it.
"""

from __future__ import annotations

CRLF = b"\r\n"
LONGEST = 998  # octets of a line without its CRLF


class Normaliser:
    """A message as a program wrote it to CRLF form; finds the lone dot that ends it.

    dot    whether a line that holds nothing but "." ends the message (sendmail without -i)
    ended  set once that line was seen; what follows it is not part of the message
    """

    __slots__ = ("at_start", "dot", "ended", "held")

    def __init__(self, dot: bool) -> None:
        self.dot = dot
        self.ended = False
        self.at_start = True
        self.held = b""  # octets whose meaning the next ones decide: "\r" or "." at the start of a line

    def feed(self, octets: bytes) -> bytes:
        """Take any number of octets, return what is certain of them, in CRLF form."""
        if self.ended:
            return b""
        octets = self.held + octets.replace(b"\0", b"")
        self.held = b""
        if octets.endswith(b"\r"):
            octets, self.held = octets[:-1], b"\r"
        text = octets.replace(CRLF, b"\n").replace(b"\r", b" ").replace(b"\n", CRLF)
        if self.dot:
            text = self.until_dot(text)
        if text:
            self.at_start = text.endswith(b"\n")
        return text

    def until_dot(self, text: bytes) -> bytes:
        """The text before a lone dot; a dot that may become one is held back."""
        if self.at_start and text.startswith(b".\r\n"):
            self.ended = True
            return b""
        found = text.find(b"\r\n.\r\n")
        if found >= 0:
            self.ended = True
            return text[: found + 2]
        if text.endswith(b"\r\n.") or (self.at_start and text == b"."):
            self.held = b"." + self.held
            return text[:-1]
        return text

    def finish(self) -> bytes:
        """What end of input adds: a missing last line end; a lone dot without one is dropped."""
        held, self.held = self.held.replace(b"\r", b" "), b""
        if self.ended or (self.dot and held == b"."):
            self.ended = True
            return b""
        if not held and self.at_start:
            return b""
        self.at_start = True
        return held + CRLF


class Breaker:
    """Breaks body lines over 998 octets: line end, blank, rest (as Postfix does)."""

    __slots__ = ("column",)

    def __init__(self) -> None:
        self.column = 0

    def feed(self, text: bytes) -> bytes:
        """Take CRLF text cut anywhere but inside a CRLF; return it with no line over the limit."""
        out = []
        begin = at = 0
        while True:
            end = text.rfind(b"\n", at, at + LONGEST + 2 - self.column)
            if end >= 0:
                at, self.column = end + 1, 0
            elif len(text) - at <= LONGEST - self.column:
                self.column += len(text) - at
                break
            else:
                at = character_start(text, at, at + LONGEST - self.column)
                out.append(text[begin:at])
                begin, self.column = at, 1
        if not out:
            return text
        out.append(text[begin:])
        return b"\r\n ".join(out)


def character_start(text: bytes, low: int, at: int) -> int:
    """The largest index in (low, at] that is not inside a UTF-8 character (RFC 3629)."""
    start = at
    while start > max(low, at - 3) and 0x80 <= text[start] < 0xC0:
        start -= 1
    return start if start > low else at
