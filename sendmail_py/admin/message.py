"""One message as people see it: found in the queue or among the failed ones, with what is known of it.

Nothing is claimed or changed, so a flush is not disturbed. Whatever comes from a message or a server is
made printable, but for `Message.raw`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator

from sendmail_py.admin.setting import moment, size, span
from sendmail_py.errors import DataError, SendmailError, printable
from sendmail_py.mail.envelope import (
    DELIVERED,
    FAILED,
    OPEN,
    RELAYED,
    REPORTED,
    TODO,
    UNKNOWN,
    Recipient,
)
from sendmail_py.mail.header import Splitter, date_time
from sendmail_py.spool import absorb, entry
from sendmail_py.spool.claim import open_message, read_entry
from sendmail_py.spool.queue import ID_DIGITS, Listed, Spool, Waiting, is_queue_id
from sendmail_py.spool.tries import WHOLE_MESSAGE, Try, read_tries

STATES = {
    TODO: "waiting",
    DELIVERED: "delivered",
    FAILED: "failed",
    REPORTED: "failed and reported",
    UNKNOWN: "unknown, waits for an answer or for a person",
    RELAYED: "delivered, a report is due",
}
PIECE = 65536
LONGEST_HEADER = 4 << 20
LONGEST_LINE = 4096
NO_TRY = Try(0, 0, 0, "", "", "")


class Message:
    """A message in the listing of a spool.

    waiting  its line of the listing; failed: whether it is in failed/
    listed   envelope, size and tries; None when the file cannot be read, `fault` then says why
    """

    def __init__(self, spool: Spool, waiting: Waiting, failed: bool) -> None:
        self.spool = spool
        self.waiting = waiting
        self.failed = failed
        self.listed: Listed | None = None
        self.fault = ""
        try:
            self.listed = spool.read(waiting, failed)
        except SendmailError as fault:
            self.fault = self.attempt(WHOLE_MESSAGE).reply or str(fault)
        except OSError as error:
            self.fault = error.strerror or "cannot be read"

    @property
    def queue_id(self) -> str:
        """The queue id."""
        return self.waiting.queue_id

    @property
    def gone(self) -> bool:
        """Whether it left the queue since it was listed."""
        return self.listed is None and not self.fault

    def folder(self) -> int:
        """Descriptor of the folder that it is in."""
        return self.spool.failed_folder() if self.failed else self.spool.queue_folder()

    def attempt(self, index: int) -> Try:
        """What was tried for a recipient; for a damaged file WHOLE_MESSAGE has the reason."""
        tries = self.listed.tries if self.listed else read_tries(self.folder(), self.waiting.tries_name)
        return tries.get(index, NO_TRY)

    def recipients(self) -> list[tuple[Recipient, Try]]:
        """The recipients that matter here: those that wait or failed, each with what was tried."""
        pairs = self.everybody()
        return [pair for pair in pairs if pair[0].state != DELIVERED] or pairs

    def everybody(self) -> list[tuple[Recipient, Try]]:
        """All recipients, each with what was tried."""
        known = self.listed.envelope.recipients if self.listed else []
        return [(one, self.attempt(index)) for index, one in enumerate(known)]

    def raw(self) -> Iterator[bytes]:
        """The message in wire form, in pieces; of a file that cannot be understood all that there is."""
        fd = open_message(self.folder(), self.queue_id, os.O_RDONLY)
        try:
            at, end = 0, os.fstat(fd).st_size
            with contextlib.suppress(SendmailError):
                at, end = read_entry(fd).offset, end - entry.TRAILER_OCTETS
            while at < end:
                piece = os.pread(fd, min(PIECE, end - at), at)
                if not piece:
                    return
                at += len(piece)
                yield piece
        finally:
            os.close(fd)


def every(spool: Spool, failed: bool) -> Iterator[Message]:
    """All messages in the queue, or all failed ones, oldest first, each read when its turn comes."""
    for waiting in listing(spool, failed):
        message = Message(spool, waiting, failed)
        if not message.gone:
            yield message


def listing(spool: Spool, failed: bool) -> list[Waiting]:
    """The names of all messages in the queue, or of all failed ones, oldest first."""
    return spool.failed() if failed else absorb.listing(spool)


def find(spool: Spool, queue_ids: Iterable[str]) -> list[Message]:
    """The messages with these ids, each in the queue or else among the failed ones.

    Raises DataError when there is none for one of them.
    """
    places = [(waiting, failed) for failed in (True, False) for waiting in listing(spool, failed)]
    known = {waiting.queue_id: (waiting, failed) for waiting, failed in places}
    found = []
    for wanted in dict.fromkeys(map(checked_id, queue_ids)):
        message = Message(spool, *known[wanted]) if wanted in known else None
        if message is None or message.gone:
            raise DataError(f"{wanted}: no such message, neither in the queue nor among the failed ones")
        found.append(message)
    return found


def checked_id(text: str) -> str:
    """A queue id in capitals. DataError when it is none."""
    queue_id = text.strip().upper()
    if not is_queue_id(queue_id):
        what = f"a queue id is {ID_DIGITS} hexadecimal digits"
        raise DataError(f"{printable(text, 64) or 'nothing'}: {what}; sendmail-py queue list shows them")
    return queue_id


def describe(message: Message, now: float) -> Iterator[str]:
    """What is known of a message, a line each."""
    if message.listed is None:
        yield from (f"id      {message.queue_id}", f"state   cannot be read: {printable(message.fault)}")
        return
    envelope = message.listed.envelope
    arrived = date_time(envelope.created).decode()
    yield f"id      {message.queue_id}"
    held = message.waiting.is_held(now)
    yield f"state   {'failed' if message.failed else 'held' if held else 'waiting'}"
    yield f"arrived {arrived} ({span(now - envelope.created)} ago)"
    yield f"size    {message.listed.size} octets ({size(message.listed.size)})"
    yield f"user    {printable(envelope.login)} (uid {envelope.uid})"
    yield f"from    <{printable(envelope.reverse_path)}>"
    if envelope.rule:
        yield f"        was <{printable(envelope.original)}>, changed by the rule {printable(envelope.rule)}"
    for field, rule, old, new in envelope.changes:
        before, after = printable(old, 320), printable(new, 320)
        yield f"header  {printable(field)}: <{after}> was <{before}>, changed by the rule {printable(rule)}"
    for name, value in (("body", envelope.body), ("ret", envelope.ret), ("envid", envelope.envid)):
        if value:
            yield f"{name:7} {printable(value)}"
    for recipient, attempt in message.everybody():
        yield f"to      <{printable(recipient.address)}> {progress(recipient, attempt, now)}"
        if recipient.notify:
            yield f"        notify {printable(recipient.notify)}"
        if attempt.reply:
            yield f"        {answer(attempt)}"


def progress(recipient: Recipient, attempt: Try, now: float) -> str:
    """`waiting, 3 tries, the last 14:05, the next 15:05`."""
    words = [STATES[recipient.state]]
    if attempt.tries:
        last = time.strftime("%b %d %H:%M", time.localtime(attempt.last))
        words.append(f"{attempt.tries} {'try' if attempt.tries == 1 else 'tries'}, the last {last}")
    if recipient.state in OPEN:
        words.append(f"the next {moment(attempt.next, now)}")
    return ", ".join(words)


def answer(attempt: Try) -> str:
    """The last reply and who gave it."""
    text = printable(attempt.reply)
    return f"{printable(attempt.smarthost)}: {text}" if attempt.smarthost else text


def header(pieces: Iterator[bytes]) -> Iterator[str]:
    """The header fields of a message, a line each, printable."""
    splitter = Splitter()
    seen = 0
    for piece in pieces:
        splitter.feed(piece)
        seen += len(piece)
        if splitter.done or seen > LONGEST_HEADER:
            break
    else:
        splitter.finish()
    for field in splitter.fields:
        yield from map(visible, field.rstrip(b"\r\n").split(b"\r\n"))


def text(pieces: Iterator[bytes]) -> Iterator[str]:
    """A whole message, a line each, printable."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from map(visible, lines)
    if rest:
        yield visible(rest)


def visible(line: bytes) -> str:
    """A line without its line end, printable; tabs become blanks."""
    return printable(line.removesuffix(b"\r").expandtabs(8), LONGEST_LINE)
