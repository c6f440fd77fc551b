"""Mail in chunks (RFC 3030), several transactions in flight: the dialogue for a server that has proven fit.

BDAT needs no 354 and no dot-stuffing, so a whole transaction, its content included, can be sent without
waiting for anything, and the next one behind it: how many messages a second travel no longer depends on the
distance. The price is that content is on its way before the server has agreed to take it. RFC 3030 4.2 has
the server read and drop the octets of a chunk that it refuses; one that does not would take them for
commands, and whoever wrote the message would speak in our name. So `probe` asks first, once for every make of
server, and without a proof nothing of this is used (smtp.py goes on with DATA).

Guarantees: replies are matched to commands by order alone; every transaction behind another begins with RSET,
so that a refused one leaves nothing open that recipients of the next could fall into; a message that is too
big for the window travels alone, and its last chunk only when all others were taken.
"""

from __future__ import annotations

from collections import deque

from sendmail_py.relay import smtp, transaction
from sendmail_py.relay.actions import (
    CHUNK,
    END,
    MAIL,
    NEXT,
    PROBE,
    RCPT,
    RSET,
    Chunk,
    Expect,
    Judged,
    LastChunk,
    Replies,
    Whole,
    Write,
)  # fmt: skip
from sendmail_py.relay.commands import mail_command, rcpt_command, refuse_unfit
from sendmail_py.relay.faults import LoginFault, ProtocolFault, RefusedFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.relay.actions import Dialogue
    from sendmail_py.relay.ehlo import Server
    from sendmail_py.relay.reply import Reply
    from sendmail_py.relay.transaction import Transaction

MOST_MESSAGES = 16  # in flight at a time
MOST_OCTETS = 1 << 20  # of content in flight at a time
BIG = 1 << 18  # octets of a message from which on it travels alone
MOST_CHUNKS = 32  # of a big message without a reply

# A chunk out of turn whose octets are a command that is out of turn, too (RFC 5321 4.1.4).
BAIT = b"RCPT TO:<>\r\n"


def is_possible(server: Server) -> bool:
    """Whether the server says that it knows chunks; in lock-step, and in LMTP, they would gain nothing."""
    return server.pipelining and server.offers(b"CHUNKING") and not server.lmtp


def probe(server: Server) -> Dialogue[bool]:
    """Whether the server drops the octets of a refused chunk: then the bait has no reply of its own.

    The RSET behind it is always answered by 250, the bait never is; so the second reply tells.
    """
    yield Write(b"BDAT %d LAST\r\n%sRSET\r\n" % (len(BAIT), BAIT), 2)
    refused: Reply = yield PROBE
    second: Reply = yield PROBE
    if not second.positive:
        yield Write(b"", 1)
        yield PROBE
    return not refused.positive and not refused.go_ahead and second.positive


class Flight:
    """A transaction that was sent whole: which recipients were named, and whether RSET came before it."""

    __slots__ = ("asked", "reset", "transaction")

    def __init__(self, new: Transaction, asked: list[int], reset: bool) -> None:
        self.transaction = new
        self.asked = asked
        self.reset = reset

    def expects(self) -> list[Expect]:
        """The replies that its commands will get."""
        return [*[RSET] * self.reset, MAIL, *[RCPT] * len(self.asked)]


def relay(server: Server) -> Dialogue[None]:
    """Send every transaction that NEXT brings, as many at once as the window holds; read all replies."""
    window = Window(server)
    while True:
        new: Transaction | None = None
        while window.has_room:
            new = yield NEXT
            if new is None:
                break
            yield from window.send(new)
        if window.flying:
            yield from window.land()
        elif new is None:
            return


class Window:
    """What is in flight. `is_clean`: the server is surely not inside a transaction when all have landed."""

    __slots__ = ("flying", "is_clean", "octets", "server")

    def __init__(self, server: Server) -> None:
        self.server = server
        self.flying: deque[Flight] = deque()
        self.octets = 0
        self.is_clean = True

    @property
    def has_room(self) -> bool:
        """Whether another message may be sent before an answer comes."""
        return len(self.flying) < MOST_MESSAGES and self.octets < MOST_OCTETS

    def send(self, new: Transaction) -> Dialogue[None]:
        """Send a transaction without waiting for its replies; a big one alone, to its end."""
        refuse_unfit(self.server, new)
        if not new.open():
            yield Judged(new)
            return
        if new.size > BIG:
            while self.flying:
                yield from self.land()
            yield from self.send_big(new)
            return
        flight = Flight(new, new.open(), bool(self.flying) or not self.is_clean)
        reason: str = yield Whole(new, self.commands(flight), len(flight.asked) + 1 + flight.reset)
        if reason:
            new.judge(transaction.UNSENT, transaction.own_reply(451, "4.3.0", reason))
            yield Judged(new)
            return
        self.flying.append(flight)
        self.octets += new.size

    def commands(self, flight: Flight) -> bytes:
        """RSET if it is needed, MAIL and every RCPT."""
        new = flight.transaction
        return b"".join(
            [
                b"RSET\r\n" if flight.reset else b"",
                mail_command(self.server, new),
                *[rcpt_command(self.server, new.recipients[n]) for n in flight.asked],
            ]
        )

    def land(self) -> Dialogue[None]:
        """The replies to the transaction that was sent first."""
        flight = self.flying.popleft()
        self.octets -= flight.transaction.size
        try:
            yield from self.take(flight)
        except LoginFault:
            yield from self.rest()
            raise

    def rest(self) -> Dialogue[None]:
        """The session is of no use, but what else is in flight has its replies all the same."""
        while self.flying:
            try:
                yield from self.take(self.flying.popleft())
            except LoginFault:
                continue

    def take(self, flight: Flight) -> Dialogue[None]:
        """Read all replies to a transaction, then judge it."""
        replies: list[Reply] = yield Replies([*flight.expects(), END])
        end = replies.pop()
        try:
            self.answer(flight, replies)
        except LoginFault:
            flight.transaction.keep(end)
            raise
        yield from self.finish(flight.transaction, end)

    def answer(self, flight: Flight, replies: list[Reply]) -> None:
        """What the replies to RSET, MAIL and every RCPT mean; all are heard before a LoginFault leaves."""
        if flight.reset:
            smtp.require(RSET, replies.pop(0))
        smtp.answer_mail(flight.transaction, replies[0])
        missing: LoginFault | None = None
        for n, reply in zip(flight.asked, replies[1:], strict=True):
            try:
                flight.transaction.answer_rcpt(n, reply)
            except LoginFault as fault:
                missing = missing or fault
        if missing is not None:
            raise missing

    def finish(self, new: Transaction, end: Reply) -> Dialogue[None]:
        """The reply to the last chunk, which decides about everybody who was accepted."""
        if end.go_ahead or (end.positive and not new.open()):
            raise ProtocolFault(f"unexpected reply: {end.text} (in reply to {transaction.END})", end)
        smtp.require_login(transaction.END, end)
        self.is_clean = end.positive
        new.judge(transaction.END, end)
        yield Judged(new)
        if end.code == 421:
            raise RefusedFault(f"closing: {end.text}", end)

    def send_big(self, new: Transaction) -> Dialogue[None]:
        """A message that would fill the window: its content follows when somebody is to get it."""
        flight = Flight(new, new.open(), not self.is_clean)
        yield Write(self.commands(flight), len(flight.asked) + 1 + flight.reset)
        self.answer(flight, (yield Replies(flight.expects())))
        refused = None
        if new.open():
            refused = yield from self.send_chunks(new)
        if refused is not None:
            new.judge(transaction.END, refused)
        if not new.open():
            self.is_clean = not new.mail_accepted
            yield Judged(new)
            return
        yield LastChunk(new)
        yield from self.finish(new, (yield END))

    def send_chunks(self, new: Transaction) -> Dialogue[Reply | None]:
        """Everything but the end of a message; the reply that refused a chunk, None when all were taken."""
        waiting, refused, more = 0, None, True
        while more or waiting:
            more = more and refused is None and (yield Chunk(new))
            waiting += more
            if waiting and (waiting == MOST_CHUNKS or not more):
                reply: Reply = yield CHUNK
                waiting -= 1
                if not reply.positive:
                    refused = refused or reply
        return refused
