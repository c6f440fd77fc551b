"""Makes the index of a big alias file; alias_text.py reads it. Reached through one door of aliases.py.

Guarantees: an index is whole or not there; nothing fails for want of one. None is made of a file that was
changed just now, because the next change might not show in its times.

The format. 128 octets say which state of the file it is about. Slots of twelve octets follow, at least twice
as many as names, most significant octet first: four octets CRC-32 of the name in lower case, four where its
lines begin, four how long they are. A name is in the slot that its CRC, modulo the number of slots, says, or
in one behind it; a slot full of ones is free and ends the search. Only the first alias of a name counts.
A line feed and `@domain`, or `@` alone, in place of a name say that there is a name with it.
"""

from __future__ import annotations

import binascii
import os
import time

from sendmail_py.mail import address
from sendmail_py.policy import alias_text

SETTLED = 2  # seconds; coarser than the time stamps of any file system in use


def make(place: str, head: bytes, text: bytes, state: os.stat_result) -> bytes:
    """Write the index of a text in this state to the path `place`; returns its octets, b"" for none."""
    age = time.time() - max(state.st_mtime, state.st_ctime)
    if b"\r" in text or not age > SETTLED:
        return b""
    temporary = f"{place}.{os.getpid()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(temporary, flags, 0o600)
    except OSError:
        return b""
    index = head + slots(text)
    try:
        with open(fd, "wb") as file:
            file.write(index)
        os.rename(temporary, place)
    except OSError:
        discard(temporary)
    return index


def discard(path: str) -> None:
    """Remove what could not be written."""
    try:
        os.unlink(path)
    except OSError:
        return


def slots(text: bytes) -> bytes:
    """The slots for all names of a text."""
    found = names(text)
    count = 2 * len(found) + 1
    table = bytearray(alias_text.FREE * count)
    for name, (start, length) in found.items():
        crc = binascii.crc32(name)
        at = crc % count
        while table[at * alias_text.SLOT : (at + 1) * alias_text.SLOT] != alias_text.FREE:
            at = (at + 1) % count
        slot = crc.to_bytes(4, "big") + start.to_bytes(4, "big") + length.to_bytes(4, "big")
        table[at * alias_text.SLOT : (at + 1) * alias_text.SLOT] = slot
    return bytes(table)


def names(text: bytes) -> dict[bytes, tuple[int, int]]:
    """The names in lower case, each with the position and length of the lines of its first alias."""
    found: dict[bytes, tuple[int, int]] = {}
    begun: list[bytes] = []
    start = at = 0
    for line in [*text.split(b"\n"), b"end"]:
        if line[:1] not in (b" ", b"\t") and not alias_text.is_void(line):
            for name in begun:
                found.setdefault(name, (start, min(at, len(text)) - start))
                if b"@" in name:
                    found[alias_text.DOMAIN + b"@"] = found[alias_text.DOMAIN + domain_of(name)] = (0, 0)
            start, begun = at, names_of(line.lower())
        at += len(line) + 1
    return found


def domain_of(name: bytes) -> bytes:
    """The `@domain` of a name."""
    return name[name.rfind(b"@") :]


def names_of(line: bytes) -> list[bytes]:
    """The names that a line in lower case may be found under; as a rule it is one."""
    if not line.startswith(b'"'):
        name, colon, _ = line.partition(b":")
        name = name.rstrip(b" \t")
        return [name] if colon and alias_text.may_be_bare(name) else []
    found = []
    end = line.find(b'"', 1)
    while end > 0:
        name = address.unquote_local(line[: end + 1])
        if line[end + 1 :].lstrip(b" \t").startswith(b":") and alias_text.quoted_key(name) == line[1:end]:
            found.append(name)
        end = line.find(b'"', end + 1)
    return found
