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

    Without names (None, not []) it is one without slots, so that nobody tries again.
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
    """The slots for names, each of which is there once; none without names, or if they do not fit."""
    for share in (2, 4, 8) if names is not None else ():
        table = fitted(names or [], share)
        if table:
            return table
    return b""


def fitted(names: list[Name], share: int) -> bytes:
    """The slots, at least as many times as names, b"" if some name would be too far from its place."""
    count = share * len(names) + 1
    wanted = sorted([(binascii.crc32(name) % count, name, start, length) for name, start, length in names])
    table: list[bytes] = []
    for home, name, start, length in wanted:
        table += [index.FREE] * (home - len(table))
        if len(table) - home >= index.WINDOW:
            return b""
        numbers = (binascii.crc32(name), start, length | index.SET)
        table.append(b"".join([number.to_bytes(4, "big") for number in numbers]))
    table += [index.FREE] * (count + index.WINDOW - 1 - len(table))
    return b"".join(table)
