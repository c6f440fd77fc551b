"""The reader: one owner's queue, held by a process with that owner's rights and no other.

Started by root (start.py) as a fresh interpreter that knows no secret; standard input is its end of the
socket pair. It lists, claims, marks and finishes as any flush does (relay/in_hand.py), but offers its
transactions to the relay, which plays the sessions. Guarantees: recipients are marked as "answer unknown"
before the relay gets a transaction; when the relay goes away, those that it had not begun are taken back.
Messages that everybody has leave the queue together, with one sync for all that the relay has said at a time.
It imports little (see tests/test_startup.py): one starts for each owner with mail.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found,unused-ignore]
import posix
import time

from sendmail_py import maillog
from sendmail_py.errors import SendmailError
from sendmail_py.mail.envelope import UNKNOWN
from sendmail_py.mail.selection import matches
from sendmail_py.relay.backlog import Backlog, Rules
from sendmail_py.relay.delivery import Via
from sendmail_py.relay.in_hand import InHand
from sendmail_py.shared import dialect, settings
from sendmail_py.shared.dialect import Offer
from sendmail_py.shared.frames import FrameError, channel_of, number
from sendmail_py.spool.breaker import Breaker, Pause
from sendmail_py.spool.claim import open_message
from sendmail_py.spool.queue import FOREVER, Spool
from sendmail_py.spool.tenants import mark_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.transaction import Transaction
    from sendmail_py.shared.frames import Channel

STDIN = 0
MOST_OPEN = 128  # transactions that the relay may have; a descriptor for each
MOST_TOGETHER = 32  # messages that wait to leave the queue together; each has a descriptor
LAST_WORDS = (b"sent", b"judged", b"charge", b"back")  # that count when the relay is gone
LATER = 30  # seconds
MOST_LOOKS = 40  # at a folder that does not settle
SETTLED = 0.05  # seconds; after that a change of a folder has another time than the one before
OWN_WORDS = " relay="  # in the log's lines about attempts, which the relay writes: it knows


class Reader:
    """The queue's side of the conversation. `offered` are the transactions that the relay has, by number."""

    def __init__(self, channel: Channel, settings_octets: bytes) -> None:
        self.channel = channel
        told, usable = settings.unpack(settings_octets)
        self.config = told.config
        self.hosts = {one.name: one for one in usable}
        spool = Spool(self.config.queue.directory)
        only = told.wish.only
        wanted = (lambda queue_id, envelope: matches(only, queue_id, envelope)) if only else None
        rules = Rules(self.config.queue, time.time, chance, wanted, told.wish.force)
        self.in_hand = InHand(Backlog(spool, usable, rules, self.config), 0, lambda octets: None)
        self.in_hand.gathers = True
        spool.clean()
        self.listed = {one.queue_id for one in self.in_hand.backlog.listed}
        self.offered: dict[int, Transaction] = {}
        self.sent: set[int] = set()
        self.last = 0
        self.wanted = 0
        self.verbs = {
            b"want": self.want,
            b"sent": self.begin,
            b"judged": self.judged,
            b"charge": self.charge,
            b"back": self.back,
            b"rest": self.rest,
            b"leave": self.leave,
        }

    def serve(self) -> None:
        """Do what the relay says until it has heard that all is done."""
        while (frame := self.next_frame())[0] != b"end":
            self.verbs[frame[0]](frame)
        self.take_back()
        self.in_hand.end()
        self.channel.put([b"done", *self.next_due()])
        self.channel.drain()

    def next_frame(self) -> list[bytes]:
        """What the relay says next; before it is waited for, what it said is on the disk."""
        frame = self.channel.take()
        if frame is None or len(self.in_hand.arrived) >= MOST_TOGETHER:
            self.in_hand.settle()
        return self.channel.wait() if frame is None else frame

    # --- what the relay says ---

    def want(self, frame: list[bytes]) -> None:
        """Offer transactions until enough were, or none is left."""
        setting = self.setting(frame[1])
        self.wanted += number(frame[2])
        while self.wanted:
            transaction = None
            if setting is not None and len(self.offered) < MOST_OPEN:
                transaction = self.in_hand.next_transaction(setting, number(frame[3]), number(frame[4]))
            if transaction is None or setting is None:
                self.channel.put([b"none", b"%d" % self.wanted])
                self.wanted = 0
                return
            self.wanted -= 1
            self.offer(transaction, setting)

    def offer(self, transaction: Transaction, setting: SmartHost) -> None:
        """Mark, then show."""
        claim = self.in_hand.flying[transaction].claim
        hold = self.config.queue.on_unknown == "hold"
        claim.mark(dict.fromkeys(transaction.indices, UNKNOWN), sync=hold)
        self.last += 1
        self.offered[self.last] = transaction
        numbers = (self.last, self.in_hand.left(setting))
        offer = Offer(numbers, claim.queue_id, (claim.entry.offset, claim.size), claim.envelope)
        # opened anew for reading: the one that is locked stays ours alone
        descriptor = open_message(claim.folder, claim.queue_id, posix.O_RDONLY)
        try:
            self.channel.put(dialect.mail_frame(offer, transaction.recipients), descriptor)
        finally:
            posix.close(descriptor)

    def begin(self, frame: list[bytes]) -> None:
        """From now on the smart host may have it."""
        self.sent.add(number(frame[1]))

    def judged(self, frame: list[bytes]) -> None:
        """The verdicts on a transaction."""
        done, via = self.taken_back(frame)
        done.mail_accepted = bool(frame[5])
        done.verdicts = dialect.read_verdicts(frame[6:], len(done.indices))
        setting = self.setting(frame[2])
        if setting is not None:
            self.in_hand.judged(done, via, setting)

    def charge(self, frame: list[bytes]) -> None:
        """A session ended in it."""
        done, via = self.taken_back(frame)
        done.verdicts = dialect.read_verdicts(frame[9:], len(done.indices))
        self.in_hand.charge(done, dialect.read_outcome(frame[5:9]), via)

    def back(self, frame: list[bytes]) -> None:
        """A session ended, and it was not this transaction's doing."""
        done, via = self.taken_back(frame)
        done.verdicts = dialect.read_verdicts(frame[5:], len(done.indices))
        self.in_hand.put_back(done, via)

    def rest(self, frame: list[bytes]) -> None:
        """A smart host takes none of this owner's mail for a while, or takes it again: for mailq."""
        known, name = Breaker(self.config.queue.directory), frame[1].decode()
        until, count, since = (number(one) for one in frame[2:5])
        if until:
            known.set(name, Pause(until, count, since, frame[5].decode("utf-8", "replace")))
        else:
            known.clear(name)

    def leave(self, frame: list[bytes]) -> None:
        """No more for that smart host."""
        setting = self.setting(frame[1])
        self.wanted = 0
        if setting is not None:
            self.in_hand.give_up(setting)

    def setting(self, name: bytes) -> SmartHost | None:
        """The smart host of that name."""
        return self.hosts.get(name.decode())

    def taken_back(self, frame: list[bytes]) -> tuple[Transaction, Via]:
        """The transaction that a frame is about."""
        offered = number(frame[1])
        self.sent.discard(offered)
        return self.offered.pop(offered), dialect.read_via(frame[2:5])

    # --- the end ---

    def next_due(self) -> tuple[bytes, bytes]:
        """When the next message may be tried (seconds), and the state of the folder when that was so.

        What is due and was not tried all the same waits for LATER; what came meanwhile does not.
        """
        spool = self.in_hand.backlog.spool
        now = int(time.time())
        mark = settled_mark(spool.directory)
        found = now + self.config.queue.retry_max
        for waiting in spool.listing():
            if waiting.held != FOREVER:
                due = max(waiting.next, waiting.held)
                was_there = waiting.queue_id in self.listed
                found = min(found, max(due, now + LATER) if was_there and due <= now else due)
        return b"%d" % found, mark.encode()

    def abandoned(self) -> None:
        """The relay is gone; what it said before counts, also behind a word that could not be answered."""
        try:
            while (frame := self.channel.take()) is not None:
                if frame[0] in LAST_WORDS:
                    self.verbs[frame[0]](frame)
        except FrameError:
            pass
        self.take_back()

    def take_back(self) -> None:
        """What the relay has not begun is as it was; of the rest the answer is unknown."""
        for offered, transaction in self.offered.items():
            if offered not in self.sent:
                self.in_hand.put_back(transaction, Via("", ""))
        self.offered.clear()
        self.in_hand.flying.clear()
        self.in_hand.abandon()


def chance() -> float:
    """A number in [0, 1)."""
    return int.from_bytes(posix.urandom(6), "big") / (1 << 48)


def settled_mark(directory: str) -> str:
    """The state of a folder that no later change of it can have: see spool/tenants.py.

    "" when it is changed all the time, which is nobody's honest use.
    """
    for _ in range(MOST_LOOKS):
        status = posix.stat(directory)
        if not 0 <= time.time() - status.st_mtime < SETTLED:
            return mark_of(status)
        time.sleep(SETTLED / 4)
    return ""


def main() -> None:
    """Serve on standard input; a fault goes to the log by way of the relay.

    Signals mean nothing to it: it ends when its relay does.
    """
    for one in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
        _signal.signal(one, _signal.SIG_IGN)
    channel = channel_of(STDIN)
    maillog.log.sink = lambda line: tell(channel, line)
    reader: Reader | None = None
    try:
        reader = Reader(channel, channel.wait()[0])
        reader.serve()
    except FrameError:
        if reader is not None:
            reader.abandoned()
    except (OSError, SendmailError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        last_word(channel, f"the spool of uid {posix.geteuid()} cannot be used: {why}")
    except Exception as error:  # whatever it is, it costs this owner only
        last_word(channel, f"the reader of uid {posix.geteuid()} failed: {type(error).__name__}: {error}")
    posix._exit(0)


def tell(channel: Channel, line: str) -> None:
    """A line for the log."""
    if OWN_WORDS not in line:
        try:
            channel.keep([b"log", line.encode("utf-8", "replace")])
        except FrameError:
            return


def last_word(channel: Channel, line: str) -> None:
    """A warning for the log, and the end."""
    tell(channel, f"warning: {line}")
    try:
        channel.push()
    except FrameError:
        posix._exit(1)
    posix._exit(1)
