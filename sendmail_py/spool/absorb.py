"""Several messages become one: a digest takes their place in the queue, by one step.

The digest is the message RID. While it is being made, each message ID that it holds is called
`digest-RID-ID`, so that nobody can claim it. The order: `.RID` is written and durable; the messages have
those names, durably; `.RID` becomes RID; that is durable; the messages are removed. Whoever makes the digest
holds the lock of `.RID`, and `.RID` goes away only when none of those names is left. So, for everybody else,
the digest is there if `.RID` is gone, and is not if `.RID` is there and nobody has it locked.
"""

from __future__ import annotations

import posix

from sendmail_py import maillog
from sendmail_py.spool import durable
from sendmail_py.spool.draft import TICKS, reserve
from sendmail_py.spool.folders import trouble
from sendmail_py.spool.queue import DIGEST, ID_DIGITS, is_queue_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.spool.claim import Claim
    from sendmail_py.spool.draft import Draft
    from sendmail_py.spool.queue import Spool, Waiting


def absorb(digest: Draft, claims: list[Claim]) -> None:
    """Queue a digest with its whole content; the claimed messages that it holds are gone with it.

    When this raises (CantCreateError, TemporaryError) the messages are in the queue as before, or will be
    after `recover`. The claims are released in any case. The messages were never tried.
    """
    names = {f"{DIGEST}{digest.queue_id}-{one.queue_id}": one.queue_id for one in claims}
    try:
        make(digest, names)
        for name in names:
            posix.unlink(name, dir_fd=digest.folder)
    except OSError as error:
        raise trouble(error, digest.directory) from None
    finally:
        digest.close()
        for one in claims:
            one.release()


def make(digest: Draft, names: dict[str, str]) -> None:
    """The steps up to the one that counts; what was begun is undone when one fails before it."""
    folder, temporary = digest.folder, "." + digest.queue_id
    digest.seal()
    try:
        posix.fsync(digest.fd)
        posix.fsync(folder)
        for name, queue_id in names.items():
            posix.rename(queue_id, name, src_dir_fd=folder, dst_dir_fd=folder)
        posix.fsync(folder)
        posix.rename(temporary, digest.queue_id, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        if durable.exists(folder, temporary):
            put_back(folder, digest.queue_id)
        raise
    posix.fsync(folder)


def put_back(folder: int, digest_id: str) -> None:
    """A digest is not made: its messages get their names again, then `.RID` goes. We have the lock of `.RID`.

    Raises OSError when one of them cannot: then `.RID` stays, and says so to the next one.
    """
    for name in posix.listdir(folder):
        if digest_of(name) == digest_id:
            queue_id, fd = reserve(folder, nanoseconds_of(name[-ID_DIGITS:]))
            try:
                posix.rename(name, queue_id, src_dir_fd=folder, dst_dir_fd=folder)
            finally:
                durable.discard(folder, "." + queue_id)
                posix.close(fd)
    posix.fsync(folder)
    durable.discard(folder, "." + digest_id)


def recover(spool: Spool) -> bool:
    """Bring to an end what a flush that died has left, by the last listing; whether anything was.

    Raises OSError; nothing is lost then, and the next one tries again.
    """
    found: dict[str, list[str]] = {}
    for name in spool.leftovers:
        if name.startswith(DIGEST) and digest_of(name):
            found.setdefault(digest_of(name), []).append(name)
    for digest_id, names in found.items():
        settle(spool.queue_folder(), digest_id, names)
    return bool(found)


def listing(spool: Spool) -> list[Waiting]:
    """All messages in the queue, also those that a flush had hidden in a digest when it died."""
    found = spool.listing()
    try:
        return spool.listing() if recover(spool) else found
    except OSError as error:
        maillog.warning(f"messages of an unfinished digest cannot be put back: {error.strerror}")
        return found


def settle(folder: int, digest_id: str, names: list[str]) -> None:
    """Put the messages of a digest back, or remove them, or leave them to a flush that lives."""
    try:
        fd = posix.open("." + digest_id, durable.SAFELY | posix.O_RDWR, dir_fd=folder)
    except FileNotFoundError:
        posix.fsync(folder)  # the name of the digest, before what it holds goes
        for name in names:
            durable.discard(folder, name)
        return
    try:
        if durable.lock_if_possible(fd):
            put_back(folder, digest_id)
    finally:
        posix.close(fd)


def digest_of(name: str) -> str:
    """The id of the digest that a message becomes part of, "" if the name does not say so."""
    digest_id, _, queue_id = name.removeprefix(DIGEST).partition("-")
    is_ours = name.startswith(DIGEST) and is_queue_id(digest_id) and is_queue_id(queue_id)
    return digest_id if is_ours else ""


def nanoseconds_of(queue_id: str) -> int:
    """The earliest time that has this queue id (nanoseconds since the epoch)."""
    return -(-int(queue_id, 16) * 1_000_000_000 // TICKS)
