"""Makes indexes (index.py has the format), behind the doors to alias_index.py and users_index.py.

Guarantees: an index is whole or not there; nothing fails for want of one. None is made of a file that was
changed just now, because the next change might not show in its times.
"""

from __future__ import annotations

import binascii
import os
import time

from sendmail_py.policy import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Name = tuple[bytes, int, int]  # a name, where its lines begin, how long they are

SETTLED = 2  # seconds; coarser than the time stamps of any file system in use


def make(path: str, head: bytes, state: os.stat_result, names: Callable[[], list[Name] | None]) -> bytes:
    """Write the index of `names` in a file in this state to a path; returns its octets, b"" for none.

    Without names (None, not []) it is one that is no use, so that nobody tries again.
    """
    age = time.time() - max(state.st_mtime, state.st_ctime)
    if not age > SETTLED:
        return b""
    temporary = f"{path}.{os.getpid()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(temporary, flags, 0o600)
    except OSError:
        return b""
    found = names()
    octets = head + slots(found)
    try:
        with open(fd, "wb") as file:
            file.write(octets)
        os.rename(temporary, path)
    except OSError:
        discard(temporary)
    return octets


def discard(path: str) -> None:
    """Remove what could not be written."""
    try:
        os.unlink(path)
    except OSError:
        return


def slots(names: list[Name] | None) -> bytes:
    """The slots for names, and before them how many there are for one; a name may be there more than once."""
    if names is None:
        return bytes(index.HEAD - index.COUNT) + index.NOTHING
    count = 2 * len(names) + 1
    taken: dict[int, bytes] = {}
    for name, start, length in names:
        crc = binascii.crc32(name)
        at = crc % count
        while at in taken:
            at += 1
        taken[at] = crc.to_bytes(4, "big") + start.to_bytes(4, "big") + length.to_bytes(4, "big")
    last = max(taken, default=0)
    return count.to_bytes(4, "big") + b"".join(
        [taken.get(at, index.FREE) for at in range(max(count, last + 2))]
    )
