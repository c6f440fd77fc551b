"""A message on its way into the queue: everything up to the one step that is the promise."""

from __future__ import annotations

import binascii
import errno
import posix

from sendmail_py.mail.envelope import TODO, Envelope
from sendmail_py.spool import durable, entry, usage
from sendmail_py.spool.folders import QUEUE, open_folder, trouble

BUFFER = 65536
TICKS = 65536  # queue ids a second


def begin(directory: str, nanoseconds: int, max_queue: int = 0) -> Draft:
    """A new draft in the spool `directory`, which is created if need be.

    nanoseconds  the time of arrival, since the epoch: queue ids are ordered by it
    max_queue    most octets in the queue; 0: no limit, and no look at the room on the disk
    Raises CantCreateError or TemporaryError.
    """
    try:
        folder = open_folder(directory, QUEUE, create=True)
        counter = -1
        if max_queue:
            usage.check_room(folder, directory)
            counter = usage.check_limit(directory, folder, max_queue)
        new = Draft(directory, folder, *reserve(folder, nanoseconds))
        new.counter = counter
        return new
    except OSError as error:
        raise trouble(error, directory) from None


class Draft:
    """A message on its way into the queue. It counts from `commit` on, and leaves nothing after `discard`.

    `done` is for the log: what was done with it.
    """

    done = "queued"

    __slots__ = (
        "checksum",
        "counter",
        "directory",
        "eight_bit",
        "fd",
        "folder",
        "hold",
        "octets",
        "pieces",
        "queue_id",
        "waiting",
    )

    def __init__(self, directory: str, folder: int, queue_id: str, fd: int) -> None:
        self.directory = directory
        self.folder = folder
        self.queue_id = queue_id
        self.fd = fd
        self.pieces: list[bytes] = []  # not yet written
        self.waiting = 0  # octets in pieces
        self.octets = 0  # of the message
        self.checksum = 0
        self.eight_bit = False
        self.counter = -1
        self.hold = ""  # name of the file that holds the message for a time

    def envelope(self, envelope: Envelope) -> None:
        """Write the records; the message follows."""
        records = entry.encode(envelope)
        self.checksum = binascii.crc32(records)
        if len(envelope.having(TODO)) != len(envelope.recipients):
            self.checksum = binascii.crc32(entry.encode(envelope, fresh=True))
        if envelope.hold:
            self.hold = hold_name(self.queue_id, envelope.hold)
        self.keep(records)

    def write(self, octets: bytes) -> None:
        """Add octets of the message, in wire form."""
        self.checksum = binascii.crc32(octets, self.checksum)
        self.octets += len(octets)
        self.eight_bit = self.eight_bit or not octets.isascii()
        self.keep(octets)

    def keep(self, octets: bytes) -> None:
        """Buffer, so that a small message is one write(2)."""
        self.pieces.append(octets)
        self.waiting += len(octets)
        if self.waiting >= BUFFER:
            self.flush()

    def flush(self) -> None:
        """Hand what is buffered to the file."""
        try:
            durable.write_all(self.fd, b"".join(self.pieces))
        except OSError as error:
            self.discard()
            raise trouble(error, self.directory) from None
        self.pieces, self.waiting = [], 0

    def commit(self) -> None:
        """Make the message durable and part of the queue; after this returns the promise holds."""
        self.seal()
        self.publish()

    def seal(self) -> None:
        """Write the trailer: the file is complete, but has no name yet."""
        self.keep(entry.trailer(self.octets, self.checksum, self.eight_bit))
        self.flush()

    def publish(self) -> None:
        """The one step; after this returns the promise holds."""
        fd, self.fd = self.fd, -1
        try:
            if self.hold:
                self.place_hold(fd)
            durable.publish(self.folder, fd, "." + self.queue_id, self.queue_id)
            counter, self.counter = self.counter, -1
            usage.add(counter, self.octets)
        except OSError as error:
            if self.hold:
                durable.discard(self.folder, self.hold)
            raise trouble(error, self.directory) from None
        finally:
            self.close()

    def place_hold(self, fd: int) -> None:
        """Before the message has its name, so that it is never seen without its hold; OSError."""
        try:
            durable.create_empty(self.folder, self.hold)
        except OSError:
            posix.close(fd)
            durable.discard(self.folder, "." + self.queue_id)
            raise

    def discard(self) -> None:
        """Leave nothing behind, no descriptor either; a second time is as good as once."""
        if self.folder >= 0:
            durable.discard(self.folder, "." + self.queue_id)
        self.close()

    def withdraw(self) -> None:
        """Take back what was published, for a caller who is told that nothing was queued; never raises."""
        try:
            folder = open_folder(self.directory, QUEUE, create=False)
        except OSError:
            return
        durable.discard(folder, self.queue_id)
        if self.hold:
            durable.discard(folder, self.hold)
        posix.close(folder)

    def close(self) -> None:
        """Give back the descriptors, once: their numbers may be somebody else's afterwards."""
        for fd in (self.fd, self.folder, self.counter):
            if fd >= 0:
                try:
                    posix.close(fd)
                except OSError:
                    continue
        self.fd = self.folder = self.counter = -1


def hold_name(queue_id: str, until: int) -> str:
    """The name of the file that holds a message until then (seconds)."""
    return f"{queue_id}.hold-{max(0, min(until, 0xFFFFFFFF)):08X}"


def reserve(folder: int, nanoseconds: int) -> tuple[str, int]:
    """A free queue id for this moment and the new, locked file that reserves it.

    Ids are 1/TICKS seconds since the epoch. Whoever holds `.ID` is the only one who may create
    `ID`, so a look at `ID` after that decides: an id that a set-back clock brings again is passed over.
    """
    ticks = nanoseconds * TICKS // 1_000_000_000
    for tick in range(ticks, ticks + TICKS):
        queue_id = f"{tick & 0xFFFFFFFFFFFF:012X}"
        fd = durable.create(folder, "." + queue_id)
        if fd is None:
            continue
        if is_free(folder, queue_id):
            return queue_id, fd
        durable.discard(folder, "." + queue_id)
        posix.close(fd)
    raise FileExistsError(errno.EAGAIN, "no free queue id")


def is_free(folder: int, queue_id: str) -> bool:
    """Whether no message has that id; a fault leaves no reservation behind."""
    try:
        return not durable.exists(folder, queue_id)
    except OSError:
        durable.discard(folder, "." + queue_id)
        raise
