"""A smart host that plays a script, in threads, on 127.0.0.1 only: the relay is tested and measured with it.

It serves RFC 5321 with PIPELINING (RFC 2920: the replies to all commands that arrived together leave
together), STARTTLS (RFC 3207), AUTH (RFC 4954), SIZE, 8BITMIME, DSN, SMTPUTF8 and CHUNKING (RFC 3030), and
writes down what it got. `replies` overrides single answers, so a test can say "RCPT for this address is
refused" or "the answer to the final dot never comes". What a client must not do (RFC 2920 section 3.1, RFC
5321 section 4.5.3.1, bare CR or LF) is noted in `violations`.

    refusal = {b"RCPT TO:<bad@": b"550 5.1.1 No such user"}
    with SmartHost(tls="starttls", users={"greg": "secret"}, replies=refusal) as host:
        ...connect to 127.0.0.1, host.port; trust host.ca_pem...
    assert host.messages[0].rcpts == [(b"good@example.net", [])]
"""

from __future__ import annotations

import binascii
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .certificates import LOOPBACK_NAMES, Authority
from .sasl import MECHANISMS, Sasl
from .script import Action, Close, Drip, Extra, Flood, Garbage, Stall
from .wire import EndedError, Wire, close_hard

USUAL_EXTENSIONS = ("PIPELINING", "8BITMIME", "SIZE 104857600", "DSN", "ENHANCEDSTATUSCODES")
ALL_MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256")
LONGEST_LINE = 998  # octets of a text line without CRLF, RFC 5321 section 4.5.3.1.6
CLOSERS = (b"EHLO", b"HELO", b"DATA", b"QUIT", b"NOOP", b"VRFY", b"EXPN", b"STARTTLS", b"AUTH")


@dataclass
class Message:
    """One transaction that reached its end. `data` is as sent, CRLF line ends, not dot-stuffed."""

    mail_from: bytes
    mail_params: list[bytes]
    rcpts: list[tuple[bytes, list[bytes]]] = field(default_factory=list)
    data: bytes = b""
    size: int = 0
    session: int = 0
    tls: bool = False
    login: str = ""
    chunked: bool = False


class SmartHost:
    """See the module. Counters and lists may be read at any time; after the `with` block they stand still.

    `delay` is the simulated round trip in seconds: every answer leaves that long after the input that it
    answers arrived, and the TCP and TLS handshakes take it once each. `round_trips` counts how often a
    session had answered everything and then got more input: the number of times that somebody waited for
    the line.

    Keys of `replies` are the beginnings of command lines, in any letter case, the longest counts; beside
    commands b"greeting", b"tls" (in place of the handshake), b"login" (the verdict on AUTH), b"." (the end
    of the mail data, by DATA or BDAT LAST). A value is an Action or a list of them, used one after the
    other, then the usual answer.
    """

    def __init__(
        self,
        *,
        tls: str = "none",
        users: dict[str, str] | None = None,
        extensions: Sequence[str] = USUAL_EXTENSIONS,
        mechanisms: Sequence[str] = ALL_MECHANISMS,
        replies: dict[bytes, Action | list[Action]] | None = None,
        delay: float = 0.0,
        one_octet_at_a_time: bool = False,
        authority: Authority | None = None,
        context: ssl.SSLContext | None = None,
        tls_required: bool = True,
        login_required: bool | None = None,
        auth_before_tls: bool = False,
        drops_refused_chunks: bool = True,
        scram_iterations: int = 4096,
        scram_honest: bool = True,
        keep_data: bool = True,
        name: str = "smarthost.example.net",
    ) -> None:
        if tls not in ("none", "starttls", "implicit"):
            raise ValueError(f"tls: {tls!r}")
        self.tls, self.users, self.extensions, self.mechanisms = (
            tls,
            users or {},
            tuple(extensions),
            tuple(mechanisms),
        )
        self.delay, self.one_octet_at_a_time, self.name, self.keep_data = (
            delay,
            one_octet_at_a_time,
            name,
            keep_data,
        )
        self.tls_required = tls_required and tls == "starttls"
        self.login_required = bool(users) if login_required is None else login_required
        self.auth_before_tls, self.drops_refused_chunks = auth_before_tls, drops_refused_chunks
        self.scram_iterations, self.scram_honest = scram_iterations, scram_honest
        self._replies = {key.upper(): action for key, action in (replies or {}).items()}
        self.ca_pem, self.context = "", context
        if tls != "none" and context is None:
            authority = authority or Authority()
            self.context = authority.server_context(*LOOPBACK_NAMES, name)
        if authority is not None:
            self.ca_pem = authority.pem
        self.messages: list[Message] = []
        self.refused: list[Message] = []
        self.commands: list[bytes] = []
        self.violations: list[str] = []
        self.errors: list[BaseException] = []
        self.connections = self.logins = self.auth_attempts = self.round_trips = 0
        self.open_now = self.most_open = 0
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self._sessions: list[Session] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> SmartHost:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self.errors:
            raise self.errors[0]

    def stop(self) -> None:
        """Close every socket and wait for the threads (at most ten seconds each)."""
        self.stopping.set()
        close_hard(self._listener)
        with self.lock:
            sessions = list(self._sessions)
        for session in sessions:
            close_hard(session.wire.socket)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a session of the scripted smart host does not end"

    def script(self, key: bytes, action: Action | list[Action]) -> None:
        """Set an override while the host runs."""
        with self.lock:
            self._replies[key.upper()] = action

    def recipients(self) -> list[bytes]:
        """All accepted recipients of all messages, in the order of arrival."""
        return [address for message in self.messages for address, _ in message.rcpts]

    def action_for(self, command: bytes) -> Action:
        """Return the override for a command (the longest key that it begins with), None without one."""
        with self.lock:
            keys = [key for key in self._replies if command.upper().startswith(key)]
            if not keys:
                return None
            action = self._replies[max(keys, key=len)]
            if isinstance(action, list):
                return action.pop(0) if action else None
            return action

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(target,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, target: Callable[[], None]) -> None:
        try:
            target()
        except Exception as error:  # a fault of the host itself: shown when the test ends
            if not self.stopping.is_set():
                self.errors.append(error)

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open_now += 1
                self.most_open = max(self.most_open, self.open_now)
                session = Session(self, connection, self.connections)
                self._sessions.append(session)
            self._start(session.run)


class Session:
    """One connection, served until it ends."""

    def __init__(self, host: SmartHost, connection: socket.socket, number: int) -> None:
        self.host, self.number = host, number
        self.wire = Wire(host, connection)
        self.tls, self.login, self.greeted = False, "", False
        self.message: Message | None = None
        self.chunks: list[bytes] = []
        self.verbs: dict[bytes, Callable[[bytes], None]] = {
            b"EHLO": self.ehlo, b"HELO": self.helo, b"STARTTLS": self.starttls, b"AUTH": self.auth, b"MAIL":
            self.mail, b"RCPT": self.rcpt, b"DATA": self.data, b"BDAT": self.bdat, b"RSET": self.rset,
            b"NOOP": self.noop, b"QUIT": self.quit, b"VRFY": self.vrfy,
        }  # fmt: skip

    def run(self) -> None:
        """Serve the session to its end; a client that leaves is no fault of the host."""
        try:
            self.wire.pause(self.host.delay)  # the TCP handshake
            self.wire.arrival = time.monotonic()
            if self.host.tls == "implicit":
                self._tls()
            self.answer(b"greeting", self.code(220, "", f"{self.host.name} ESMTP at your service"))
            while True:
                self.command(self.wire.read_line())
        except (EndedError, OSError):
            pass
        finally:
            close_hard(self.wire.socket)
            with self.host.lock:
                self.host.open_now -= 1

    def command(self, line: bytes) -> None:
        """Serve one command line."""
        self.host.commands.append(line)
        verb = line.split(b" ", 1)[0].split(b":", 1)[0].upper()
        self._watch(verb, line)
        self.verbs.get(verb, self.unknown)(line)

    def answer(self, key: bytes, usual: bytes) -> bool:
        """Answer as the script says, else as usual; returns True if the answer was positive (2xx or 3xx)."""
        return self.play(self.host.action_for(key), usual)

    def play(self, action: Action, usual: bytes) -> bool:
        """Carry out one action of the script."""
        if isinstance(action, Stall) and action.seconds is not None:
            self.wire.flush()
            self.wire.pause(action.seconds)
            action = None
        if action is None or isinstance(action, bytes):
            return self._reply(usual if action is None else action)
        if isinstance(action, Extra):
            self.wire.put(action.reply if action.reply.endswith(b"\n") else action.reply + b"\r\n")
            return self._reply(action.more) and action.reply[:1] in b"23"
        self.wire.flush()
        return self._misbehave(action)

    def _misbehave(self, action: Close | Stall | Drip | Garbage | Flood) -> bool:
        if isinstance(action, Garbage):
            self.wire.send(action.octets)
            return False
        if isinstance(action, Drip):
            self.wire.drip(action.reply, action.seconds_between_octets)
            while action.forever:
                self.wire.drip(action.reply, action.seconds_between_octets)
            return action.reply[:1] in (b"2", b"3")
        if isinstance(action, Flood):
            for _ in range(0, action.limit, len(action.line) * 512):
                self.wire.send(action.line * 512)
        if isinstance(action, Stall):
            self.host.stopping.wait()
        if isinstance(action, Close):
            if action.after:
                self.wire.send(action.after)
            if action.reset:
                self.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise EndedError

    def _reply(self, reply: bytes) -> bool:
        self.wire.put(reply if reply.endswith(b"\n") else reply + b"\r\n")
        if reply.startswith(b"421"):  # RFC 5321 section 3.8: said, then closed
            self.wire.flush()
            raise EndedError
        return reply[:1] in (b"2", b"3")

    def code(self, code: int, enhanced: str, text: str) -> bytes:
        """Return one reply line, with the enhanced status code if that extension is offered."""
        status = f"{enhanced} " if enhanced and "ENHANCEDSTATUSCODES" in self.host.extensions else ""
        return f"{code} {status}{text}\r\n".encode()

    # The commands, in the order of a session.

    def ehlo(self, line: bytes) -> None:
        """EHLO: name and extensions, RFC 5321 section 4.1.1.1."""
        words = [f"{self.host.name} hello", *self.host.extensions]
        if self.host.tls == "starttls" and not self.tls:
            words.append("STARTTLS")
        if self.host.users and (self.tls or self.host.tls != "starttls" or self.host.auth_before_tls):
            words.append("AUTH " + " ".join(self.host.mechanisms))
        lines = [f"250-{word}\r\n" for word in words[:-1]] + [f"250 {words[-1]}\r\n"]
        self.greeted = self.answer(line, "".join(lines).encode()) or self.greeted
        self.message = None

    def helo(self, line: bytes) -> None:
        """HELO: no extensions."""
        self.greeted = self.answer(line, self.code(250, "", self.host.name)) or self.greeted
        self.message = None

    def starttls(self, line: bytes) -> None:
        """STARTTLS: the session starts over behind the handshake, RFC 3207."""
        if self.tls or self.host.tls != "starttls":
            self.answer(line, self.code(502, "5.5.1", "Not offered"))
            return
        if self.answer(line, self.code(220, "2.0.0", "Ready")):
            self.wire.flush()
            self._tls()
            self.greeted, self.message, self.login = False, None, ""

    def _tls(self) -> None:
        action = self.host.action_for(b"tls")
        if action is not None:
            self.play(action, b"")
            raise EndedError
        self.wire.start_tls()
        self.tls = True

    def auth(self, line: bytes) -> None:
        """AUTH: the mechanisms of `sasl`, RFC 4954."""
        with self.host.lock:
            self.host.auth_attempts += 1
        action = self.host.action_for(line)
        if action is not None:
            self.login = "scripted" if self.play(action, b"") else ""
            return
        words = line.split(b" ")
        mechanism = words[1].decode("ascii", "replace").upper() if len(words) > 1 else ""
        if mechanism not in self.host.mechanisms or not self.host.users or self.login:
            self._reply(self.code(504, "5.5.4", "Mechanism not offered"))
            return
        try:
            login = MECHANISMS[mechanism](self._sasl(words[2] if len(words) > 2 else None))
        except (ValueError, binascii.Error):
            self._reply(self.code(501, "5.5.2", "Malformed response"))
            return
        self._logged_in(login)

    def _sasl(self, initial: bytes | None) -> Sasl:
        host = self.host
        return Sasl(self.wire, initial, host.users, host.scram_iterations, host.scram_honest)

    def _logged_in(self, login: str) -> None:
        if not login:
            self.answer(b"login", self.code(535, "5.7.8", "Authentication credentials invalid"))
        elif self.answer(b"login", self.code(235, "2.7.0", "Authentication successful")):
            self.login = login
            with self.host.lock:
                self.host.logins += 1

    def mail(self, line: bytes) -> None:
        """MAIL FROM: opens a transaction."""
        path, params = path_and_params(line[len(b"MAIL FROM:") :])
        usual = self._fault_of_mail(line, params) or self.code(250, "2.1.0", "Sender ok")
        if self.answer(line, usual):
            self.message = Message(path, params, session=self.number, tls=self.tls, login=self.login)
            self.chunks = []

    def _fault_of_mail(self, line: bytes, params: list[bytes]) -> bytes:
        if not line.upper().startswith(b"MAIL FROM:<"):
            return self.code(501, "5.5.4", "Syntax: MAIL FROM:<address>")
        if not self.greeted or self.message is not None:
            return self.code(503, "5.5.1", "Bad sequence of commands")
        if self.host.tls_required and not self.tls:
            return self.code(530, "5.7.0", "Must issue a STARTTLS command first")
        if self.host.login_required and not self.login:
            return self.code(530, "5.7.0", "Authentication required")
        for param in params:
            fault = self._fault_of_parameter(*param.upper().partition(b"=")[::2])
            if fault:
                return fault
        return b""

    def _fault_of_parameter(self, name: bytes, value: bytes) -> bytes:
        needs = {
            b"SIZE": "SIZE",
            b"BODY": "8BITMIME",
            b"RET": "DSN",
            b"ENVID": "DSN",
            b"SMTPUTF8": "SMTPUTF8",
            b"AUTH": "AUTH",
            b"REQUIRETLS": "REQUIRETLS" if self.tls else "",
            b"MT-PRIORITY": "MT-PRIORITY",
            b"BY": "DELIVERBY",
            b"HOLDFOR": "FUTURERELEASE",
        }
        need = needs.get(name, "")
        if need != "AUTH" and (not need or self.offered(need) is None):
            return self.code(555, "5.5.4", f"Parameter {name.decode('ascii', 'replace')} not offered")
        limit = self.offered("SIZE") or ""
        if name == b"SIZE" and limit and int(value) > int(limit):
            return self.code(552, "5.3.4", "Message size exceeds fixed limit")
        return b""

    def offered(self, extension: str) -> str | None:
        """Return the argument of an offered extension ("" without one), None if it is not offered."""
        for text in self.host.extensions:
            keyword, _, argument = text.partition(" ")
            if keyword == extension:
                return argument
        return None

    def rcpt(self, line: bytes) -> None:
        """RCPT TO: one recipient."""
        path, params = path_and_params(line[len(b"RCPT TO:") :])
        usual = self.code(250, "2.1.5", "Recipient ok")
        if not line.upper().startswith(b"RCPT TO:<") or not path:
            usual = self.code(501, "5.5.4", "Syntax: RCPT TO:<address>")
        elif self.message is None:
            usual = self.code(503, "5.5.1", "Need MAIL command")
        elif params and self.offered("DSN") is None:
            usual = self.code(555, "5.5.4", "Parameters not offered")
        if self.answer(line, usual) and self.message is not None:
            self.message.rcpts.append((path, params))

    def data(self, line: bytes) -> None:
        """DATA: 354, the mail data, the answer to the final dot."""
        usual = self.code(354, "", "Go ahead, end with a lone dot")
        if self.message is None:
            usual = self.code(503, "5.5.1", "Need MAIL command")
        elif not self.message.rcpts:
            usual = self.code(554, "5.5.1", "No valid recipients")
        action = self.host.action_for(line)
        positive = self.play(action, usual)
        if not positive or not (action if isinstance(action, bytes) else usual).startswith(b"354"):
            return
        stuffed = self.wire.read_mail_data()
        text = stuffed.replace(b"\r\n.", b"\r\n")[2:]
        self._watch_text(text)
        self._finish(text)

    def bdat(self, line: bytes) -> None:
        """BDAT: one chunk, RFC 3030; the chunks of a refused transaction are read and dropped."""
        words = line.upper().split()
        if self.offered("CHUNKING") is None or len(words) < 2:
            self.answer(line, self.code(502, "5.5.1", "Not offered"))
            return
        refused = self.message is None or not self.message.rcpts
        if refused and not self.host.drops_refused_chunks:
            self.answer(line, self.code(503, "5.5.1", "Need RCPT command"))
            return
        chunk = self.wire.read_octets(int(words[1]))
        if refused:
            self.answer(line, self.code(503, "5.5.1", "Need RCPT command"))
        elif words[2:3] == [b"LAST"]:
            assert self.message is not None
            self.message.chunked = True
            self._finish(b"".join([*self.chunks, chunk]))
        elif self.answer(line, self.code(250, "2.0.0", f"{len(chunk)} octets")):
            self.chunks.append(chunk)

    def _finish(self, text: bytes) -> None:
        message, self.message = self.message, None
        message = message or Message(b"", [])
        message.data, message.size = (text if self.host.keep_data else b""), len(text)
        if not text.isascii() and b"BODY=8BITMIME" not in [param.upper() for param in message.mail_params]:
            self.host.violations.append("octets over 127 without BODY=8BITMIME")
        action = self.host.action_for(b".")
        if isinstance(action, Close | Stall) and action.accepted:
            self._keep(self.host.messages, message)
        usual = self.code(250, "2.0.0", f"Queued as {self.number}-{len(self.host.messages) + 1}")
        self._keep_by_answer(action, usual, message)

    def _keep_by_answer(self, action: Action, usual: bytes, message: Message) -> None:
        positive = isinstance(action, bytes) and action[:1] == b"2"
        if (
            action is None
            or positive
            or (isinstance(action, Stall) and action.seconds is not None and not action.accepted)
        ):
            self._keep(
                self.host.messages, message
            )  # first on record, then the word: a reader of the word finds it
        elif not (isinstance(action, Close | Stall) and action.accepted):
            self._keep(self.host.refused, message)
        self.play(action, usual)

    def _keep(self, where: list[Message], message: Message) -> None:
        with self.host.lock:
            where.append(message)

    def rset(self, line: bytes) -> None:
        """RSET: forget the transaction."""
        if self.answer(line, self.code(250, "2.0.0", "Forgotten")):
            self.message = None

    def noop(self, line: bytes) -> None:
        """NOOP: nothing."""
        self.answer(line, self.code(250, "2.0.0", "Still here"))

    def vrfy(self, line: bytes) -> None:
        """VRFY: neither confirmed nor denied."""
        self.answer(line, self.code(252, "2.5.2", "Send some mail and see"))

    def quit(self, line: bytes) -> None:
        """QUIT: say goodbye and close."""
        self.answer(line, self.code(221, "2.0.0", "Goodbye"))
        self.wire.flush()
        raise EndedError

    def unknown(self, line: bytes) -> None:
        """Anything else."""
        self.answer(line, self.code(500, "5.5.2", "Command unrecognized"))

    # What a client must not do.

    def _watch(self, verb: bytes, line: bytes) -> None:
        if len(line) > 510 + 500:  # 512 with CRLF, and what DSN, AUTH and SIZE add to it
            self.host.violations.append(f"a command line of {len(line)} octets")
        if any(octet < 32 or octet == 127 for octet in line):
            self.host.violations.append(f"a control character in {line[:80]!r}")
        if not self.wire.buffer or verb == b"BDAT":
            return
        if self.offered("PIPELINING") is None:
            self.host.violations.append(f"input behind {line[:80]!r} without PIPELINING")
        elif verb in CLOSERS:
            self.host.violations.append(
                f"input behind {line[:80]!r}, which must end its group (RFC 2920 section 3.1)"
            )

    def _watch_text(self, text: bytes) -> None:
        if text.count(b"\r\n") != text.count(b"\n") or text.count(b"\r\n") != text.count(b"\r"):
            self.host.violations.append("a bare CR or LF in the mail data")
        if max(map(len, text.split(b"\r\n"))) > LONGEST_LINE:
            self.host.violations.append(f"a line of more than {LONGEST_LINE} octets in the mail data")


def path_and_params(argument: bytes) -> tuple[bytes, list[bytes]]:
    """Split `<path> PARAM=value ...`; quoted local parts may hold `>` and blanks."""
    argument = argument.strip()
    quoted, at = False, 1
    while at < len(argument) and (quoted or argument[at : at + 1] != b">"):
        if argument[at : at + 1] == b"\\":
            at += 1
        elif argument[at : at + 1] == b'"':
            quoted = not quoted
        at += 1
    return argument[1:at], argument[at + 1 :].split()
