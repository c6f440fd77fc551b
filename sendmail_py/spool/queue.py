"""The queue as a flush, mailq and the admin command see it: list, read, claim, finish, delete.

Nothing here knows a policy: paths and times are arguments.
"""

from __future__ import annotations

import posix

from sendmail_py.errors import SendmailError
from sendmail_py.mail.envelope import Envelope
from sendmail_py.spool import durable, entry
from sendmail_py.spool.claim import Claim, open_message, read_entry
from sendmail_py.spool.folders import FAILED, QUEUE, open_folder
from sendmail_py.spool.tries import Try, read_tries

ID_DIGITS = 12
HEXADECIMAL = "0123456789ABCDEF"


class Waiting:
    """A line of the listing: queue id, when its next try is due (seconds, 0: never tried), its tries file."""

    __slots__ = ("next", "queue_id", "tries_name")

    def __init__(self, queue_id: str) -> None:
        self.queue_id = queue_id
        self.next = 0
        self.tries_name = ""


class Spool:
    """One user's spool below `directory` (absolute path)."""

    __slots__ = ("directory", "failed_fd", "queue_fd")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.queue_fd = -1
        self.failed_fd = -1

    def queue_folder(self, create: bool = False) -> int:
        """Descriptor of queue/; FileNotFoundError when there is no spool yet and none is to be made."""
        if self.queue_fd < 0:
            self.queue_fd = open_folder(self.directory, QUEUE, create)
        return self.queue_fd

    def failed_folder(self) -> int:
        """Descriptor of failed/, which is made on first use."""
        if self.failed_fd < 0:
            self.failed_fd = open_folder(self.directory, FAILED, create=True)
        return self.failed_fd

    def listing(self) -> list[Waiting]:
        """All messages in the queue by age, from one reading of the folder."""
        try:
            names = posix.listdir(self.queue_folder())
        except FileNotFoundError:
            return []
        found = {name: Waiting(name) for name in names if is_queue_id(name)}
        for name in names:
            waiting = found.get(name[:ID_DIGITS])
            if waiting is not None and len(name) > ID_DIGITS:
                add_tries(waiting, name)
        return [found[queue_id] for queue_id in sorted(found)]

    def clean(self) -> None:
        """Remove what killed processes left: unfinished files that nobody locks, tries without a message."""
        folder = self.queue_folder()
        names = set(posix.listdir(folder))
        for name in names:
            if name.startswith(".") and is_queue_id(name[1:]):
                durable.remove_abandoned(folder, name)
            elif not is_queue_id(name) and name.lstrip(".")[:ID_DIGITS] not in names:
                durable.discard(folder, name)

    def failed(self) -> list[Waiting]:
        """The messages in failed/, oldest first."""
        try:
            names = posix.listdir(f"{self.directory}/failed")
        except FileNotFoundError:
            return []
        return [Waiting(name) for name in sorted(names) if is_queue_id(name)]

    def read(self, waiting: Waiting, failed: bool = False) -> Listed | None:
        """What mailq shows of a message, without claiming it; None when it is gone.

        Raises DamagedError or NewerFormatError; OSError when it cannot be read.
        """
        folder = self.failed_folder() if failed else self.queue_folder()
        try:
            fd = open_message(folder, waiting.queue_id, posix.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            status = posix.fstat(fd)
            record = read_entry(fd)
        finally:
            posix.close(fd)
        tries = read_tries(folder, waiting.tries_name or waiting.queue_id + ".0")
        size = max(0, status.st_size - record.offset - entry.TRAILER_OCTETS)
        return Listed(waiting.queue_id, record.envelope, size, tries, (status.st_dev, status.st_ino))

    def claim(self, waiting: Waiting) -> Claim | None:
        """Take a message for sending; None when another flush has it or it is gone.

        Raises DamagedError (the file is in failed/ then) and NewerFormatError.
        """
        claim = Claim.take(self.queue_folder(), waiting.queue_id, waiting.tries_name)
        if claim is None:
            return None
        try:
            claim.check()
        except entry.DamagedError as fault:
            claim.set_aside(self.failed_folder(), str(fault))
            raise
        except (SendmailError, OSError):
            claim.release()
            raise
        return claim

    def finish(self, claim: Claim) -> bool:
        """Let go of a claimed message: gone when all is delivered, to failed/ when the rest failed.

        Returns whether it has left the queue. The folders are synced by `settle`.
        """
        if claim.envelope.having(b"T"):
            claim.release()
            return False
        if claim.envelope.having(b"F"):
            claim.move(self.failed_folder())
        else:
            claim.remove()
        return True

    def settle(self) -> None:
        """Make the removals of this run durable."""
        for fd in (self.failed_fd, self.queue_fd):
            if fd >= 0:
                posix.fsync(fd)

    def delete(self, waiting: Waiting, failed: bool = False) -> bool:
        """Remove a message for its owner's command; False when it is being sent or gone."""
        folder = self.failed_folder() if failed else self.queue_folder()
        claim = Claim.take(folder, waiting.queue_id, waiting.tries_name)
        if claim is None:
            return False
        claim.remove()
        return True


class Listed:
    """A message as mailq shows it: queue id, envelope, size (octets), tries, identity of its file."""

    __slots__ = ("envelope", "inode", "queue_id", "size", "tries")

    def __init__(
        self, queue_id: str, envelope: Envelope, size: int, tries: dict[int, Try], inode: tuple[int, int]
    ) -> None:
        self.queue_id = queue_id
        self.envelope = envelope
        self.size = size
        self.tries = tries
        self.inode = inode


def is_queue_id(name: str) -> bool:
    """Whether a file name is a queue id."""
    return len(name) == ID_DIGITS and not name.strip(HEXADECIMAL)


def add_tries(waiting: Waiting, name: str) -> None:
    """Note the tries file `ID.NEXT` of a message; after a crash there may be two, the later one counts."""
    digits = name[ID_DIGITS + 1 :]
    if name[ID_DIGITS] == "." and len(digits) == 8 and not digits.strip(HEXADECIMAL):
        due = int(digits, 16)
        if due >= waiting.next:
            waiting.next, waiting.tries_name = due, name
