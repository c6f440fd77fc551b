"""One claimed message in a queue run: which recipients go into the next transaction, and what became of each.

Guarantees: an outcome is on disk before its line is in the log and before the session reads on; a recipient
is in at most one transaction at a time; whatever is not judged stays as it was.
"""

from __future__ import annotations

from collections import deque

from sendmail_py import maillog
from sendmail_py.errors import printable
from sendmail_py.mail.envelope import DELIVERED as MARK_DELIVERED
from sendmail_py.mail.envelope import FAILED as MARK_FAILED
from sendmail_py.relay import outcome as outcomes
from sendmail_py.relay import trouble
from sendmail_py.relay.outcome import Outcome
from sendmail_py.relay.transaction import Transaction
from sendmail_py.spool.tries import Try

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import Queue
    from sendmail_py.spool.claim import Claim
    from sendmail_py.spool.queue import Waiting

MOST_RECIPIENTS = 100  # RFC 5321 4.5.3.1.8: every server takes that many in a transaction

WORDS = {outcomes.DELIVERED: "sent", outcomes.DEFERRED: "deferred", outcomes.FAILED: "bounced"}
MARKS = {outcomes.DELIVERED: MARK_DELIVERED, outcomes.FAILED: MARK_FAILED}


class Via:
    """Which smart host answered: `name` of the setting, `relay` for the log ("host[address]:port")."""

    __slots__ = ("name", "relay")

    def __init__(self, name: str, relay: str) -> None:
        self.name = name
        self.relay = relay


class Delivery:
    """A claimed message. `to_try` are the indices of recipients that are due and in no transaction."""

    __slots__ = ("batch", "claim", "clock", "counts", "flying", "random", "rules", "to_try", "waiting")

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
        self.counts = {outcomes.DELIVERED: 0, outcomes.DEFERRED: 0, outcomes.FAILED: 0}

    @property
    def idle(self) -> bool:
        """Nothing left to try and nothing in a transaction."""
        return not self.to_try and not self.flying

    def next_transaction(self) -> Transaction:
        """The next recipients, as many as the server takes at a time."""
        indices = [self.to_try.popleft() for _ in range(min(self.batch, len(self.to_try)))]
        self.flying += 1
        return Transaction(self.claim.envelope, indices, self.claim.size, self.claim.chunks)

    def log_begin(self) -> None:
        """The line that says what this message is."""
        envelope = self.claim.envelope
        fields = [
            ("from", f"<{printable(envelope.reverse_path)}>"),
            ("size", str(self.claim.size)),
            ("nrcpt", str(len(envelope.recipients))),
        ]
        maillog.record(self.claim.queue_id, fields, "queue active")

    def judged(self, done: Transaction, via: Via) -> bool:
        """Write down what the server decided; whether anybody's fate is settled for good (progress)."""
        self.flying -= 1
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
        states = {index: MARKS[one.kind] for index, one in found.items() if one.kind in MARKS}
        waiting = {i: one for i, one in found.items() if one.kind != outcomes.DELIVERED}
        tries = {i: self.attempt(i, one, via, now) for i, one in waiting.items()}
        try:
            if states:
                self.claim.mark(states)
            if tries:
                self.claim.defer(tries)
        finally:  # what the server said is known even if the disk does not take it
            for index, one in found.items():
                self.counts[one.kind] += 1
                self.log(index, one, via, now)

    def tries_of(self, index: int) -> int:
        """Attempts before this one."""
        earlier = self.claim.tries.get(index)
        return earlier.tries if earlier is not None else 0

    def unless_expired(self, index: int, one: Outcome, now: float) -> Outcome:
        """A deferral after the queue lifetime is a failure."""
        created = self.claim.envelope.created
        late = trouble.is_expired(created, self.rules.lifetime, self.tries_of(index) + 1, now)
        return trouble.expired(one, now - created) if late and one.kind == outcomes.DEFERRED else one

    def attempt(self, index: int, one: Outcome, via: Via, now: float) -> Try:
        """What the spool remembers of this attempt."""
        count = self.tries_of(index) + 1
        wait = trouble.wait(count, self.rules.retry_min, self.rules.retry_max, self.random)
        return Try(count, int(now + wait), int(now), via.name, one.status, one.text)

    def log(self, index: int, one: Outcome, via: Via, now: float) -> None:
        """One line per recipient and attempt, as mail log tools read it."""
        envelope = self.claim.envelope
        fields = [
            ("to", f"<{printable(envelope.recipients[index].address)}>"),
            ("relay", via.relay),
            ("delay", f"{max(0.0, now - envelope.created):.1f}"),
            ("dsn", one.status),
            ("status", WORDS[one.kind]),
        ]
        maillog.record(self.claim.queue_id, fields, one.text)
