"""A message that one flush has taken: the lock, its content, its progress.

The claim is the flock(2) of the queue file: it vanishes with the process that holds it.
"""

from __future__ import annotations

import binascii
import errno
import posix
import stat

from sendmail_py.mail.envelope import OPEN, Envelope
from sendmail_py.spool import durable, entry, reading, tries
from sendmail_py.spool.tries import Try

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PIECE = 65536
FAILED_TRIES = ".0"  # behind the id of a message in failed/
SMALL = 262144  # a message up to this size is read once and kept


def open_message(folder: int, name: str, flags: int) -> int:
    """Open a queue file: a regular file, nothing else (OSError ELOOP or EINVAL)."""
    fd = posix.open(name, durable.SAFELY | flags, dir_fd=folder)
    try:
        regular(fd, name)
    except OSError:
        posix.close(fd)
        raise
    return fd


def regular(fd: int, name: str) -> posix.stat_result:
    """The status of an open queue file; OSError EINVAL unless it is a regular file."""
    status = posix.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", name)
    return status


def read_entry(fd: int) -> reading.Entry:
    """The records at the beginning of an open queue file; DamagedError, NewerFormatError."""
    octets = posix.pread(fd, PIECE, 0)
    end = octets.find(entry.END_OF_RECORDS)
    while end < 0:
        piece = posix.pread(fd, max(PIECE, len(octets)), len(octets))  # doubling keeps it linear
        seen = len(octets) - 1
        octets += piece
        if not piece or len(octets) > entry.LARGEST_RECORDS:
            raise reading.newer_or_damaged(octets[:64])
        end = octets.find(entry.END_OF_RECORDS, max(0, seen))
    return reading.decode(octets[: end + 2])


class Claim:
    """A claimed queue file.

    envelope  with the states of its recipients
    size      octets of the message in wire form
    tries     attempts so far, by index of the recipient
    beside    names of the other files that belong to it: holds, promised reports
    owing     whether a report may have been due when it was claimed: then `beside` may be out of date
    """

    __slots__ = (
        "beside",
        "content",
        "entry",
        "fd",
        "folder",
        "owing",
        "queue_id",
        "size",
        "tries",
        "tries_name",
    )

    def __init__(self, folder: int, queue_id: str, tries_name: str, fd: int) -> None:
        self.beside: list[str] = []
        self.owing = False
        self.folder = folder
        self.queue_id = queue_id
        self.tries_name = tries_name
        self.fd = fd
        self.size = 0
        self.tries: dict[int, Try] = {}
        self.content: bytes | None = None

    @classmethod
    def take(cls, folder: int, queue_id: str, tries_name: str) -> Claim | None:
        """Open and lock; None when somebody else has it, or it left the queue before we had the lock.

        Where locks do not work everybody has it.
        """
        try:
            fd = posix.open(queue_id, durable.SAFELY | posix.O_RDWR, dir_fd=folder)
        except FileNotFoundError:
            return None
        try:
            mine = regular(fd, queue_id)
            if durable.lock_if_possible(fd) and still_named(folder, queue_id, mine):
                return cls(folder, queue_id, tries_name, fd)
        except OSError:
            posix.close(fd)
            raise
        posix.close(fd)
        return None

    @property
    def envelope(self) -> Envelope:
        """The envelope with the states that are on disk."""
        return self.entry.envelope

    def check(self) -> None:
        """Read the records and prove that the file is whole; DamagedError, NewerFormatError."""
        octets = posix.pread(self.fd, PIECE, 0)
        if len(octets) < PIECE and (end := octets.find(entry.END_OF_RECORDS)) >= 0:
            self.entry = reading.decode(octets[: end + 2])
            trailer = self.read_small(octets)
        else:
            self.entry = read_entry(self.fd)
            trailer = self.read_big()
        checksum = self.entry.checksum()
        for piece in self.chunks():
            checksum = binascii.crc32(piece, checksum)
        self.envelope.eight_bit = trailer.endswith(b" 8\n")
        if trailer != entry.trailer(self.size, checksum, self.envelope.eight_bit):
            raise reading.DamagedError("length or checksum do not fit")
        if self.tries_name:
            self.tries = tries.read_tries(self.folder, self.tries_name)

    def read_small(self, octets: bytes) -> bytes:
        """Content and size from all octets of the file; its trailer."""
        self.set_size(len(octets))
        self.content = octets[self.entry.offset : -entry.TRAILER_OCTETS]
        return octets[-entry.TRAILER_OCTETS :]

    def read_big(self) -> bytes:
        """Size, and content unless it is too much to keep, from the file; its trailer."""
        length = posix.fstat(self.fd).st_size
        self.set_size(length)
        if self.size <= SMALL:
            self.content = posix.pread(self.fd, self.size, self.entry.offset)
        return posix.pread(self.fd, entry.TRAILER_OCTETS, length - entry.TRAILER_OCTETS)

    def set_size(self, length: int) -> None:
        """The size of the message in a file of `length` octets; DamagedError."""
        self.size = length - self.entry.offset - entry.TRAILER_OCTETS
        if self.size < 0:
            raise reading.DamagedError("the file is cut off")

    def chunks(self) -> Iterable[bytes]:
        """The message in pieces of at most 64 KiB (small ones at once)."""
        return self.pieces() if self.content is None else (self.content,)

    def pieces(self) -> Iterator[bytes]:
        """The message in pieces, from the file."""
        done = 0
        while done < self.size:
            piece = posix.pread(self.fd, min(PIECE, self.size - done), self.entry.offset + done)
            if not piece:
                raise OSError(errno.EIO, "the file shrank", self.queue_id)
            done += len(piece)
            yield piece

    def mark(self, states: dict[int, bytes], sync: bool = True) -> None:
        """Write down states (index of the recipient -> state); durable when it returns, if `sync`."""
        octets = []
        for index, state in states.items():
            self.envelope.recipients[index].state = state
            octets.append((self.entry.states[index], state))
        durable.overwrite(self.fd, octets, sync)

    def defer(self, attempts: dict[int, Try]) -> None:
        """Write down attempts (index of the recipient -> Try); earlier ones of other recipients stay."""
        self.tries.update(attempts)
        todo = {i: t for i, t in self.tries.items() if self.is_todo(i)}
        name = tries.file_name(self.queue_id, todo)
        durable.replace(self.folder, name, tries.encode(self.tries), f".{self.queue_id}.tries")
        if self.tries_name not in ("", name):
            durable.discard(self.folder, self.tries_name)
        self.tries_name = name

    def is_todo(self, index: int) -> bool:
        """Whether that recipient still waits."""
        recipients = self.envelope.recipients
        return 0 <= index < len(recipients) and recipients[index].state in OPEN

    def remove(self) -> None:
        """The message has done its duty."""
        posix.unlink(self.queue_id, dir_fd=self.folder)
        self.tidy()
        self.release()

    def tidy(self) -> None:
        """Remove what lies beside the message."""
        for name in [self.tries_name, *self.beside]:
            if name:
                durable.discard(self.folder, name)

    def move(self, other: int, suffix: str = FAILED_TRIES) -> str:
        """To failed/, with its tries, if the disk takes them; returns its id there.

        A different message that has the id keeps it.

        Or from there back: `other` is then the descriptor of queue/ and `suffix` that of a due time.
        """
        name = self.queue_id
        while durable.exists(other, name):
            name = f"{int(name, 16) + 1:012X}"
        posix.rename(self.queue_id, name, src_dir_fd=self.folder, dst_dir_fd=other)
        if self.tries:
            try:
                durable.replace(other, name + suffix, tries.encode(self.tries), f".{name}.tries")
            except OSError:
                durable.discard(other, f".{name}.tries")
        self.tidy()
        self.release()
        return name

    def rewrite(self, envelope: Envelope, pieces: Iterator[bytes]) -> None:
        """Another envelope and content under the same id, by one rename; the claim goes on with them.

        The recipients and their states are the same. Durable when it returns.
        """
        temporary = f".{self.queue_id}.new"
        durable.discard(self.folder, temporary)
        fd = posix.open(
            temporary, durable.SAFELY | posix.O_RDWR | posix.O_CREAT | posix.O_EXCL, 0o600, dir_fd=self.folder
        )
        try:
            durable.lock_if_possible(fd)  # before it has the name that others may claim
            self.write_again(fd, envelope, pieces)
            posix.fsync(fd)
            posix.rename(temporary, self.queue_id, src_dir_fd=self.folder, dst_dir_fd=self.folder)
            posix.fsync(self.folder)
        except BaseException:
            durable.discard(self.folder, temporary)
            posix.close(fd)
            raise
        posix.close(self.fd)
        self.fd, self.content = fd, None
        self.check()

    def write_again(self, fd: int, envelope: Envelope, pieces: Iterator[bytes]) -> None:
        """The whole file: the checksum takes every recipient for TODO."""
        checksum = binascii.crc32(entry.encode(envelope, fresh=True))
        durable.write_all(fd, entry.encode(envelope))
        octets, eight_bit = 0, False
        for piece in pieces:
            durable.write_all(fd, piece)
            checksum = binascii.crc32(piece, checksum)
            octets += len(piece)
            eight_bit = eight_bit or not piece.isascii()
        durable.write_all(fd, entry.trailer(octets, checksum, eight_bit))

    def set_aside(self, failed: int, reason: str) -> None:
        """A damaged file: to failed/ with the reason, never sent, never removed."""
        self.tries = {tries.WHOLE_MESSAGE: Try(0, 0, 0, "", "5.3.0", reason)}
        self.move(failed)

    def release(self) -> None:
        """Let others have it."""
        posix.close(self.fd)


def still_named(folder: int, name: str, mine: posix.stat_result) -> bool:
    """Whether the name still leads to the open file with that status."""
    try:
        named = posix.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return named.st_ino == mine.st_ino and named.st_dev == mine.st_dev
