"""The mail of many owners as one (needs.Mail): whose turn it is, and what became of what.

Guarantees: the owner whose mail has cost least in this run is next, so nobody's backlog holds somebody
else's message; nobody waits for a reader while another one has mail ready.
"""

from __future__ import annotations

import threading
import time

from sendmail_py import maillog
from sendmail_py.relay import delivery, outcome, trouble
from sendmail_py.shared import dialect, frames
from sendmail_py.shared.peer import Held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.delivery import Via
    from sendmail_py.relay.outcome import Outcome
    from sendmail_py.relay.transaction import Transaction
    from sendmail_py.shared.peer import Peer
    from sendmail_py.shared.relay import Entrance

FEW = 4  # transactions of a reader that are at hand when there are many readers
MANY = 16  # and when there are few: as many as a session has in flight
TURN = 0.05  # seconds
LAST_WORDS = 20.0  # seconds for the reports at the end of a run


class Crowd:
    """The readers' mail for the smart hosts `usable`, in their order.

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
        clock: Callable[[], float] = time.time,
        *,
        stop: Callable[[], bool] = lambda: False,
        entrance: Entrance | None = None,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.peers = peers
        self.usable = list(usable)
        self.clock = clock
        self.stop = stop
        self.entrance = entrance
        self.told = told
        self.most = (0, 0)  # recipients that the smart host takes in a transaction, and domains
        self.counts = {outcome.DELIVERED: 0, outcome.DEFERRED: 0, outcome.FAILED: 0}
        self.damaged = 0
        self.flying = 0
        self.sender: Callable[[bytes], None] = lambda reverse_path: None  # told of each message's
        # Whose mail was in hand when a session ended; nobody's arrived since.
        self.suspects: set[Peer] = set()
        self.excused = 0  # owners whose mail was laid aside for that, in a row
        self.lock = threading.RLock()  # a run calls under its sessions' lock, and without it between them

    # --- out ---

    def next_smarthost(self) -> SmartHost | None:
        """The first that was not given up; what waits for it only the readers know."""
        return self.usable[0] if self.usable else None

    def prepare(self, setting: SmartHost) -> bool:
        """Have a message at hand; waits for an answer only when there is nothing else to do."""
        with self.lock:
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
            if not self.prepare(setting):
                return None
            held = min(self.ready(), key=lambda one: one.served).take()
            self.flying += 1
            self.sender(held.envelope.reverse_path)
            self.listen(setting, 0.0)
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
        """Ask for what is missing, wait so long for anything to be said, and take what was."""
        depth = MANY if len(self.peers) < 4 else FEW
        for peer in self.peers:
            peer.want(setting, depth, self.most)
        self.hear(seconds)
        if len(self.usable) == 1:
            self.dismiss_idle()

    def hear(self, seconds: float) -> None:
        """Wait so long for anything to be said, and take what was; let in who comes."""
        door = self.entrance.channels() if self.entrance is not None else []
        frames.wait_for_any(door + [one.channel for one in self.peers if not one.is_gone], seconds)
        for peer in self.peers:
            if not peer.is_gone:
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
            word = word if peer.was_wanted else "more"  # it came when the run was about to end
            self.told(f"{word} {peer.uid} {peer.mark} {peer.due}")
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
            self.flying -= 1
            self.note(held, judged, via)
            taken = b"1" if held.mail_accepted else b""
            held.peer.report(b"judged", held, via, [taken])
        throttled = [one.text for one in found if one.cause == outcome.THROTTLED]
        settled = any(one.kind in (outcome.DELIVERED, outcome.FAILED, outcome.AGAIN) for one in found)
        if settled:
            self.suspects.clear()
            self.excused = 0
        return settled, throttled[-1] if throttled else ""

    def settle(self) -> None:
        """Each reader makes durable what it was told, even when the relay dies meanwhile."""

    def charge(self, interrupted: Transaction, reason: Outcome, via: Via) -> None:
        """A session ended in it."""
        held = as_held(interrupted)
        with self.lock:
            self.flying -= 1
            self.note(held, [trouble.judge(one) if one else reason for one in held.verdicts], via)
            held.peer.report(b"charge", held, via, dialect.outcome_words(reason))
            self.suspects.add(held.peer)

    def put_back(self, interrupted: Transaction, via: Via) -> None:
        """A session ended, and it was not its doing."""
        held = as_held(interrupted)
        with self.lock:
            self.flying -= 1
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

    # --- ends ---

    def excuses(self) -> bool:
        """Whether a session's end is laid to the owner whose mail was in hand: the rest of his waits then.

        Any user can write mail that makes a server hang up. When nobody's mail arrives after that, and
        another owner's fares no better, it is the smart host.
        """
        with self.lock:
            suspects, self.suspects = self.suspects, set()
            if len(suspects) != 1 or self.excused:
                return False
            self.excused += 1
            (suspect,) = suspects
            suspect.set_aside()
            maillog.notice(f"a session ended in mail of uid {suspect.uid}; the rest of it waits")
            return True

    def give_up(self, setting: SmartHost) -> None:
        """That smart host is of no use in this run."""
        self.usable = [one for one in self.usable if one is not setting]
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
