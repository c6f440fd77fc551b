"""mailq, sendmail -bp: the queue in the layout that monitoring tools read (Postfix's), or as JSON lines.

Column 1 holds queue ids, the header's `-` and blanks only; the summary is the last line.
"""

from __future__ import annotations

import posix
import sys
import time

from sendmail_py.commands import setting
from sendmail_py.commands.options import Request
from sendmail_py.errors import EX_OK, SendmailError, printable
from sendmail_py.mail.envelope import OPEN, UNKNOWN
from sendmail_py.mail.header import DAYS, MONTHS
from sendmail_py.mail.selection import matches
from sendmail_py.maillog import json_line
from sendmail_py.policy import homes
from sendmail_py.policy.config import Config
from sendmail_py.spool import refused
from sendmail_py.spool.breaker import Breaker
from sendmail_py.spool.queue import DIGEST, Listed, Spool, Waiting
from sendmail_py.spool.refused import Refusals
from sendmail_py.spool.tries import MOST_UNKNOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EMPTY = "Mail queue is empty\n"
HEADER = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
LETTERS = {"active": "*", "hold": "!", "deferred": ""}
NO_ANSWER = "answer unknown, the message may have been delivered"
RECIPIENT_COLUMN = 41
REASON_END = 75
LONGEST_NUMBER = 16  # digits of what an owner's mailq counts


class Total:
    """What was printed so far: messages and octets."""

    __slots__ = ("messages", "octets")

    def __init__(self) -> None:
        self.messages = self.octets = 0

    def add(self, lines: Iterable[str]) -> None:
        """What an owner's last lines say, see `summary`; one that says something else counts for nothing."""
        for words in [line.split() for line in lines]:
            numbers = [words[at] for at in (1, 4) if len(words) > at and words[at].isdecimal()]
            if len(numbers) == 2 and max(map(len, numbers)) < LONGEST_NUMBER:
                self.octets += int(numbers[0]) * 1024
                self.messages += int(numbers[1])


def run(request: Request, stdin_open: bool) -> int:
    """Print the caller's own queue, or what -q selects of it; root's with the shared spool is everybody's."""
    config = setting.load(request)
    total = Total()
    if config.queue.shared and posix.geteuid() == 0:
        everybody(request, config, total)
    else:
        own(request, config, total)
    if not request.json:
        sys.stdout.write(summary(total.messages, total.octets))
    return EX_OK


def own(request: Request, config: Config, total: Total, owner: str = "") -> None:
    """One queue: a message at a time, a reader may stop."""
    spool = Spool(config.queue.directory)
    where = homes.STATE if config.queue.shared else config.queue.directory
    names = [host.name for host in config.smarthosts]
    pause = general_reason(where, names) or general_reason(config.queue.directory, names)
    refusals = refused.read(config.queue.directory)
    busy = locked_files()
    hold_unknown, now = config.queue.on_unknown == "hold", time.time()
    write = as_json if request.json else as_text
    for one in everything(spool, request.program):
        try:
            listed = spool.read(one)
        except (SendmailError, OSError) as fault:
            reason = fault.strerror if isinstance(fault, OSError) else fault
            sys.stderr.write(f"{request.program}: {one.queue_id}: {reason}\n")
            continue
        if listed is None or not matches(request.only, one.queue_id, listed.envelope):
            continue
        if not request.json:
            head(total, owner)
            owner = ""
        state = "hold" if is_held(one, listed, hold_unknown, now) else "deferred"
        state = "active" if listed.inode in busy else state
        sys.stdout.write(write(listed, state, refusal(listed, refusals) or pause))
        total.messages += 1
        total.octets += listed.size
    if not request.json:
        sys.stdout.write(failures(request, spool))


def everything(spool: Spool, program: str) -> Iterator[Waiting]:
    """All messages by age, and last those that a digest had hidden when its flush died: they come back."""
    seen = set()
    for one in spool.messages():
        seen.add(one.queue_id)
        yield one
    if not any(name.startswith(DIGEST) for name in spool.leftovers):
        return
    from sendmail_py.spool import absorb  # noqa: PLC0415 (the door to what hardly ever is needed)

    try:
        absorb.recover(spool)
    except OSError as error:
        sys.stderr.write(f"{program}: messages of an unfinished digest are not shown: {error.strerror}\n")
    yield from [one for one in spool.messages() if one.queue_id not in seen]


def head(total: Total, owner: str) -> None:
    """The lines above a message: the header above the first, and whose the next ones are."""
    if not total.messages:
        sys.stdout.write(HEADER)
    if owner:
        sys.stdout.write(f"-Owner {owner}-\n")


def everybody(request: Request, config: Config, total: Total) -> None:
    """All owners' mail, each queue as its owner sees it, by a process with that owner's rights."""
    from sendmail_py.shared import asking  # noqa: PLC0415 (the door to such processes)

    for uid, name in asking.owners(config.queue.shared):
        if not uid:
            own(request, config, total, name)
            continue
        lines = asking.mailq(uid, sys.argv[1:])
        rows = [line for line in lines if f"{line}\n" not in (EMPTY, HEADER) and line[:3] != "-- "]
        if any(rows) and not request.json:
            head(total, name)
        sys.stdout.write("".join([line + "\n" for line in rows[:-1]]))
        total.add(line for line in lines if line[:3] == "-- ")


def failures(request: Request, spool: Spool) -> str:
    """The line about messages that failed, if there are any; the listing goes on if nobody can tell."""
    try:
        failed, reports = spool.count_failed()
    except OSError as error:
        sys.stderr.write(f"{request.program}: {error.filename}: {error.strerror}\n")
        return ""
    told = f", {reports} of them undeliverable reports" if reports else ""
    return f"({failed} failed{told}: see sendmail-py queue list --failed)\n" if failed else ""


def is_held(waiting: Waiting, listed: Listed, hold_unknown: bool, now: float) -> bool:
    """Whether it waits for a person: held, or nobody knows whether the smart host has it (on_unknown)."""
    doubtful = [i for i, one in enumerate(listed.envelope.recipients) if one.state == UNKNOWN]
    tried = [listed.tries[i].unknown for i in doubtful if i in listed.tries]
    return waiting.is_held(now) or bool(doubtful and (hold_unknown or max(tried, default=0) >= MOST_UNKNOWN))


def refusal(listed: Listed, refusals: Refusals) -> str:
    """What a smart host said to the sender, "" if nothing."""
    sender = printable(listed.envelope.reverse_path, 1100) if refusals else ""
    return next((one.reply for key, one in refusals.items() if key[1] == sender), "")


def summary(messages: int, octets: int) -> str:
    """The last line."""
    if not messages:
        return EMPTY
    return f"-- {octets // 1024} Kbytes in {messages} Request{'' if messages == 1 else 's'}.\n"


def as_text(listed: Listed, state: str, pause: str) -> str:
    """A message's lines: id, size, arrival, sender; then reasons and the recipients they are for."""
    name = listed.queue_id + LETTERS[state]
    sender = printable(listed.envelope.reverse_path) or "MAILER-DAEMON"
    lines = [f"{name} {listed.size:>{18 - len(name)}} {arrival(listed.envelope.created)}  {sender}"]
    previous = ""
    for address, reason in recipients(listed, pause):
        if reason and reason != previous:
            lines.append(f"({reason})".rjust(min(REASON_END + 2, max(REASON_END, len(reason)) + 2)))
        previous = reason
        lines.append(" " * RECIPIENT_COLUMN + address)
    return "\n".join(lines) + "\n\n"


def as_json(listed: Listed, state: str, pause: str) -> str:
    """A message as one line of JSON with the keys of `postqueue -j`."""
    rows: list[object] = []
    for address, reason in recipients(listed, pause):
        row: list[tuple[str, object]] = [("address", address)]
        rows.append([*row, ("delay_reason", reason)] if reason else row)
    return (
        json_line(
            [
                ("queue_name", state),
                ("queue_id", listed.queue_id),
                ("arrival_time", int(listed.envelope.created)),
                ("message_size", listed.size),
                ("forced_expire", False),
                ("sender", printable(listed.envelope.reverse_path) or "MAILER-DAEMON"),
                ("recipients", rows),
            ]
        )
        + "\n"
    )


def recipients(listed: Listed, pause: str) -> list[tuple[str, str]]:
    """The recipients that still wait, each with the reason; those with the same reason together."""
    rows = []
    for index, one in enumerate(listed.envelope.recipients):
        if one.state in OPEN:
            attempt = listed.tries.get(index)
            reason = NO_ANSWER if one.state == UNKNOWN else pause
            rows.append((printable(one.address), attempt.reply if attempt and attempt.reply else reason))
    return sorted(rows, key=lambda row: row[1])


def arrival(seconds: float) -> str:
    """`Mon Nov 23 15:19:55`, local time."""
    t = time.localtime(seconds)
    return (
        f"{DAYS[t.tm_wday]} {MONTHS[t.tm_mon - 1]} {t.tm_mday:2} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
    )


def general_reason(directory: str, names: list[str]) -> str:
    """Why nothing moves at all: the fault of the last smart host, when every one has a pause."""
    breaker = Breaker(directory)
    pauses = [breaker.get(name) for name in names]
    if not names:
        return "no smart host is configured"
    last = pauses[-1]
    return last.reason if last is not None and None not in pauses else ""


def locked_files() -> set[tuple[int, int]]:
    """Files that somebody holds a flock(2) of, as (device, inode), from proc_locks(5).

    Looking does not disturb a flush; taking the locks ourselves for a moment would.
    """
    try:
        fd = posix.open("/proc/locks", posix.O_RDONLY | posix.O_CLOEXEC)
        with open(fd, "rb") as table:
            rows = [line.split() for line in table]
    except OSError:
        return set()
    found = set()
    for row in rows:
        if b"FLOCK" in row and len(row) > 5:
            major, minor, inode = row[-3].split(b":")
            found.add((posix.makedev(int(major, 16), int(minor, 16)), int(inode)))
    return found
