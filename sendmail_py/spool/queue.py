"""The queue as a flush, mailq and the admin command see it: list, read, claim, finish, delete.

Nothing here knows a policy: paths and times are arguments.
"""

from __future__ import annotations

import posix

from sendmail_py.errors import SendmailError
from sendmail_py.mail.envelope import DELIVERED, OPEN, RELAYED, REPORTED, Envelope
from sendmail_py.mail.envelope import FAILED as FAILED_STATE
from sendmail_py.spool import durable, entry, reading
from sendmail_py.spool.claim import FAILED_TRIES, PIECE, Claim, open_message, read_entry
from sendmail_py.spool.folders import FAILED, QUEUE, open_folder
from sendmail_py.spool.tries import Try, read_tries

ID_DIGITS = 12
HEXADECIMAL = "0123456789ABCDEF"


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOLD = ".hold"
DIGEST = "digest-"  # begins the name of a message whose place a digest takes, see absorb.py
FOREVER = 1 << 40
CLOCK_SLACK = 86400  # a clock that is this far before a message's arrival has jumped


class Waiting:
    """A line of the listing: queue id, when its next try is due (seconds, 0: never tried), its tries file.

    held    until when it must not be sent (seconds), 0: it may be, FOREVER: until somebody releases it
    beside  names of its other files: holds and promised reports
    """

    __slots__ = ("beside", "held", "next", "queue_id", "tries_name")

    def __init__(self, queue_id: str) -> None:
        self.queue_id = queue_id
        self.next = self.held = 0
        self.tries_name = ""
        self.beside: tuple[str, ...] = ()

    def is_held(self, now: float) -> bool:
        """Whether it must not be sent now.

        Not when the clock is far before the time of its arrival: it was set back, and a short wait would
        become one of years.
        """
        if self.held == FOREVER:
            return True
        return now < self.held and now > int(self.queue_id, 16) / 65536 - CLOCK_SLACK


class Spool:
    """One user's spool below `directory` (absolute path)."""

    __slots__ = ("directory", "failed_fd", "leftovers", "promises", "queue_fd")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.queue_fd = -1
        self.failed_fd = -1
        self.leftovers: list[str] = []  # names in the queue that belong to no message, by the last listing
        self.promises: list[str] = []  # names of promised reports, by the last listing

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
        found = list(self.messages())
        self.promises = [name for one in found if one.beside for name in one.beside if HOLD not in name]
        return found

    def messages(self) -> Iterator[Waiting]:
        """The same, each made when its turn comes, for who may not want them all."""
        try:
            names = posix.listdir(self.queue_folder())
        except FileNotFoundError:
            names = []
        names.sort()  # a message, then what lies beside it, then the next
        self.leftovers = []
        last, queue_id = None, "-"
        for name in names:
            if len(name) == ID_DIGITS and not name.strip(HEXADECIMAL):
                if last is not None:
                    yield last
                last, queue_id = Waiting(name), name
            elif last is not None and name.startswith(queue_id):
                add_beside(last, name)
            else:
                self.leftovers.append(name)
        if last is not None:
            yield last

    def clean(self) -> None:
        """Remove what killed processes left, by the last listing; what is none of ours stays.

        That is: unfinished files that nobody has locked, and files beside a message that is gone. Whoever
        finds a promise knows what the unfinished file means that it names, so that stays.
        """
        kept = promised(self.leftovers + self.promises)
        unfinished = [one for one in self.leftovers if is_unfinished(one) and one[1:] not in kept]
        if unfinished:
            self.remove_unfinished(unfinished)
        for name in self.leftovers:
            if belongs_to(name) and not self.is_there(belongs_to(name)):
                durable.discard(self.queue_folder(), name)

    def remove_unfinished(self, names: list[str]) -> None:
        """Remove unfinished files whose writers are gone.

        The names are looked at again when we have the locks: what a writer had promised is there by then.
        """
        folder = self.queue_folder()
        locked = {name: durable.lock_abandoned(folder, name) for name in names}
        gone = {name: fd for name, fd in locked.items() if fd >= 0}
        kept = promised(posix.listdir(folder)) if gone else set()
        for name, fd in gone.items():
            if name[1:] not in kept:
                durable.discard(folder, name)
            posix.close(fd)

    def notices(self) -> list[str]:
        """The promises of notices to the owner, by the last listing."""
        return [name for name in self.leftovers if name.startswith("notice-") and is_queue_id(name[7:])]

    def is_there(self, queue_id: str) -> bool:
        """Whether a message is in the queue or about to be; in this order none is missed."""
        folder = self.queue_folder()
        return durable.exists(folder, "." + queue_id) or durable.exists(folder, queue_id)

    def failed(self) -> list[Waiting]:
        """The messages in failed/, oldest first."""
        try:
            names = posix.listdir(f"{self.directory}/failed")
        except FileNotFoundError:
            return []
        found = [Waiting(name) for name in sorted(names) if is_queue_id(name)]
        for one in found:
            one.tries_name = one.queue_id + FAILED_TRIES
        return found

    def count_failed(self) -> tuple[int, int]:
        """How many messages are in failed/, and how many of them are reports: nobody was told of those."""
        found = self.failed()
        return len(found), sum(self.is_report(one) for one in found)

    def is_report(self, waiting: Waiting) -> bool:
        """Whether a message in failed/ has the null reverse-path; one that cannot be read has not."""
        try:
            listed = self.read(waiting, failed=True)
        except (SendmailError, OSError):
            return False
        return listed is not None and not listed.envelope.reverse_path

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
        tries = read_tries(folder, waiting.tries_name)
        size = max(0, status.st_size - record.offset - entry.TRAILER_OCTETS)
        return Listed(waiting.queue_id, record.envelope, size, tries, (status.st_dev, status.st_ino))

    def head(self, waiting: Waiting) -> bytes:
        """The beginning of a message in the queue, at most 64 KiB. Raises as `read` does."""
        fd = open_message(self.queue_folder(), waiting.queue_id, posix.O_RDONLY)
        try:
            return posix.pread(fd, PIECE, read_entry(fd).offset)
        finally:
            posix.close(fd)

    def claim(self, waiting: Waiting) -> Claim | None:
        """Take a message for sending; None when another flush has it or has had it, or it is gone.

        Raises DamagedError (the file is in failed/ then) and NewerFormatError.
        """
        claim = Claim.take(self.queue_folder(), waiting.queue_id, waiting.tries_name)
        if claim is None:
            return None
        claim.beside = list(waiting.beside)
        try:
            if changed_since(claim, waiting):
                claim.release()
                return None
            claim.check()
            claim.owing = bool(claim.envelope.having(FAILED_STATE, RELAYED))
        except reading.DamagedError as fault:
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
        if claim.envelope.having(*OPEN, RELAYED):
            claim.release()
            return False
        if claim.envelope.having(FAILED_STATE, REPORTED):
            claim.move(self.failed_folder())
        else:
            claim.remove()
        return True

    def remove(self, claims: list[Claim], release: Callable[[Claim], None] = Claim.release) -> None:
        """Let go of claimed messages that were delivered to everybody; durably gone when it returns.

        One sync for all. OSError: then those that could not be removed are marked at least.
        """
        left = list(claims)
        try:
            while left:
                durable.remove(left[-1].folder, left[-1].queue_id)
                left.pop().tidy()
            posix.fsync(claims[0].folder)
        except OSError:
            for claim in left:
                claim.mark(dict.fromkeys(range(len(claim.envelope.recipients)), DELIVERED))
            raise
        finally:
            for claim in claims:
                release(claim)

    def mark_failed(self, waiting: Waiting, about: list[int]) -> None:
        """Mark recipients of a message in failed/ as told, when nobody else has it in hand."""
        claim = Claim.take(self.failed_folder(), waiting.queue_id, waiting.tries_name)
        if claim is None:
            return
        try:
            claim.check()
            failed = [i for i, one in enumerate(claim.envelope.recipients) if one.state == FAILED_STATE]
            claim.mark({i: REPORTED for i in failed if i in about})
        finally:
            claim.release()

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
        claim.beside = list(waiting.beside)
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


def changed_since(claim: Claim, waiting: Waiting) -> bool:
    """Whether a message was held, or tried by another flush, since the listing."""
    held = not waiting.held and durable.exists(claim.folder, claim.queue_id + HOLD)
    return held or bool(waiting.tries_name and not durable.exists(claim.folder, waiting.tries_name))


def is_queue_id(name: str) -> bool:
    """Whether a file name is a queue id."""
    return len(name) == ID_DIGITS and not name.strip(HEXADECIMAL)


def is_unfinished(name: str) -> bool:
    """Whether a file name is `.ID`."""
    return name.startswith(".") and is_queue_id(name[1:])


def promised(names: list[str]) -> set[str]:
    """The ids of the unfinished messages that a promise names: ID.KIND-RID, notice-RID, digest-RID-ID."""
    parts = [part for name in names if "-" in name for part in name.split("-")[1:]]
    return {part for part in parts if is_queue_id(part)}


def is_tries_name(name: str) -> bool:
    """Whether a file name is `ID.NEXT`."""
    dot = name[ID_DIGITS : ID_DIGITS + 1] == "." and len(name) == ID_DIGITS + 9
    return dot and not name.replace(".", "", 1).strip(HEXADECIMAL)


def is_beside_name(name: str) -> bool:
    """Whether a file name is `ID.hold`, `ID.hold-TIME` or `ID.KIND-RID`."""
    queue_id, _, what = name.partition(".")
    kind, _, number = what.partition("-")
    return is_queue_id(queue_id) and kind.isalpha() and not number.strip(HEXADECIMAL)


def belongs_to(name: str) -> str:
    """The id of the message that a file lies beside, or is being written for; "" if it is none of ours."""
    if name.startswith("."):
        queue_id, _, what = name[1:].partition(".")
        return queue_id if is_queue_id(queue_id) and what in ("tries", "new") else ""
    return name[:ID_DIGITS] if is_tries_name(name) or is_beside_name(name) else ""


def add_beside(waiting: Waiting, name: str) -> None:
    """Note a file that lies beside a message.

    Of two tries files, which a crash may leave, the later one counts.
    """
    if name[ID_DIGITS] == "." and len(name) == ID_DIGITS + 9 and not name[ID_DIGITS + 1 :].strip(HEXADECIMAL):
        due = int(name[ID_DIGITS + 1 :], 16)
        if due >= waiting.next:
            waiting.next, waiting.tries_name = due, name
    elif is_beside_name(name):
        waiting.beside += (name,)
        if name[ID_DIGITS:].startswith(HOLD):
            waiting.held = max(waiting.held, held_until(name))


def held_until(name: str) -> int:
    """The time in the name of a hold, FOREVER if there is none."""
    digits = name[ID_DIGITS + len(HOLD) + 1 :]
    return int(digits, 16) if digits else FOREVER
