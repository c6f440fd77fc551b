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

from sendmail_py import maillog
from sendmail_py.errors import printable
from sendmail_py.policy import identity
from sendmail_py.relay import outcome, sender_domains, trouble
from sendmail_py.relay.backlog import Backlog, Rules
from sendmail_py.relay.faults import ContentFault, Fault, RefusedFault, StoppedFault
from sendmail_py.relay.in_hand import InHand
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
    from sendmail_py.relay.delivery import Via
    from sendmail_py.relay.keyring import Keyring
    from sendmail_py.relay.needs import Mail
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

    def __str__(self) -> str:
        counts = f"{self.delivered} delivered, {self.deferred} deferred, {self.failed} failed"
        return f"{counts}; {self.fault}" if self.fault else counts

    def add(self, other: Summary) -> None:
        """What another run did after this one."""
        self.delivered += other.delivered
        self.deferred = other.deferred
        self.failed += other.failed
        self.damaged += other.damaged
        self.fault = other.fault

    def count(self, mail: Mail) -> None:
        """Take over what became of the mail."""
        self.delivered = mail.counts[outcome.DELIVERED]
        self.deferred = mail.counts[outcome.DEFERRED]
        self.failed = mail.counts[outcome.FAILED]
        self.damaged = mail.damaged


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
    rules = Rules(config.queue, clock, random, only, force)
    usable = find_usable(config, spool.directory, rules) + this_machine(config)
    if not usable:
        return rest(config, spool.directory)
    in_hand = InHand(Backlog(spool, usable, rules, config), limit, seen)
    senders = SenderDomains(config, spool.directory)
    in_hand.note = senders.note
    in_hand.gathers = True
    this_run = Run(in_hand, spool.directory, rules, stop)
    this_run.opened = senders.opened
    maillog.gather()
    try:
        summary = this_run.all(opener(config, spool.directory, trace))
    finally:
        maillog.gather(False)
    senders.end(0 if stop() else sender_domains.WAIT)
    return summary


def opener(
    config: Config,
    directory: str,
    trace: Callable[[str], None] | None = None,
    keys: Keyring | None = None,
) -> Opener:
    """What opens sessions; `directory` is where servers are remembered, `keys` what was read in advance."""
    return Opener(identity.host(config).helo, Servers(directory), trace, keys)


def this_machine(config: Config) -> list[SmartHost]:
    """What stands for this machine among the smart hosts, if mail is delivered here."""
    if not (config.aliases.maildir or config.aliases.agents):
        return []
    from sendmail_py.relay import local  # noqa: PLC0415 (a named door: most mail goes to a server)

    return local.settings(config)


def find_usable(config: Config, directory: str, rules: Rules) -> list[SmartHost]:
    """The smart hosts that do not rest; `directory` is where their pauses are."""
    breaker = Breaker(directory)
    return [one for one in config.smarthosts if rules.force or not is_paused(breaker, one, rules)]


def is_paused(breaker: Breaker, setting: SmartHost, rules: Rules) -> bool:
    """Whether the smart host rests after a fault."""
    pause = breaker.get(setting.name)
    return pause is not None and not is_due(pause.until, rules.clock(), rules.queue.retry_max)


def rest(config: Config, directory: str) -> Summary:
    """Nothing to do: there is no smart host, or all of them rest."""
    breaker = Breaker(directory)
    summary = Summary()
    summary.fault = "no smart host is configured"
    for setting in config.smarthosts:
        pause = breaker.get(setting.name)
        if pause is not None:
            summary.fault = f"smart host {setting.name} rests after: {pause.reason}"
    return summary


class Run:
    """The state of one run: the sessions' Mail (sessions.py), from `mail` to smart host after smart host.

    `directory` is where the run remembers its smart hosts.
    """

    def __init__(self, mail: Mail, directory: str, rules: Rules, stop: Callable[[], bool]) -> None:
        self.mail = mail
        self.rules = rules
        self.breaker = Breaker(directory)
        self.paces = Paces(directory, rules.clock)
        self.asked = stop
        self.opened: Callable[[], None] = lambda: None  # told when a session with a server is open
        self.throttled = ""  # the smart host's words when it wants less mail
        # Transactions in a row in which it found our dialogue wrong, by whose they were.
        self.breaches: dict[int, int] = {}
        self.summary = Summary()
        self.setting: SmartHost
        self.progress = False  # whether this session has settled a recipient for good
        self.blamed = False  # whether a message, and not the smart host, may be why it ended
        self.suspected = False  # whether that was so in the session before

    def stop(self) -> bool:
        """Whether to begin nothing more: somebody asked for it."""
        return self.asked()

    def all(self, opener: Opener) -> Summary:
        """Smart host after smart host until nothing is left that could be tried."""
        opener.stop = self.stop
        try:
            while not self.stop() and (setting := self.mail.next_smarthost()) is not None:
                self.setting = setting
                self.serve(opener)
            self.mail.end()
        except OSError as error:  # the spool itself: to go on would be to send again what cannot be marked
            self.summary.fault = f"the queue cannot be written, the run stops: {error.strerror}"
            maillog.warning(self.summary.fault)
        finally:
            self.mail.abandon()
            self.summary.count(self.mail)
        return self.summary

    def serve(self, opener: Opener) -> None:
        """Sessions with one smart host until it has nothing left to do or is of no use."""
        self.suspected = False
        self.throttled = ""
        pace = self.paces.of(self.setting.name, self.setting.max_rate)
        while not self.stop() and self.mail.prepare(self.setting):
            self.progress = self.blamed = False
            self.breaches = {}
            sessions = Sessions(self, opener, self.setting, pace)
            fault = sessions.serve()
            self.mail.settle()
            if fault is None or self.progress:
                self.breaker.clear(self.setting.name)
            is_excused = self.mail.parted(self.setting, fault)
            if isinstance(fault, StoppedFault):
                break
            if self.throttled:
                fault = RefusedFault(self.throttled)
            may_go_on = fault is None or self.may_go_on(fault) or is_excused
            if fault is not None and (self.throttled or not may_go_on):
                self.pause(fault)
                break
            if fault is not None:
                maillog.notice(f"smart host {self.setting.name}: {fault}; a new session if mail is left")
            if sessions.is_late:
                maillog.notice(f"smart host {self.setting.name}: the rest waits for max_rate")
                break
        self.mail.give_up(self.setting)

    def may_go_on(self, fault: Fault) -> bool:
        """Whether to open another session after a fault.

        Yes after progress, or when it was our own copy of a message that failed. A connection that breaks
        in the session's first message may be that message's doing: it goes behind the others, and only when
        the next one fares no better it is the smart host. A refusal (421) is always the smart host's.
        """
        doubtful = self.blamed and not self.suspected and not isinstance(fault, RefusedFault)
        self.suspected = doubtful and not self.progress
        return self.progress or doubtful or isinstance(fault, ContentFault)

    # --- what the sessions ask for, under their lock ---

    def next_transaction(self, most_recipients: int, most_domains: int) -> Transaction | None:
        """The next transaction for this smart host."""
        if not self.setting.transport and not self.setting.command:
            self.opened()
        if self.stop() or self.throttled:
            return None
        return self.mail.next_transaction(self.setting, most_recipients, most_domains)

    def put_back(self, new: Transaction, via: Via) -> None:
        """It is for another session."""
        self.mail.put_back(new, via)

    def prepare(self) -> None:
        """Have a message at hand."""
        self.mail.prepare(self.setting)

    def settle(self) -> None:
        """What was judged is on disk when this returns."""
        self.mail.settle()

    def left(self) -> int:
        """How many messages may still be to send."""
        return self.mail.left(self.setting)

    def judged(self, done: Transaction, via: Via) -> None:
        """Write the outcomes down."""
        progress, throttled = self.mail.judged(done, via, self.setting)
        self.progress = self.progress or progress
        words = self.out_of_step(done) or throttled
        if words:
            self.throttled = self.mail.blame(done, words, self.setting) or self.throttled

    def out_of_step(self, done: Transaction) -> str:
        """What the server said when it found our dialogue wrong once too often.

        One may be due to an odd address; after two, with nobody served, the smart host rests. Two odd
        addresses do not hold the others for long: they go behind them.
        """
        words, whose = trouble.breach(done), self.mail.whose(done)
        self.breaches[whose] = self.breaches.get(whose, 0) + 1 if words else 0
        return f"out of step: {words}" if self.breaches[whose] > 1 and not self.progress else ""

    def interrupted(self, in_hand: list[Transaction], judged: int, fault: Fault, via: Via) -> None:
        """Judge, or keep for the next session, what was in hand when the session ended."""
        for n, one in enumerate(in_hand):
            if trouble.is_to_blame(one.stage, n == 0, judged, fault):
                self.blamed = True
                self.mail.charge(one, trouble.interrupted(one.stage, fault), via)
            else:
                self.mail.put_back(one, via)
        self.throttled = self.mail.broken(in_hand, judged, fault, self.setting) or self.throttled

    # --- ends ---

    def pause(self, fault: Fault) -> None:
        """The smart host rests, longer each time."""
        setting, rules = self.setting, self.rules
        now = rules.clock()
        earlier = self.breaker.get(setting.name)
        count = self.mail.severity() or (earlier.count + 1 if earlier is not None else 1)
        wait = trouble.wait(count, rules.queue.retry_min, rules.queue.retry_max, rules.random)
        reason = printable(str(fault))
        since = earlier.since if earlier is not None else int(now)
        self.breaker.set(setting.name, Pause(int(now + wait), count, since, reason))
        self.summary.fault = f"smart host {setting.name}: {reason}"
        maillog.warning(f"{self.summary.fault}; its messages wait for {wait:.0f} seconds")
