"""The senders that a smart host refused: nobody else's mail waits for them, and nobody repeats the refusal.

One small text file `SPOOL/refused`, a line for each smart host and sender, tab between the fields; it may
be lost without harm: the next message of that sender is refused again, once.
"""

from __future__ import annotations

import posix

from sendmail_py.errors import printable
from sendmail_py.spool import durable
from sendmail_py.spool.tries import number

VERSION = "sendmail-py refused senders 1"


class Refusal:
    """What a smart host said to a sender.

    until, since  when the sender may be tried again without a change, when the first refusal was (seconds)
    count         refusals in a row; reply: the last one, for people
    rules         the configuration that held, see rules_of
    """

    __slots__ = ("count", "reply", "rules", "since", "until")

    def __init__(self, until: int, count: int, since: int, rules: str, reply: str) -> None:
        self.until = until
        self.count = count
        self.since = since
        self.rules = rules
        self.reply = reply


Refusals = dict[tuple[str, str], Refusal]  # by name of the smart host and sender, both printable


def key(smarthost: str, sender: bytes) -> tuple[str, str]:
    """Under which a refusal is kept."""
    return printable(smarthost, 255), printable(sender, 1100)


def rules_of(files: list[str]) -> str:
    """What tells one configuration from the next: times and sizes of its files, in hexadecimal."""
    known = []
    for path in files:
        try:
            status = posix.stat(path)
        except OSError:
            continue
        known.append(f"{status.st_mtime_ns:x}.{status.st_size:x}")
    return "-".join(known) or "0"


def read(directory: str) -> Refusals:
    """The refusals in a spool; what cannot be read is left out."""
    try:
        folder = durable.open_folder(directory)
    except OSError:
        return {}
    try:
        lines = durable.read_small(folder, "refused").decode("utf-8", "replace").split("\n")
    except OSError:
        return {}
    finally:
        posix.close(folder)
    found: Refusals = {}
    for line in lines[1:] if lines[0] == VERSION else []:
        fields = line.split("\t")
        try:
            until, count, since = map(number, fields[2:5])
            found[fields[0], fields[1]] = Refusal(until, count, since, fields[5], fields[6])
        except (ValueError, IndexError):
            continue
    return found


def write(directory: str, refusals: Refusals) -> None:
    """The file anew."""
    lines = [VERSION]
    for names, one in sorted(refusals.items()):
        numbers = [str(number) for number in (one.until, one.count, one.since)]
        lines.append("\t".join([*names, *numbers, one.rules, printable(one.reply)]))
    octets = ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")
    folder = durable.open_folder(directory)
    try:
        durable.replace(folder, "refused", octets, f".refused.{posix.getpid()}")
    finally:
        posix.close(folder)
