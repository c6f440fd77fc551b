"""Play a dialogue of smtp.py over a connection: buffers, time limits, transcript.

Guarantees: every step has a deadline, so a session ends whatever the server does; octets that arrive when no
reply is outstanding are a fault, never somebody else's reply; the transcript shows no secret; memory does not
grow with the message.
"""

from __future__ import annotations

import contextlib
import time

from sendmail_py.errors import SendmailError
from sendmail_py.relay import actions, content, smtp, transaction, transcript
from sendmail_py.relay.faults import (
    ContentFault,
    EarlyReplyFault,
    Fault,
    ProtocolFault,
    RefusedFault,
    TransportFault,
)
from sendmail_py.relay.outbox import SLOWEST, Outbox
from sendmail_py.relay.reply_reader import ReplyReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.needs import Backlog, Line
    from sendmail_py.relay.reply import Reply
    from sendmail_py.relay.transaction import Transaction

    T = TypeVar("T")

GOODBYE = 5.0  # seconds for the reply to QUIT
PATIENCE_AT_END = 2  # RFC 5321 4.5.3.2.6: the final dot may take twice as long as anything else


class Session:
    """One session over `line`.

    name     what the certificate must be for
    waited   seconds spent waiting for replies
    trace    is given each line of the transcript ("C: ...", "S: ...")
    in_hand  the transactions that are not yet judged
    judged   how many are
    """

    __slots__ = (
        "backlog",
        "handlers",
        "in_hand",
        "judged",
        "line",
        "lost",
        "name",
        "outbox",
        "outstanding",
        "pieces",
        "reader",
        "setting",
        "timeout",
        "trace",
        "unsent",
        "waited",
    )

    def __init__(
        self,
        line: Line,
        setting: SmartHost,
        name: str,
        backlog: Backlog,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.line = line
        self.setting = setting
        self.name = name
        self.backlog = backlog
        self.trace = trace
        self.timeout = setting.timeout
        self.reader = ReplyReader()
        self.outbox = Outbox(line)
        self.outstanding = 0  # replies that the server owes us
        self.unsent = 0  # those of them to commands that are still in the outbox
        self.pieces: Iterator[bytes] | None = None  # the rest of a big message
        self.in_hand: list[Transaction] = []
        self.waited = 0.0
        self.judged = 0
        self.lost: TransportFault | None = None  # the connection, but replies that came before still count
        self.handlers: dict[type, Callable[..., object]] = {
            actions.Write: self.write,
            actions.Expect: self.expect,
            actions.Replies: self.expect_all,
            actions.Content: self.content,
            actions.Whole: self.whole,
            actions.Chunk: self.chunk,
            actions.LastChunk: self.last_chunk,
            actions.Next: self.next_transaction,
            actions.Judged: self.hand_back,
            actions.StartTLS: self.start_tls,
        }

    def play(self, dialogue: actions.Dialogue[T]) -> T:
        """Do what the dialogue wants, return what it returns. A Fault leaves with the name of the peer."""
        try:
            action = next(dialogue)
            while True:
                action = dialogue.send(self.handlers[type(action)](action))
        except StopIteration as end:
            result: T = end.value
            return result
        except Fault as fault:
            fault.peer = fault.peer or self.line.peer
            self.look_back(fault)
            raise

    def look_back(self, fault: Fault) -> None:
        """How far each transaction came: what never left, or stands behind a 421, the server has not got."""
        closing = fault.reply is not None and fault.reply.code == 421
        for one in self.in_hand:
            if closing and one.stage == transaction.ENDED:
                one.stage = transaction.OFFERED
            else:
                self.outbox.correct(one)

    # --- what a dialogue may want ---

    def write(self, action: actions.Write) -> None:
        """Buffer commands; they leave when a reply is needed."""
        if not action.octets:
            self.outstanding += action.replies
            return
        self.check_quiet()
        if action.secret:
            self.reader.hide(action.secret)
        self.outbox.put(action.octets)
        self.owe(action.replies)
        if self.trace:
            transcript.write(self.trace, action)

    def owe(self, replies: int) -> None:
        """The server will owe us so many more replies when it has got what is in the outbox."""
        self.outstanding += replies
        self.unsent += replies

    def expect_all(self, action: actions.Replies) -> list[Reply]:
        """The replies to several commands."""
        return [self.expect(one) for one in action.expects]

    def expect(self, action: actions.Expect) -> Reply:
        """The next reply; 421 ends the session unless it answers, and so decides about, the final dot."""
        reply = self.reader.take() if self.outstanding > self.unsent else None
        if reply is None:
            reply = self.wait_for(action)
        if self.outstanding:  # the greeting answers nothing
            self.outstanding -= 1
        if self.trace:
            transcript.reply(self.trace, action, reply)
        if reply.code == 421 and action is not actions.END:
            raise RefusedFault(f"closing: {reply.text} (in reply to {action.phase})", reply)
        return reply

    def wait_for(self, action: actions.Expect) -> Reply:
        """Send what is buffered, then wait for a reply; what was judged is on disk before both."""
        self.line.doing = f"waiting for the reply to {action.phase}"
        if self.unsent and self.outstanding == self.unsent:
            self.check_nothing_said()
        patience = PATIENCE_AT_END if action is actions.END else 1
        self.flush()
        if self.lost is not None:
            return self.last_reply(self.lost)
        self.backlog.prepare()
        began = time.monotonic()
        reply = self.receive(began + self.timeout * patience)
        self.waited += time.monotonic() - began
        return reply

    def last_reply(self, lost: TransportFault) -> Reply:
        """What the server said before it hung up: the fault waits until that is used up."""
        reply = self.reader.take()
        if reply is None:
            raise lost
        return reply

    def content(self, action: actions.Content) -> None:
        """Stream content and final dot; big ones leave in pieces, while we listen for an early reply."""
        self.check_quiet()
        sent = action.transaction
        self.begin(sent)
        is_at_hand = sent.content.octets is not None
        for piece in [at_once(sent, content.whole_stuffed)] if is_at_hand else pieces(content.stuffed, sent):
            if self.outbox.is_full(len(piece)):
                self.send(self.early)
                self.line.hear(self.early)
            self.outbox.put(piece)
        self.owe(action.replies)
        self.outbox.end(sent)
        if self.trace:
            transcript.content(self.trace, sent.size)

    def begin(self, sent: Transaction) -> None:
        """The content of a transaction is next; all of it has one deadline."""
        self.line.doing = "sending the message"
        self.outbox.deadline = time.monotonic() + self.timeout * PATIENCE_AT_END + sent.size / SLOWEST
        self.outbox.begin(sent)

    def whole(self, action: actions.Whole) -> str:
        """A transaction with its content at once; nothing of it unless the content can be read."""
        self.check_quiet()
        sent = action.transaction
        sent.stage = transaction.CONTENT
        try:
            octets = at_once(sent, content.whole)
        except ContentFault as fault:
            sent.stage = transaction.OFFERED
            return str(fault)
        if self.outbox.is_full(len(octets)):
            self.line.doing = "sending messages"
            self.flush()
        self.owe(action.replies + 1)
        commands = b"%bBDAT %d LAST\r\n" % (action.commands, len(octets))
        self.outbox.put(commands)
        self.outbox.begin(sent)
        self.outbox.put(octets)
        self.outbox.end(sent)
        if self.trace:
            transcript.commands(self.trace, commands)
            transcript.content(self.trace, len(octets))
        return ""

    def chunk(self, action: actions.Chunk) -> bool:
        """The next piece of a big message; a server that hangs up may have said why before."""
        if self.pieces is None:
            self.begin(action.transaction)
            self.pieces = pieces(content.unstuffed, action.transaction)
        piece = next(self.pieces, None)
        if piece is None:
            return False
        self.owe(1)
        self.outbox.put(b"BDAT %d\r\n" % len(piece))
        self.outbox.put(piece)
        if self.trace:
            transcript.commands(self.trace, b"BDAT %d" % len(piece))
        try:
            self.send()
        except TransportFault:
            self.last_words()
            raise
        return True

    def last_words(self) -> None:
        """Why the server hung up in the middle of a message, if it said so."""
        while (reply := self.reader.take()) is not None:
            if not reply.positive:
                raise EarlyReplyFault(f"reply before the end of the message: {reply.text}", reply)

    def last_chunk(self, action: actions.LastChunk) -> None:
        """The end of a big message."""
        self.write(actions.Write(b"BDAT 0 LAST\r\n"))
        self.outbox.end(action.transaction)

    def next_transaction(self, action: actions.Next) -> Transaction | None:
        """From the backlog into our hands."""
        following = self.backlog.next_transaction() if self.lost is None else None
        if following is not None:
            self.in_hand.append(following)
        return following

    def hand_back(self, action: actions.Judged) -> None:
        """To the backlog, which writes it down before anything else is read."""
        self.in_hand.remove(action.transaction)
        self.outbox.forget(action.transaction)
        self.pieces = None
        self.judged += 1
        self.backlog.judged(action.transaction)

    def start_tls(self, action: actions.StartTLS) -> None:
        """Encrypt.

        What is in the buffer was said in the clear and must not be taken for a reply of the encrypted session
        (CVE-2011-0411 and its kin): check_quiet makes it a fault.
        """
        self.check_quiet()
        self.line.doing = "the TLS handshake"
        self.line.start_tls(self.setting, self.name, time.monotonic() + self.timeout)

    # --- the end ---

    def quit(self) -> None:
        """Take leave, without waiting long: everything that matters is written down."""
        self.timeout = min(self.timeout, GOODBYE)
        with contextlib.suppress(Fault):
            self.play(smtp.closing())

    def close(self) -> None:
        """Close the connection."""
        self.line.close()

    # --- buffers ---

    def flush(self) -> None:
        """Send what is buffered; that the connection is lost is told when the last reply has been read."""
        try:
            self.send()
        except TransportFault as fault:
            self.lost = self.lost or fault
        self.outbox.deadline = 0.0

    def send(self, heard: Callable[[bytes], None] | None = None) -> None:
        """Everything that is in the outbox; what was judged is on disk before."""
        self.backlog.settle()
        self.unsent = 0
        self.outbox.send(self.timeout, heard or self.reader.feed)

    def receive(self, deadline: float) -> Reply:
        """Read until a reply is complete."""
        while True:
            self.reader.feed(self.line.receive(deadline))
            reply = self.reader.take()
            if reply is not None:
                return reply

    def check_quiet(self) -> None:
        """Nothing may have come that we did not ask for, or replies would be taken for others."""
        if not self.outstanding:
            self.line.hear(self.reader.feed)
            self.check_nothing_said()

    def check_nothing_said(self) -> None:
        """A reply that was there before we said anything answers nothing."""
        if self.reader.pending:
            reply = self.reader.take()
            if reply is not None and reply.code == 421:
                raise RefusedFault(f"closing: {reply.text}", reply)
            raise ProtocolFault(f"unexpected reply: {reply.text if reply else 'not complete'}", reply)

    def early(self, octets: bytes) -> None:
        """What arrives while the content is sent: a server that answers now has heard enough."""
        self.reader.feed(octets)
        reply = self.reader.take()
        if reply is not None:
            raise EarlyReplyFault(f"reply before the end of the message: {reply.text}", reply)


def at_once(sent: Transaction, form: Callable[[bytes], bytes]) -> bytes:
    """A content that is small, in the form that the wire needs; ContentFault."""
    octets = sent.content.octets
    if octets is None:
        return b"".join(pieces(content.unstuffed, sent))
    try:
        sent.ending(sent)
        return form(octets)
    except (OSError, SendmailError) as error:
        raise unreadable(error) from None


def pieces(form: Callable[[Iterable[bytes]], Iterator[bytes]], sent: Transaction) -> Iterator[bytes]:
    """A content of any size; ContentFault."""
    try:
        yield from form(sent.chunks())
    except (OSError, SendmailError) as error:
        raise unreadable(error) from None


def unreadable(error: OSError | SendmailError) -> ContentFault:
    """That a message cannot be read or sent is its own fault, not the smart host's."""
    why = f"cannot read the message: {error.strerror}" if isinstance(error, OSError) else str(error)
    return ContentFault(why)
