"""A submission, step by step: read, address, complete, queue (RFC 6409 without the network).

`submit` is the way of a message on standard input; `enqueue` is its second half, which the SMTP
dialogue shares (session.py): there sender and recipients were given, and answered, before.
"""

from __future__ import annotations

from sendmail_py import __version__, maillog
from sendmail_py.errors import UsageError, printable
from sendmail_py.mail import address, addresslist
from sendmail_py.mail.envelope import Envelope
from sendmail_py.policy import aliases, identity
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.spool import draft, shared
from sendmail_py.submission import complete, recipients

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.aliases import Aliases
    from sendmail_py.policy.config import Config
    from sendmail_py.submission.intake import Intake

LOGGED = 3  # changes of header fields in the log; the queue file has more


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
    rules = sender_rules(config, uid)
    given = recipients.from_operands(wish.operands)
    sender = None if wish.sender is None else sender_address(wish.sender)
    fields = message.header()
    if wish.from_header:
        given += recipients.from_header(fields)
    known = known_aliases(config, wish.aliases)
    envelope = Envelope(b"", [])
    envelope.plain = [] if wish.notify else recipients.final(given, rules.host, known)
    if not envelope.plain:
        envelope.recipients = recipients.resolve(given, rules.host, known)
    address_envelope(envelope, rules, sender)
    send_as_owner(envelope, rules, recipients.owner(rules.host, known))
    envelope.body, envelope.ret, envelope.envid = wish.body, wish.ret, wish.envid
    for recipient in envelope.recipients:
        recipient.notify = wish.notify
    name = wish.full_name or (rules.person.full_name if sender is None else "")
    queue_id = enqueue(envelope, fields, message, rules, name, nanoseconds, last_moment)
    return queue_id, envelope


def enqueue(
    envelope: Envelope,
    fields: list[bytes],
    message: Intake,
    rules: SenderRules,
    name: str,
    nanoseconds: int,
    last_moment: Callable[[], None],
) -> str:
    """Queue an addressed message whose header was read: complete it, write it, make it durable.

    `name` goes into a From: that is missing. See submit for the rest; returns the queue id.
    """
    config, host, person = rules.config, rules.host, rules.person
    envelope.created = nanoseconds / 1_000_000_000
    envelope.uid, envelope.login = person.uid, person.login
    if config.queue.shared:
        config.queue.directory = shared.make(config.queue.shared, person.uid)
    file = draft.begin(config.queue.directory, nanoseconds, config.queue.max_queue)
    try:
        stamp = complete.Stamp(file.queue_id, envelope.created, host, person, __version__)
        author = complete.author_of(sender_of(envelope, rules), name)
        fields, changes = complete.repair(fields, rules, host.mail_domain, config.masquerade.headers)
        envelope.changes = changes
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
    if config.queue.shared:
        shared.announce(config.queue.shared, config.queue.directory)
    log(file.queue_id, envelope, file.octets)
    return file.queue_id


def sender_rules(config: Config, uid: int) -> SenderRules:
    """The rules for the user who submits, with that person and this host."""
    return SenderRules(config, identity.host(config), identity.of(uid))


def known_aliases(config: Config, wanted: bool) -> Aliases | None:
    """The aliases, not read yet; None when the caller does not want them (-n)."""
    if not wanted:
        return None
    settings = config.aliases
    return aliases.load(settings.files, settings.default, settings.forward, config.queue.directory)


def sender_address(text: bytes) -> bytes:
    """The value of -f as an address, b"" for the null reverse-path; UsageError when it is none."""
    try:
        address.forbid_controls(text)
        return addresslist.parse_mailbox(text)
    except address.AddressError as fault:
        raise UsageError(f"option -f: {fault}") from None


def address_envelope(envelope: Envelope, rules: SenderRules, sender: bytes | None) -> None:
    """Set the reverse-path, repaired if it must be; None is the user's own.

    Raises NotPermittedError, and AddressError for what is no address even then.
    """
    new, rule = rules.default_with_rule() if sender is None else rules.repair(sender)
    if sender:
        address.check(new)
    envelope.reverse_path = new
    if rule:
        envelope.original, envelope.rule = rules.local if sender is None else sender, rule.encode()


def sender_of(envelope: Envelope, rules: SenderRules) -> bytes:
    """The address of whoever sends: the reverse-path, unless that is null or a list's owner."""
    if envelope.rule == b"owner":
        return rules.repair(envelope.original)[0]
    return envelope.reverse_path or rules.default()


def send_as_owner(envelope: Envelope, rules: SenderRules, owner: bytes) -> None:
    """What a list's owner shall hear of goes to the owner; a report (null reverse-path) stays one."""
    if owner and envelope.reverse_path:
        envelope.original = envelope.original or envelope.reverse_path
        envelope.reverse_path, envelope.rule = rules.answerable(owner)[0], b"owner"


def log(queue_id: str, envelope: Envelope, octets: int) -> None:
    """One line for the message."""
    fields = [
        ("uid", str(envelope.uid)),
        ("size", str(octets)),
        ("from", f"<{printable(envelope.reverse_path)}>"),
        ("nrcpt", str(len(envelope.recipients) + len(envelope.plain))),
    ]
    if envelope.rule:
        fields += [("was", f"<{printable(envelope.original)}>"), ("rule", envelope.rule.decode())]
    for name, rule, old, new in envelope.changes[:LOGGED]:
        text = f"{printable(old, 256)} -> {printable(new, 256)} ({rule.decode()})"
        fields.append((name.decode(), text))
    maillog.record(queue_id, fields, "queued")
