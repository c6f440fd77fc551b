"""When the next message of a queue is due, from the names in its folder alone: no message is opened.

Guarantees: what is due is never taken for waiting, whatever the clock does. What was found is kept in
`SPOOL/due` beside the state of the folder that it was found in, so that a flush need not read a long folder
to learn that nothing is due. The file may be lost without harm.
"""

from __future__ import annotations

import posix

from sendmail_py.spool import durable
from sendmail_py.spool.queue import CLOCK_SLACK, DIGEST, FOREVER, HOLD, ID_DIGITS, held_until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.spool.queue import Spool

VERSION = b"sendmail-py due 1"
TRIES_LENGTH = ID_DIGITS + 9
NEVER = 1 << 41  # in seconds
SETTLED = 3_000_000_000  # nanoseconds; a younger change may have been followed by one with the same time
TRUSTED = 3600  # seconds


class Horizon:
    """When something is due (seconds since the epoch).

    first, last  the earliest and the latest time of a message; first 0: one was never tried
    after        when the clock is before this, holds do not count (see queue.Waiting.is_held)
    tidy         whether every name belongs to a message
    """

    __slots__ = ("after", "first", "last", "tidy")

    def __init__(self, first: int, last: int, after: int = 0, tidy: bool = True) -> None:
        self.first = first
        self.last = last
        self.after = after
        self.tidy = tidy

    def is_quiet(self, now: float, longest: float) -> bool:
        """Whether nothing is due; one beyond the longest wait (seconds) is a clock's mistake."""
        return self.after <= now < self.first and self.last <= now + longest + 1


def is_quiet(spool: Spool, now: int, longest: int) -> bool:
    """Whether nothing in a spool is due; what killed processes left in it is removed on the way.

    `longest` wait between two tries (seconds). FileNotFoundError when there is no spool yet.
    """
    folder = spool.queue_folder()
    found = recall(spool.directory, folder, now) or look(spool.directory, folder, now)
    if not found.tidy:
        spool.listing()
        spool.clean()
    return found.is_quiet(now, longest)


def find(names: list[str]) -> Horizon:
    """The horizon of a folder, from its names.

    It makes no object for a message, so a hundred thousand of them take a twentieth of a second.
    """
    messages = [name for name in names if len(name) == ID_DIGITS]
    tried = [name for name in names if len(name) == TRIES_LENGTH]
    ids = {name[:ID_DIGITS] for name in tried}
    others = len(names) - len(messages) - len(tried)
    tidy = not others and len(ids) == len(tried) == len(messages)
    if others:
        return among_others(names, messages, tried)
    if not ids.issuperset(messages):
        return Horizon(0, 0, tidy=tidy)
    times = [name[ID_DIGITS + 1 :] for name in tried]
    return horizon(times, [], tidy)


def among_others(names: list[str], messages: list[str], tried: list[str]) -> Horizon:
    """The horizon of a folder that holds more than messages and tries files."""
    holds = [name for name in names if name[ID_DIGITS:].startswith(HOLD)]
    held = {name[:ID_DIGITS] for name in holds}
    known = set(messages)
    tidy = known.issuperset([name[:ID_DIGITS] for name in names])
    if not tidy and any(name.startswith(DIGEST) for name in names):
        return Horizon(0, 0, tidy=False)
    if known - held - {name[:ID_DIGITS] for name in tried}:
        return Horizon(0, 0, tidy=tidy)
    return horizon([name[ID_DIGITS + 1 :] for name in tried if name[:ID_DIGITS] not in held], holds, tidy)


def horizon(times: list[str], holds: list[str], tidy: bool) -> Horizon:
    """The horizon of these times of next tries, in hexadecimal, and of these holds."""
    try:
        first, last = int(min(times), 16) if times else NEVER, int(max(times), 16) if times else 0
        arrived = [int(name[:ID_DIGITS], 16) >> 16 for name in holds if held_until(name) != FOREVER]
        ends = [held_until(name) for name in holds]
    except ValueError:  # a name that is none of ours
        return Horizon(0, 0, tidy=False)
    return Horizon(min([first, *ends]), last, max(arrived, default=0) - CLOCK_SLACK, tidy)


def look(directory: str, folder: int, now: float) -> Horizon:
    """The horizon of the queue in an open folder; remembered if that is safe."""
    before = state(folder)
    found = find(posix.listdir(folder))
    if found.first and found.tidy:
        remember(directory, found, before, int(now))
    return found


def recall(directory: str, folder: int, now: float) -> Horizon | None:
    """What was found when the folder was as it is now, None when that is not known."""
    try:
        fd = posix.open(f"{directory}/due", durable.SAFELY | posix.O_RDONLY)
        try:
            lines = posix.read(fd, 4096).split(b"\n")
        finally:
            posix.close(fd)
        when, first, last, after = map(int, lines[1].split())
    except (OSError, ValueError, IndexError):
        return None
    if lines[0] != VERSION or lines[2] != state(folder)[1] or not when <= now < when + TRUSTED:
        return None
    return Horizon(first, last, after)


def remember(directory: str, found: Horizon, before: tuple[int, bytes], now: int) -> None:
    """Write it down, unless the folder has just been changed: another change might have the same time."""
    temporary = f"{directory}/.due.{posix.getpid()}"
    content = b"%s\n%d %d %d %d\n%s\n" % (VERSION, now, found.first, found.last, found.after, before[1])
    try:
        fd = posix.open(temporary, durable.SAFELY | posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o600)
        try:
            durable.write_all(fd, content)
            settled = posix.fstat(fd).st_mtime_ns - before[0] > SETTLED  # by the file system's clock
        finally:
            posix.close(fd)
        if settled:
            posix.rename(temporary, f"{directory}/due")
        else:
            posix.unlink(temporary)
    except OSError:
        return


def state(folder: int) -> tuple[int, bytes]:
    """When a folder was changed (nanoseconds), and all that tells one state of it from another."""
    status = posix.fstat(folder)
    facts = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    return status.st_mtime_ns, b"%d %d %d %d" % facts
