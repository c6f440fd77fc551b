"""A submission, step by step: read, address, complete, queue (RFC 6409 without the network).

`submit` is the way of a message on standard input; `enqueue` is its second half, which the SMTP
dialogue shares (session.py): there sender and recipients were given, and answered, before.
"""

from __future__ import annotations

from sendmail_py import __version__, maillog
from sendmail_py.errors import DataError, UsageError, printable
from sendmail_py.mail import address, addresslist, header
from sendmail_py.mail.envelope import Envelope
from sendmail_py.policy import aliases, homes, identity
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.spool import draft, shared
from sendmail_py.submission import complete, recipients

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.aliases import Aliases
    from sendmail_py.policy.config import Config
    from sendmail_py.spool.draft import Draft
    from sendmail_py.submission.intake import Intake

    Begin = Callable[[str, int, int], Draft]  # as draft.begin

LARGE = 1 << 20  # octets of a message from which on the smart hosts' limits are looked up
LOGGED = 3  # changes of header fields in the log; the queue file has more


class Wish:
    """What the caller asked for, apart from the message.

    sender       the value of -f, None when absent; b"" or b"<>" is the null reverse-path
    full_name    for a From: that is missing, "" for the account's
    from_header  take recipients from the header too (-t)
    aliases      whether aliases are looked at (not with -n)
    body, notify, ret, envid, hold   as in Envelope and Recipient
    """

    __slots__ = (
        "aliases",
        "body",
        "envid",
        "from_header",
        "full_name",
        "hold",
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
        self.hold = 0
        self.aliases = True
        self.body = self.notify = self.ret = self.envid = b""


def submit(
    wish: Wish,
    message: Intake,
    config: Config,
    uid: int,
    nanoseconds: int,
    last_moment: Callable[[], None],
    begin: Begin = draft.begin,
) -> tuple[list[str], Envelope]:
    """Queue a message; returns its queue ids and first envelope. When this returns the message is durable.

    There is one queue id, unless lists with owners are among the recipients: then one for each reverse-path.
    `last_moment` is called right before the one step that cannot be taken back; it may raise. `begin` makes
    the draft whose `commit` is that step.
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
    envelope.body, envelope.ret, envelope.envid = wish.body, wish.ret, wish.envid
    envelope.hold = wish.hold
    for recipient in envelope.recipients:
        recipient.notify = wish.notify
    name = wish.full_name or (rules.person.full_name if sender is None else "")
    envelopes = by_owner(envelope, rules, known)
    queue_ids = enqueue(envelopes, fields, message, rules, name, nanoseconds, last_moment, begin)
    return queue_ids, envelopes[0]


def enqueue(
    envelopes: list[Envelope],
    fields: list[bytes],
    message: Intake,
    rules: SenderRules,
    name: str,
    nanoseconds: int,
    last_moment: Callable[[], None],
    begin: Begin = draft.begin,
) -> list[str]:
    """Queue an addressed message whose header was read: complete it, write it, make it durable.

    The envelopes differ in reverse-path and recipients. `name` goes into a From: that is missing. See submit
    for the rest; returns a queue id for each envelope.
    """
    config = rules.config
    if config.queue.shared:
        config.queue.directory = shared.make(config.queue.shared, rules.person.uid)
    own = sender_of(envelopes[0], rules)
    files: list[Draft] = []
    try:
        for envelope in envelopes:
            files.append(begin(config.queue.directory, nanoseconds, config.queue.max_queue))
            begin_file(files, envelope, fields, rules, nanoseconds, own, name)
        for piece in message.body():
            for file in files:
                file.write(piece)
        message.drain()
        if message.octets > LARGE and config.smarthosts:
            refuse_what_nobody_takes(message.octets, config, nanoseconds)
        last_moment()
        commit(files)
    except BaseException:
        for file in files:
            file.discard()
        raise
    if config.queue.shared:
        shared.announce(config.queue.shared, config.queue.directory)
    for file, envelope in zip(files, envelopes, strict=True):
        log(file, envelope)
    return [file.queue_id for file in files]


def begin_file(
    files: list[Draft],
    envelope: Envelope,
    fields: list[bytes],
    rules: SenderRules,
    nanoseconds: int,
    own: bytes,
    name: str,
) -> None:
    """Write the records and the header into the last file."""
    file = files[-1]
    config, host, person = rules.config, rules.host, rules.person
    envelope.created = nanoseconds / 1_000_000_000
    envelope.uid, envelope.login = person.uid, person.login
    stamp = complete.Stamp(file.queue_id, envelope.created, host, person, __version__)
    stamp.first = files[0].queue_id
    fields, changes = complete.repair(
        fields, rules, host.mail_domain, own if config.masquerade.headers else b""
    )
    envelope.changes = changes
    file.envelope(envelope)
    author = header.author(own, name)
    file.write(b"".join(complete.complete(fields, stamp, author)) + b"\r\n")


def refuse_what_nobody_takes(octets: int, config: Config, nanoseconds: int) -> None:
    """DataError when every smart host has said that it does not take so much (RFC 1870)."""
    from sendmail_py.spool import servers  # noqa: PLC0415 (a named door: few messages are large)

    names = [one.name for one in config.smarthosts]
    most = servers.largest(homes.memory(config), names, nanoseconds / 1_000_000_000)
    if 0 < most < octets:
        who = "the smart host" if len(names) == 1 else "any smart host"
        text = f"message of {octets} octets is larger than {who} takes ({most} octets); nothing was queued"
        raise DataError(text)


def commit(files: list[Draft]) -> None:
    """The promise. Of several files none stays when one fails, unless a flush was faster."""
    done: list[Draft] = []
    try:
        for file in files:
            file.commit()
            done.append(file)
    except BaseException:
        for file in done:
            file.withdraw()
        raise


def by_owner(envelope: Envelope, rules: SenderRules, known: Aliases | None) -> list[Envelope]:
    """An envelope for each reverse-path, and for what stays here; where nothing is kept, one for all."""
    if known is None or not (known.local or any(known.owned.values())) or not rules.config.queue.directory:
        return [envelope]
    from sendmail_py.submission import owners  # noqa: PLC0415 (a named door: neither owners nor folders are usual)

    return owners.split(envelope, rules, known)


def sender_rules(config: Config, uid: int) -> SenderRules:
    """The rules for the user who submits, with that person and this host."""
    return SenderRules(config, identity.host(config), identity.of(uid))


def known_aliases(config: Config, wanted: bool) -> Aliases | None:
    """The aliases, not read yet; None when the caller does not want them (-n)."""
    if not wanted:
        return None
    settings = config.aliases
    known = aliases.load(settings.files, settings.default, settings.forward, config.queue.directory)
    if config.queue.directory and not config.queue.shared:  # else nobody of this user's delivers anything
        known.maildir, known.agents = settings.maildir, settings.agents
    return known


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


def log(file: Draft, envelope: Envelope) -> None:
    """One line for the message."""
    fields = [
        ("uid", str(envelope.uid)),
        ("size", str(file.octets)),
        ("from", f"<{printable(envelope.reverse_path)}>"),
        ("nrcpt", str(len(envelope.recipients) + len(envelope.plain))),
    ]
    if envelope.rule:
        fields += [("was", f"<{printable(envelope.original)}>"), ("rule", envelope.rule.decode())]
    for name, rule, old, new in envelope.changes[:LOGGED]:
        text = f"{printable(old, 256)} -> {printable(new, 256)} ({rule.decode()})"
        fields.append((name.decode(), text))
    maillog.record(file.queue_id, fields, file.done)
