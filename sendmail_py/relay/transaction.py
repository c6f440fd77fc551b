"""One mail transaction (RFC 5321 3.3): its recipients, its content, what the server said to each. Pure.

Guarantees: every recipient gets exactly one verdict, the reply that decided about it. What is said to the
server stands in commands.py, so that who only keeps the queue need not load it.
"""

from __future__ import annotations

from sendmail_py.relay.faults import LoginFault, ProtocolFault
from sendmail_py.relay.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sendmail_py.mail.envelope import Envelope

# Phases: which command a reply answers, in the words of the log line.
MAIL = "MAIL FROM command"
RCPT = "RCPT TO command"
DATA = "DATA command"
END = "end of DATA command"
UNSENT = "not sent"  # decided here, from what the server announced

# RFC 4954 6: authentication required; credentials invalid; encryption required for the mechanism.
LOGIN_MISSING = (530, 535, 538)

# Stages: how far a transaction came, which decides what a lost connection means.
OFFERED = "offered"  # at most MAIL, RCPT and DATA are out
CONTENT = "content"  # some of the content may be out, its end is not
ENDED = "ended"  # the final dot may be out: if no reply comes, the answer is unknown
JUDGED = "judged"  # every recipient has a verdict


class Verdict:
    """The reply that decided about a recipient, and the phase that it answered."""

    __slots__ = ("phase", "reply")

    def __init__(self, phase: str, reply: Reply) -> None:
        self.phase = phase
        self.reply = reply


class Wire:
    """What may be sent in a transaction.

    eight_bit   8-bit bodies (8BITMIME was offered)
    utf8        UTF-8 in the header (SMTPUTF8 was offered, and an address needs it)
    """

    __slots__ = ("eight_bit", "utf8")

    def __init__(self, eight_bit: bool, utf8: bool) -> None:
        self.eight_bit = eight_bit
        self.utf8 = utf8


class Content:
    """Mail data ready to be sent: `chunks()`, their `size` in octets, whether any octet is 8-bit.

    octets  all of it, if it is small and at hand
    """

    __slots__ = ("chunks", "eight_bit", "octets", "size")

    def __init__(
        self,
        chunks: Callable[[], Iterable[bytes]],
        size: int,
        eight_bit: bool,
        octets: bytes | None = None,
    ) -> None:
        self.chunks = chunks
        self.size = size
        self.eight_bit = eight_bit
        self.octets = octets


class Transaction:
    """A message on its way to some of its recipients.

    envelope    the message's envelope
    indices     which of its recipients are meant; `recipients` are these
    stored      the content as the spool has it
    content     the content as it is sent: fit for the server once commands.refuse_unfit has seen it
    fitted      what that is by (Wire.eight_bit, Wire.utf8), for all transactions of the message
    ending      called with it before the last piece of the content, or all of it, goes out
    verdicts    by position in `recipients`; None until decided
    accepted    positions whose RCPT was accepted
    """

    __slots__ = (
        "accepted",
        "content",
        "ending",
        "envelope",
        "fitted",
        "indices",
        "mail_accepted",
        "recipients",
        "stage",
        "stored",
        "verdicts",
    )

    def __init__(
        self,
        envelope: Envelope,
        indices: list[int],
        size: int,
        chunks: Callable[[], Iterable[bytes]],
        fitted: dict[tuple[bool, bool], Content] | None = None,
        octets: bytes | None = None,
    ) -> None:
        self.envelope = envelope
        self.indices = indices
        self.recipients = [envelope.recipients[index] for index in indices]
        self.stored = self.content = Content(chunks, size, envelope.eight_bit, octets)
        self.ending: Callable[[Transaction], None] = do_nothing
        self.fitted = {} if fitted is None else fitted
        self.verdicts: list[Verdict | None] = [None] * len(indices)
        self.accepted: list[int] = []
        self.mail_accepted = False
        self.stage = OFFERED

    def open(self) -> list[int]:
        """Positions of the recipients that have no verdict yet."""
        return [n for n, verdict in enumerate(self.verdicts) if verdict is None]

    def chunks(self) -> Iterable[bytes]:
        """The content as it is sent, in pieces."""
        done = 0
        for piece in self.content.chunks():
            done += len(piece)
            if done >= self.size:
                self.ending(self)
            yield piece

    @property
    def size(self) -> int:
        """Octets of the content."""
        return self.content.size

    def is_beyond_ascii(self) -> bool:
        """Whether an address in it needs SMTPUTF8 (RFC 6531 3.4)."""
        if b"".join([self.envelope.reverse_path, *[one.address for one in self.recipients]]).isascii():
            return False
        named = [self.envelope.reverse_path, *[self.recipients[n].address for n in self.open()]]
        return not all(one.isascii() for one in named)

    def judge(self, phase: str, reply: Reply) -> None:
        """`reply` decides about every recipient that is still open."""
        verdict = Verdict(phase, reply)
        self.verdicts = [verdict if one is None else one for one in self.verdicts]
        self.stage = JUDGED

    def keep(self, end: Reply) -> None:
        """The login was missing for some recipients; those who were accepted may have the message."""
        if end.positive:
            for n in self.accepted:
                self.verdicts[n] = self.verdicts[n] or Verdict(END, end)

    def answer_rcpt(self, n: int, reply: Reply) -> None:
        """The reply to the RCPT of position `n`; one that follows a refused MAIL says nothing.

        Raises ProtocolFault for 3yz, which no server can mean, and LoginFault when the login is missing.
        """
        if reply.go_ahead:
            raise ProtocolFault(f"unexpected reply: {reply.text} (in reply to {RCPT})", reply)
        if self.mail_accepted and reply.code in LOGIN_MISSING:
            raise LoginFault(f"login missing: {reply.text} (in reply to {RCPT})", reply)
        if reply.positive:
            self.accepted.append(n)
        elif self.verdicts[n] is None:
            self.verdicts[n] = Verdict(RCPT, reply)


def do_nothing(sending: Transaction) -> None:
    """What is to be done before the end of a message is sent, if nobody wants to know."""


def own_reply(code: int, enhanced: str, text: str) -> Reply:
    """A verdict of ours in the form of a reply, for recipients that the server need not be asked about."""
    return Reply(code, [f"{enhanced} {text}".encode("utf-8", "backslashreplace")])
