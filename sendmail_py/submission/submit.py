"""A submission, step by step: read, address, complete, queue (RFC 6409 without the network)."""

from __future__ import annotations

from sendmail_py import __version__, maillog
from sendmail_py.errors import UsageError, printable
from sendmail_py.mail import address
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.policy import aliases, identity
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.spool import draft
from sendmail_py.submission import complete, recipients

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import Config
    from sendmail_py.submission.intake import Intake


class Wish:
    """What the caller asked for, apart from the message.

    sender       the value of -f, None when absent; b"" or b"<>" is the null reverse-path
    full_name    for a From: that is missing, "" for the account's
    from_header  take recipients from the header too (-t)
    aliases      whether aliases are looked at (not with -n)
    body, notify, ret, envid   as in Envelope and Recipient
    """

    __slots__ = (
        "aliases",
        "body",
        "envid",
        "from_header",
        "full_name",
        "notify",
        "operands",
        "ret",
        "sender",
    )

    def __init__(self, operands: list[bytes], sender: bytes | None, from_header: bool) -> None:
        self.operands = operands
        self.sender = sender
        self.from_header = from_header
        self.full_name = ""
        self.aliases = True
        self.body = self.notify = self.ret = self.envid = b""


def submit(
    wish: Wish, message: Intake, config: Config, uid: int, nanoseconds: int, last_moment: Callable[[], None]
) -> tuple[str, Envelope]:
    """Queue a message; returns its queue id and envelope. When this returns the message is durable.

    `last_moment` is called right before the one step that cannot be taken back; it may raise.
    Raises UsageError, DataError, InputError, NotPermittedError, CantCreateError, TemporaryError:
    nothing is queued then.
    """
    person = identity.of(uid)
    host = identity.host(config)
    rules = SenderRules(config, host, person)
    given = recipients.from_operands(wish.operands)
    sender = None if wish.sender is None else sender_address(wish.sender)
    fields = message.header()
    if wish.from_header:
        given += recipients.from_header(fields)
    known = aliases.load(config.aliases.files, config.aliases.default) if wish.aliases else None
    envelope = address_envelope(wish, rules, sender, recipients.resolve(given, host, known))
    envelope.created = nanoseconds / 1_000_000_000
    envelope.uid, envelope.login = person.uid, person.login

    file = draft.begin(config.queue.directory, nanoseconds)
    try:
        stamp = complete.Stamp(file.queue_id, envelope.created, host, person, __version__)
        author = author_value(wish, envelope, rules, person)
        fields = complete.repair(fields, rules, host.mail_domain, config.masquerade.headers)
        file.envelope(envelope)
        file.write(b"".join(complete.complete(fields, stamp, author)) + b"\r\n")
        for piece in message.body():
            file.write(piece)
        message.drain()
        last_moment()
        file.commit()
    except BaseException:
        file.discard()
        raise
    log(file.queue_id, envelope, file.octets)
    return file.queue_id, envelope


def sender_address(text: bytes) -> bytes:
    """The value of -f as an address, b"" for the null reverse-path; UsageError when it is none."""
    try:
        address.forbid_controls(text)
        return address.parse_mailbox(text)
    except address.AddressError as fault:
        raise UsageError(f"option -f: {fault}") from None


def address_envelope(
    wish: Wish, rules: SenderRules, sender: bytes | None, forward: list[Recipient]
) -> Envelope:
    """The envelope, its reverse-path repaired if it must be."""
    new, rule = rules.default_with_rule() if sender is None else rules.repair(sender)
    envelope = Envelope(new, forward)
    if rule:
        envelope.original, envelope.rule = rules.local if sender is None else sender, rule.encode()
    envelope.body, envelope.ret, envelope.envid = wish.body, wish.ret, wish.envid
    for recipient in forward:
        recipient.notify = wish.notify
    return envelope


def author_value(wish: Wish, envelope: Envelope, rules: SenderRules, person: identity.Person) -> bytes:
    """From: for a message without one (sendmail-interface 3.7): the account's name only without -f."""
    name = wish.full_name or (person.full_name if wish.sender is None else "")
    return complete.author_of(envelope.reverse_path or rules.default(), name)


def log(queue_id: str, envelope: Envelope, octets: int) -> None:
    """One line for the message."""
    fields = [
        ("uid", str(envelope.uid)),
        ("from", f"<{printable(envelope.reverse_path)}>"),
        ("size", str(octets)),
        ("nrcpt", str(len(envelope.recipients))),
    ]
    if envelope.rule:
        fields += [("was", f"<{printable(envelope.original)}>"), ("rule", envelope.rule.decode())]
    maillog.record(queue_id, fields, "queued")
