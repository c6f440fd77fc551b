"""Whose mail rests at which smart host of the shared spool: the owners' pauses (see breaker.py).

One small text file `DIRECTORY/rests`, a line for each owner and smart host, tab between the fields; it may be
lost without harm. A line is forgotten a day after the last trouble.
"""

from __future__ import annotations

import posix

from sendmail_py.errors import printable
from sendmail_py.spool import durable
from sendmail_py.spool.tries import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "sendmail-py rests 1"
MOST = 4096  # lines
REMEMBERED = 86400  # seconds


class Rest:
    """An owner's trouble with a smart host.

    until        when the rest ends, `last` when the last trouble was (seconds since the epoch)
    count        rests in a row, `times` all troubles, also those that may have been somebody else's
    is_evidence  whether it speaks against the smart host: nobody's mail went through since
    reason       what was the last trouble, for people
    """

    __slots__ = ("count", "is_evidence", "last", "reason", "times", "until")

    def __init__(self, until: int, count: int, times: int, last: int, is_evidence: bool, reason: str) -> None:
        self.until = until
        self.count = count
        self.times = times
        self.last = last
        self.is_evidence = is_evidence
        self.reason = reason


class Rests:
    """The rests in one folder (`directory`, which must exist; "": they are forgotten).

    `clock` gives seconds since the epoch.
    """

    __slots__ = ("clock", "directory", "rests")

    def __init__(self, directory: str, clock: Callable[[], float]) -> None:
        self.directory = directory
        self.clock = clock
        self.rests = read(directory)

    def get(self, name: str, uid: int) -> Rest | None:
        """What is known of an owner's mail at a smart host."""
        found = self.rests.get((name, uid))
        return found if found is not None and abs(self.clock() - found.last) < REMEMBERED else None

    def set(self, name: str, uid: int, rest: Rest) -> None:
        """Write down a trouble."""
        self.rests[name, uid] = rest
        self.write()

    def clear(self, name: str, uid: int) -> None:
        """Forget it."""
        if self.rests.pop((name, uid), None) is not None:
            self.write()

    def witnesses(self, name: str) -> int:
        """How many owners had trouble with a smart host since anybody's mail went through."""
        return sum(one[0] == name and rest.is_evidence for one, rest in self.rests.items())

    def acquit(self, name: str) -> None:
        """Somebody's mail went through: what others had is no evidence any more."""
        found = [rest for one, rest in self.rests.items() if one[0] == name and rest.is_evidence]
        for rest in found:
            rest.is_evidence = False
        if found:
            self.write()

    def write(self) -> None:
        """The file anew; a fault of the disk is no reason to stop."""
        now = self.clock()
        fresh = [(one, rest) for one, rest in self.rests.items() if abs(now - rest.last) < REMEMBERED]
        fresh.sort(key=lambda one: -one[1].last)
        self.rests = dict(fresh[:MOST])
        if not self.directory:
            return
        lines = [VERSION]
        for (name, uid), one in self.rests.items():
            numbers = [uid, one.until, one.count, one.times, one.last, int(one.is_evidence)]
            lines.append("\t".join([printable(name, 255), *map(str, numbers), printable(one.reason)]))
        octets = ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")
        try:
            folder = durable.open_folder(self.directory)
        except OSError:
            return
        try:
            durable.replace(folder, "rests", octets, f".rests.{posix.getpid()}")
        except OSError:
            return
        finally:
            posix.close(folder)


def read(directory: str) -> dict[tuple[str, int], Rest]:
    """The rests by name of the smart host and uid; what cannot be read is left out."""
    try:
        folder = durable.open_folder(directory)
    except OSError:
        return {}
    try:
        lines = durable.read_small(folder, "rests").decode("utf-8", "replace").split("\n")
    except OSError:
        return {}
    finally:
        posix.close(folder)
    found: dict[tuple[str, int], Rest] = {}
    for line in lines[1:] if lines[0] == VERSION else []:
        fields = line.split("\t")
        try:
            uid, until, count, times, last, evidence = map(number, fields[1:7])
            found[fields[0], uid] = Rest(until, count, times, last, bool(evidence), fields[7])
        except (ValueError, IndexError):
            continue
    return found
