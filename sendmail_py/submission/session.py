"""What the commands of an SMTP dialogue mean for the queue; the rules are those for a message on stdin.

Guarantees: sender rules, aliases, completion of the header, removal of Bcc and durability are those of
submit.py; a fault is raised, and what was accepted before it stays as it was.
"""

from __future__ import annotations

import time

from sendmail_py.mail import address
from sendmail_py.mail.address import ADDRESS_LIMIT, ATOM
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.spool import draft
from sendmail_py.submission import recipients
from sendmail_py.submission.intake import Intake
from sendmail_py.submission.submit import address_envelope, by_owner, enqueue, known_aliases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sendmail_py.policy.masquerade import SenderRules
    from sendmail_py.submission.smtp_command import Mail, Rcpt
    from sendmail_py.submission.submit import Begin


class MailData(Intake):
    """The mail data of a dialogue as a message; `content` yields it in pieces, none of them empty."""

    __slots__ = ("content",)

    def __init__(self, content: Iterator[bytes], limit: int) -> None:
        super().__init__(-1, False, limit)
        self.content = content

    def read(self) -> bytes:
        """See Intake."""
        return next(self.content, b"")

    def drain(self) -> None:
        """Take what is left and forget it."""
        for _ in self.content:
            pass

    @property
    def too_large(self) -> bool:
        """Whether it is larger than allowed."""
        return self.octets > self.limit


class Session:
    """A user's transactions, one after the other.

    aliases  whether aliases are looked at (not with -n)
    name     full name for a From: that is missing, "" for none
    envelope the one that MAIL began; found: its recipients by their canonical address
    elsewhere domains of it that are not this host's, and that no alias file names
    draft    begins the draft of a message
    """

    __slots__ = ("aliases", "draft", "elsewhere", "envelope", "found", "known", "name", "rules")

    def __init__(self, rules: SenderRules, aliases: bool, name: str) -> None:
        self.rules = rules
        self.aliases = aliases
        self.name = name
        self.draft: Begin = draft.begin
        self.begin(Envelope(b"", []))

    def begin(self, envelope: Envelope) -> None:
        """A new transaction; the alias files are read anew when a local name asks for them."""
        self.envelope = envelope
        self.found: dict[bytes, Recipient] = {}
        self.elsewhere: set[bytes] = set()
        self.known = known_aliases(self.rules.config, self.aliases)

    def mail(self, command: Mail) -> None:
        """MAIL. Raises AddressError, NotPermittedError."""
        envelope = Envelope(b"", [])
        address_envelope(envelope, self.rules, command.path)
        envelope.body, envelope.ret, envelope.envid = command.body, command.ret, command.envid
        envelope.wishes = command.wishes
        if command.hold_for or command.hold_until:
            envelope.hold = command.hold_until or int(time.time()) + command.hold_for
        self.begin(envelope)

    def rcpt(self, command: Rcpt) -> None:
        """RCPT: one name may be several recipients. Raises DataError, ConfigError, TemporaryError."""
        for one in self.forwards(command.path):
            one.notify = command.notify
            one.orcpt = command.orcpt or one.orcpt
            if self.found.setdefault(address.canonical(one.address), one) is one:
                self.envelope.recipients.append(one)

    def forwards(self, path: bytes) -> list[Recipient]:
        """What a path leads to; of plain ones at a domain of others only the first is looked up."""
        local, _, domain = path.partition(b"@")
        plain = path.isascii() and not local.translate(None, ATOM) and len(path) <= ADDRESS_LIMIT
        if plain and domain in self.elsewhere:
            recipients.keep_owners(self.known, [path], [])
            return [Recipient(path)]
        if plain and recipients.final([path], self.rules.host, self.known):
            self.elsewhere.add(domain)
        return recipients.resolve([path], self.rules.host, self.known)

    def queue(self, message: MailData, nanoseconds: int, last_moment: Callable[[], None]) -> str:
        """The mail data; returns the queue id when the message is durable. Raises as submit does."""
        fields = message.header()
        envelopes = by_owner(self.envelope, self.rules, self.known)
        return enqueue(
            envelopes, fields, message, self.rules, self.name, nanoseconds, last_moment, self.draft
        )[0]
