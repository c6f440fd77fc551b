"""The queue file as it is written: records and trailer. Pure; sendmail-py-spool(5) is its specification.

Layout: a version line, one record a line, an empty line, the message in wire form (CRLF line ends,
not dot-stuffed), and a trailer of fixed length with the octets of the message and a checksum of
everything. The state of a recipient is the second octet of its record: the only octets of the file
that ever change, and the only ones that the checksum takes for TODO whatever they are.

A submission writes and never reads, so reading has a module of its own (reading.py).
"""

from __future__ import annotations

from sendmail_py.errors import DataError, SendmailError
from sendmail_py.mail.envelope import TODO, Envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.mail.envelope import HeaderChange

VERSION_PREFIX = b"sendmail-py queue file "
VERSION = VERSION_PREFIX + b"1\n"
END_OF_RECORDS = b"\n\n"
PLAIN = b"R%s - - " % TODO  # how the record of a recipient begins for whom nothing was asked
TRAILER_OCTETS = 28
MOST_CHANGES = 100  # records of what the sender rules changed in the header
ONE_LINE = bytes.maketrans(b"\t\r\n\0", b"    ")
LARGEST_RECORDS = 64 * 1024 * 1024


def encode(envelope: Envelope, fresh: bool = False) -> bytes:
    """The records of a queue file, up to the first octet of the message.

    `fresh` is as the checksum takes them: with all recipients still to do. Raises DataError when nobody could
    read so many again.
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
        b"R%s %s %s %s" % (TODO if fresh else one.state, one.notify or b"-", one.orcpt or b"-", one.address)
        for one in envelope.recipients
    ]
    if b"\n" in b"".join(lines + envelope.plain):
        raise SendmailError("a line break in the envelope")
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
