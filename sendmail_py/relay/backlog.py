"""What a queue run has before it: which messages, in which order, by which smart host.

Guarantees: one listing, claims are taken one ahead at most; messages that were never tried come first, then
those that are due the longest, so a message that always fails cannot hold the others; a file that cannot be
read or claimed is logged and passed over.
"""

from __future__ import annotations

import errno

from sendmail_py import maillog
from sendmail_py.errors import SendmailError
from sendmail_py.mail import address
from sendmail_py.mail.envelope import TODO, UNKNOWN
from sendmail_py.relay import trouble
from sendmail_py.relay.delivery import Delivery
from sendmail_py.relay.reporter import Reporter
from sendmail_py.relay.senders import Senders
from sendmail_py.spool.queue import DIGEST
from sendmail_py.spool.reading import DamagedError
from sendmail_py.spool.tries import MOST_UNKNOWN, Try, is_due

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from sendmail_py.mail.envelope import Envelope
    from sendmail_py.policy.config import Config, Queue, SmartHost
    from sendmail_py.spool.claim import Claim
    from sendmail_py.spool.queue import Spool, Waiting

    Only = Callable[[str, Envelope], bool]
else:
    from _collections import deque  # the C half of collections, which is a third of a bare start


class Rules:
    """What a run may try.

    queue   the configuration's table
    clock   gives seconds since the epoch, `random` [0, 1)
    only    (queue id, envelope) -> whether to try the message, None for all
    force   ignore due times and pauses
    """

    __slots__ = ("clock", "force", "only", "queue", "random")

    def __init__(
        self,
        queue: Queue,
        clock: Callable[[], float],
        random: Callable[[], float],
        only: Only | None = None,
        force: bool = False,
    ) -> None:
        self.queue = queue
        self.clock = clock
        self.random = random
        self.only = only
        self.force = force


class Backlog:
    """The messages of one run. `usable` are the smart hosts that can be tried now, in configured order."""

    def __init__(self, spool: Spool, usable: list[SmartHost], rules: Rules, config: Config) -> None:
        self.spool = spool
        self.config = config
        self.reporter = Reporter(config, spool, rules.clock)
        self.senders = Senders(spool.directory, config, rules)
        self.usable = usable
        self.rules = rules
        self.listed = deque(self.look())
        self.routed: dict[str, deque[Waiting]] = {setting.name: deque() for setting in usable}
        self.damaged = 0

    def look(self) -> list[Waiting]:
        """What may be tried now; digests that a flush which died had begun are brought to an end before."""
        found = self.due(self.listing())
        if self.config.queue.coalesce and found:
            from sendmail_py.relay import coalesce  # noqa: PLC0415 (a named door: nobody else needs hashes)

            found = coalesce.Coalescing(self.config, self.spool, self.rules).apply(found)
        return found

    def listing(self) -> list[Waiting]:
        """All messages in the queue, also those that a flush had hidden in a digest when it died."""
        found = self.spool.listing()
        if any(name.startswith(DIGEST) for name in self.spool.leftovers):
            from sendmail_py.spool import absorb  # noqa: PLC0415 (a named door: flushes seldom die)

            return absorb.listing(self.spool)
        return found

    def due(self, listing: list[Waiting]) -> list[Waiting]:
        """What may be tried now, never tried first, then by due time."""
        now, longest = self.rules.clock(), self.rules.queue.retry_max
        force = self.rules.force or self.senders.rules_changed
        found = [one for one in listing if force or is_due(one.next, now, longest)]
        found = [one for one in found if not one.is_held(now)]
        found.sort(key=lambda one: one.next)
        return found

    def next_smarthost(self) -> SmartHost | None:
        """The first usable smart host that a message may wait for, as far as the listing tells."""
        for setting in self.usable:
            if self.listed or self.routed[setting.name]:
                return setting
        return None

    def left(self, setting: SmartHost) -> int:
        """How many messages may wait for that smart host, those counted in that were not yet looked at."""
        return len(self.routed[setting.name]) + len(self.listed)

    def next_delivery(self, setting: SmartHost) -> Delivery | None:
        """Claim the next message for that smart host; those for others are put aside."""
        mine = self.routed[setting.name]
        while mine or self.listed:
            waiting = mine.popleft() if mine else self.listed.popleft()
            claim = self.claim(waiting)
            if claim is None:
                continue
            due = self.due_recipients(claim) if self.prepared(claim) else []
            route = self.route(claim) if due else None
            if route is setting:
                rules = self.rules
                return Delivery(claim, waiting, due, rules.queue, rules.clock, rules.random)
            self.pass_over(claim, waiting, route)
        return None

    def claim(self, waiting: Waiting) -> Claim | None:
        """Claim a message; None when that is not possible, which the log says unless another flush has it.

        OSError when nothing can be written: then no other can be claimed either.
        """
        try:
            return self.spool.claim(waiting)
        except DamagedError as error:
            maillog.warning(f"{waiting.queue_id}: damaged queue file moved to failed/: {error}")
        except SendmailError as error:
            maillog.warning(f"{waiting.queue_id}: {error}")
        except OSError as error:
            if error.errno == errno.EROFS:
                raise
            maillog.warning(f"{waiting.queue_id}: cannot read or lock the queue file: {error.strerror}")
        self.damaged += 1
        return None

    def prepared(self, claim: Claim) -> bool:
        """Make up for what was left open when a flush ended, or the rules changed; False when that fails."""
        try:
            self.resolve_unknown(claim)
            self.senders.renew(claim)
        except (OSError, SendmailError) as fault:
            maillog.warning(f"{claim.queue_id}: passed over: {fault}")
            return False
        return True

    def resolve_unknown(self, claim: Claim) -> None:
        """Recipients whose answer nobody has seen: to be tried again, or to be held for a person."""
        now, queue = self.rules.clock(), self.rules.queue
        found: dict[int, Try] = {}
        for index, one in enumerate(claim.envelope.recipients):
            attempt = claim.tries.get(index)
            unknown = attempt.unknown if attempt is not None else 0
            if one.state != UNKNOWN or unknown >= MOST_UNKNOWN or (unknown and queue.on_unknown == "hold"):
                continue
            outcome = trouble.unanswered("the flush ended before it came")
            count = attempt.tries + 1 if attempt is not None else 1
            waited = attempt.waited if attempt is not None else 0
            found[index] = Try(count, 0, int(now), "", outcome.status, outcome.text, unknown + 1, waited)
        if not found:
            return
        again = [i for i, one in found.items() if queue.on_unknown == "resend" and one.unknown < MOST_UNKNOWN]
        for index in found.keys() - set(again):
            found[index].next = int(now + queue.retry_max)
        what = "tried again" if again else "held; see sendmail-py queue release"
        reply = next(iter(found.values())).reply
        maillog.record(claim.queue_id, [("status", "deferred")], f"{reply}; {what}")
        claim.defer(found)
        if again:
            claim.mark(dict.fromkeys(again, TODO))

    def due_recipients(self, claim: Claim) -> list[int]:
        """Indices of the recipients to try now; none when the filter leaves the message out."""
        rules = self.rules
        if rules.only is not None and not rules.only(claim.queue_id, claim.envelope):
            return []
        now, longest = rules.clock(), rules.queue.retry_max
        force = rules.force or self.senders.is_renewed(claim)
        return [
            index
            for index in range(len(claim.envelope.recipients))
            if claim.envelope.recipients[index].state == TODO
            and (force or is_due(next_try(claim, index), now, longest))
        ]

    def route(self, claim: Claim) -> SmartHost | None:
        """The first usable smart host for the envelope sender that has not refused it."""
        sender = claim.envelope.reverse_path
        here = address.is_local_target(claim.envelope.recipients[0].address)
        for setting in self.usable:
            is_here = setting.transport == address.HERE
            if here or is_here:
                if here and is_here:
                    return setting
            elif serves(setting, sender) and not self.senders.is_blocked(setting, sender):
                return setting
        return None

    def pass_over(self, claim: Claim, waiting: Waiting, route: SmartHost | None) -> None:
        """Not for this smart host, or not now; one without an open recipient was left by a crash."""
        if not any(claim.is_todo(index) for index in range(len(claim.envelope.recipients))):
            self.reporter.finish(claim)
            return
        try:
            if route is None:
                self.explain(claim)
        except OSError as error:
            maillog.warning(f"{claim.queue_id}: cannot write the tries file: {error.strerror}")
        claim.release()
        if route is not None:
            self.routed[route.name].append(waiting)

    def explain(self, claim: Claim) -> None:
        """A message that no configured smart host is for says so, in the log once and in mailq."""
        sender = claim.envelope.reverse_path
        due = self.due_recipients(claim)
        here = address.is_local_target(claim.envelope.recipients[0].address)
        if not due or (not here and any(serves(one, sender) for one in self.config.smarthosts)):
            return
        reason = "no smart host is for this sender; see smarthost.senders in the configuration"
        if here:
            reason = "nothing is delivered on this machine; see aliases.maildir and aliases.agents"
        known = [claim.tries[index] for index in due if index in claim.tries]
        if not any(one.reply == reason for one in known):
            maillog.record(claim.queue_id, [("status", "deferred")], reason)
        now = self.rules.clock()
        later = int(now + self.rules.queue.retry_min)
        claim.defer({index: unserved(claim.tries.get(index), later, int(now), reason) for index in due})

    def heard(self, delivery: Delivery, setting: SmartHost) -> None:
        """What a transaction told about the sender of a message."""
        sender = delivery.claim.envelope.reverse_path
        if delivery.sender_refused:
            self.senders.refuse(setting, sender, delivery.sender_refused)
        elif delivery.sender_accepted:
            self.accepted(delivery, setting)

    def accepted(self, delivery: Delivery, setting: SmartHost) -> None:
        """A smart host took a message, and so its sender."""
        self.senders.accept(setting, delivery.claim.envelope.reverse_path)

    def is_blocked(self, delivery: Delivery, setting: SmartHost) -> bool:
        """Whether the sender of a message that was claimed in advance has been refused since."""
        return self.senders.is_blocked(setting, delivery.claim.envelope.reverse_path)

    def end(self) -> None:
        """The run is over: reports to owners, and the end of what failed long ago."""
        if not self.listed and self.rules.only is None:
            self.senders.rules_applied()
            if self.senders.refusals and not self.spool.listing():
                self.senders.forget()
        self.reporter.end(self.senders.told)

    def give_up(self, setting: SmartHost) -> None:
        """That smart host is of no use in this run; its messages look for another one."""
        self.usable = [one for one in self.usable if one is not setting]
        self.listed.extendleft(reversed(self.routed.pop(setting.name)))

    def put_back(self, delivery: Delivery) -> None:
        """A claimed message that is not in a transaction goes back to the front, unclaimed."""
        delivery.claim.release()
        delivery.waiting.tries_name = delivery.claim.tries_name
        delivery.waiting.beside = tuple(delivery.claim.beside)
        self.listed.appendleft(delivery.waiting)


def serves(setting: SmartHost, sender: bytes) -> bool:
    """Whether the smart host is meant for this envelope sender."""
    if not setting.senders:
        return True
    from sendmail_py.relay import smarthost  # noqa: PLC0415 (a named door: patterns are regular expressions)

    return smarthost.serves(setting, sender)


def unserved(earlier: Try | None, later: int, now: int, reason: str) -> Try:
    """What is remembered when no smart host is for a message; no attempt was made."""
    tries, waited = (earlier.tries, earlier.waited) if earlier is not None else (0, 0)
    return Try(tries, later, now, "", "4.3.5", reason, 0, waited)


def next_try(claim: Claim, index: int) -> int:
    """When the recipient is due; 0 when it was never tried."""
    attempt = claim.tries.get(index)
    return attempt.next if attempt is not None else 0
