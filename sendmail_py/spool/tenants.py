"""All folders in the shared spool, for root's flush and root's mailq; shared.py is for a user's own.

Guarantees: whose a folder is, its owner says, which only the kernel and root can set; nothing here opens or
follows anything below it. sendmail-py-spool(5) has the layout.
"""

from __future__ import annotations

import posix

from sendmail_py.spool import durable
from sendmail_py.spool.shared import MOST_NAMES, is_sound

MOST_OWNERS = 1 << 17  # folders that one flush looks at
LONGEST = 1 << 24  # octets of what earlier runs found


class Owner:
    """A folder in the shared spool: its owner's `uid`, its `name`, and what changes with it (`mark`)."""

    __slots__ = ("mark", "name", "uid")

    def __init__(self, uid: int, name: str, mark: str) -> None:
        self.uid = uid
        self.name = name
        self.mark = mark


def mark_of(status: posix.stat_result) -> str:
    """What changes when anything was submitted: see `announce`."""
    return f"{status.st_ino}:{status.st_mtime_ns}"


def owners(base: str) -> list[Owner]:
    """The folders that are their owner's alone and are called after him; the first of a user's counts.

    One reading of `base` and one look at each name, which follows nothing. OSError when there is no `base`.
    """
    found: dict[int, Owner] = {}
    for name in sorted(posix.listdir(base)):
        digits, dot, number = name.partition(".")
        if not dot or not (digits.isdecimal() and digits.isascii() and number.isdecimal()):
            continue
        try:
            status = posix.stat(f"{base}/{name}", follow_symlinks=False)
        except OSError:
            continue
        if digits == str(status.st_uid) and is_sound(status, status.st_uid) and int(number) < MOST_NAMES:
            owner = Owner(status.st_uid, name, mark_of(status))
            found.setdefault(status.st_uid, owner)
        if len(found) >= MOST_OWNERS:
            break
    return list(found.values())


def read_due(path: str) -> dict[str, tuple[str, int]]:
    """What earlier runs found: name of a folder -> (its mark then, when its next message is due; seconds)."""
    try:
        fd = posix.open(path, durable.SAFELY | posix.O_RDONLY)
    except OSError:
        return {}
    try:
        text = posix.read(fd, LONGEST).decode("ascii", "replace")
    except OSError:
        return {}
    finally:
        posix.close(fd)
    found = {}
    for line in text.split("\n"):
        words = line.split(" ")
        if len(words) == 3 and words[2].isdecimal():
            found[words[0]] = (words[1], int(words[2]))
    return found


def write_due(path: str, known: dict[str, tuple[str, int]]) -> None:
    """Remember it for the next run; may be lost without harm."""
    text = "".join(f"{name} {mark} {due}\n" for name, (mark, due) in known.items())
    folder, _, name = path.rpartition("/")
    fd = durable.open_folder(folder)
    try:
        durable.replace(fd, name, text.encode(), f".{name}")
    finally:
        posix.close(fd)


def with_mail(
    found: list[Owner], known: dict[str, tuple[str, int]], now: float, longest: float
) -> list[Owner]:
    """The owners who may have a message that is due: anything changed, or one is due by what was found.

    A time further away than `longest` (seconds) comes from a clock that jumped.
    """
    wanted = []
    for one in found:
        mark, due = known.get(one.name, ("", 0))
        if mark != one.mark or not now < due <= now + longest + 1:
            wanted.append(one)
    return wanted
