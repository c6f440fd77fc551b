"""What changes with attempts, beside the message: tries, next try, last reply. May be lost without harm.

A small text file `ID.NEXT`, its name says when the earliest recipient is due (8 hexadecimal digits,
seconds since the epoch), so that one listing of the folder tells what is due.
"""

from __future__ import annotations

from sendmail_py.errors import printable
from sendmail_py.spool import durable

VERSION = "sendmail-py tries 1"
WHOLE_MESSAGE = -1
LATEST = 1 << 33  # seconds since the epoch; what is later was never written by us, and few calendars have it
MOST_UNKNOWN = 3  # answers lost in a row; after that a person decides


class Try:
    """The attempts for one recipient so far.

    tries      how many attempts were made
    next, last seconds since the epoch
    smarthost  name of the smart host that answered, status its enhanced code ("4.2.0"), reply its text
    unknown    how many of the last attempts in a row had no answer to the final dot
    waited     seconds that were seen to go by, no step of them a jump of the clock; see relay/trouble.py
    """

    __slots__ = ("last", "next", "reply", "smarthost", "status", "tries", "unknown", "waited")

    def __init__(
        self,
        tries: int,
        next: int,  # noqa: A002 (the word of the format)
        last: int,
        smarthost: str,
        status: str,
        reply: str,
        unknown: int = 0,
        waited: int = 0,
    ) -> None:
        self.tries = tries
        self.next = next
        self.last = last
        self.smarthost = smarthost
        self.status = status
        self.reply = reply
        self.unknown = unknown
        self.waited = waited


def is_due(due: float, now: float, longest: float) -> bool:
    """Whether what is due at `due` (0: never tried) may be tried (seconds; `longest`: the longest wait).

    A time further away than the longest wait comes from a clock that jumped.
    """
    return not now < due <= now + longest + 1


def number(text: str) -> int:
    """A count or a time (seconds) from a small file; one that nobody wrote becomes the nearest possible."""
    return max(-LATEST, min(int(text), LATEST))


def file_name(queue_id: str, tries: dict[int, Try]) -> str:
    """`ID.NEXT` for the earliest of the next tries."""
    due = min([one.next for one in tries.values()], default=0)
    return f"{queue_id}.{max(0, min(due, 0xFFFFFFFF)):08X}"


def encode(tries: dict[int, Try]) -> bytes:
    """The file's content: a line for each recipient index, tab between the fields."""
    lines = [VERSION]
    for index, one in sorted(tries.items()):
        text = (printable(one.smarthost, 255), printable(one.status, 16), printable(one.reply))
        numbers = (index, one.tries, one.next, one.last)
        last = (str(one.unknown), str(one.waited))
        lines.append("\t".join([*map(str, numbers), *text, *last]))
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def decode(octets: bytes) -> dict[int, Try]:
    """The tries by recipient index; a line that cannot be read is left out."""
    lines = octets.decode("utf-8", "replace").split("\n")
    tries: dict[int, Try] = {}
    if lines[0] == VERSION:
        for line in lines[1:]:
            fields = line.split("\t")
            try:
                index, count, due, last = map(number, fields[:4])
                smarthost, status, reply = fields[4:7]
                unknown, waited = [number(field) for field in fields[7:9]] or (0, 0)
                tries[index] = Try(count, due, last, smarthost, status, reply, unknown, waited)
            except (ValueError, TypeError):
                continue
    return tries


def read_tries(folder: int, name: str) -> dict[int, Try]:
    """The tries in a file; {} when it is gone or unreadable."""
    try:
        return decode(durable.read_small(folder, name))
    except OSError:
        return {}
