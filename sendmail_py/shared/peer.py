"""The relay's view of one reader: what it wants of it, what it was offered, what it thinks of it.

Guarantees: whatever a reader says is looked at before it counts; one that says nonsense, stalls or goes away
is done with, and only its owner's mail waits for the next run.
"""

from __future__ import annotations

import contextlib
import os
import time

from sendmail_py import maillog
from sendmail_py.errors import SendmailError, printable
from sendmail_py.mail.envelope import Envelope
from sendmail_py.relay import outcome
from sendmail_py.relay.content import BareLineEndError
from sendmail_py.relay.delivery import Via
from sendmail_py.relay.outcome import Outcome
from sendmail_py.relay.transaction import Transaction
from sendmail_py.shared import copies, dialect, proof
from sendmail_py.shared.frames import Channel, FrameError, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.policy.masquerade import SenderRules
    from sendmail_py.shared.dialect import Offer
    from sendmail_py.shared.place import Place

PATIENCE = 20.0  # seconds that a reader may take to answer
MESSAGE_COST = 4096  # octets that a message counts for in the sharing, beside its own
RECIPIENT_COST = 512
MOST_LOG_LINES = 1000  # of one reader in a run
MOST_FRAMES = 64  # that are heard of one reader before the others have their turn
MOST_TALK = 100_000  # lines for the log, after which a reader is done with
BIG = 1 << 20  # octets; who has such messages shows one at a time
DIGITS = frozenset("0123456789:")
OURSELVES = Via("", "none")
FORGED = b" relay="  # in lines about attempts, which the relay writes itself


class Held(Transaction):
    """A transaction whose content the relay has: `offer` is its number at `peer`, `copy` the content."""

    __slots__ = ("copy", "offer", "peer", "since")

    def __init__(self, peer: Peer, offer: Offer, copy: copies.Copy, new_head: list[bytes] | None) -> None:
        size, chunks, eight_bit = copy.size, copy.chunks, copy.eight_bit
        if new_head is not None:
            new = new_head
            size = sum(map(len, new)) + sum(map(len, proof.body(copy)))
            eight_bit = eight_bit or not all(one.isascii() for one in new)

            def chunks() -> Iterator[bytes]:
                yield b"".join(new)
                yield from proof.body(copy)

        envelope = offer.envelope
        envelope.eight_bit = eight_bit
        super().__init__(envelope, list(range(len(envelope.recipients))), size, chunks)
        self.peer = peer
        self.offer = offer
        self.copy = copy
        self.since = 0.0  # when a session took it (seconds)


class Peer:
    """One reader.

    uid        the owner, proven by the kernel; `rules` are the sender rules for him
    account    what stands behind the uid, see accounts.py
    place      where the spool is
    limit      most octets of a message
    ready      transactions that a session can have; `flying` those that one has, by number
    served     octets that this owner's mail has cost in this run, time included
    due, mark  when its next message is due (seconds), and the state of the spool when that was so
    """

    def __init__(self, uid: int, channel: Channel, rules: SenderRules, place: Place, limit: int) -> None:
        self.uid = self.account = uid
        self.channel = channel
        self.rules = rules
        self.place = place
        self.limit = limit
        self.ready: list[Held] = []
        self.flying: dict[int, Held] = {}
        self.served = 0
        self.left = 0
        self.last = 0  # number of an offer
        self.asked = 0  # offers that were wanted and did not come yet
        self.late = 0  # wanted before them, for a smart host that is of no use any more
        self.since = time.monotonic()  # when it last said something, or was asked
        self.has_returns = False  # mail came back to it since anything was wanted
        self.is_dry = False  # it has nothing more for the smart host of now
        self.is_gone = False
        self.is_done = False
        self.is_ending = False
        self.is_big = False
        self.was_wanted = False  # whether it was asked for anything
        self.is_aside = False  # its mail is not sent any more in this run to the smart host of now
        self.due = 0
        self.mark = ""
        self.lines = 0

    # --- what it is told ---

    def tell(self, frame: list[bytes]) -> None:
        """A frame, which is sent with the next push; one that does not take it is gone."""
        if self.is_gone:
            return
        try:
            self.channel.keep(frame)
        except FrameError as fault:
            self.fail(fault)

    def push(self) -> None:
        """Send what it was told."""
        if self.is_gone or not self.channel.outbox:
            return
        try:
            self.channel.push()
        except FrameError as fault:
            if not self.is_done:
                self.fail(fault)

    def want(self, setting: SmartHost, depth: int, most: tuple[int, int]) -> None:
        """Have it offer as many transactions as keep about `depth` of them at hand."""
        depth = 1 if self.is_big else depth
        missing = depth - self.asked - len(self.ready)
        if missing > depth // 2 and not (self.is_dry or self.is_gone or self.is_ending or self.is_aside):
            if not self.asked:
                self.since = time.monotonic()
            self.asked += missing
            self.was_wanted = True
            self.has_returns = False
            self.tell([b"want", setting.name.encode(), b"%d" % missing, *[b"%d" % one for one in most]])

    def take(self) -> Held:
        """Its next transaction, which a session begins now."""
        held = self.ready.pop(0)
        held.since = time.monotonic()
        self.flying[held.offer.number] = held
        self.served += held.size + MESSAGE_COST + RECIPIENT_COST * len(held.indices)
        self.tell([b"sent", b"%d" % held.offer.number])
        return held

    def end(self) -> None:
        """Have it write its reports and finish."""
        if not self.is_ending:
            self.is_ending = True
            self.since = time.monotonic()
            self.tell([b"end"])

    def report(self, kind: bytes, held: Held, via: Via, extra: list[bytes]) -> None:
        """Tell it what became of one; then it may have more."""
        self.flying.pop(held.offer.number, None)
        self.tell(dialect.verdict_frame(kind, held.offer.number, via, extra, held))
        held.copy.close()
        self.is_dry = self.is_aside
        self.has_returns = self.has_returns or kind == b"back"

    def set_aside(self) -> None:
        """No more of its mail in this run to the smart host of now."""
        self.is_aside = True
        self.is_dry = True
        self.put_back()

    def put_back(self) -> None:
        """What is ready goes back, and so will what was wanted and did not come yet."""
        ready, self.ready = self.ready, []
        for held in ready:
            self.report(b"back", held, OURSELVES, [])
        self.late, self.asked = self.late + self.asked, 0

    def leave(self, setting: SmartHost) -> None:
        """That smart host is of no use in this run."""
        self.put_back()
        self.is_dry = self.is_aside = False
        self.tell([b"leave", setting.name.encode()])

    # --- what it says ---

    def listen(self) -> None:
        """Take what it has said."""
        try:
            self.channel.push()
            for _ in range(MOST_FRAMES):
                if self.is_gone or (frame := self.channel.take()) is None:
                    break
                self.hear(frame)
        except FrameError as fault:
            if not self.is_done:
                self.fail(fault)

    def hear(self, frame: list[bytes]) -> None:
        """One frame."""
        kind = frame[0]
        if kind == b"mail":
            self.offered(frame)
        elif kind == b"none":
            self.has_no_more(frame)
        elif kind == b"log":
            self.log(b" ".join(frame[1:2]))
        elif kind == b"done" and self.is_ending and len(frame) == 3:
            self.due = number(frame[1])
            self.is_done = True
            self.mark = "".join([c for c in frame[2][:64].decode("ascii", "replace") if c in DIGITS])
        else:
            raise FrameError("says a word that there is not")

    def has_no_more(self, frame: list[bytes]) -> None:
        """The rest of what was wanted does not come; what was wanted later may."""
        missing = number(b"".join(frame[1:2]))
        self.since = time.monotonic()
        if not 0 < missing <= self.late + self.asked:
            raise FrameError("refuses what nobody wants")
        late = min(missing, self.late)
        self.late -= late
        self.asked -= missing - late
        if late < missing and not self.asked:
            # what came back after the last wish is not in this answer
            self.is_dry, self.left = self.is_aside or not self.has_returns, 0

    def offered(self, frame: list[bytes]) -> None:
        """A transaction: copied, proven, ready; or judged here, when it may not leave."""
        descriptor = self.channel.descriptor()
        try:
            offer = dialect.read_mail(frame)
            self.since = time.monotonic()
            if self.late:
                self.late -= 1
                self.last = offer.number
                self.report(b"back", Held(self, offer, copies.Copy(0), None), OURSELVES, [])
                return
            if self.asked <= 0 or offer.number <= self.last:
                raise FrameError("offers what nobody wants")
            self.asked -= 1
            self.last = offer.number
            self.left = offer.left
            self.is_big = self.is_big or offer.size > BIG
            if not copies.is_fit(descriptor, self.uid, self.place):
                raise FrameError("shows a file that is no queue file of the owner's")
            self.prove(offer, descriptor)
        finally:
            os.close(descriptor)

    def prove(self, offer: Offer, descriptor: int) -> None:
        """Copy the content and apply the sender rules."""
        was = offer.envelope.reverse_path
        offer.envelope.uid, offer.envelope.login = self.uid, self.rules.person.login
        copy = copies.Copy(0)
        try:
            copy = copies.take(descriptor, offer, self.limit)
            rule = proof.prove(offer.envelope, self.rules)
            head = proof.content(copy, self.rules) if self.rules.config.masquerade.headers else None
        except copies.TooBigError as fault:
            self.refuse(offer, copy, Outcome(outcome.FAILED, "5.3.4", str(fault)))
        except BareLineEndError as fault:
            self.refuse(offer, copy, Outcome(outcome.FAILED, "5.6.0", str(fault)))
        except SendmailError as fault:
            self.refuse(offer, copy, Outcome(outcome.FAILED, "5.7.1", proof.why_not(fault)))
        except OSError as error:
            self.refuse(offer, copy, Outcome(outcome.DEFERRED, "4.3.0", f"cannot copy it: {error.strerror}"))
        else:
            if rule:
                self.note_repair(offer.queue_id, was, offer.envelope, rule)
            self.ready.append(Held(self, offer, copy, head))

    def refuse(self, offer: Offer, copy: copies.Copy, reason: Outcome) -> None:
        """Judge a transaction without a session."""
        held = Held(self, offer, copy, None)
        maillog.record(offer.queue_id, [("uid", str(self.uid)), ("dsn", reason.status)], reason.text)
        self.report(b"charge", held, OURSELVES, dialect.outcome_words(reason))

    def note_repair(self, queue_id: str, was: bytes, envelope: Envelope, rule: str) -> None:
        """The sender was not what the rules give this owner."""
        fields = [("uid", str(self.uid)), ("from", f"<{printable(envelope.reverse_path)}>")]
        fields += [("was", f"<{printable(was)}>"), ("rule", rule)]
        maillog.record(queue_id, fields, "sender rules applied again")

    def log(self, text: bytes) -> None:
        """A line of its own for the log, as long as there are not too many of them."""
        self.lines += 1
        if self.lines > MOST_TALK:
            raise FrameError("talks without end")
        if self.lines <= MOST_LOG_LINES and FORGED not in text:
            maillog.write(printable(text, 2000), maillog.PART)

    # --- its end ---

    @property
    def is_waited_for(self) -> bool:
        """Whether it owes an answer."""
        return (self.asked > 0 or self.is_ending) and not self.is_over

    @property
    def is_worth_asking(self) -> bool:
        """Whether mail came back to it that its last answer did not count."""
        return self.has_returns and not (self.is_dry or self.is_aside or self.is_ending or self.is_over)

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing more, and nothing of its mail is under way."""
        return self.is_dry and not (self.asked or self.late or self.ready or self.flying or self.is_ending)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be expected of it."""
        return self.is_gone or self.is_done

    def look_at_clock(self, patience: float = PATIENCE) -> None:
        """One that has not answered for so long is done with."""
        if self.is_waited_for and time.monotonic() - self.since > patience:
            self.fail(FrameError(f"did not answer for {patience:.0f} seconds"))

    def fail(self, fault: FrameError) -> None:
        """No more of it; what a session has of its mail goes on."""
        if not self.is_gone:
            self.is_gone = True
            maillog.warning(f"the reader of uid {self.uid} {fault}; that user's mail waits")
            self.close()

    def close(self) -> None:
        """The end of the conversation."""
        if not self.is_gone:
            with contextlib.suppress(FrameError):
                self.channel.push()
        self.is_gone = True
        for held in self.ready:
            held.copy.close()
        self.ready.clear()
        self.channel.close()
