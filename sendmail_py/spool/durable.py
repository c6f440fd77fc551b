"""Write, sync, rename, sync the folder: the only module that makes anything durable.

Every function works relative to the descriptor of a folder, checks every result and raises
OSError; none retries a failed fsync, because after it nobody knows what is on the disk.
"""

from __future__ import annotations

import errno
import fcntl
import posix

SAFELY = posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC  # no link, no waiting for a fifo, no heir
NEW_FILE = SAFELY | posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL
FOLDER = SAFELY | posix.O_RDONLY | posix.O_DIRECTORY
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


def open_folder(path: str) -> int:
    """Descriptor of a folder (never through a symbolic link as its last part)."""
    return posix.open(path, FOLDER)


def make_folder(path: str) -> None:
    """Create a folder (mode 0700) and its parents, and sync each parent that got a new entry."""
    parent = path.rpartition("/")[0] or "/"
    try:
        made = make_entry(path)
    except FileNotFoundError:
        if parent == "/":
            raise
        make_folder(parent)
        made = make_entry(path)
    if made:
        sync_path(parent)


def make_entry(path: str) -> bool:
    """Create one folder; False when it is there already."""
    try:
        posix.mkdir(path, 0o700)
    except FileExistsError:
        return False
    return True


def sync_path(path: str) -> None:
    """Sync a folder by name; one that may be searched but not read (EACCES) is its owner's business."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except PermissionError:
        return
    try:
        posix.fsync(fd)
    finally:
        posix.close(fd)


def create(folder: int, name: str) -> int | None:
    """A new file that is locked for us, or None when the name is taken.

    The lock tells a cleaner that the writer lives. A cleaner may get in between open and
    lock; then the file has no name any more, and that is as good as a taken name.
    """
    try:
        fd = posix.open(name, NEW_FILE, 0o600, dir_fd=folder)
    except FileExistsError:
        return None
    try:
        mine = lock(fd) and posix.fstat(fd).st_nlink == 1
    except OSError as error:
        if error.errno in NO_LOCKS:
            return fd  # where no file can be locked, no cleaner takes one for abandoned
        discard(folder, name)
        raise
    if mine:
        return fd
    posix.close(fd)
    return None


def lock(fd: int) -> bool:
    """Take the lock of an open file at once; False when somebody else holds it (flock(2)).

    Raises OSError where locks do not work: then nobody may say that he has one.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_if_possible(fd: int) -> bool:
    """The same, but where locks do not work everybody has it: one flush at a time there, the manual says."""
    try:
        return lock(fd)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return True
        raise


def write_all(fd: int, octets: bytes) -> None:
    """Write everything; a short write is continued."""
    done = posix.write(fd, octets)
    while done < len(octets):
        done += posix.write(fd, memoryview(octets)[done:])


def create_empty(folder: int, name: str) -> None:
    """A file whose name is all that it says; durable when it returns."""
    posix.close(posix.open(name, SAFELY | posix.O_WRONLY | posix.O_CREAT, 0o600, dir_fd=folder))
    posix.fsync(folder)


def publish(folder: int, fd: int, temporary: str, name: str) -> None:
    """The promise: sync the file, close it, give it its name, sync the folder.

    `name` must be free; whoever holds the temporary name is the only one who may take it.
    The lock outlives close(2) on a second descriptor, so that no cleaner can take the
    file for a dead writer's before it has its name. After a fault nothing is left under either name.
    """
    keep = -1
    try:
        posix.fsync(fd)
        keep = posix.dup(fd)
        closing, fd = fd, -1
        posix.close(closing)
        posix.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        posix.fsync(folder)
        closing, keep = keep, -1
        posix.close(closing)
    except OSError:
        give_back(fd, keep)
        discard(folder, temporary)
        discard(folder, name)  # NFS may say that a rename failed that was done
        raise


def give_back(*descriptors: int) -> None:
    """Close what is open (-1 is not); faults are swallowed, an earlier one is being told."""
    for fd in descriptors:
        if fd >= 0:
            try:
                posix.close(fd)
            except OSError:
                continue


def discard(folder: int, name: str) -> None:
    """Remove a file that must not be seen again; faults are swallowed, an earlier one is being told."""
    try:
        posix.unlink(name, dir_fd=folder)
    except OSError:
        return


def remove(folder: int, name: str) -> None:
    """Remove a file; one that is gone already is as good."""
    try:
        posix.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def exists(folder: int, name: str) -> bool:
    """Whether the name is taken."""
    try:
        posix.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def overwrite(fd: int, octets: list[tuple[int, bytes]], sync: bool = True) -> None:
    """Overwrite some octets in place (offset, octets) and sync them: needs no space and cannot tear.

    Without `sync` they outlive the process, but not the machine.
    """
    for offset, octet in octets:
        posix.pwrite(fd, octet, offset)
    if sync:
        posix.fdatasync(fd)


def replace(folder: int, name: str, octets: bytes, temporary: str, sync: bool = False) -> None:
    """Write a small file anew, whole or not at all. Not synced, for what may be lost without harm.

    With `sync` file and name are durable when it returns.
    """
    fd = posix.open(temporary, SAFELY | posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o600, dir_fd=folder)
    try:
        write_all(fd, octets)
        if sync:
            posix.fsync(fd)
    finally:
        posix.close(fd)
    posix.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    if sync:
        posix.fsync(folder)


def read_small(folder: int, name: str, limit: int = 1 << 24) -> bytes:
    """A small file's content, b"" when it does not exist."""
    try:
        fd = posix.open(name, SAFELY | posix.O_RDONLY, dir_fd=folder)
    except FileNotFoundError:
        return b""
    try:
        return posix.read(fd, limit)
    finally:
        posix.close(fd)


def lock_abandoned(folder: int, name: str) -> int:
    """Descriptor of an unfinished file whose writer is gone: nobody else has it locked. -1: that is not so.

    Nor can anybody know where locks do not work.
    """
    try:
        fd = posix.open(name, SAFELY | posix.O_RDWR, dir_fd=folder)
    except OSError:
        return -1
    try:
        if lock(fd):
            return fd
    except OSError:
        pass
    posix.close(fd)
    return -1


def cause(error: OSError) -> str:
    """What is wrong, and its cure where it is hard to guess."""
    cure = "; a service of systemd needs ReadWritePaths= for it" if error.errno == errno.EROFS else ""
    return f"{error.strerror or error}{cure}"
