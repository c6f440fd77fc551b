"""The server's side of an SMTP dialogue without I/O: octets in, events and replies out (RFC 5321).

    feed(octets)   what the client sent; b"" when it will send no more
    next()         the next event:
                     Mail, Rcpt  a command that somebody must `answer`
                     BEGIN       mail data begins
                     bytes       a piece of it, as it was sent, dots unstuffed
                     END         it is whole: to be answered
                     ABANDONED   it will never be whole: not to be answered
                     NEED        `feed` me; send `output` before waiting
                     CLOSED      the dialogue is over
    answer(reply)  what became of the Mail, Rcpt or END
    fail(reply)    the mail data is refused already; its pieces come all the same, for nobody

Guarantees: octets may come one at a time or all at once; memory does not grow with what the client sends; no
command ends the dialogue but QUIT (or MOST_FAULTS bad ones, or one of HTTP); and mail data is not read as
commands. A client that waits for the reply to DATA is refused there when it has no sender or recipient. One
that does not wait would have the text of its message obeyed then. It is known by what it sends too early (RFC
2920 3.1): it gets 354 in any case, and the refusal after the lone dot (RFC 5321 3.3).
"""

from __future__ import annotations

from sendmail_py.submission import smtp_command
from sendmail_py.submission.smtp_command import Mail, Rcpt
from sendmail_py.submission.smtp_data import Chunk, Unstuffer
from sendmail_py.submission.smtp_reply import CommandError, Reply, ascii_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    Event = Mail | Rcpt | bytes | str

NEED, BEGIN, END, ABANDONED, CLOSED = "need", "begin", "end", "abandoned", "closed"

LONGEST_LINE = 4096  # octets; RFC 5321 4.5.3.1.4 demands 512, addresses of 1000 octets and DSN need more
MOST_FAULTS = 50  # bad commands since the last message that was queued
# From DELIVERBY on they are for the queue or the server behind it; RFC 4865 4.1 wants the longest times.
EXTENSIONS = (
    "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING", "HELP",
    "DELIVERBY", "REQUIRETLS", "MT-PRIORITY", "FUTURERELEASE 999999999 2038-01-19T00:00:00Z",
)  # fmt: skip
# A web page can have a browser send a form to a port of this machine, with a message as its content.
OF_BROWSERS = (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE")
ELSEWHERE = (b"AUTH", b"STARTTLS", b"ETRN", b"EXPN", b"TURN", b"SEND", b"SOML", b"SAML")

# What a client that reads replies sends nothing behind (RFC 2920 3.1).
LAST_OF_GROUP = (b"EHLO", b"HELO", b"DATA", b"VRFY", b"NOOP")

OK = Reply(250, "2.0.0", "Ok")
GO_AHEAD = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
BYE = Reply(221, "2.0.0", "Bye")
CANNOT_VERIFY = Reply(252, "2.5.2", "Not verified here; send the message, the smart host will tell")
TOO_MANY_FAULTS = Reply(421, "4.7.0", "Too many bad commands")
NO_HTTP = Reply(421, "4.7.0", "This is SMTP, not HTTP")
HELP = Reply(
    214,
    "2.0.0",
    "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT",
    "Messages are queued here for the smart host; see sendmail(8)",
)


class Server:
    """One dialogue; `name` (octets) is what this host calls itself, `limit` the largest message in octets.

    cut   whether the client went away inside a message
    quit  whether it said QUIT
    """

    __slots__ = (
        "at", "at_end", "bare", "blind", "buffer", "closed", "collecting", "cut", "fault", "faults", "frame",
        "last", "limit", "name", "out", "pending", "quit", "recipients", "refusal", "sender", "skipping",
        "tried",
    )  # fmt: skip

    def __init__(self, name: bytes, limit: int) -> None:
        self.name = ascii_of(name.decode("utf-8", "backslashreplace")).decode()
        self.limit = limit
        self.buffer = b""
        self.at = 0  # what of the buffer was used
        self.out: list[bytes] = []
        self.at_end = self.closed = self.quit = self.cut = False
        self.bare = True  # whether every command so far ended in a bare LF
        self.skipping = False  # inside a line that is too long
        self.faults = 0
        self.frame: Unstuffer | Chunk | None = None  # where the mail data ends that is being read
        self.last = False  # whether the message ends with this frame
        self.collecting = False  # between BEGIN and END or ABANDONED
        self.pending: Event = ""
        self.blind = False  # whether it has shown that it does not wait for replies
        self.tried = False  # whether there was a MAIL, accepted or not
        self.sender = False  # whether MAIL was accepted
        self.recipients = 0  # how many RCPT were
        self.refusal: Reply | None = None  # of mail data that nobody wants
        self.fault: Reply | None = None  # of mail data that began and went wrong
        self.say(Reply(220, "", f"{self.name} ESMTP sendmail_py"))

    # --- what the player calls ------------------------------------------------------------------------------

    def feed(self, octets: bytes) -> None:
        """Take what the client sent; b"" for its end."""
        self.at_end = self.at_end or not octets
        self.buffer = self.buffer[self.at :] + octets
        self.at = 0

    def next(self) -> Event:
        """See the module."""
        event: Event | None = None
        while event is None:
            if self.closed:
                return CLOSED
            event = self.more_commands() if self.frame is None else self.more_data(self.frame)
        return event

    def answer(self, reply: Reply) -> None:
        """The reply to the last event, which settles what it changes."""
        self.say(reply)
        if isinstance(self.pending, Mail):
            self.sender = reply.positive
        elif isinstance(self.pending, Rcpt):
            self.recipients += reply.positive
        else:
            self.faults = 0 if reply.positive else self.faults
            self.collecting = False
            self.reset()

    def fail(self, reply: Reply) -> None:
        """From now on the chunks of this message are answered so."""
        self.fault = reply

    def output(self) -> bytes:
        """What is to be sent to the client."""
        octets = b"".join(self.out)
        self.out = []
        return octets

    # --- commands -------------------------------------------------------------------------------------------

    def more_commands(self) -> Event | None:
        """Obey one command, if there is a whole one."""
        try:
            line = self.line()
            if line is not None:
                verb, argument = smtp_command.split(line)
                return self.command(verb, argument)
        except CommandError as fault:
            return self.complain(fault.reply)
        if not self.at_end:
            return NEED
        self.closed, self.cut = True, self.collecting
        return self.abandon()

    def line(self) -> bytes | None:
        """The next line without its line end; None if it is not there yet."""
        end = self.buffer.find(b"\n", self.at)
        if end < 0:
            self.buffer, self.at = self.buffer[self.at :], 0
            if len(self.buffer) > LONGEST_LINE:
                self.skipping, self.buffer = True, self.buffer[-1:]
            return None
        line, self.at = self.buffer[self.at : end], end + 1
        if line.endswith(b"\r"):
            self.bare, line = False, line[:-1]
        if self.skipping or len(line) > LONGEST_LINE:
            self.skipping = False
            raise CommandError(500, "5.5.2", f"a command has at most {LONGEST_LINE} octets")
        return line

    def command(self, verb: bytes, argument: bytes) -> Event | None:
        """Obey one command."""
        self.blind = self.blind or (verb in LAST_OF_GROUP and self.at < len(self.buffer))
        if verb in COMMANDS:
            return COMMANDS[verb](self, argument)
        if verb in ELSEWHERE:
            raise CommandError(502, "5.5.1", "not implemented here; HELP lists the commands")
        if verb in OF_BROWSERS:
            return self.hang_up(NO_HTTP)
        raise CommandError(500, "5.5.2", "unknown command; HELP lists the commands")

    def complain(self, reply: Reply) -> Event | None:
        """Answer a bad command; after too many of them there is no sense in going on."""
        self.say(reply)
        self.tried = True  # that may have been meant for MAIL
        self.faults += 1
        if self.faults <= MOST_FAULTS:
            return None
        return self.hang_up(TOO_MANY_FAULTS)

    def hang_up(self, reply: Reply) -> Event | None:
        """End the dialogue, the client willing or not."""
        self.say(reply)
        self.closed = True
        return self.abandon()

    def ehlo(self, argument: bytes) -> Event | None:
        """EHLO: what we can; begins anew (RFC 5321 4.1.4)."""
        smtp_command.demand(argument, "EHLO name")
        self.say(Reply(250, "", self.name, f"SIZE {self.limit}", *EXTENSIONS))
        return self.abandon()

    def helo(self, argument: bytes) -> Event | None:
        """HELO: without extensions, which are nevertheless understood."""
        smtp_command.demand(argument, "HELO name")
        self.say(Reply(250, "", self.name))
        return self.abandon()

    def mail(self, argument: bytes) -> Event | None:
        """MAIL, once in a transaction."""
        self.tried = True
        if self.sender or self.collecting:
            raise CommandError(503, "5.5.1", "there is a sender already; RSET begins anew")
        command = smtp_command.mail(argument)
        if command.size > self.limit:
            raise CommandError(552, "5.3.4", f"the message is larger than max_message ({self.limit} octets)")
        self.pending = command
        return command

    def rcpt(self, argument: bytes) -> Event | None:
        """RCPT, after MAIL."""
        if not self.sender or self.collecting:
            raise CommandError(503, "5.5.1", "MAIL comes first")
        self.pending = smtp_command.rcpt(argument)
        return self.pending

    def data(self, argument: bytes) -> Event | None:
        """DATA: answered 354, unless nobody is to get it and the client waits for the reply."""
        smtp_command.forbid(argument)
        if self.collecting:
            raise CommandError(503, "5.5.1", "DATA does not go with BDAT")
        if not self.tried or not (self.sender or self.blind):
            raise CommandError(503, "5.5.1", "MAIL comes first")
        if not (self.recipients or self.refusal or self.blind):
            raise CommandError(554, "5.5.1", "no recipient was accepted")
        self.say(GO_AHEAD)
        self.frame, self.last = Unstuffer(self.bare), True
        return self.begin()

    def bdat(self, argument: bytes) -> Event | None:
        """BDAT: its octets follow, whatever the reply will be (RFC 3030 2)."""
        size, self.last = smtp_command.chunk(argument)
        self.frame = Chunk(size)
        return None if self.collecting else self.begin()

    def rset(self, argument: bytes) -> Event | None:
        """RSET."""
        smtp_command.forbid(argument)
        self.say(OK)
        return self.abandon()

    def noop(self, argument: bytes) -> Event | None:
        """NOOP."""
        self.say(OK)
        return None

    def vrfy(self, argument: bytes) -> Event | None:
        """VRFY: nobody here can know (RFC 5321 3.5.3)."""
        smtp_command.demand(argument, "VRFY address")
        self.say(CANNOT_VERIFY)
        return None

    def help(self, argument: bytes) -> Event | None:
        """HELP."""
        self.say(HELP)
        return None

    def bye(self, argument: bytes) -> Event | None:
        """QUIT."""
        self.say(BYE)
        self.closed = self.quit = True
        return self.abandon()

    # --- mail data ------------------------------------------------------------------------------------------

    def begin(self) -> Event | None:
        """Mail data begins: for the queue, or for nobody if the transaction is none.

        A chunk that was refused is missing for good, whatever is accepted after it.
        """
        if self.refusal is not None:
            return None
        if not self.sender:
            self.refusal = Reply(503, "5.5.1", "no sender was accepted; nothing was queued")
        elif not self.recipients:
            self.refusal = Reply(554, "5.5.1", "no recipient was accepted; nothing was queued")
        else:
            self.collecting = True
            return BEGIN
        return None

    def more_data(self, frame: Unstuffer | Chunk) -> Event | None:
        """Hand out one piece, or what the end of the frame means."""
        if frame.ended:
            return self.end_of_frame()
        octets, self.buffer, self.at = self.buffer[self.at :], b"", 0
        if not octets and self.at_end:
            self.closed = self.cut = True
            return self.abandon()
        if not octets:
            return NEED
        piece = frame.feed(octets)
        self.buffer = frame.rest
        return piece if piece and self.collecting else None

    def end_of_frame(self) -> Event | None:
        """After the lone dot or the last octet of a chunk."""
        self.frame = None
        if self.collecting and self.last:
            self.pending = END
            return END
        if self.collecting:
            self.say(self.fault or OK)
        elif self.refusal is not None:
            self.say(self.refusal)
            if self.last:
                self.reset()
        return None

    def abandon(self) -> Event | None:
        """Forget the transaction, and tell who waits for its mail data."""
        waiting, self.collecting, self.frame = self.collecting, False, None
        self.reset()
        return ABANDONED if waiting else None

    def reset(self) -> None:
        """No transaction."""
        self.tried = self.sender = False
        self.recipients = 0
        self.refusal = self.fault = None

    def say(self, reply: Reply) -> None:
        """Put a reply behind those that wait for `output`."""
        self.out.append(reply.octets())


COMMANDS = {
    b"EHLO": Server.ehlo,
    b"HELO": Server.helo,
    b"MAIL": Server.mail,
    b"RCPT": Server.rcpt,
    b"DATA": Server.data,
    b"BDAT": Server.bdat,
    b"RSET": Server.rset,
    b"NOOP": Server.noop,
    b"VRFY": Server.vrfy,
    b"HELP": Server.help,
    b"QUIT": Server.bye,
}
