"""The sessions with one smart host: one, and others beside it while the backlog deserves them.

Threads, not one loop over many sockets: a look-up, a handshake, a password command and the disk block a
session as much as its server does, and the dialogue need not know. One lock guards the run's mail; nobody
waits for a server while he holds it, and the spool's claims keep two sessions apart even without it.

Guarantees: never more than max_connections, no more in a time than max_rate; a session beside the first one
is opened only when it will save more time than it costs, and a server that does not want it is not pressed;
nothing of this is left when `serve` returns.
"""

from __future__ import annotations

import threading
import time

from sendmail_py import maillog
from sendmail_py.mail import address
from sendmail_py.relay import chunking, commands, hurry, smtp
from sendmail_py.relay.delivery import Via, domain_of
from sendmail_py.relay.ehlo import Server
from sendmail_py.relay.faults import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.needs import Sink
    from sendmail_py.relay.opening import Opener
    from sendmail_py.relay.pace import Pace
    from sendmail_py.relay.session import Session
    from sendmail_py.relay.transaction import Transaction

    class Mail(Protocol):
        """What the sessions need of a run (flush.Run); every call is made under the lock."""

        def next_transaction(self, most_recipients: int, most_domains: int) -> Transaction | None:
            """The next one, None when there is none now."""

        def put_back(self, new: Transaction, via: Via) -> None:
            """It is for another session."""

        def prepare(self) -> None:
            """Have a message at hand."""

        def judged(self, done: Transaction, via: Via) -> None:
            """Write the verdicts down."""

        def settle(self) -> None:
            """What was judged is on disk when this returns."""

        def interrupted(self, in_hand: list[Transaction], judged: int, fault: Fault, via: Via) -> None:
            """A session ended with these in hand after so many others."""

        def left(self) -> int:
            """How many messages may still be to send."""

        def stop(self) -> bool:
            """Whether to begin nothing more."""


ENOUGH = 16  # messages after which it is known how long one takes
WORTH = 3.0  # how many times its cost another session must save
LONGEST_WAIT = 60.0  # seconds for the rate; servers close a session that is idle for longer
LOCAL = Server([b"8BITMIME", b"SMTPUTF8", b"DSN"])  # what a sink can take
MOMENT = 0.2  # seconds between looks at whether to stop


class Sessions:
    """Those of one run with one smart host.

    most     how many there may be, less when the server did not want another one
    live     how many there are; knocking: whether one of them is being opened
    settled  messages that were judged
    waited   seconds that sessions waited for replies meanwhile
    cost     seconds that it took to open a session
    broken   what ended a thread and is no Fault: the run's disk, or a mistake of ours
    is_late  whether the rate lets nothing through for longer than anybody wants to wait
    """

    def __init__(self, mail: Mail, opener: Opener, setting: SmartHost, pace: Pace) -> None:
        self.mail = mail
        self.opener = opener
        self.setting = setting
        self.pace = pace
        self.lock = threading.Lock()
        self.threads: list[threading.Thread] = []
        self.most = setting.max_connections
        self.live = 0
        self.knocking = False
        self.settled = 0
        self.waited = 0.0
        self.cost = 0.0
        self.broken: BaseException | None = None
        self.is_late = False

    def serve(self) -> Fault | None:
        """Sessions until the mail is gone or the first of them ends; the fault that ended it, or None."""
        self.live = 1
        try:
            return self.one()
        finally:
            for thread in self.threads:
                thread.join()
            if self.broken is not None:
                raise self.broken

    def one(self) -> Fault | None:
        """One session, for as many messages as it takes; after a fault no more are opened."""
        channel = Channel(self)
        began = time.monotonic()
        fault: Fault | None = None
        try:
            if self.setting.transport or self.setting.command:
                from sendmail_py.relay import sinks  # noqa: PLC0415 (a named door: most mail goes to a server)

                channel.hand_over(sinks.sink_for(self.setting))
            else:
                session, server = self.opener.reach(self.setting, channel)
                self.cost = time.monotonic() - began
                self.knocking = False
                fault = channel.play(session, server)
        except Fault as reason:
            fault = reason
        finally:
            with self.lock:
                self.live -= 1
                self.knocking = False
                if fault is not None:
                    self.most = max(1, self.live)
        return fault

    def consider(self) -> None:
        """Open another session if that saves time: a share of the waiting ahead, never of our own work."""
        n = self.live
        if n >= self.most or self.settled < ENOUGH or self.knocking or self.broken or self.pace.interval:
            return
        ahead = self.mail.left() * self.waited / self.settled / n
        if ahead / (n + 1) > WORTH * self.cost:
            self.live += 1
            self.knocking = True
            thread = hurry.begin(self.beside, f"session {n + 1}")
            if thread is None:
                self.live, self.knocking, self.most = n, False, n
                return
            self.threads.append(thread)

    def beside(self) -> None:
        """A session beside others; when it fails they go on."""
        try:
            fault = self.one()
            if fault is not None:
                maillog.notice(f"smart host {self.setting.name}: {fault}; {self.live} sessions go on")
        except BaseException as error:  # told by `serve`, in the thread that began all this
            self.broken = error


class Channel:
    """Where one session gets its mail from (needs.Backlog).

    given            transactions so far, `flying` how many of them are not judged
    most_messages    how many the server or the configuration allows in one session, 0 for all
    most_recipients  how many recipients the server takes in one transaction, 0 if it did not say
    most_domains     in how many domains the recipients of one session may be, 0 if it did not say
    domains          those so far
    """

    __slots__ = (
        "counted",
        "domains",
        "flying",
        "given",
        "most_domains",
        "most_messages",
        "most_recipients",
        "session",
        "sessions",
        "via",
    )

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.session: Session | None = None
        self.via: Via
        self.given = self.flying = 0
        self.most_messages = sessions.setting.max_messages_per_session
        self.most_recipients = self.most_domains = 0
        self.domains: set[bytes] = set()
        self.counted = 0.0  # seconds of waiting that are in sessions.waited

    def play(self, session: Session, server: Server) -> Fault | None:
        """The mail part of a session, to its end."""
        self.session = session
        self.via = Via(self.sessions.setting.name, session.line.peer, server.offers(b"DSN"))
        self.counted = session.waited
        self.most_recipients = server.limit(b"RCPTMAX")
        self.most_domains = server.limit(b"RCPTDOMAINMAX")
        said = server.limit(b"MAILMAX")
        self.most_messages = min(said or self.most_messages, self.most_messages or said)
        try:
            session.play((chunking if server.drops_chunks else smtp).relay(server))
            session.quit()
        except Fault as fault:
            with self.sessions.lock:
                self.sessions.mail.interrupted(session.in_hand, session.judged, fault, self.via)
            return fault
        finally:
            session.close()
        return None

    def hand_over(self, sink: Sink) -> None:
        """Everything to a sink; the Fault that stopped it leaves after its message was put back."""
        self.via = Via(self.sessions.setting.name, sink.name)
        self.most_recipients = sink.most_recipients
        while (new := self.next_transaction()) is not None:
            if self.sessions.setting.transport != address.HERE:  # there what it is for is no address
                commands.refuse_unfit(LOCAL, new)
            try:
                if new.open():
                    self.settle()
                    sink.send(new)
            except Fault as fault:
                with self.sessions.lock:
                    self.sessions.mail.interrupted([new], 0, fault, self.via)
                raise
            self.judged(new)
            self.settle()

    def next_transaction(self) -> Transaction | None:
        """The next one that the limits allow; waits for the rate when the session has nothing else to do."""
        sessions = self.sessions
        if (self.most_messages and self.given >= self.most_messages) or sessions.broken is not None:
            return None
        with sessions.lock:
            wait = sessions.pace.wait()
        if wait and (self.flying or not self.wait(wait)):
            return None
        with sessions.lock:
            new = sessions.mail.next_transaction(self.most_recipients, self.most_domains)
            if new is not None and self.most_domains and not self.is_room_for(new):
                sessions.mail.put_back(new, self.via)
                self.most_messages = self.given
                return None
            if new is not None:
                sessions.pace.take()
                self.given += 1
                self.flying += 1
        return new

    def is_room_for(self, new: Transaction) -> bool:
        """Whether the session may have its domains too (RFC 9422 5.3); the first one goes in any case."""
        domains = self.domains | {domain_of(one.address) for one in new.recipients}
        if self.given and len(domains) > self.most_domains:
            return False
        self.domains = domains
        return True

    def wait(self, seconds: float) -> bool:
        """Wait for the rate; False when that takes too long, or the run is to end."""
        sessions = self.sessions
        if seconds > LONGEST_WAIT:
            sessions.is_late = True
            return False
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with sessions.lock:
                if sessions.mail.stop():
                    return False
            time.sleep(min(left, MOMENT))
        return True

    def judged(self, done: Transaction) -> None:
        """Write the verdicts down, then see whether another session is worth while."""
        sessions = self.sessions
        with sessions.lock:
            self.flying -= 1
            sessions.mail.judged(done, self.via)
            sessions.settled += 1
            if self.session is not None:
                sessions.waited += self.session.waited - self.counted
                self.counted = self.session.waited
                sessions.consider()

    def prepare(self) -> None:
        """Have a message at hand while the reply is on its way."""
        with self.sessions.lock:
            self.sessions.mail.prepare()

    def settle(self) -> None:
        """What was judged must be on disk before anything else is sent or read."""
        with self.sessions.lock:
            self.sessions.mail.settle()
