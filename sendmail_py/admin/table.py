"""The queue as a table for people, and as JSON lines for programs. Pure: messages in, text out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator

from sendmail_py.admin.message import STATES, Message, answer
from sendmail_py.admin.setting import moment, size, span
from sendmail_py.errors import printable
from sendmail_py.mail.envelope import OPEN, Recipient
from sendmail_py.spool.tries import Try

HEAD = ("ID", "AGE", "SIZE", "TRIES", "NEXT", "FROM", "TO / LAST REPLY")
RIGHT = (1, 2, 3)  # columns of numbers
WIDEST = 40  # a longer address pushes its own line to the right, not all of them
WIDEST_REPLY = 200

Row = tuple[str, ...]


def lines(messages: Iterable[Message], now: float) -> Iterator[str]:
    """The table, heading first; nothing when there are no messages."""
    found = [row for message in messages for row in rows(message, now)]
    if not found:
        return
    found.insert(0, HEAD)
    widths = [min(WIDEST, max(len(row[at]) for row in found)) for at in range(len(HEAD) - 1)]
    for row in found:
        cells = [
            f"{cell:>{width}}" if at in RIGHT else f"{cell:<{width}}"
            for at, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        yield "  ".join([*cells, row[-1]]).rstrip()


def rows(message: Message, now: float) -> Iterator[Row]:
    """A message's rows: one for each recipient, the message's own columns in the first only."""
    if message.listed is None:
        yield (message.queue_id, "-", "-", "-", "-", "-", printable(message.fault, WIDEST_REPLY))
        return
    envelope = message.listed.envelope
    own = (
        message.queue_id,
        span(now - envelope.created),
        size(message.listed.size),
        str(max((attempt.tries for _, attempt in message.everybody()), default=0)),
    )
    sender = printable(envelope.reverse_path) or "<>"
    for recipient, attempt in message.recipients():
        due = "failed" if recipient.state not in OPEN else moment(attempt.next, now)
        due = "held" if message.waiting.is_held(now) else due
        yield (*own, due, sender, to(recipient, attempt))
        own, sender = ("", "", "", ""), ""


def to(recipient: Recipient, attempt: Try) -> str:
    """A recipient and what was said about it last."""
    text = printable(recipient.address)
    return f"{text}  {printable(attempt.reply, WIDEST_REPLY)}" if attempt.reply else text


def as_json(message: Message) -> str:
    """A message as one line of JSON: the keys of `postqueue -j`, and what else we know."""
    waits = "hold" if message.waiting.is_held(time.time()) else "deferred"
    record: dict[str, object] = {
        "queue_name": "failed" if message.failed else waits,
        "queue_id": message.queue_id,
    }
    if message.listed is None:
        return json.dumps({**record, "fault": printable(message.fault)})
    envelope = message.listed.envelope
    record |= {
        "arrival_time": int(envelope.created),
        "message_size": message.listed.size,
        "sender": printable(envelope.reverse_path) or "MAILER-DAEMON",
        "original_sender": printable(envelope.original),
        "rule": printable(envelope.rule),
        "login": printable(envelope.login),
        "uid": envelope.uid,
        "recipients": [recipient_record(*pair) for pair in message.everybody()],
    }
    return json.dumps(record)


def recipient_record(recipient: Recipient, attempt: Try) -> dict[str, object]:
    """A recipient for JSON."""
    return {
        "address": printable(recipient.address),
        "state": STATES[recipient.state].partition(" ")[0].rstrip(","),
        "tries": attempt.tries,
        "next_try": attempt.next,
        "last_try": attempt.last,
        "delay_reason": answer(attempt),
    }
