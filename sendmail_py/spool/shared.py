"""The shared spool: a folder of their own for every user below one that all may write to (mode 1733).

Guarantees: the owner of a folder, which only the kernel and root can set, says whose it is, whatever it is
called; what is not ours is stepped over, never trusted and never touched; nothing here opens or follows
anything below a folder of somebody else. sendmail-py-spool(5) has the layout.
"""

from __future__ import annotations

import errno
import posix

from sendmail_py.errors import CantCreateError, TemporaryError
from sendmail_py.spool import durable

MOST_NAMES = 16  # UID.0 to UID.15: a squatter would need them all before the user's first message
BELL = "/run/sendmail-py.wake"  # systemd's fifo, root's: whatever is in it starts root's flush
WAKE = ".wake"  # a file of root's that everybody may write: its time says that mail was submitted
# S_IFDIR, S_IFREG, S_IFMT of inode(7); to import `stat` would cost a submission a hundredth of all.
FOLDER, FILE, KIND = 0o040000, 0o100000, 0o170000
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMLINK)


def folder_of(base: str, uid: int) -> str:
    """The path of the folder of `uid` (our own) below `base`, which may not exist yet.

    The first of the names UID.0 to UID.15 that is ours, else the first that is free.
    """
    free = ""
    for number in range(MOST_NAMES):
        path = f"{base}/{uid}.{number}"
        try:
            status = posix.stat(path, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENOENT:
                return path  # no way to it: whoever opens it will say so
            free = free or path
            continue
        if is_sound(status, uid):
            return path
    return free or f"{base}/{uid}.0"


def is_sound(status: posix.stat_result, uid: int) -> bool:
    """Whether a folder is that user's alone."""
    return status.st_mode & KIND == FOLDER and status.st_uid == uid and not status.st_mode & 0o077


def is_ours(path: str, uid: int) -> bool:
    """Whether there is a folder that is that user's alone."""
    try:
        return is_sound(posix.stat(path, follow_symlinks=False), uid)
    except OSError:
        return False


def make(base: str, uid: int) -> str:
    """The path of our own folder, made if it is missing; then nobody else can put another in its place.

    Raises CantCreateError when there is no shared spool, TemporaryError when all its names are taken.
    """
    for _ in range(MOST_NAMES):
        path = folder_of(base, uid)
        try:
            posix.mkdir(path, 0o700)
            posix.chmod(path, 0o700)  # whatever the umask
            posix.sync()  # we may write to the folder above, but not open it, and fsync(2) wants that
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno == errno.ENOENT and uid == 0:
                set_up(base)
                continue
            if error.errno in PASSING:
                raise TemporaryError(f"spool {path}: {error.strerror}; nothing was queued") from None
            cure = "" if error.errno == errno.EROFS else "; as root, run: sendmail-py install"
            text = f"shared spool {base}: {durable.cause(error)}{cure}"
            raise CantCreateError(f"{text}; nothing was queued") from None
        if is_ours(path, uid):
            return path
    raise TemporaryError(f"shared spool {base}: others took all names for uid {uid}; nothing was queued")


def set_up(base: str) -> None:
    """Make the shared spool, as root: for all to write to, for nobody to list, each name its owner's only."""
    durable.make_folder(base)
    make_wake(f"{base}/{WAKE}")
    posix.chmod(base, 0o1733)


def make_wake(path: str) -> None:
    """Make the wake-up file, in place of what somebody else may have put there: that is not touched."""
    try:
        status = posix.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        pass
    else:
        if status.st_mode & KIND == FILE and status.st_uid == 0 and status.st_nlink == 1:
            return
        if status.st_mode & KIND == FOLDER:
            return  # that cannot be removed safely; the flush looks into every folder now and then
        posix.unlink(path)
    wake = posix.open(path, durable.NEW_FILE, 0o666)
    posix.fchmod(wake, 0o666)
    posix.close(wake)


def empty_wake(base: str) -> None:
    """Take back, as root, what somebody wrote into the wake-up file: the room is root's, whoever fills it."""
    path = f"{base}/{WAKE}"
    try:
        if not is_filled(posix.stat(path, follow_symlinks=False)):
            return
        wake = posix.open(path, durable.SAFELY | posix.O_WRONLY)
    except OSError:
        return
    try:
        if is_filled(posix.fstat(wake)):
            posix.ftruncate(wake, 0)
    except OSError:
        return
    finally:
        posix.close(wake)


def is_filled(status: posix.stat_result) -> bool:
    """Whether a file is the wake-up file, and not empty."""
    is_ours = status.st_mode & KIND == FILE and status.st_uid == 0 and status.st_nlink == 1
    return is_ours and status.st_size > 0


def woken(base: str) -> int:
    """When somebody last told root's flush of mail (nanoseconds since the epoch), 0 if nobody did."""
    try:
        return posix.stat(f"{base}/{WAKE}", follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def announce(base: str, directory: str) -> None:
    """Tell root's flush of mail in `directory`: its time is for the next run, that of WAKE for one now."""
    for path in (directory, f"{base}/{WAKE}"):
        try:
            posix.utime(path, None, follow_symlinks=False)
        except OSError:  # it looks into every folder now and then
            continue


def ring() -> bool:
    """Have systemd start root's flush now; False when it does not listen: see sendmail-py.socket."""
    try:
        bell = posix.open(BELL, durable.SAFELY | posix.O_WRONLY)
    except OSError:
        return False
    try:
        posix.write(bell, b"\n")
    except BlockingIOError:  # full: others rang, and it was not heard yet
        pass
    except OSError:
        return False
    finally:
        posix.close(bell)
    return True
