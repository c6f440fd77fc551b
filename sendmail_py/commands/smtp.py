"""sendmail -bs: SMTP on standard input and output, for mail programs, inetd(8) and socket activation.

Guarantees: a 250 after mail data means durable; a message that is not whole is not queued; whatever is wrong
with a command or a message is a reply, never the end of the process. Exit status: 0, also when the client
just went away; 74 when its input cannot be read; 75 when it went away inside a message, when nobody takes the
replies, or when a signal ended the dialogue (421 was said then); 78 for the configuration (421 too).
"""

from __future__ import annotations

import gc
import posix
import stat
import time

from sendmail_py.commands import setting, signals
from sendmail_py.commands.options import Request, text
from sendmail_py.commands.sendmail import do_nothing, is_kept, relay_at_once, relaying
from sendmail_py.errors import EX_OK, InputError, SendmailError, TemporaryError
from sendmail_py.spool import durable
from sendmail_py.submission import smtp_reply
from sendmail_py.submission.complete import host_name
from sendmail_py.submission.session import MailData, Session
from sendmail_py.submission.smtp_command import Mail, Rcpt
from sendmail_py.submission.smtp_reply import Reply
from sendmail_py.submission.smtp_server import ABANDONED, BEGIN, CLOSED, END, NEED, Server
from sendmail_py.submission.stdin import drain, read
from sendmail_py.submission.submit import sender_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sendmail_py.policy.config import Config
    from sendmail_py.submission.smtp_server import Event

STDIN, STDOUT = 0, 1
LINGER = 5.0  # seconds
LONGEST_WAIT = 600.0  # seconds for a client on a socket; RFC 5321 4.5.3.2.7 demands 300


class StoppedError(TemporaryError):
    """A signal, or the end of our patience, ends the dialogue."""


class AbandonedError(TemporaryError):
    """The client will not send the rest of the message."""


def run(request: Request, stdin_open: bool) -> int:
    """Play the dialogue to its end."""
    try:
        if not stdin_open:
            raise InputError("standard input is closed")
        signals.watch(stop)
        gc.enable()  # the launcher has switched it off for commands that end at once
        config = setting.load(request)
        rules = sender_rules(config, posix.getuid())
        name = text(request.full_name or posix.environ.get(b"NAME", b""))
        session = Session(rules, request.aliases, name)
        if not is_kept(request, config):
            session.draft = relaying(request, config, signals.block)
        server = Server(rules.host.helo or host_name(rules.host), config.queue.max_message)
        player = Player(server, session, request, config)
        player.play()
    except SendmailError as fault:
        say_goodbye(str(fault))
        raise
    except Exception:
        say_goodbye("internal error")
        raise
    if player.server.cut:
        raise TemporaryError("the client went away inside a message; it was not queued")
    return EX_OK


def stop(number: int, frame: object) -> None:
    """Handler of the signals that end a dialogue."""
    raise StoppedError(f"ended by signal {number}")


def lose_patience(number: int, frame: object) -> None:
    """Handler of the alarm."""
    raise StoppedError(f"the client said nothing, or took no reply, for {LONGEST_WAIT:.0f} seconds")


def say_goodbye(text: str) -> None:
    """421 (RFC 5321 3.8) for a dialogue that cannot begin or go on; nobody may be there to read it."""
    signals.alarm(LINGER, lose_patience)
    try:
        durable.write_all(STDOUT, Reply(421, "4.3.0", text).octets())
        linger()
    except (OSError, SendmailError):
        return


def linger() -> None:
    """Take what a client sends that does not listen, so that it gets no broken pipe, but not for ever."""
    signals.alarm(LINGER, lose_patience)
    try:
        drain(STDIN)
    except StoppedError:
        return
    signals.alarm(0, lose_patience)


def is_socket() -> bool:
    """Whether the client is at the other end of a socket: it may go away without a word."""
    return stat.S_ISSOCK(posix.fstat(STDIN).st_mode)


def reap() -> None:
    """Bury the flushes in the background that have ended."""
    try:
        while posix.waitpid(-1, posix.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


class Player:
    """Moves octets between the descriptors and the Server, and events between the Server and the Session."""

    __slots__ = ("config", "is_kept", "patience", "queued", "request", "server", "session")

    def __init__(self, server: Server, session: Session, request: Request, config: Config) -> None:
        self.server = server
        self.session = session
        self.request = request
        self.config = config
        self.is_kept = is_kept(request, config)
        self.queued: list[str] = []
        self.patience = LONGEST_WAIT if is_socket() else 0.0

    def play(self) -> None:
        """Until the dialogue is over, or this process is the one that flushes in the background."""
        while not self.request.then_flush:
            event = self.event()
            if event is CLOSED:
                break
            if isinstance(event, Mail):
                self.server.answer(self.mail(event))
            elif isinstance(event, Rcpt):
                self.server.answer(self.rcpt(event))
            elif event is BEGIN:
                self.message()
        else:
            return
        self.write()
        if not self.server.quit:
            linger()
        self.flush_afterwards()

    def event(self) -> Event:
        """The next event that is more than a wish for octets."""
        while (event := self.server.next()) is NEED:
            self.write()
            self.server.feed(self.read())
        return event

    def read(self) -> bytes:
        """What the client sends next; b"" at the end."""
        self.limit_wait(self.patience)
        octets = read(STDIN)
        self.limit_wait(0)
        return octets

    def limit_wait(self, seconds: float) -> None:
        """Have the dialogue ended after that time, 0 for never; pipes have no limit."""
        if self.patience:
            signals.alarm(seconds, lose_patience)

    def write(self) -> None:
        """Send the replies of a batch (RFC 2920 3.2)."""
        octets = self.server.output()
        if not octets:
            return
        self.limit_wait(self.patience)
        try:
            durable.write_all(STDOUT, octets)
        except OSError as error:
            raise TemporaryError(f"cannot write the replies: {error.strerror}") from None
        self.limit_wait(0)

    def mail(self, command: Mail) -> Reply:
        """The reply to MAIL."""
        try:
            self.session.mail(command)
        except StoppedError:
            raise
        except SendmailError as fault:
            return smtp_reply.of_fault(fault, 553, "5.1.7")
        return Reply(250, "2.1.0", "Ok")

    def rcpt(self, command: Rcpt) -> Reply:
        """The reply to RCPT."""
        try:
            self.session.rcpt(command)
        except StoppedError:
            raise
        except SendmailError as fault:
            return smtp_reply.of_fault(fault, 553, "5.1.3")
        return Reply(250, "2.1.5", "Ok")

    def message(self) -> None:
        """Mail data into the queue, and the reply to it. A signal waits until the client has been told."""
        try:
            reply = self.reply_to_data(MailData(self.content(), self.config.queue.max_message))
            self.server.answer(reply)
            self.write()
        except AbandonedError:
            return
        finally:
            signals.unblock()
        if reply.positive and self.config.delivery == "background" and not self.request.queue_only:
            reap()
            relay_at_once(self.request, self.config, self.queued[-1:])

    def reply_to_data(self, message: MailData) -> Reply:
        """Queue it; whatever goes wrong, the client sends the rest before it listens."""
        try:
            last_moment = signals.block if self.is_kept else do_nothing
            queue_id = self.session.queue(message, time.time_ns(), last_moment)
        except (StoppedError, AbandonedError):
            raise
        except SendmailError as fault:
            code, enhanced = (552, "5.3.4") if message.too_large else (554, "5.6.0")
            reply = smtp_reply.of_fault(fault, code, enhanced)
            self.server.fail(reply)
            message.drain()  # what is left of it: nothing when it went wrong at the very end
            return reply
        self.queued.append(queue_id)
        return Reply(250, "2.0.0", f"Ok: {'queued' if self.is_kept else 'relayed'} as {queue_id}")

    def content(self) -> Iterator[bytes]:
        """The pieces of the mail data."""
        while (event := self.event()) is not END:
            if isinstance(event, bytes):
                yield event
            elif event is ABANDONED:
                raise AbandonedError("the client gave the message up; nothing was queued")

    def flush_afterwards(self) -> None:
        """With delivery = "now": have this session's messages relayed before the process ends."""
        if self.queued and self.config.delivery == "now" and self.is_kept and not self.request.queue_only:
            relay_at_once(self.request, self.config, self.queued)
