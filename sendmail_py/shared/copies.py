"""The relay's own copy of a message that a reader shows: whole before a word of it goes to the smart host.

Guarantees: a descriptor is read only if it is a regular file of the owner's, with one name, on the spool's
own mount, so no fifo, device, foreign file or hanging file system is; never more than the limit; only
what is in wire form (no bare CR or LF); what the owner does to the file afterwards changes nothing.
"""

from __future__ import annotations

import os
import stat

from sendmail_py.errors import DataError
from sendmail_py.relay import content
from sendmail_py.shared.frames import FrameError
from sendmail_py.spool import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sendmail_py.shared.dialect import Offer
    from sendmail_py.shared.place import Place

PIECE = 65536
SMALL = 65536  # octets that are kept in memory; more goes to an unlinked file


class TooBigError(DataError):
    """The message is larger than the configuration allows."""


class Copy:
    """The content of one message: `size` octets, `chunks()`, whether any octet is 8-bit."""

    __slots__ = ("eight_bit", "octets", "size", "store")

    def __init__(self, size: int) -> None:
        self.size = size
        self.eight_bit = False
        self.octets = b""
        self.store = -1  # descriptor of the unlinked file

    def chunks(self) -> Iterator[bytes]:
        """The content in pieces of at most 64 KiB."""
        if self.store < 0:
            yield self.octets
            return
        done = 0
        while done < self.size:
            piece = os.pread(self.store, min(PIECE, self.size - done), done)
            if not piece:
                raise OSError("the relay's copy of the message is cut off")
            done += len(piece)
            yield piece

    def close(self) -> None:
        """Give the room back."""
        self.octets = b""
        if self.store >= 0:
            os.close(self.store)
            self.store = -1


def is_fit(descriptor: int, owner: int, place: Place) -> bool:
    """Whether a descriptor is a queue file of that owner: see the guarantees."""
    status = os.fstat(descriptor)
    regular = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    return regular and status.st_uid == owner and place.holds(descriptor)


def nameless_file() -> int:
    """Descriptor of a file without a name in the working folder, in memory where that cannot be."""
    try:
        return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return os.memfd_create("message", os.MFD_CLOEXEC)


def take(descriptor: int, offer: Offer, limit: int) -> Copy:
    """Copy the content that an offer speaks of.

    FrameError when it is not there, TooBigError, BareLineEndError when it could end the mail data by itself.
    """
    if offer.size > limit:
        raise TooBigError(f"message of {offer.size} octets is larger than max_message ({limit} octets)")
    made = Copy(offer.size)
    if offer.size > SMALL:
        made.store = nameless_file()
    try:
        fill(made, descriptor, offer)
    except BaseException:
        made.close()
        raise
    return made


def fill(made: Copy, descriptor: int, offer: Offer) -> None:
    """Read it all."""
    done, tail = 0, b"\r\n"
    while done < offer.size:
        piece = os.pread(descriptor, min(PIECE, offer.size - done), offer.offset + done)
        if not piece:
            raise FrameError("shows a queue file that is shorter than it says")
        done += len(piece)
        content.check_line_ends(tail + piece)
        tail = (tail + piece)[-2:]
        made.eight_bit = made.eight_bit or not piece.isascii()
        if made.store < 0:
            made.octets += piece
        else:
            durable.write_all(made.store, piece)
    content.check_line_ends(tail + b".")
