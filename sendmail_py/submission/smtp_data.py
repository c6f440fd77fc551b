r"""Where mail data ends in the stream of an SMTP dialogue: the lone dot of DATA, the octets of BDAT. Pure.

Nothing can be smuggled (CVE-2023-51764 and its kin): mail data ends at CRLF.CRLF and nowhere else, and
only after CRLF is a dot taken for a stuffed one. Only when the commands so far all ended in a bare LF, is a
line what ends in LF, as the client sees it then. What bare CR and LF inside the data become is decided later
(mail.lines), and the relay stuffs dots anew, so nothing that passed here can end data elsewhere.

Both classes take octets cut anywhere and keep a handful of them at most.
"""

from __future__ import annotations

CRLF = b"\r\n"


class Unstuffer:
    """The octets from DATA to the lone dot, without the dots that the client stuffed (RFC 5321 4.5.2).

    bare   whether lines may end in a bare LF
    ended  set once the lone dot was seen; `rest` is what came after its line
    """

    __slots__ = ("bare", "ended", "held", "mark", "rest", "virtual")

    def __init__(self, bare: bool) -> None:
        self.bare = bare
        self.ended = False
        self.rest = b""
        self.mark = b"\n" if bare else CRLF
        self.held = self.mark  # the line end of the command itself begins the first line
        self.virtual = len(self.mark)  # octets of `held` that are no mail data

    def feed(self, octets: bytes) -> bytes:
        """Take octets, return what is certain of the mail data."""
        text = self.held + octets
        out, at = [], 0
        found = text.find(self.mark + b".")
        while found >= 0:
            dot = found + len(self.mark)
            end = self.end_of_data(text, dot + 1)
            if end < 0:
                break
            out.append(text[at:dot])
            if end:
                self.ended, self.rest = True, text[end:]
                return self.real(out)
            at = dot + 1
            found = text.find(self.mark + b".", at)
        keep = found if found >= 0 else max(at, len(text) - self.line_end_at_end(text))
        out.append(text[at:keep])
        self.held = text[keep:]
        return self.real(out)

    def end_of_data(self, text: bytes, at: int) -> int:
        """Where the line ends whose dot is before `at`; 0 if it is not alone, -1 if nobody knows yet."""
        tail = text[at : at + 2]
        if tail == CRLF:
            return at + 2
        if self.bare and tail.startswith(b"\n"):
            return at + 1
        return -1 if tail in (b"", b"\r") else 0

    def line_end_at_end(self, text: bytes) -> int:
        """How many octets at the end of a text are, or may become, a line end."""
        if text.endswith(self.mark):
            return len(self.mark)
        return 1 if text.endswith(b"\r") and not self.bare else 0

    def real(self, pieces: list[bytes]) -> bytes:
        """The pieces joined, without the line end of the command."""
        text = b"".join(pieces)
        if text and self.virtual:
            text, self.virtual = text[self.virtual :], 0
        return text


class Chunk:
    """The octets of one BDAT command (RFC 3030 2): `left` are still to come; see Unstuffer for the rest."""

    __slots__ = ("left", "rest")

    def __init__(self, size: int) -> None:
        self.left = size
        self.rest = b""

    @property
    def ended(self) -> bool:
        """Whether all octets were seen."""
        return self.left == 0

    def feed(self, octets: bytes) -> bytes:
        """Take octets, return those that belong to the chunk."""
        piece, self.rest = octets[: self.left], octets[self.left :]
        self.left -= len(piece)
        return piece
