"""Standard input as a message: header fields first, then the body in pieces (RFC 5322 2.1).

Whatever happens, the input is read to its end before the command exits (`drain`), because callers
take a broken pipe for a failure or die of it. A terminal is never drained.
"""

from __future__ import annotations

from sendmail_py.errors import DataError
from sendmail_py.mail.header import Splitter
from sendmail_py.mail.lines import Normaliser
from sendmail_py.submission.stdin import drain, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Intake:
    """The message on descriptor `fd`.

    dot    whether a lone dot ends it
    limit  largest message in octets of wire form
    """

    __slots__ = ("at_end", "fd", "limit", "normaliser", "octets", "splitter")

    def __init__(self, fd: int, dot: bool, limit: int) -> None:
        self.fd = fd
        self.limit = limit
        self.octets = 0
        self.at_end = False
        self.normaliser = Normaliser(dot)
        self.splitter = Splitter()

    def pieces(self) -> Iterator[bytes]:
        """The message in wire form. Raises InputError, and DataError when it is too large."""
        while not self.at_end and not self.normaliser.ended:
            octets = self.read()
            self.at_end = not octets
            yield self.counted(self.normaliser.feed(octets) if octets else self.normaliser.finish())

    def read(self) -> bytes:
        """More octets as they come in, b"" at the end."""
        return read(self.fd)

    def counted(self, text: bytes) -> bytes:
        """The same octets, unless they are too many."""
        self.octets += len(text)
        if self.octets > self.limit:
            raise DataError(f"message larger than max_message ({self.limit} octets); nothing was queued")
        return text

    def header(self) -> list[bytes]:
        """Read up to the body; the header fields, each with its CRLF line ends."""
        for piece in self.pieces():
            self.splitter.feed(piece)
            if self.splitter.done:
                break
        else:
            self.splitter.finish()
        return self.splitter.fields

    def body(self) -> Iterator[bytes]:
        """The rest in pieces. To be called once, after `header`."""
        yield self.splitter.body
        yield from self.pieces()

    def drain(self) -> None:
        """Read what is left and forget it."""
        if not self.at_end:
            self.at_end = True
            drain(self.fd)
