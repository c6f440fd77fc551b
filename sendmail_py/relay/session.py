"""Play a dialogue of smtp.py over a connection: buffers, time limits, transcript.

Guarantees: every step has a deadline, so a session ends whatever the server does; octets that arrive when no
reply is outstanding are a fault, never somebody else's reply; the transcript shows no secret; memory does not
grow with the message.
"""

from __future__ import annotations

import contextlib
import time

from sendmail_py.errors import SendmailError, printable
from sendmail_py.relay import actions, smtp, transaction
from sendmail_py.relay.content import stuffed
from sendmail_py.relay.faults import ContentFault, EarlyReplyFault, Fault, ProtocolFault, RefusedFault
from sendmail_py.relay.reply import Reply, ReplyReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol, TypeVar

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.transaction import Transaction

    T = TypeVar("T")

    class Line(Protocol):
        """What a session needs of a connection; transport.Connection is one, the tests have another."""

        doing: str
        peer: str

        def send(self, octets: bytes, deadline: float, heard: Callable[[bytes], None]) -> None:
            """Write everything."""

        def receive(self, deadline: float) -> bytes:
            """At least one octet."""

        def hear(self, heard: Callable[[bytes], None]) -> None:
            """What is there already."""

        def start_tls(self, setting: SmartHost, name: str, deadline: float) -> None:
            """Encrypt."""

        def close(self) -> None:
            """Close."""

    class Backlog(Protocol):
        """Where transactions come from and go to."""

        def next_transaction(self) -> Transaction | None:
            """The next one, None when there is none now."""

        def judged(self, done: Transaction) -> None:
            """Write the verdicts down."""

        def prepare(self) -> None:
            """Time to get the next transaction ready: a reply is on its way."""


BUFFER = 65536
GOODBYE = 5.0  # seconds for the reply to QUIT
SLOWEST = 2048.0  # octets a second of content, below which a server stalls
PATIENCE_AT_END = 2  # RFC 5321 4.5.3.2.6: the final dot may take twice as long as anything else


class Session:
    """One session over `line`.

    name     what the certificate must be for
    trace    is given each line of the transcript ("C: ...", "S: ...")
    in_hand  the transactions that are not yet judged
    judged   how many are
    """

    __slots__ = (
        "backlog",
        "content_deadline",
        "handlers",
        "in_hand",
        "judged",
        "line",
        "name",
        "outgoing",
        "outstanding",
        "reader",
        "setting",
        "timeout",
        "trace",
        "waiting",
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
        self.outgoing: list[bytes] = []
        self.waiting = 0  # octets in outgoing
        self.outstanding = 0  # replies that the server owes us
        self.content_deadline = 0.0
        self.in_hand: list[Transaction] = []
        self.judged = 0
        self.handlers: dict[type, Callable[..., object]] = {
            actions.Write: self.write,
            actions.Expect: self.expect,
            actions.Content: self.content,
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
            raise

    # --- what a dialogue may want ---

    def write(self, action: actions.Write) -> None:
        """Buffer commands; they leave when a reply is needed."""
        self.check_quiet()
        self.outstanding += action.replies
        self.buffer(action.octets)
        if self.trace:
            self.show(self.trace, action)

    def expect(self, action: actions.Expect) -> Reply:
        """The next reply; 421 ends the session unless it answers, and so decides about, the final dot."""
        self.line.doing = f"waiting for the reply to {action.phase}"
        patience = PATIENCE_AT_END if action is actions.END else 1
        self.flush()
        reply = self.reader.take()
        if reply is None:
            self.backlog.prepare()
            reply = self.receive(time.monotonic() + self.timeout * patience)
        self.outstanding = max(0, self.outstanding - 1)  # the greeting answers nothing
        if self.trace:
            self.show_reply(self.trace, action, reply)
        if reply.code == 421 and action is not actions.END:
            raise RefusedFault(f"closing: {reply.text} (in reply to {action.phase})", reply)
        return reply

    def content(self, action: actions.Content) -> None:
        """Stream content and final dot; big ones leave in pieces, while we listen for an early reply."""
        self.check_quiet()
        sent = action.transaction
        self.line.doing = "sending the message"
        self.content_deadline = time.monotonic() + self.timeout * PATIENCE_AT_END + sent.size / SLOWEST
        sent.stage = transaction.CONTENT
        self.outstanding += 1
        for piece in readable(stuffed(sent.chunks())):
            if self.waiting + len(piece) > BUFFER:
                self.flush()
                self.line.hear(self.early)
            self.buffer(piece)
        sent.stage = transaction.ENDED
        if self.trace:
            self.trace(f"C: [message of {sent.size} octets]")

    def next_transaction(self, action: actions.Next) -> Transaction | None:
        """From the backlog into our hands."""
        following = self.backlog.next_transaction()
        if following is not None:
            self.in_hand.append(following)
        return following

    def hand_back(self, action: actions.Judged) -> None:
        """To the backlog, which writes it down before anything else is read."""
        self.in_hand.remove(action.transaction)
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

    def buffer(self, octets: bytes) -> None:
        """Keep until flush."""
        self.outgoing.append(octets)
        self.waiting += len(octets)

    def flush(self) -> None:
        """Send what is buffered."""
        if self.outgoing:
            octets = b"".join(self.outgoing)
            self.outgoing, self.waiting = [], 0
            deadline = self.content_deadline or time.monotonic() + self.timeout
            in_content = bool(self.in_hand) and self.in_hand[0].stage == transaction.CONTENT
            self.line.send(octets, deadline, self.early if in_content else self.reader.feed)
            if not in_content:
                self.content_deadline = 0.0

    def receive(self, deadline: float) -> Reply:
        """Read until a reply is complete."""
        while True:
            self.reader.feed(self.line.receive(deadline))
            reply = self.reader.take()
            if reply is not None:
                return reply

    def check_quiet(self) -> None:
        """Nothing may have come that we did not ask for, or replies would be taken for others."""
        if self.outstanding:
            return
        self.line.hear(self.reader.feed)
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

    # --- the transcript ---

    def show(self, trace: Callable[[str], None], action: actions.Write) -> None:
        """Lines of ours; of a secret one nothing but AUTH."""
        octets = action.octets
        if action.secret:
            octets = b"AUTH ***" if octets.startswith(b"AUTH ") else b"***"
        for line in octets.removesuffix(b"\r\n").split(b"\r\n"):
            trace(f"C: {printable(line)}")

    def show_reply(self, trace: Callable[[str], None], action: actions.Expect, reply: Reply) -> None:
        """A reply line by line; of one to AUTH nothing but the code."""
        if action is actions.AUTH:
            trace(f"S: {reply.code} ***")
            return
        for n, line in enumerate(reply.lines, 1):
            mark = " " if n == len(reply.lines) else "-"
            trace(f"S: {reply.code}{mark}{printable(line)}")


def readable(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces; that one cannot be read or sent is the message's fault, not the smart host's."""
    try:
        yield from pieces
    except OSError as error:
        raise ContentFault(f"cannot read the message: {error.strerror}") from None
    except SendmailError as error:
        raise ContentFault(str(error)) from None
