"""The mail of many owners as one (needs.Mail): whose turn it is, and what became of what.

Guarantees: the owner whose mail has cost least in this run, in octets and time, is next, so nobody's backlog
holds somebody else's message; nobody waits for a reader while another one has mail ready; trouble costs only
those whose doing it may be (suspicion.py).
"""

from __future__ import annotations

import threading
import time

from sendmail_py.relay import delivery, outcome, trouble
from sendmail_py.shared import dialect, frames
from sendmail_py.shared.peer import Held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.delivery import Via
    from sendmail_py.relay.faults import Fault
    from sendmail_py.relay.outcome import Outcome
    from sendmail_py.relay.transaction import Transaction
    from sendmail_py.shared.peer import Peer
    from sendmail_py.shared.relay import Entrance
    from sendmail_py.shared.suspicion import Suspicion

AT_HAND = 64  # transactions of all readers together that are about to go: a session has 16 in flight
FEWEST = 4  # of one of them
MOST = 32
TURN = 0.05  # seconds
BRIEF = 0.005
PLENTY = 16
LAST_WORDS = 20.0  # seconds for the reports at the end of a run
SECOND_COST = 100_000  # octets that a second of a session counts for in the sharing


class Crowd:
    """The readers' mail for the smart hosts `usable`, in their order.

    suspicion what is known of owners whose mail had trouble
    entrance  where readers come in later, None: nowhere
    stop      whether to begin nothing more
    told      is given a line for root when a reader's turn is over
    counts    recipients by outcome, as the relay itself has seen it
    damaged   files that could not be used are each reader's business
    """

    def __init__(
        self,
        peers: list[Peer],
        usable: list[SmartHost],
        suspicion: Suspicion,
        clock: Callable[[], float] = time.time,
        *,
        stop: Callable[[], bool] = lambda: False,
        entrance: Entrance | None = None,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.peers = peers
        self.usable = list(usable)
        self.names = [one.name for one in usable]
        self.suspicion = suspicion
        self.clock = clock
        self.stop = stop
        self.entrance = entrance
        self.told = told
        self.most = (0, 0)  # recipients that the smart host takes in a transaction, and domains
        self.counts = {outcome.DELIVERED: 0, outcome.DEFERRED: 0, outcome.FAILED: 0}
        self.damaged = 0
        self.flying = 0
        self.sender: Callable[[bytes], None] = lambda reverse_path: None  # told of each message's
        self.last: Peer | None = None  # whose mail was refused last, and nobody's arrived since
        self.excused = False  # whether the end of the sessions of now is laid to somebody's mail
        self.billed = 0.0  # until when a session's time is
        self.heard = 0.0  # when the readers were last listened to
        self.lock = threading.RLock()  # a run calls under its sessions' lock, and without it between them

    # --- out ---

    def next_smarthost(self) -> SmartHost | None:
        """The first that was not given up; what waits for it only the readers know."""
        return self.usable[0] if self.usable else None

    def prepare(self, setting: SmartHost) -> bool:
        """Have a message at hand; waits for an answer only when there is nothing else to do."""
        with self.lock:
            found = self.is_at_hand(setting)
            self.settle()
            return found

    def is_at_hand(self, setting: SmartHost) -> bool:
        """The same, and what the readers are to hear may wait."""
        self.listen(setting, 0.0)
        while not (self.ready() or self.flying or self.stop()) and self.is_anybody_asked():
            self.listen(setting, TURN)
        return bool(self.ready())

    def next_transaction(
        self, setting: SmartHost, most_recipients: int, most_domains: int = 0
    ) -> Transaction | None:
        """The next one of the owner who has cost least."""
        with self.lock:
            if self.most != (most_recipients, most_domains):
                self.most = (most_recipients, most_domains)
                for peer in self.peers:
                    peer.put_back()  # what is at hand may be too much
            if not self.is_at_hand(setting):
                if self.is_anybody_asked():  # a session that gets nothing ends, and another one costs a login
                    self.listen(setting, BRIEF)
                if not self.ready():
                    return None
            chosen = self.suspicion.choose(setting.name, self.ready())
            if chosen is None:
                return None
            held = chosen.take()
            self.flying += 1
            self.sender(held.envelope.reverse_path)
            return held

    def left(self, setting: SmartHost) -> int:
        """How many messages may still be to send, as far as the readers say."""
        with self.lock:
            return sum(len(one.ready) + one.left for one in self.peers if not one.is_gone)

    def ready(self) -> list[Peer]:
        """The readers whose mail is at hand."""
        return [one for one in self.peers if one.ready]

    def is_anybody_asked(self) -> bool:
        """Whether a reader owes an answer, or is to be asked again."""
        return any(one.is_waited_for or one.is_worth_asking for one in self.peers)

    def listen(self, setting: SmartHost, seconds: float) -> None:
        """Ask for what is missing, wait so long for anything to be said, and take what was.

        Not again within BRIEF when there is plenty at hand: with many readers it costs more than a message.
        """
        now = time.monotonic()
        if not seconds and now - self.heard < BRIEF and sum(len(one.ready) for one in self.peers) >= PLENTY:
            return
        self.heard = now
        depth = max(FEWEST, min(MOST, AT_HAND // max(1, len(self.peers))))
        for peer in self.peers:
            if not peer.is_aside and self.suspicion.is_resting(setting.name, peer.account):
                peer.set_aside()
            peer.want(setting, depth, self.most)
        self.hear(seconds)
        if len(self.usable) == 1:
            self.dismiss_idle()

    def hear(self, seconds: float) -> None:
        """Wait so long for anything to be said, and take what was; let in who comes."""
        door = self.entrance.channels() if self.entrance is not None else []
        if seconds:
            self.settle()
        able = frames.wait_for_any(door + [one.channel for one in self.peers if not one.is_gone], seconds)
        for peer in self.peers:
            if not peer.is_gone:
                if peer.channel in able or peer.channel.inbox:
                    peer.listen()
                peer.look_at_clock()
        for one in self.entrance.newcomers() if self.entrance is not None else []:
            one.served = min([other.served for other in self.peers], default=0)  # no more than the others
            self.peers.append(one)

    # --- turns that are over ---

    def dismiss_idle(self) -> None:
        """Let go of readers that have nothing more for the only smart host there is, or are gone."""
        for peer in list(self.peers):
            if peer.is_over:
                self.dismiss(peer, "done")
            elif peer.is_idle:
                peer.end()

    def dismiss(self, peer: Peer, word: str) -> None:
        """Tell root how a turn ended."""
        self.peers.remove(peer)
        peer.close()
        if peer.is_done:
            until = self.suspicion.until(self.names, peer.account)
            if not until and not peer.was_wanted:
                word = "more"  # it came when the run was about to end
            self.told(f"{'done' if until else word} {peer.uid} {peer.mark} {max(until, peer.due)}")
        else:
            self.told(f"gone {peer.uid}")

    def dismiss_all(self, word: str) -> None:
        """The run is over; `word` says how for those who saw its end."""
        for peer in list(self.peers):
            self.dismiss(peer, word)

    # --- back ---

    def judged(self, done: Transaction, via: Via, setting: SmartHost) -> tuple[bool, str]:
        """Log, and tell the reader; whether anybody's fate is settled, the smart host's wish for less."""
        held = as_held(done)
        judged = [trouble.judge(one) if one else None for one in held.verdicts]
        found = [one for one in judged if one is not None]
        with self.lock:
            self.landed(held)
            self.note(held, judged, via)
            taken = b"1" if held.mail_accepted else b""
            held.peer.report(b"judged", held, via, [taken])
            has_arrived = any(one.kind == outcome.DELIVERED for one in found)
            self.last = None if has_arrived else held.peer
            if has_arrived and self.suspicion.arrived(setting.name, held.peer.account):
                held.peer.tell(dialect.rest_frame(setting.name, None))
        throttled = [one.text for one in found if one.cause == outcome.THROTTLED]
        throttled += [one.reply.text for one in held.verdicts if one is not None and one.reply.code == 421]
        settled = any(one.kind in (outcome.DELIVERED, outcome.FAILED, outcome.AGAIN) for one in found)
        return settled, throttled[-1] if throttled else ""

    def landed(self, held: Held) -> None:
        """It is in no session any more; its owner pays for the time that it took when its turn had come."""
        self.flying -= 1
        now = time.monotonic()
        held.peer.served += int((now - max(self.billed, held.since)) * SECOND_COST)
        self.billed = now

    def settle(self) -> None:
        """Each reader is told what became of its mail; it makes that durable, even when the relay dies then.

        And what is about to be sent: this is called before any of it is.
        """
        with self.lock:
            for peer in self.peers:
                peer.push()

    def charge(self, interrupted: Transaction, reason: Outcome, via: Via) -> None:
        """A session ended in it."""
        held = as_held(interrupted)
        with self.lock:
            self.landed(held)
            self.note(held, [trouble.judge(one) if one else reason for one in held.verdicts], via)
            held.peer.report(b"charge", held, via, dialect.outcome_words(reason))

    def put_back(self, interrupted: Transaction, via: Via) -> None:
        """A session ended, and it was not its doing."""
        held = as_held(interrupted)
        with self.lock:
            self.landed(held)
            self.note(held, [trouble.judge(one) if one else None for one in held.verdicts], via)
            held.peer.report(b"back", held, via, [])

    def note(self, held: Held, found: list[Outcome | None], via: Via) -> None:
        """Into the log and the figures: what the relay has seen, whatever the reader makes of it."""
        now = self.clock()
        for index, one in enumerate(found):
            if one is None:
                continue
            if one.kind == outcome.AGAIN:
                one = trouble.settle_again(one)  # noqa: PLW2901
            self.counts[one.kind] += 1
            delivery.log(held.offer.queue_id, held.envelope, index, one, via, now)

    # --- whose doing it is ---

    def whose(self, done: Transaction) -> int:
        """Its owner's account."""
        return as_held(done).peer.account

    def blame(self, done: Transaction, words: str, setting: SmartHost) -> str:
        """The server wants less of an owner's mail; why it is to rest for everybody, "" if it is not."""
        with self.lock:
            peer = as_held(done).peer
            if peer.is_aside:
                return ""  # what was under way when the first such answer came says no more than that
            reason = self.suspicion.accuse(setting.name, peer.account, words)
            self.set_aside(peer, setting)
            return reason

    def broken(self, in_hand: list[Transaction], judged: int, fault: Fault, setting: SmartHost) -> str:
        """A session ended in somebody's mail; why the smart host is to rest, "" if it is not."""
        with self.lock:
            peers = {held.peer.account: held.peer for held in map(as_held, in_hand)}
            if self.last is not None:  # a server may answer, and then go
                peers.setdefault(self.last.account, self.last)
            resting, reason = self.suspicion.broken(setting.name, set(peers), judged, fault)
            for account in resting:
                self.set_aside(peers[account], setting)
            self.excused = self.excused or bool(peers)
            return reason

    def set_aside(self, peer: Peer, setting: SmartHost) -> None:
        """No more of an owner's mail to that smart host in this run, and until its rest is over."""
        peer.set_aside()
        peer.tell(dialect.rest_frame(setting.name, self.suspicion.rests.get(setting.name, peer.account)))

    def parted(self, setting: SmartHost, fault: Fault | None) -> bool:
        """The sessions ended; whether that may be the doing of somebody whose mail was in hand."""
        with self.lock:
            self.suspicion.parted(setting.name, fault)
            excused, self.excused = self.excused, False
            return excused

    def severity(self) -> int:
        """How often too many owners had trouble."""
        return self.suspicion.severity

    # --- ends ---

    def give_up(self, setting: SmartHost) -> None:
        """That smart host is of no use in this run."""
        self.usable = [one for one in self.usable if one is not setting]
        self.suspicion.next_host()
        self.most = (0, 0)
        for peer in self.peers:
            peer.leave(setting)

    def end(self) -> None:
        """Have every reader finish its run."""
        while self.usable:
            self.give_up(self.usable[0])
        for peer in self.peers:
            peer.end()
        deadline = time.monotonic() + LAST_WORDS
        while not all(one.is_over for one in self.peers) and (left := deadline - time.monotonic()) > 0:
            self.hear(min(left, 1.0))

    def abandon(self) -> None:
        """However the run ended: the readers see that nobody is there any more."""
        for peer in self.peers:
            peer.close()


def as_held(transaction: Transaction) -> Held:
    """What the sessions give back is what they were given."""
    if not isinstance(transaction, Held):
        raise TypeError("not a transaction of ours")
    return transaction
