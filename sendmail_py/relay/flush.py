"""The queue run: every message that is due, over as few sessions as the smart hosts allow.

Guarantees: what a server decides is on disk before the session reads on; a fault of a smart host before
MAIL changes no message; after a fault without progress the smart host rests (spool/breaker.py) and the next
one that may carry the message is tried, so a wrong password is tried once per retry interval; one message
that fails holds nobody else; the run ends, because every step of a session does and every session but the
last of a smart host settles a recipient for good.
"""

from __future__ import annotations

import random as random_module
import time
from collections import deque

from sendmail_py import maillog
from sendmail_py.errors import printable
from sendmail_py.policy import identity
from sendmail_py.relay import outcome, trouble
from sendmail_py.relay.backlog import Backlog, Rules
from sendmail_py.relay.faults import ContentFault, Fault, RefusedFault
from sendmail_py.relay.opening import Opener
from sendmail_py.relay.pace import Paces
from sendmail_py.relay.sender_domains import SenderDomains
from sendmail_py.relay.sessions import Sessions
from sendmail_py.spool.breaker import Breaker, Pause
from sendmail_py.spool.servers import Servers
from sendmail_py.spool.tries import is_due

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import Config, SmartHost
    from sendmail_py.relay.backlog import Only
    from sendmail_py.relay.delivery import Delivery, Via
    from sendmail_py.relay.transaction import Transaction
    from sendmail_py.spool.queue import Spool


class Summary:
    """What a run did.

    delivered, deferred, failed   numbers of recipients
    damaged                       number of queue files that could not be used
    fault                         what stopped a smart host or the run last, "" if nothing did
    """

    __slots__ = ("damaged", "deferred", "delivered", "failed", "fault")

    def __init__(self) -> None:
        self.delivered = 0
        self.deferred = 0
        self.failed = 0
        self.damaged = 0
        self.fault = ""


def run(
    config: Config,
    spool: Spool,
    *,
    only: Only | None = None,
    force: bool = False,
    stop: Callable[[], bool] = lambda: False,
    limit: int = 0,
    trace: Callable[[str], None] | None = None,
    seen: Callable[[int], None] = lambda octets: None,
    clock: Callable[[], float] = time.time,
    random: Callable[[], float] = random_module.random,
) -> Summary:
    """Flush the queue of `spool`.

    only    (queue id, envelope) -> whether to try it (-qI, -qR, -qS)
    force   ignore due times and pauses
    stop    asked between transactions: True ends the run when the one in hand is decided
    limit   most messages to begin with, 0 for all
    trace   is given each line of the SMTP transcript, without secrets
    seen    is given the size of every message that was tried
    """
    maillog.keep_open()
    breaker = Breaker(spool.directory)
    rules = Rules(config.queue, clock, random, only, force)
    usable = [one for one in config.smarthosts if force or not is_paused(breaker, one, rules)]
    if not usable:
        return rest(config, breaker)
    queue_run = Run(Backlog(spool, usable, rules, config), breaker, stop, limit)
    queue_run.seen = seen
    opener = Opener(identity.host(config).helo, Servers(spool.directory), trace)
    queue_run.all(opener)
    queue_run.senders.ask(spool.directory)
    return queue_run.summary


def is_paused(breaker: Breaker, setting: SmartHost, rules: Rules) -> bool:
    """Whether the smart host rests after a fault."""
    pause = breaker.get(setting.name)
    return pause is not None and not is_due(pause.until, rules.clock(), rules.queue.retry_max)


def rest(config: Config, breaker: Breaker) -> Summary:
    """Nothing to do: there is no smart host, or all of them rest."""
    summary = Summary()
    summary.fault = "no smart host is configured"
    for setting in config.smarthosts:
        pause = breaker.get(setting.name)
        if pause is not None:
            summary.fault = f"smart host {setting.name} rests after: {pause.reason}"
    return summary


class Run:
    """The state of one run; the sessions' Backlog (session.py)."""

    def __init__(self, backlog: Backlog, breaker: Breaker, stop: Callable[[], bool], limit: int = 0) -> None:
        self.backlog = backlog
        self.breaker = breaker
        self.asked = stop
        self.seen: Callable[[int], None] = lambda octets: None
        self.begun = 0  # messages
        self.limit = limit
        self.throttled = ""  # the smart host's words when it wants less mail
        self.summary = Summary()
        self.senders = SenderDomains(backlog.config)
        self.ready: deque[Delivery] = deque()  # claimed, with recipients to try
        self.flying: dict[Transaction, Delivery] = {}
        self.setting: SmartHost
        self.paces = Paces(backlog.spool.directory, backlog.rules.clock)
        self.progress = False  # whether this session has settled a recipient for good
        self.blamed = False  # whether a message, and not the smart host, may be why it ended
        self.suspected = False  # whether that was so in the session before

    def stop(self) -> bool:
        """Whether to begin nothing more: somebody asked for it, or the limit is reached."""
        return self.asked() or (self.limit_reached and not self.ready)

    @property
    def limit_reached(self) -> bool:
        """Whether as many messages were begun as this run may have."""
        return bool(self.limit) and self.begun >= self.limit

    def all(self, opener: Opener) -> None:
        """Smart host after smart host until nothing is left that could be tried."""
        try:
            while not self.stop() and (setting := self.backlog.next_smarthost()) is not None:
                self.setting = setting
                self.serve(opener)
            self.backlog.end()
            self.backlog.spool.settle()
        except OSError as error:  # the spool itself: to go on would be to send again what cannot be marked
            self.summary.fault = f"the queue cannot be written, the run stops: {error.strerror}"
            maillog.warning(self.summary.fault)
        finally:
            for delivery in self.flying.values():
                delivery.claim.release()
            self.let_go()
            self.summary.damaged = self.backlog.damaged

    def serve(self, opener: Opener) -> None:
        """Sessions with one smart host until it has nothing left to do or is of no use."""
        self.suspected = False
        self.throttled = ""
        pace = self.paces.of(self.setting.name, self.setting.max_rate)
        self.prepare()
        while self.ready and not self.stop():
            self.progress = self.blamed = False
            sessions = Sessions(self, opener, self.setting, pace)
            fault = sessions.serve()
            if fault is None or self.progress:
                self.breaker.clear(self.setting.name)
            if self.throttled:
                fault = RefusedFault(self.throttled)
            if fault is not None and (self.throttled or not self.may_go_on(fault)):
                self.pause(fault)
                break
            if fault is not None:
                maillog.notice(f"smart host {self.setting.name}: {fault}; a new session if mail is left")
            if sessions.is_late:
                maillog.notice(f"smart host {self.setting.name}: the rest waits for max_rate")
                break
            self.prepare()
        self.paces.save(self.setting.name)
        self.let_go()
        self.backlog.give_up(self.setting)

    def may_go_on(self, fault: Fault) -> bool:
        """Whether to open another session after a fault.

        Yes after progress, or when it was our own copy of a message that failed. A connection that breaks
        in the session's first message may be that message's doing: it goes behind the others, and only when
        the next one fares no better it is the smart host. A refusal (421) is always the smart host's.
        """
        doubtful = self.blamed and not self.suspected and not isinstance(fault, RefusedFault)
        self.suspected = doubtful and not self.progress
        return self.progress or doubtful or isinstance(fault, ContentFault)

    def interrupted(self, in_hand: list[Transaction], judged: int, fault: Fault, via: Via) -> None:
        """Judge, or keep for the next session, what was in hand when the session ended."""
        for n, one in enumerate(in_hand):
            delivery = self.flying.pop(one)
            if trouble.is_to_blame(one.stage, n == 0, judged, fault):
                self.blamed = True
                delivery.charge(one, trouble.interrupted(one.stage, fault), via)
            else:
                delivery.put_back(one, via)
                if delivery not in self.ready:
                    self.ready.append(delivery)
            self.finish_if_idle(delivery)

    # --- what the sessions ask for, under their lock ---

    def next_transaction(self, most_recipients: int) -> Transaction | None:
        """The next transaction for this smart host."""
        if self.stop() or self.throttled:
            return None
        self.prepare()
        while self.ready and self.backlog.is_blocked(self.ready[0], self.setting):
            self.finish_if_idle(self.without_rest(self.ready.popleft()))
            self.prepare()
        if not self.ready:
            return None
        delivery = self.ready[0]
        delivery.batch = min(delivery.batch, most_recipients or delivery.batch)
        transaction = delivery.next_transaction()
        self.flying[transaction] = delivery
        if not delivery.to_try:
            self.ready.popleft()
        return transaction

    def prepare(self) -> None:
        """Have a claimed message at hand, so that the claim happens while a reply is on its way."""
        if not self.ready and not self.limit_reached:
            delivery = self.backlog.next_delivery(self.setting)
            if delivery is not None:
                self.begun += 1
                self.senders.note(delivery.claim.envelope.reverse_path)
                delivery.log_begin()
                self.ready.append(delivery)

    def left(self) -> int:
        """How many messages may still be to send."""
        return len(self.ready) + self.backlog.left(self.setting)

    def judged(self, done: Transaction, via: Via) -> None:
        """Write the outcomes down."""
        delivery = self.flying.pop(done)
        if delivery.judged(done, via):
            self.progress = True
        self.backlog.heard(delivery, self.setting)
        self.throttled = self.throttled or delivery.throttled
        if delivery.to_try and delivery not in self.ready:
            self.ready.append(delivery)  # some recipients were too many for one transaction
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

    def count(self, delivery: Delivery) -> None:
        """Into the summary."""
        self.summary.delivered += delivery.counts[outcome.DELIVERED]
        self.summary.deferred += delivery.counts[outcome.DEFERRED]
        self.summary.failed += delivery.counts[outcome.FAILED]

    def pause(self, fault: Fault) -> None:
        """The smart host rests, longer each time."""
        setting, rules = self.setting, self.backlog.rules
        now = rules.clock()
        earlier = self.breaker.get(setting.name)
        count = earlier.count + 1 if earlier is not None else 1
        wait = trouble.wait(count, rules.queue.retry_min, rules.queue.retry_max, rules.random)
        reason = printable(str(fault))
        since = earlier.since if earlier is not None else int(now)
        self.breaker.set(setting.name, Pause(int(now + wait), count, since, reason))
        self.summary.fault = f"smart host {setting.name}: {reason}"
        maillog.warning(f"{self.summary.fault}; its messages wait for {wait:.0f} seconds")
