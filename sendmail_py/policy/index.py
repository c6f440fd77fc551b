"""Where the names in a big alias file, or in a big [masquerade.users], stand; indexing.py makes indexes.

Guarantees: an index is one that this user made, or root, if root runs this, of this very state of a file.
It only says where to look: the text counts. Where it is missing, damaged or of another state, nobody is told
anything, and everything is searched, with the same result.

The format. 128 octets say which state of the file it is about. Slots of twelve octets follow: four octets
CRC-32 of a name, four where its lines begin, four how long they are, with the highest bit set; numbers have
the most significant octet first. A name is in one of the twelve slots from that on which its CRC says, modulo
the number of slots but the last eleven; a free one is full of ones. Names that begin with a line feed, which
no name does, tell of others: alias_index.py and users_index.py say what. Without slots an index says that its
file has to be searched.
"""

from __future__ import annotations

import binascii
import posix

LARGEST_FILE = 16 * 1024 * 1024
HEAD = 128  # octets before the slots
SLOT = 12
WINDOW = 12  # slots where a name may be
RUN = WINDOW * SLOT
MARK = b"\n"  # what begins so is no name
FREE = b"\xff" * SLOT
SET = 1 << 31


def find(index: bytes, key: bytes) -> list[tuple[int, int]] | None:
    """Where the lines begin that a name may have, and how long they are; None where the index is no use."""
    count = (len(index) - HEAD) // SLOT - WINDOW + 1
    if count < 1:
        return None
    crc = binascii.crc32(key)
    begin = HEAD + crc % count * SLOT
    end = begin + RUN
    if not (index[begin + 8] and index[end - 4]):
        return None  # a crash has left nothing in the place of the first or last slot
    mark = crc.to_bytes(4, "big")
    found: list[tuple[int, int]] = []
    at = index.find(mark, begin, end)
    while at >= 0:
        if (at - begin) % SLOT == 0:
            lines = int.from_bytes(index[at + 4 : at + SLOT], "big")
            found.append((lines >> 32, lines & (SET - 1)))
        at = index.find(mark, at + 1, end)
    return found


def lines(text: bytes, start: int, length: int) -> bytes:
    """The lines that a slot tells of, b"" if no lines begin and end there."""
    begins = text[start - 1 : start] in (b"", b"\n") and start < len(text)
    end = start + length
    ends = text[end - 1 : end] == b"\n" or text[end : end + 1] in (b"", b"\n")
    return text[start:end] if begins and ends else b""


def place_of(folder: str, kind: str, file: str) -> str:
    """The path of the index of a file in the folder where indexes are kept."""
    return f"{folder}/{kind}-{binascii.crc32(file.encode('utf-8', 'surrogateescape')):08X}"


def head_of(state: posix.stat_result) -> bytes:
    """What an index begins with: which state of which file it is about."""
    numbers = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return (b"sendmail-py index 2 %d %d %d %d %d\n" % numbers).ljust(HEAD, b"\n")


def read(path: str, head: bytes) -> bytes:
    """The octets of an index that begins so and that we made ourselves, b"" if there is none."""
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
    whole = len(index) == status.st_size and (len(index) - HEAD) % SLOT == 0
    return index if whole and index.startswith(head) else b""
