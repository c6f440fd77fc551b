"""The queue file: records in, records out. Pure; sendmail-py-spool(5) is its specification.

Layout: a version line, one record a line, an empty line, the message in wire form (CRLF line ends,
not dot-stuffed), and a trailer of fixed length with the octets of the message and a checksum of
everything. The state of a recipient is the second octet of its record: the only octets of the file
that ever change, and the only ones that the checksum takes for TODO whatever they are.
"""

from __future__ import annotations

import binascii

from sendmail_py.errors import DataError, SendmailError
from sendmail_py.mail.envelope import STATES, TODO, Envelope, Recipient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.mail.envelope import HeaderChange

VERSION_PREFIX = b"sendmail-py queue file "
VERSION = VERSION_PREFIX + b"1\n"
END_OF_RECORDS = b"\n\n"
PLAIN = b"R%s - - " % TODO  # how the record of a recipient begins for whom nothing was asked
TRAILER_OCTETS = 28
MOST_CHANGES = 100  # records of what the sender rules changed in the header
TEXTS = {b"B": "body", b"T": "ret", b"V": "envid"}  # records that are one attribute of the envelope
ONE_LINE = bytes.maketrans(b"\t\r\n\0", b"    ")
LARGEST_RECORDS = 64 * 1024 * 1024


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


def encode(envelope: Envelope) -> bytes:
    """The records of a new queue file, up to the first octet of the message.

    Raises DataError when nobody could read so many again.
    """
    lines = [
        VERSION[:-1],
        b"C %.6f" % envelope.created,
        b"U %d %s" % (envelope.uid, envelope.login),
        b"S " + envelope.reverse_path,
    ]
    if envelope.rule:
        lines.append(b"O %s %s" % (envelope.rule, envelope.original))
    if envelope.changes:
        lines += [b"X " + one_line(change) for change in envelope.changes[:MOST_CHANGES]]
    for letter, text in ((b"B", envelope.body), (b"T", envelope.ret), (b"V", envelope.envid)):
        if text:
            lines.append(letter + b" " + text)
    lines += [b"P " + one for one in envelope.wishes]
    lines += [
        b"R%s %s %s %s" % (one.state, one.notify or b"-", one.orcpt or b"-", one.address)
        for one in envelope.recipients
    ]
    if b"\n" in b"".join(lines + envelope.plain):
        raise DamagedError("a line break in the envelope")
    if envelope.plain:
        lines.append(PLAIN + (b"\n" + PLAIN).join(envelope.plain))
    records = b"\n".join(lines) + END_OF_RECORDS
    if len(records) >= LARGEST_RECORDS:
        raise DataError("too many recipients for one message; nothing was queued")
    return records


def one_line(change: HeaderChange) -> bytes:
    """What an X record says of a change."""
    return b"\t".join([one.translate(ONE_LINE) for one in change])


def trailer(octets: int, checksum: int, eight_bit: bool) -> bytes:
    """The last TRAILER_OCTETS of a queue file: length, checksum, whether any octet is above 127."""
    return b"END %012d %08x %d\n" % (octets, checksum, 8 if eight_bit else 7)


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
    """The fault of a file that does not begin with our version line."""
    number = records[len(VERSION_PREFIX) :].split(b"\n", 1)[0]
    if records.startswith(VERSION_PREFIX) and number.isdigit():
        return NewerFormatError(f"written in format {number.decode()[:8]} by a newer sendmail_py; left alone")
    return DamagedError("no queue file")


def record(envelope: Envelope, line: bytes) -> None:
    """Put one record into the envelope; ValueError or IndexError when it is malformed."""
    kind, text = line[:1], line[2:]
    if kind == b"C":
        envelope.created = float(text)
    elif kind == b"U":
        uid, envelope.login = text.split(b" ", 1)
        envelope.uid = int(uid)
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
