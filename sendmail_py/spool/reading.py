"""The records of a queue file as they are read; entry.py has its layout, and writes it. Pure.

Guarantees: what is not a whole queue file of our format is an exception, never guessed at.
"""

from __future__ import annotations

import binascii

from sendmail_py.errors import SendmailError
from sendmail_py.mail.envelope import STATES, TODO, Envelope, Recipient
from sendmail_py.spool.entry import VERSION, VERSION_PREFIX
from sendmail_py.spool.tries import LATEST

TEXTS = {b"B": "body", b"T": "ret", b"V": "envid"}  # records that are one attribute of the envelope


class DamagedError(SendmailError):
    """The file is not a whole queue file; the text says what is wrong with it."""


class NewerFormatError(SendmailError):
    """The file was written by a newer sendmail_py, whose business it is."""


class Entry:
    """The records of a queue file.

    envelope  with the states of its recipients
    offset    where the message begins (octets)
    states    for each recipient the offset of its state octet
    """

    __slots__ = ("envelope", "offset", "records", "states")

    def __init__(self, envelope: Envelope, records: bytes, states: list[int]) -> None:
        self.envelope = envelope
        self.records = records
        self.offset = len(records)
        self.states = states

    def checksum(self) -> int:
        """CRC-32 of the records as they were written, to go on with over the message."""
        records = bytearray(self.records)
        for at in self.states:
            records[at] = TODO[0]
        return binascii.crc32(records)


def decode(records: bytes) -> Entry:
    """Read the records (version line to empty line, both included).

    Raises DamagedError or NewerFormatError.
    """
    if not records.startswith(VERSION):
        raise newer_or_damaged(records)
    envelope = Envelope(b"", [])
    states: list[int] = []
    at = len(VERSION)
    try:
        for line in records[at:-2].split(b"\n"):
            if line[:1] == b"R":
                envelope.recipients.append(recipient(line))
                states.append(at + 1)
            else:
                record(envelope, line)
            at += len(line) + 1
    except (ValueError, IndexError):
        raise DamagedError("a record that cannot be read") from None
    if not envelope.recipients or not envelope.created:
        raise DamagedError("records are missing")
    return Entry(envelope, records, states)


def newer_or_damaged(records: bytes) -> SendmailError:
    """The fault of a file that does not begin with our version line, or whose records have no end."""
    number = records[len(VERSION_PREFIX) :].split(b"\n", 1)[0]
    if VERSION_PREFIX + number + b"\n" == VERSION:
        return DamagedError("the file is cut off")
    if records.startswith(VERSION_PREFIX) and number.isdigit():
        return NewerFormatError(f"written in format {number.decode()[:8]} by a newer sendmail_py; left alone")
    return DamagedError("no queue file")


def record(envelope: Envelope, line: bytes) -> None:
    """Put one record into the envelope; ValueError or IndexError when it is malformed."""
    kind, text = line[:1], line[2:]
    if kind == b"C":
        envelope.created = float(text)
        if not 0 <= envelope.created < LATEST:  # nor is it "nan"
            raise ValueError(line)
    elif kind == b"U":
        uid, envelope.login = text.split(b" ", 1)
        envelope.uid = int(uid)
        if not 0 <= envelope.uid < 1 << 32:
            raise ValueError(line)
    elif kind == b"S":
        envelope.reverse_path = text
    elif kind == b"O":
        envelope.rule, envelope.original = text.split(b" ", 1)
    elif kind == b"X":
        name, rule, old, new = text.split(b"\t")
        envelope.changes.append((name, rule, old, new))
    elif kind in TEXTS:
        setattr(envelope, TEXTS[kind], text)
    elif kind == b"P":
        envelope.wishes.append(text)
    else:
        raise ValueError(line)


def recipient(line: bytes) -> Recipient:
    """One R record; ValueError when it is malformed."""
    state, notify, orcpt, address = line[1:].split(b" ", 3)
    if len(state) != 1 or state not in STATES or not address:
        raise ValueError(line)
    return Recipient(address, b"" if notify == b"-" else notify, b"" if orcpt == b"-" else orcpt, state)
