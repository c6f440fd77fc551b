"""Line ends (RFC 5322 2.3): a message as a program wrote it, in wire form.

Whatever came in, CRLF and nothing else goes out: LF, CRLF and CRCRLF (which programs write that make CRLF of
the LF in CRLF) end a line, a CR anywhere else becomes a blank (so that no server can see an end of data that
we did not write), NUL is removed.
It works on a stream that is cut anywhere and keeps no more than a few octets of it. Lines that are too long
for SMTP stay as they are: the relay re-codes what must not leave so (relay/recode.py).
"""

from __future__ import annotations

CRLF = b"\r\n"


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
        self.held = b""  # octets whose meaning the next ones decide: CRs, "." at the start of a line

    def feed(self, octets: bytes) -> bytes:
        """Take any number of octets, return what is certain of them, in CRLF form."""
        if self.ended:
            return b""
        octets = self.held + octets.replace(b"\0", b"")
        self.held = b""
        if b"\r" in octets:
            octets = self.without_cr(octets)
        text = octets.replace(b"\n", CRLF)
        if self.dot:
            text = self.until_dot(text)
        if text:
            self.at_start = text.endswith(b"\n")
        return text

    def without_cr(self, octets: bytes) -> bytes:
        """LF line ends, and blanks for all other CRs; those at the end may belong to a line end to come."""
        end = max(len(octets.rstrip(b"\r")), len(octets) - 2)
        octets, self.held = octets[:end], octets[end:]
        return octets.replace(CRLF, b"\n").replace(CRLF, b"\n").replace(b"\r", b" ")

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
