"""What a queue run has before it: which messages, in which order, by which smart host.

Guarantees: one listing, claims are taken one ahead at most; messages that were never tried come first, then
those that are due the longest, so a message that always fails cannot hold the others; a file that cannot be
read or claimed is logged and passed over.
"""

from __future__ import annotations

from collections import deque

from sendmail_py import maillog
from sendmail_py.errors import SendmailError
from sendmail_py.relay import smarthost, trouble
from sendmail_py.relay.delivery import Delivery
from sendmail_py.spool.entry import DamagedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.mail.envelope import Envelope
    from sendmail_py.policy.config import Queue, SmartHost
    from sendmail_py.spool.claim import Claim
    from sendmail_py.spool.queue import Spool, Waiting

    Only = Callable[[str, Envelope], bool]


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

    def __init__(self, spool: Spool, usable: list[SmartHost], rules: Rules) -> None:
        self.spool = spool
        self.usable = usable
        self.rules = rules
        self.listed = deque(self.due(spool.listing()))
        self.routed: dict[str, deque[Waiting]] = {setting.name: deque() for setting in usable}
        self.damaged = 0

    def due(self, listing: list[Waiting]) -> list[Waiting]:
        """What may be tried now, never tried first, then by due time."""
        now, longest = self.rules.clock(), self.rules.queue.retry_max
        found = [one for one in listing if self.rules.force or trouble.is_due(one.next, now, longest)]
        found.sort(key=lambda one: one.next)
        return found

    def next_smarthost(self) -> SmartHost | None:
        """The first usable smart host that a message may wait for, as far as the listing tells."""
        for setting in self.usable:
            if self.listed or self.routed[setting.name]:
                return setting
        return None

    def next_delivery(self, setting: SmartHost) -> Delivery | None:
        """Claim the next message for that smart host; those for others are put aside."""
        mine = self.routed[setting.name]
        while mine or self.listed:
            waiting = mine.popleft() if mine else self.listed.popleft()
            claim = self.claim(waiting)
            if claim is None:
                continue
            due = self.due_recipients(claim)
            route = self.route(claim) if due else None
            if route is setting:
                rules = self.rules
                return Delivery(claim, waiting, due, rules.queue, rules.clock, rules.random)
            self.pass_over(claim, waiting, route)
        return None

    def claim(self, waiting: Waiting) -> Claim | None:
        """Claim a message; None when that is not possible, which the log says unless another flush has it."""
        try:
            return self.spool.claim(waiting)
        except DamagedError as error:
            maillog.warning(f"{waiting.queue_id}: damaged queue file moved to failed/: {error}")
        except SendmailError as error:
            maillog.warning(f"{waiting.queue_id}: {error}")
        except OSError as error:
            maillog.warning(f"{waiting.queue_id}: cannot read or lock the queue file: {error.strerror}")
        self.damaged += 1
        return None

    def due_recipients(self, claim: Claim) -> list[int]:
        """Indices of the recipients to try now; none when the filter leaves the message out."""
        rules = self.rules
        if rules.only is not None and not rules.only(claim.queue_id, claim.envelope):
            return []
        now, longest = rules.clock(), rules.queue.retry_max
        return [
            index
            for index in range(len(claim.envelope.recipients))
            if claim.is_todo(index) and (rules.force or trouble.is_due(next_try(claim, index), now, longest))
        ]

    def route(self, claim: Claim) -> SmartHost | None:
        """The first usable smart host for the envelope sender."""
        for setting in self.usable:
            if smarthost.serves(setting, claim.envelope.reverse_path):
                return setting
        return None

    def pass_over(self, claim: Claim, waiting: Waiting, route: SmartHost | None) -> None:
        """Not for this smart host, or not now; one without an open recipient was left by a crash."""
        if any(claim.is_todo(index) for index in range(len(claim.envelope.recipients))):
            claim.release()
        else:
            self.spool.finish(claim)
        if route is not None:
            self.routed[route.name].append(waiting)

    def give_up(self, setting: SmartHost) -> None:
        """That smart host is of no use in this run; its messages look for another one."""
        self.usable = [one for one in self.usable if one is not setting]
        self.listed.extendleft(reversed(self.routed.pop(setting.name)))

    def put_back(self, delivery: Delivery) -> None:
        """A claimed message that is not in a transaction goes back to the front, unclaimed."""
        delivery.claim.release()
        delivery.waiting.tries_name = delivery.claim.tries_name
        self.listed.appendleft(delivery.waiting)


def next_try(claim: Claim, index: int) -> int:
    """When the recipient is due; 0 when it was never tried."""
    attempt = claim.tries.get(index)
    return attempt.next if attempt is not None else 0
