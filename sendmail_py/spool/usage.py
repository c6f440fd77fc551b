"""How much lies in the queue, and whether one more message fits: queue.max_queue and room on the disk.

A submission must not look at every file, so `SPOOL/usage` holds a number that submissions add to and flushes
put right; it is near enough, and may be lost. Only when it says that the queue is full are the files counted.
"""

from __future__ import annotations

import posix

from sendmail_py.errors import TemporaryError
from sendmail_py.spool import durable

RESERVE = 4 << 20  # octets on the disk that a submission leaves free
DIGITS = 20


def check_room(folder: int, path: str) -> None:
    """TemporaryError when the disk is nearly full; `folder` is the descriptor, `path` for people."""
    room = posix.fstatvfs(folder)
    free = room.f_bavail * room.f_frsize
    if room.f_blocks and free < RESERVE:
        raise TemporaryError(f"spool {path}: only {free >> 10} KiB are free on the disk; nothing was queued")


def check_limit(directory: str, folder: int, limit: int) -> int:
    """A descriptor of the counter, for `add`, -1 without one; TemporaryError when the queue is full."""
    try:
        fd = posix.open(f"{directory}/usage", durable.SAFELY | posix.O_RDWR | posix.O_CREAT, 0o600)
    except OSError:
        return -1
    if read(fd) >= limit:
        used = count(folder)
        write(fd, used)
        if used >= limit:
            close(fd)
            text = f"the queue is full: {used >> 10} KiB, queue.max_queue is {limit >> 10} KiB"
            raise TemporaryError(f"spool {directory}: {text}; nothing was queued")
    return fd


def add(fd: int, octets: int) -> None:
    """Count a message and close the counter; faults do not matter."""
    if fd >= 0:
        write(fd, read(fd) + octets)
        close(fd)


def read(fd: int) -> int:
    """The number in the counter, 0 if there is none."""
    try:
        return int(posix.pread(fd, DIGITS, 0))
    except (OSError, ValueError):
        return 0


def write(fd: int, octets: int) -> None:
    """Set the counter."""
    try:
        posix.pwrite(fd, b"%0*d\n" % (DIGITS, octets), 0)
    except OSError:
        return


def close(fd: int) -> None:
    """Close the counter; that a message is queued does not depend on it."""
    try:
        posix.close(fd)
    except OSError:
        return


def count(folder: int) -> int:
    """The octets of all files in a folder."""
    total = 0
    for name in posix.listdir(folder):
        try:
            total += posix.stat(name, dir_fd=folder, follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total


def put_right(directory: str, folder: int) -> None:
    """Count and set the counter, if there is one."""
    try:
        fd = posix.open(f"{directory}/usage", durable.SAFELY | posix.O_RDWR)
    except OSError:
        return
    write(fd, count(folder))
    close(fd)
