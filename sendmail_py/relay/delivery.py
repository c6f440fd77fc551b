"""One claimed message in a queue run: which recipients go into the next transaction, and what became of each.

Guarantees: an outcome is on disk before its line is in the log and before the session reads on; a recipient
is in at most one transaction at a time; whatever is not judged stays as it was. That the end of a message is
about to be sent is in its file before an octet of the last piece goes out (state UNKNOWN).
"""

from __future__ import annotations

from sendmail_py import maillog
from sendmail_py.errors import printable
from sendmail_py.mail import address
from sendmail_py.mail.envelope import DELIVERED as MARK_DELIVERED
from sendmail_py.mail.envelope import FAILED as MARK_FAILED
from sendmail_py.mail.envelope import RELAYED, TODO, UNKNOWN
from sendmail_py.relay import outcome as outcomes
from sendmail_py.relay import transaction, trouble
from sendmail_py.relay.outcome import Outcome
from sendmail_py.relay.transaction import Transaction, Verdict
from sendmail_py.spool.tries import MOST_UNKNOWN, Try

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from sendmail_py.mail.envelope import Envelope
    from sendmail_py.policy.config import Queue
    from sendmail_py.relay.transaction import Content
    from sendmail_py.spool.claim import Claim
    from sendmail_py.spool.queue import Waiting
else:
    from _collections import deque  # the C half of collections, which is a third of a bare start

MOST_RECIPIENTS = 100  # RFC 5321 4.5.3.1.8: every server takes that many in a transaction

WORDS = {outcomes.DELIVERED: "sent", outcomes.DEFERRED: "deferred", outcomes.FAILED: "bounced"}
MARKS = {outcomes.DELIVERED: MARK_DELIVERED, outcomes.FAILED: MARK_FAILED}


class Via:
    """Which smart host answered.

    name    of the setting
    relay   for the log ("host[address]:port")
    dsn     whether it sends delivery status notifications itself (RFC 3461)
    """

    __slots__ = ("dsn", "name", "relay")

    def __init__(self, name: str, relay: str, dsn: bool = False) -> None:
        self.name = name
        self.relay = relay
        self.dsn = dsn


class Delivery:
    """A claimed message.

    to_try           indices of the recipients that are due and in no transaction
    sender_refused   what the smart host said about the sender, "" if nothing
    sender_accepted  whether it took the sender
    throttled        its words when it wants less mail, "" if it does not
    """

    __slots__ = (
        "batch",
        "claim",
        "clock",
        "counts",
        "fitted",
        "flying",
        "random",
        "rules",
        "sender_accepted",
        "sender_refused",
        "throttled",
        "to_try",
        "waiting",
    )

    def __init__(
        self,
        claim: Claim,
        waiting: Waiting,
        due: list[int],
        rules: Queue,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.claim = claim
        self.waiting = waiting
        self.to_try = deque(due)
        self.rules = rules
        self.clock = clock
        self.random = random
        self.batch = MOST_RECIPIENTS
        self.flying = 0
        self.fitted: dict[tuple[bool, bool], Content] = {}
        self.sender_refused = self.throttled = ""
        self.sender_accepted = False
        self.counts = {outcomes.DELIVERED: 0, outcomes.DEFERRED: 0, outcomes.FAILED: 0}

    @property
    def idle(self) -> bool:
        """Nothing left to try and nothing in a transaction."""
        return not self.to_try and not self.flying

    def next_transaction(self, most_domains: int = 0) -> Transaction:
        """The next recipients, as many as the server takes at a time, in no more domains (0: any number)."""
        if most_domains:
            indices = self.in_few_domains(most_domains)
        else:
            indices = [self.to_try.popleft() for _ in range(min(self.batch, len(self.to_try)))]
        self.flying += 1
        claim = self.claim
        made = Transaction(claim.envelope, indices, claim.size, claim.chunks, self.fitted, claim.content)
        made.ending = self.ending
        return made

    def in_few_domains(self, most: int) -> list[int]:
        """The next recipients, without those of further domains, who keep their places."""
        domains: set[bytes] = set()
        chosen: list[int] = []
        later: list[int] = []
        for index in self.to_try:
            domain = domain_of(self.claim.envelope.recipients[index].address)
            if len(chosen) < self.batch and (domain in domains or len(domains) < most):
                domains.add(domain)
                chosen.append(index)
            else:
                later.append(index)
        self.to_try = deque(later)
        return chosen

    def ending(self, sending: Transaction) -> None:
        """Before the last piece of the message goes out the file says that its end may be sent.

        A process that dies cannot undo that. For those who would rather hold a message than send it twice
        (on_unknown) it is synced, so that it outlives the machine.
        """
        if sending.stage != transaction.OFFERED:
            doubtful = {sending.indices[n]: UNKNOWN for n in sending.open()}
            self.claim.mark(doubtful, sync=self.rules.on_unknown == "hold")

    def log_begin(self) -> None:
        """The line that says what this message is."""
        envelope = self.claim.envelope
        fields = [
            ("from", f"<{printable(envelope.reverse_path)}>"),
            ("size", str(self.claim.size)),
            ("nrcpt", str(len(envelope.recipients))),
        ]
        maillog.record(self.claim.queue_id, fields, "queue active")

    def is_all_delivered(self, done: Transaction) -> Verdict | None:
        """The verdict by which everybody has the message, when nobody is to be told anything."""
        verdict = done.verdicts[0]
        if verdict is None or verdict.phase != transaction.END or not verdict.reply.positive:
            return None
        everybody = self.claim.envelope.recipients
        if done.verdicts.count(verdict) != len(everybody):
            return None
        for one in everybody:
            if one.notify and b"SUCCESS" in one.notify:
                return None
        return None if self.claim.beside else verdict

    def log_end(self, done: Transaction, verdict: Verdict, via: Via, is_gone: bool) -> None:
        """The lines that say that everybody has the message, and that its file is gone."""
        found, now = trouble.judge(verdict), self.clock()
        for index in done.indices:
            log(self.claim.queue_id, self.claim.envelope, index, found, via, now)
        self.counts[outcomes.DELIVERED] += len(done.indices)
        if is_gone:
            maillog.record(self.claim.queue_id, [], "removed")

    def judged(self, done: Transaction, via: Via) -> bool:
        """Write down what the server decided; whether anybody's fate is settled for good (progress)."""
        self.flying -= 1
        self.sender_accepted = done.mail_accepted
        found: dict[int, Outcome] = {}
        again = []
        for index, verdict in zip(done.indices, done.verdicts, strict=True):
            if verdict is not None:
                found[index] = one = trouble.judge(verdict)
                if one.kind == outcomes.AGAIN:
                    again.append(index)
        delivered = sum(one.kind == outcomes.DELIVERED for one in found.values())
        for index in again:
            if delivered:
                del found[index]
            else:
                found[index] = trouble.settle_again(found[index])
        if delivered and again:  # in their old order, before those that were not yet tried
            self.to_try.extendleft(reversed(again))
            self.batch = delivered
        self.write_down(found, via)
        return any(one.kind != outcomes.DEFERRED for one in found.values())

    def put_back(self, done: Transaction, via: Via) -> None:
        """The session ended, not by this transaction's fault: keep what is decided, try the rest again."""
        self.flying -= 1
        left = done.open()
        self.to_try.extendleft(reversed([done.indices[n] for n in left]))
        self.decided(done, None, via)
        self.claim.mark(self.certain({done.indices[n] for n in left}), sync=False)

    def charge(self, done: Transaction, reason: Outcome, via: Via) -> None:
        """The session ended in this transaction: keep what was decided, the rest gets `reason`."""
        self.flying -= 1
        self.decided(done, reason, via)

    def decided(self, done: Transaction, reason: Outcome | None, via: Via) -> None:
        """Write down the verdicts there are, and `reason` for recipients without one."""
        found: dict[int, Outcome] = {}
        for index, verdict in zip(done.indices, done.verdicts, strict=True):
            one = trouble.judge(verdict) if verdict is not None else reason
            if one is not None:
                found[index] = trouble.settle_again(one) if one.kind == outcomes.AGAIN else one
        self.write_down(found, via)

    def write_down(self, found: dict[int, Outcome], via: Via) -> None:
        """Outcomes to disk, then to the log."""
        now = self.clock()
        found = {index: self.unless_expired(index, one, now) for index, one in found.items()}
        tries = {i: self.attempt(i, one, via, now) for i, one in found.items() if self.counts_as_try(one)}
        states = {i: self.mark_of(i, one, via) for i, one in found.items() if one.kind in MARKS}
        doubts = {i for i, one in found.items() if not self.stays_unknown(one, tries.get(i))} - states.keys()
        self.take_notice(found)
        try:
            if states:
                self.claim.mark(states | self.certain(doubts))
            elif doubts:
                self.claim.mark(self.certain(doubts), sync=False)
            if tries:
                self.remember(tries)
        finally:  # what the server said is known even if the disk does not take it
            for index, one in found.items():
                self.counts[one.kind] += 1
                log(self.claim.queue_id, self.claim.envelope, index, one, via, now)

    def remember(self, tries: dict[int, Try]) -> None:
        """The attempts, beside the message: they may be lost, so a full disk holds nobody else's mail."""
        try:
            self.claim.defer(tries)
        except OSError as error:
            maillog.warning(f"{self.claim.queue_id}: cannot write the tries file: {error.strerror}")

    def counts_as_try(self, one: Outcome) -> bool:
        """Whether the spool remembers this attempt: not what the smart host's load decided."""
        return one.kind != outcomes.DELIVERED and one.cause != outcomes.THROTTLED

    def mark_of(self, index: int, one: Outcome, via: Via) -> bytes:
        """The state of a recipient whose fate is settled; RELAYED when the sender wants to be told of it."""
        envelope = self.claim.envelope
        wanted = b"SUCCESS" in envelope.recipients[index].notify and not via.dsn and envelope.reverse_path
        if one.kind == outcomes.DELIVERED and wanted and self.rules.report == "dsn":
            return RELAYED
        return MARKS[one.kind]

    def stays_unknown(self, one: Outcome, attempt: Try | None) -> bool:
        """Whether a recipient without an answer waits for a person now."""
        if one.cause != outcomes.UNANSWERED or attempt is None:
            return False
        return self.rules.on_unknown == "hold" or attempt.unknown >= MOST_UNKNOWN

    def certain(self, indices: set[int]) -> dict[int, bytes]:
        """The marks that take back what was written down before the end of the message was sent."""
        recipients = self.claim.envelope.recipients
        return {index: TODO for index in indices if recipients[index].state == UNKNOWN}

    def take_notice(self, found: dict[int, Outcome]) -> None:
        """What a reply says about more than this message; then nobody else of it is tried now."""
        for one in found.values():
            if one.cause == outcomes.SENDER:
                self.sender_refused = one.text
            elif one.cause == outcomes.THROTTLED:
                self.throttled = one.text
        if self.sender_refused or self.throttled:
            self.to_try.clear()

    def tries_of(self, index: int) -> int:
        """Attempts before this one."""
        earlier = self.claim.tries.get(index)
        return earlier.tries if earlier is not None else 0

    def unless_expired(self, index: int, one: Outcome, now: float) -> Outcome:
        """A deferral after the queue lifetime is a failure, unless the message may have been delivered."""
        if one.kind != outcomes.DEFERRED or one.cause in (outcomes.UNANSWERED, outcomes.THROTTLED):
            return one
        created, lifetime = self.claim.envelope.created, self.rules.lifetime
        waited = self.waited(index, now)
        late = trouble.is_expired(created, lifetime, self.tries_of(index) + 1, waited, now)
        return trouble.expired(one, trouble.age(created, waited, now)) if late else one

    def waited(self, index: int, now: float) -> float:
        """Seconds that the recipient was seen to wait."""
        earlier = self.claim.tries.get(index)
        last = earlier.last if earlier is not None else self.claim.envelope.created
        return trouble.waited_until(earlier.waited if earlier else 0, last, now, self.rules.lifetime)

    def attempt(self, index: int, one: Outcome, via: Via, now: float) -> Try:
        """What the spool remembers of this attempt."""
        earlier = self.claim.tries.get(index)
        count = self.tries_of(index) + 1
        wait = trouble.wait(count, self.rules.retry_min, self.rules.retry_max, self.random)
        unknown = (earlier.unknown if earlier else 0) + 1 if one.cause == outcomes.UNANSWERED else 0
        waited = int(self.waited(index, now))
        return Try(count, int(now + wait), int(now), via.name, one.status, one.text, unknown, waited)


def domain_of(recipient: bytes) -> bytes:
    """The domain of an address in lower case."""
    return address.split(recipient)[1].lower()


def log(queue_id: str, envelope: Envelope, index: int, one: Outcome, via: Via, now: float) -> None:
    """One line per recipient and attempt, as mail log tools read it."""
    fields = [
        ("to", f"<{printable(envelope.recipients[index].address)}>"),
        ("relay", via.relay),
        ("delay", f"{max(0.0, now - envelope.created):.1f}"),
        ("dsn", one.status),
        ("status", WORDS[one.kind]),
    ]
    maillog.record(queue_id, fields, one.text)
