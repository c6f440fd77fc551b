"""How many of the flushes that submissions start (delivery = "background") run at a time in one spool.

Guarantee: a burst of submissions needs a session or two with the smart host, and not one for each message.
Who finds both seats taken leaves its message, which is in the queue by then, to those who sit there: they
look again after they got up. A seat is the lock of an empty file, and vanishes with its process.
"""

from __future__ import annotations

import posix

from sendmail_py.spool import durable

SEATS = 2  # so that one long message holds nobody up


def take(directory: str) -> int:
    """The descriptor of a free seat, which closing gives back; -1 when all are taken.

    Where no file can be made, or locks do not work, everybody has one.
    """
    for number in range(SEATS):
        try:
            fd = posix.open(
                f"{directory}/background-{number}", durable.SAFELY | posix.O_WRONLY | posix.O_CREAT, 0o600
            )
        except OSError:
            return posix.open("/dev/null", posix.O_RDONLY | posix.O_CLOEXEC)
        if durable.lock_if_possible(fd):
            return fd
        posix.close(fd)
    return -1
