"""The mail that a queue run has in hand: claimed one ahead, in transactions, let go.

The queue's half of a run, which knows no session; flush.py is the half that knows no queue. Guarantees: a
message is claimed as long as anything of it is open in this run, and let go, finished or as it was, when the
run ends.
"""

from __future__ import annotations

from sendmail_py import maillog
from sendmail_py.relay import outcome
from sendmail_py.relay.closing import Closing
from sendmail_py.relay.sole_user import SoleUser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.backlog import Backlog
    from sendmail_py.relay.delivery import Delivery, Via
    from sendmail_py.relay.outcome import Outcome
    from sendmail_py.relay.transaction import Transaction, Verdict

    Arrival = tuple[Delivery, Transaction, Verdict, Via]
else:
    from _collections import deque  # the C half of collections, which is a third of a bare start


class InHand(SoleUser):
    """The messages of `backlog` that are being sent, at most `limit` in a run (0: all).

    seen    is given the size of every message that was tried
    begun   how many messages were begun; `note` is given the reverse-path of each
    counts  recipients by outcome.DELIVERED, DEFERRED, FAILED
    gathers whether messages that are delivered to everybody leave the queue when `settle` is called, together
    """

    def __init__(self, backlog: Backlog, limit: int, seen: Callable[[int], None]) -> None:
        self.backlog = backlog
        self.limit = limit
        self.seen = seen
        self.note: Callable[[bytes], None] = lambda reverse_path: None
        self.begun = 0
        self.counts = {outcome.DELIVERED: 0, outcome.DEFERRED: 0, outcome.FAILED: 0}
        self.ready: deque[Delivery] = deque()  # claimed, with recipients to try
        self.flying: dict[Transaction, Delivery] = {}
        self.arrived: list[Arrival] = []  # delivered to everybody, and still in the queue
        self.gathers = False
        self.closing = Closing()

    @property
    def is_limit_reached(self) -> bool:
        """Whether as many messages were begun as this run may have."""
        return bool(self.limit) and self.begun >= self.limit

    @property
    def damaged(self) -> int:
        """How many queue files could not be used."""
        return self.backlog.damaged

    # --- out ---

    def next_smarthost(self) -> SmartHost | None:
        """The smart host that mail waits for."""
        return self.backlog.next_smarthost()

    def prepare(self, setting: SmartHost) -> bool:
        """Have a claimed message at hand, so that the claim happens while a reply is on its way."""
        if not self.ready and not self.is_limit_reached:
            delivery = self.backlog.next_delivery(setting)
            if delivery is not None:
                self.begun += 1
                self.note(delivery.claim.envelope.reverse_path)
                delivery.log_begin()
                self.ready.append(delivery)
        return bool(self.ready)

    def next_transaction(
        self, setting: SmartHost, most_recipients: int, most_domains: int = 0
    ) -> Transaction | None:
        """The next transaction for a smart host, with as many recipients as it takes (0: it did not say)."""
        self.prepare(setting)
        while self.ready and self.backlog.is_blocked(self.ready[0], setting):
            self.finish_if_idle(self.without_rest(self.ready.popleft()))
            self.prepare(setting)
        if not self.ready:
            return None
        delivery = self.ready[0]
        delivery.batch = min(delivery.batch, most_recipients or delivery.batch)
        transaction = delivery.next_transaction(most_domains)
        self.flying[transaction] = delivery
        if not delivery.to_try:
            self.ready.popleft()
        return transaction

    def left(self, setting: SmartHost) -> int:
        """How many messages may still be to send."""
        return len(self.ready) + self.backlog.left(setting)

    # --- back ---

    def judged(self, done: Transaction, via: Via, setting: SmartHost) -> tuple[bool, str]:
        """Write the verdicts down; whether anybody's fate is settled, and the smart host's wish for less."""
        delivery = self.flying.pop(done)
        verdict = delivery.is_all_delivered(done)
        if verdict is not None:
            self.arrived.append((delivery, done, verdict, via))
            if not self.gathers:
                self.settle()
            self.backlog.accepted(delivery, setting)
            return True, ""
        progress = delivery.judged(done, via)
        self.backlog.heard(delivery, setting)
        self.line_up(delivery)
        return progress, delivery.throttled

    def settle(self) -> None:
        """What was judged is on disk when this returns; OSError."""
        if self.arrived:
            self.remove_arrived()
        maillog.flush()

    def remove_arrived(self) -> None:
        """Messages that everybody has leave the queue, with one sync for all; OSError."""
        arrived, self.arrived = self.arrived, []
        is_gone = False
        try:
            self.backlog.spool.remove([one[0].claim for one in arrived], self.closing.release)
            is_gone = True
        finally:  # what the server said is known even if the disk does not take it
            for delivery, done, verdict, via in arrived:
                delivery.log_end(done, verdict, via, is_gone)
                self.count(delivery)
                self.seen(delivery.claim.size)

    def charge(self, interrupted: Transaction, reason: Outcome, via: Via) -> None:
        """A session ended, and this counts as an attempt: `reason` for who has no verdict."""
        delivery = self.flying.pop(interrupted)
        delivery.charge(interrupted, reason, via)
        self.line_up(delivery)

    def put_back(self, interrupted: Transaction, via: Via) -> None:
        """A session ended, and it was not this transaction's doing: it is tried again in the next one."""
        delivery = self.flying.pop(interrupted)
        delivery.put_back(interrupted, via)
        self.line_up(delivery)

    def line_up(self, delivery: Delivery) -> None:
        """It is among those at hand as long as somebody of it is to be tried; let go when nobody is left."""
        if delivery.to_try:
            if delivery not in self.ready:
                self.ready.append(delivery)
            return
        if delivery in self.ready:  # what a server said of one part of it holds for the rest
            self.ready.remove(delivery)
        self.finish_if_idle(delivery)

    # --- ends ---

    def finish_if_idle(self, delivery: Delivery) -> None:
        """Let go of a message of which nothing is left to try now."""
        if not delivery.idle:
            return
        self.count(delivery)
        self.seen(delivery.claim.size)
        self.backlog.reporter.finish(delivery.claim)

    def without_rest(self, delivery: Delivery) -> Delivery:
        """The rest of a message is not tried now."""
        delivery.to_try.clear()
        return delivery

    def let_go(self) -> None:
        """Unclaim what was not sent; it stays as it was."""
        while self.ready:
            delivery = self.ready.pop()
            self.count(delivery)
            self.backlog.put_back(delivery)

    def give_up(self, setting: SmartHost) -> None:
        """That smart host is of no use in this run."""
        self.let_go()
        self.backlog.give_up(setting)

    def end(self) -> None:
        """The run is over: reports, and what left the queue is durably gone."""
        self.settle()
        self.backlog.end()
        self.backlog.spool.settle()

    def abandon(self) -> None:
        """However the run ended, no claim stays."""
        self.settle_if_possible()
        self.closing.join()
        for delivery in self.flying.values():
            delivery.claim.release()
        self.let_go()

    def settle_if_possible(self) -> None:
        """As `settle`, at an end that has told already what is wrong with the disk."""
        try:
            self.settle()
        except OSError:
            return

    def count(self, delivery: Delivery) -> None:
        """Into the figures of the run."""
        for kind, number in delivery.counts.items():
            self.counts[kind] += number
