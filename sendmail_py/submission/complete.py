"""The header as it leaves (RFC 6409 section 8): fields added, removed, repaired; the rest byte for byte."""

from __future__ import annotations

from sendmail_py.errors import DataError
from sendmail_py.mail import header
from sendmail_py.policy import masquerade
from sendmail_py.policy.identity import Host, Person

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.mail.envelope import HeaderChange
    from sendmail_py.policy.masquerade import Change

MOST_HOPS = 100  # RFC 5321 6.3

REMOVED = (b"bcc", b"resent-bcc", b"return-path", b"content-length")
AUTHORS = (b"from", b"sender", b"resent-from", b"resent-sender")
ANSWERS = (
    b"reply-to",
    b"resent-reply-to",
    b"return-receipt-to",
    b"disposition-notification-to",
    b"errors-to",
)
RECIPIENTS = (b"to", b"cc", b"resent-to", b"resent-cc")


class Stamp:
    """What the added fields need: queue id, time of arrival (seconds), host, person, our version.

    first: the queue id of the first file of the message, by which it is known.
    """

    __slots__ = ("first", "host", "person", "queue_id", "seconds", "version")

    def __init__(self, queue_id: str, seconds: float, host: Host, person: Person, version: str) -> None:
        self.queue_id = self.first = queue_id
        self.seconds = seconds
        self.host = host
        self.person = person
        self.version = version


def complete(fields: list[bytes], stamp: Stamp, author: bytes) -> list[bytes]:
    """The fields with ours on top. `author` is the value of From: if that is missing or empty.

    Raises DataError when the message has been through too many hosts.
    """
    seen = {header.name(field) for field in fields if header.value(field).strip(b" \t\r\n")}
    if sum(header.name(field) == b"received" for field in fields) > MOST_HOPS:
        raise DataError(f"the message has over {MOST_HOPS} Received fields: a mail loop; nothing was queued")
    added = [received(stamp)]
    if b"message-id" not in seen:
        added.append(message_id(stamp))
    if b"date" not in seen:
        added.append(b"Date: " + header.date_time(stamp.seconds) + b"\r\n")
    if b"from" not in seen:
        added.append(b"From: " + author + b"\r\n")
    return added + [field for field in fields if stays(header.name(field), seen)]


def stays(name: bytes, seen: set[bytes]) -> bool:
    """Whether a field of that name is kept: not when it is secret, ours to write, or empty and replaced."""
    return name not in REMOVED and (name in seen or name not in (b"from", b"date", b"message-id"))


def repair(
    fields: list[bytes], rules: masquerade.SenderRules, domain: bytes, own: bytes
) -> tuple[list[bytes], list[HeaderChange]]:
    """The fields with bare names completed and, unless `own` is b"" (masquerade.headers), senders repaired.

    `own` is the address of whoever sends, for authors without one. Also what was changed for the senders.
    """
    changes: list[HeaderChange] = []
    return [repair_one(field, rules, domain, own, changes) for field in fields], changes


def repair_one(
    field: bytes, rules: masquerade.SenderRules, domain: bytes, own: bytes, changes: list[HeaderChange]
) -> bytes:
    """One field; most have no addresses that are our business. Adds to `changes`."""
    name = header.name(field)
    if own and (name in AUTHORS or name in ANSWERS):
        new, found = repair_senders(header.value(field), rules, name in AUTHORS, own)
        changes += [(name, rule.encode(), old, repaired) for old, repaired, rule in found]
    elif name in RECIPIENTS or name in AUTHORS or name in ANSWERS:
        new = masquerade.complete_field(header.value(field), domain)
    else:
        return field
    return header.rebuild(field, new)


def repair_senders(
    value: bytes, rules: masquerade.SenderRules, author: bool, own: bytes
) -> tuple[bytes, list[Change]]:
    """A value with its senders repaired, an author without an address by `own`. Raises NotPermittedError."""
    try:
        new, found = rules.repair_field(value, author)
    except DataError:
        new, found = value, []
        wanting = True
    else:
        wanting = b"@" not in new and b":" not in new  # nor a group, which may be empty (RFC 6854)
    if not (author and wanting and value.strip()):
        return new, found
    from sendmail_py.submission import authors  # noqa: PLC0415 (a named door: hardly anybody writes such)

    return authors.mended(value, rules, own)


def received(stamp: Stamp) -> bytes:
    """The trace field (RFC 5321 4.4): by which host, for which account, id, date."""
    return b"Received: by %s (sendmail_py %s, from uid %d)\r\n\tid %s; %s\r\n" % (
        host_name(stamp.host),
        stamp.version.encode(),
        stamp.person.uid,
        stamp.queue_id.encode(),
        header.date_time(stamp.seconds),
    )


def message_id(stamp: Stamp) -> bytes:
    """A Message-ID (RFC 5322 3.6.4), made once here, so that it is stable however often we try.

    It is ASCII (a mail domain beyond that needs SMTPUTF8), because no server can encode it on the way.
    """
    known = (stamp.host.mail_domain, host_name(stamp.host), b"localhost")
    domain = next(one for one in known if one.isascii())
    return b"Message-ID: <%s.%d@%s>\r\n" % (stamp.first.encode(), stamp.person.uid, domain)


def host_name(host: Host) -> bytes:
    """The name of this host for people."""
    return host.fqdn or host.name or b"localhost"
