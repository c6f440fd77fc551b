"""A message that is relayed while its caller waits, and kept nowhere: `queue.directory = "none"`.

Guarantees: no file is made, not even one without a name; `commit` returns only when a smart host has the
message for every recipient, and raises in every other case, so that whoever called knows that it is his
again; memory is bounded by max_message. What a server must be asked twice about (greylisting, a full
mailbox) is TemporaryError, what it refuses for good UnavailableError. Each message has a session of its own.
"""

from __future__ import annotations

import os
import random
import time

from sendmail_py import maillog
from sendmail_py.errors import ConfigError, TemporaryError, UnavailableError, UsageError, printable
from sendmail_py.mail.envelope import DELIVERED, FAILED, RELAYED, UNKNOWN
from sendmail_py.relay import flush, smarthost
from sendmail_py.relay.backlog import Rules
from sendmail_py.relay.delivery import Delivery
from sendmail_py.relay.sole_user import SoleUser
from sendmail_py.spool import entry, reading
from sendmail_py.spool.claim import SMALL, Claim
from sendmail_py.spool.draft import Draft
from sendmail_py.spool.queue import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sendmail_py.mail.envelope import Envelope, Recipient
    from sendmail_py.policy.config import Config, SmartHost
    from sendmail_py.relay.delivery import Via
    from sendmail_py.relay.outcome import Outcome
    from sendmail_py.relay.transaction import Transaction
    from sendmail_py.spool.tries import Try

MOST_NAMED = 5  # recipients in an error


class Direct(Draft):
    """A draft (spool/draft.py) whose `commit` relays.

    config   with at least one smart host
    settled  called when the smart host has the message: from here on it is too late to stop
    trace    is given each line of the SMTP transcript, without secrets
    """

    __slots__ = ("addressed", "config", "settled", "trace")

    done = "relayed"

    def __init__(
        self, config: Config, settled: Callable[[], None], trace: Callable[[str], None] | None = None
    ) -> None:
        super().__init__("", -1, os.urandom(6).hex().upper(), -1)
        if not config.smarthosts:
            raise ConfigError("no smart host is configured, and there is no queue to wait in")
        self.config = config
        self.settled = settled
        self.trace = trace
        self.addressed: Envelope

    def envelope(self, envelope: Envelope) -> None:
        """The envelope, as a queue file would have it."""
        if envelope.hold:
            raise UsageError("a message can wait in a queue only, and there is none")
        self.addressed = reading.decode(entry.encode(envelope)).envelope

    def write(self, octets: bytes) -> None:
        """Add octets of the message, in wire form."""
        self.octets += len(octets)
        self.eight_bit = self.eight_bit or not octets.isascii()
        self.pieces.append(octets)

    def commit(self) -> None:
        """Relay it; the exceptions are those of the module's guarantees."""
        envelope = self.addressed
        envelope.eight_bit = self.eight_bit
        sender = envelope.reverse_path
        usable = [one for one in self.config.smarthosts if smarthost.serves(one, sender)]
        if not usable:
            raise ConfigError(f"no smart host is for <{printable(sender)}>; see smarthost.senders")
        rules = Rules(self.config.queue, time.time, random.random, force=True)
        claim = AtHand(self.queue_id, envelope, self.pieces, self.octets)
        indices = list(range(len(envelope.recipients)))
        mail = OneMail(
            Delivery(claim, Waiting(self.queue_id), indices, rules.queue, rules.clock, rules.random), usable
        )
        run = flush.Run(mail, "", rules, lambda: False)
        try:
            summary = run.all(flush.opener(self.config, "", self.trace))
        finally:
            if envelope.having(UNKNOWN):  # a signal: the caller has his answer, and we do not
                maillog.warning(f"{self.queue_id}: answer unknown, the message may have been delivered")
        if len(envelope.having(DELIVERED, RELAYED)) != len(indices):
            raise shortfall(claim, summary.fault)
        self.settled()

    def discard(self) -> None:
        """Nothing stays anyway."""
        self.pieces = []


class AtHand(Claim):
    """The message as a queue run sees it (spool/claim.py), all of it in memory."""

    __slots__ = ("parts",)

    def __init__(self, queue_id: str, envelope: Envelope, parts: list[bytes], size: int) -> None:
        super().__init__(-1, queue_id, "", -1)
        self.entry = reading.Entry(envelope, b"", [])
        self.size = size
        self.parts = parts
        self.content = b"".join(parts) if size <= SMALL else None

    def chunks(self) -> Iterable[bytes]:
        """The message in pieces."""
        return self.parts if self.content is None else (self.content,)

    def mark(self, states: dict[int, bytes], sync: bool = True) -> None:
        """Note states; there is no disk."""
        for index, state in states.items():
            self.envelope.recipients[index].state = state

    def defer(self, attempts: dict[int, Try]) -> None:
        """Note attempts, for the error."""
        self.tries.update(attempts)

    def release(self) -> None:
        """Nobody else knows of it."""


class OneMail(SoleUser):
    """The mail of a run (needs.Mail) that is this one message; `usable` are the smart hosts still to try."""

    def __init__(self, delivery: Delivery, usable: list[SmartHost]) -> None:
        self.delivery = delivery
        self.usable = usable
        self.counts = delivery.counts
        self.damaged = 0

    def next_smarthost(self) -> SmartHost | None:
        """The next to try, while there is anybody to try."""
        return self.usable[0] if self.usable and self.delivery.to_try else None

    def prepare(self, setting: SmartHost) -> bool:
        """Whether there is anything to send."""
        return bool(self.delivery.to_try)

    def next_transaction(
        self, setting: SmartHost, most_recipients: int, most_domains: int = 0
    ) -> Transaction | None:
        """The next recipients, as many as the server takes at a time."""
        delivery = self.delivery
        if not delivery.to_try:
            return None
        delivery.batch = min(delivery.batch, most_recipients or delivery.batch)
        return delivery.next_transaction(most_domains)

    def left(self, setting: SmartHost) -> int:
        """How many messages may still be to send."""
        return int(bool(self.delivery.to_try))

    def judged(self, done: Transaction, via: Via, setting: SmartHost) -> tuple[bool, str]:
        """What the server decided."""
        return self.delivery.judged(done, via), self.delivery.throttled

    def settle(self) -> None:
        """There is no disk."""

    def charge(self, interrupted: Transaction, reason: Outcome, via: Via) -> None:
        """A session ended in it: that was its try."""
        self.delivery.charge(interrupted, reason, via)

    def put_back(self, interrupted: Transaction, via: Via) -> None:
        """A session ended, and it was not this message's doing."""
        self.delivery.put_back(interrupted, via)

    def give_up(self, setting: SmartHost) -> None:
        """On to the next smart host."""
        self.usable = [one for one in self.usable if one is not setting]

    def end(self) -> None:
        """Nothing to tidy up."""

    def abandon(self) -> None:
        """Nothing stays claimed."""


def shortfall(claim: AtHand, fault: str) -> TemporaryError | UnavailableError:
    """The error when not everybody has the message: who has not, why, and how many have."""
    envelope = claim.envelope
    refused = envelope.having(FAILED)
    lacking = [one for one in envelope.recipients if one.state not in (DELIVERED, FAILED, RELAYED)]
    having = len(envelope.recipients) - len(refused) - len(lacking)
    text = "; ".join(
        [told(claim, one, fault) for one in (lacking or refused)[:MOST_NAMED]]
        + ([f"{having} other recipients have the message"] if having else ["nothing was queued"])
    )
    return TemporaryError(text) if lacking else UnavailableError(text)


def told(claim: AtHand, recipient: Recipient, fault: str) -> str:
    """What became of one recipient."""
    attempt = claim.tries.get(claim.envelope.recipients.index(recipient))
    reply = attempt.reply if attempt is not None and attempt.reply else fault
    return f"<{printable(recipient.address)}>: {reply}"
