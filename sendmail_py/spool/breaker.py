"""The pauses of the smart hosts: after a fault nobody knocks again before the pause is over.

One small text file `SPOOL/pauses`, a line for each smart host, tab between the fields; it may be
lost without harm.
"""

from __future__ import annotations

import posix

from sendmail_py.errors import printable
from sendmail_py.spool import durable, tries

VERSION = "sendmail-py pauses 1"


class Pause:
    """A smart host's pause.

    until, since  when it ends, when the first fault was (seconds since the epoch)
    count         faults in a row; reason: the last one, for people
    """

    __slots__ = ("count", "reason", "since", "until")

    def __init__(self, until: int, count: int, since: int, reason: str) -> None:
        self.until = until
        self.count = count
        self.since = since
        self.reason = reason


class Breaker:
    """The pauses in one spool (`directory`, which must exist; "": they are forgotten)."""

    __slots__ = ("directory", "pauses")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.pauses = read(directory)

    def get(self, name: str) -> Pause | None:
        """The pause of a smart host, None when all is well; it may be over."""
        return self.pauses.get(name)

    def set(self, name: str, pause: Pause) -> None:
        """Write down a fault."""
        self.pauses[name] = pause
        self.write()

    def clear(self, name: str) -> None:
        """The smart host is well again."""
        if self.pauses.pop(name, None) is not None:
            self.write()

    def write(self) -> None:
        """The file anew; a fault of the disk is no reason to stop."""
        if not self.directory:
            return
        try:
            self.replace()
        except OSError:
            return

    def replace(self) -> None:
        """The file anew; OSError."""
        lines = [VERSION]
        for name, one in sorted(self.pauses.items()):
            numbers = [str(number) for number in (one.until, one.count, one.since)]
            lines.append("\t".join([printable(name, 255), *numbers, printable(one.reason)]))
        octets = ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")
        folder = durable.open_folder(self.directory)
        try:
            durable.replace(folder, "pauses", octets, f".pauses.{posix.getpid()}")
        finally:
            posix.close(folder)


def all_rest(directory: str, names: list[str], now: float, longest: int) -> bool:
    """Whether every smart host of these names is left alone, by the pauses in `directory`.

    No pause is longer than `longest` (seconds); a later end comes from a clock that jumped.
    """
    pauses = read(directory)
    found = [pauses.get(name) for name in names]
    return all(one is not None and not tries.is_due(one.until, now, longest) for one in found)


def read(directory: str) -> dict[str, Pause]:
    """The pauses by name of the smart host; what cannot be read is left out."""
    try:
        folder = durable.open_folder(directory)
    except OSError:
        return {}
    try:
        lines = durable.read_small(folder, "pauses").decode("utf-8", "replace").split("\n")
    except OSError:
        return {}
    finally:
        posix.close(folder)
    pauses: dict[str, Pause] = {}
    for line in lines[1:] if lines[0] == VERSION else []:
        fields = line.split("\t")
        try:
            until, count, since = map(tries.number, fields[1:4])
            pauses[fields[0]] = Pause(until, count, since, fields[4])
        except (ValueError, IndexError):
            continue
    return pauses
