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
from sendmail_py.relay import outcome, smtp, trouble
from sendmail_py.relay.backlog import Backlog, Rules
from sendmail_py.relay.delivery import Via
from sendmail_py.relay.faults import ContentFault, Fault, RefusedFault
from sendmail_py.relay.opening import Opener
from sendmail_py.spool.breaker import Breaker, Pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import Config, SmartHost
    from sendmail_py.relay.backlog import Only
    from sendmail_py.relay.delivery import Delivery
    from sendmail_py.relay.session import Session
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
    trace: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.time,
    random: Callable[[], float] = random_module.random,
) -> Summary:
    """Flush the queue of `spool`.

    only    (queue id, envelope) -> whether to try it (-qI, -qR, -qS)
    force   ignore due times and pauses
    stop    asked between transactions: True ends the run when the one in hand is decided
    trace   is given each line of the SMTP transcript, without secrets
    """
    breaker = Breaker(spool.directory)
    rules = Rules(config.queue, clock, random, only, force)
    usable = [one for one in config.smarthosts if force or not is_paused(breaker, one, rules)]
    if not usable:
        return rest(config, breaker)
    queue_run = Run(Backlog(spool, usable, rules), breaker, stop)
    opener = Opener(identity.host(config).helo, queue_run, trace)
    queue_run.all(opener)
    return queue_run.summary


def is_paused(breaker: Breaker, setting: SmartHost, rules: Rules) -> bool:
    """Whether the smart host rests after a fault."""
    pause = breaker.get(setting.name)
    return pause is not None and not trouble.is_due(pause.until, rules.clock(), rules.queue.retry_max)


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

    def __init__(self, backlog: Backlog, breaker: Breaker, stop: Callable[[], bool]) -> None:
        self.backlog = backlog
        self.breaker = breaker
        self.stop = stop
        self.summary = Summary()
        self.ready: deque[Delivery] = deque()  # claimed, with recipients to try
        self.flying: dict[Transaction, Delivery] = {}
        self.setting: SmartHost
        self.via: Via
        self.progress = False  # whether this session has settled a recipient for good
        self.blamed = False  # whether a message, and not the smart host, may be why it ended
        self.suspected = False  # whether that was so in the session before

    def all(self, opener: Opener) -> None:
        """Smart host after smart host until nothing is left that could be tried."""
        try:
            while not self.stop() and (setting := self.backlog.next_smarthost()) is not None:
                self.setting = setting
                self.serve(opener)
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
        self.prepare()
        while self.ready and not self.stop():
            fault = self.session(opener)
            if fault is None:
                self.breaker.clear(self.setting.name)
            elif not self.may_go_on(fault):
                self.pause(fault)
                break
            self.prepare()
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

    def session(self, opener: Opener) -> Fault | None:
        """One session, for as many messages as it takes; the fault that ended it, or None."""
        self.progress = self.blamed = False
        try:
            session, server = opener.reach(self.setting)
        except Fault as fault:
            return fault
        self.via = Via(self.setting.name, session.line.peer)
        try:
            session.play(smtp.relay(server))
            session.quit()
        except Fault as fault:
            self.interrupted(session, fault)
            return fault
        finally:
            session.close()
        return None

    def interrupted(self, session: Session, fault: Fault) -> None:
        """Judge, or keep for the next session, what was in hand when the session ended."""
        for n, one in enumerate(session.in_hand):
            delivery = self.flying.pop(one)
            if trouble.is_to_blame(one.stage, n == 0, session.judged, fault):
                self.blamed = True
                delivery.charge(one, trouble.interrupted(one.stage, fault), self.via)
            else:
                delivery.put_back(one, self.via)
                if delivery not in self.ready:
                    self.ready.append(delivery)
            self.finish_if_idle(delivery)

    # --- what a session asks for ---

    def next_transaction(self) -> Transaction | None:
        """The next transaction for this smart host."""
        if self.stop():
            return None
        self.prepare()
        if not self.ready:
            return None
        delivery = self.ready[0]
        transaction = delivery.next_transaction()
        self.flying[transaction] = delivery
        if not delivery.to_try:
            self.ready.popleft()
        return transaction

    def prepare(self) -> None:
        """Have a claimed message at hand, so that the claim happens while a reply is on its way."""
        if not self.ready:
            delivery = self.backlog.next_delivery(self.setting)
            if delivery is not None:
                delivery.log_begin()
                self.ready.append(delivery)

    def judged(self, done: Transaction) -> None:
        """Write the outcomes down."""
        delivery = self.flying.pop(done)
        if delivery.judged(done, self.via):
            self.progress = True
        if delivery.to_try and delivery not in self.ready:
            self.ready.append(delivery)  # some recipients were too many for one transaction
        self.finish_if_idle(delivery)

    # --- ends ---

    def finish_if_idle(self, delivery: Delivery) -> None:
        """Let go of a message of which nothing is left to try now."""
        if not delivery.idle:
            return
        self.summary.delivered += delivery.counts[outcome.DELIVERED]
        self.summary.deferred += delivery.counts[outcome.DEFERRED]
        self.summary.failed += delivery.counts[outcome.FAILED]
        if self.backlog.spool.finish(delivery.claim):
            failed = delivery.counts[outcome.FAILED] > 0
            maillog.record(delivery.claim.queue_id, [], "moved to failed" if failed else "removed")

    def let_go(self) -> None:
        """Unclaim what was not sent; it stays as it was."""
        while self.ready:
            self.backlog.put_back(self.ready.pop())

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
