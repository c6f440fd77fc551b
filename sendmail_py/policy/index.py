"""Where the names in a big alias file, or in a big [masquerade.users], stand; indexing.py makes indexes.

Guarantees: an index is one that this user made, or root, if root runs this, of this very state of a file.
It only says where to look: the text counts. Where it is missing, damaged or of another state, nobody is told
anything, and everything is searched, with the same result.

The format. 124 octets say which state of the file it is about, four (all numbers have the most significant
octet first) how many slots names are meant for: at least twice as many as there are names. Slots of twelve
octets follow: four octets CRC-32 of the name, four where its lines begin, four how long they are, which is
never 0. A name is in the slot that its CRC, modulo that number, says, or in one behind it; a slot full of
ones is free and ends the search. Names that begin with a line feed, which no name does, tell of others:
alias_index.py and users_index.py say what.
"""

from __future__ import annotations

import binascii
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_FILE = 16 * 1024 * 1024
HEAD, COUNT = 128, 124  # octets before the slots, and before the number of them
SLOT = 12
RUN = 8 * SLOT  # what is looked at in one go: three slots would do as a rule
MARK = b"\n"  # what begins so is no name
FREE = b"\xff" * SLOT
NOTHING = bytes(SLOT)  # what a crash may leave in the place of a slot


def slots(index: bytes, key: bytes) -> list[tuple[int, int]] | None:
    """Where the lines begin that a name may have, and how long they are; None where the index is no use."""
    found: list[tuple[int, int]] = []
    crc = binascii.crc32(key)
    mark = crc.to_bytes(4, "big")
    count = int.from_bytes(index[COUNT:HEAD], "big")
    for begin in range(HEAD + crc % (count or 1) * SLOT, len(index), RUN):
        run = index[begin : begin + RUN]
        free = run.find(FREE)  # maybe begun by ones at the end of a slot, which is before it all the same
        at = run.find(mark)
        while at >= 0 and (at < free or free < 0):
            if at % SLOT == 0:
                start, length = run[at + 4 : at + 8], run[at + 8 : at + SLOT]
                found.append((int.from_bytes(start, "big"), int.from_bytes(length, "big")))
            at = run.find(mark, at + 1)
        if NOTHING in run:
            return None
        if free >= 0:
            return found
    return None


def lines(text: bytes, start: int, length: int) -> bytes:
    """The lines that a slot tells of, b"" if no lines begin and end there."""
    begins = text[start - 1 : start] in (b"", b"\n") and start < len(text)
    end = start + length
    ends = text[end - 1 : end] == b"\n" or text[end : end + 1] in (b"", b"\n")
    return text[start:end] if begins and ends else b""


def open_index(place: str, file: str, state: posix.stat_result, make: Callable[[str, bytes], bytes]) -> bytes:
    """The index of a file in a state, b"" for none.

    `place` is where those of its kind are kept, a path without its number; `make` makes one (its path, how it
    begins), which is not always possible.
    """
    path = f"{place}-{binascii.crc32(file.encode('utf-8', 'surrogateescape')):08X}"
    head = head_of(state)
    index = read(path)
    return index if index.startswith(head) else make(path, head)


def head_of(state: posix.stat_result) -> bytes:
    """What an index begins with: which state of which file it is about."""
    numbers = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return (b"sendmail-py index 2 %d %d %d %d %d\n" % numbers).ljust(COUNT, b"\n")


def read(path: str) -> bytes:
    """The octets of an index that we made ourselves, b"" if there is none."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        status = posix.fstat(fd)
        ours = status.st_uid == posix.geteuid() and not status.st_mode & 0o022
        index = posix.read(fd, status.st_size) if ours and status.st_size < LARGEST_FILE else b""
    except OSError:
        return b""
    finally:
        posix.close(fd)
    whole = len(index) == status.st_size and len(index) > HEAD and (len(index) - HEAD) % SLOT == 0
    return index if whole else b""
