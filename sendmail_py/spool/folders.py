"""The spool's folders and what an error of the file system means for a submission.

SPOOL/queue/ID           a message; exists from the one rename in Draft.commit on
SPOOL/queue/ID.NEXT      its tries, and when the next is due; may be lost without harm
SPOOL/queue/ID.hold      the message is held until its owner releases it
SPOOL/queue/ID.hold-TIME the message is held until then (seconds, eight hexadecimal digits)
SPOOL/queue/ID.KIND-RID  a report about it, the message RID, is, or was, in the queue; see promise.py
SPOOL/queue/.ID          a message that is being written
SPOOL/failed/ID          a message with recipients that failed for good, or a damaged file
SPOOL/failed/ID.0        the last replies for it
SPOOL/pauses             the smart hosts that had a fault, and until when they are left alone
SPOOL/refused            the senders that a smart host refused
SPOOL/usage              octets in the queue, nearly
SPOOL/aliases-NUMBER     index of a big alias file; policy/index.py
SPOOL/users-NUMBER       index of the users in a big configuration file; likewise
"""

from __future__ import annotations

import errno
import posix

from sendmail_py.errors import CantCreateError, SendmailError, TemporaryError
from sendmail_py.spool import durable

QUEUE = "queue"
FAILED = "failed"
HOPELESS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.ENOENT,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.EEXIST,
)


def trouble(error: OSError, path: str) -> SendmailError:
    """What an error of the file system means for a submission (sysexits: 73 hopeless, 75 try again)."""
    kind = CantCreateError if error.errno in HOPELESS else TemporaryError
    return kind(f"spool {path or '?'}: {durable.cause(error)}; nothing was queued")


def open_folder(directory: str, name: str, create: bool) -> int:
    """Descriptor of a folder of the spool below `directory` (absolute path).

    Raises OSError: FileNotFoundError when it is missing and not to be created, PermissionError
    when it belongs to, or may be written by, somebody else.
    """
    if not directory:
        raise FileNotFoundError(errno.ENOENT, "no place for it; set HOME, XDG_STATE_HOME or queue.directory")
    path = f"{directory}/{name}"
    try:
        fd = durable.open_folder(path)
    except FileNotFoundError:
        if not create:
            raise
        durable.make_folder(path)
        fd = durable.open_folder(path)
    status = posix.fstat(fd)
    if status.st_uid != posix.geteuid() or status.st_mode & 0o022:
        posix.close(fd)
        raise PermissionError(errno.EPERM, f"the folder {name} must be yours and writable by nobody else")
    return fd
