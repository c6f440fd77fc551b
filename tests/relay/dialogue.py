"""Dialogues as text, played against the real dialogue code: in memory, octet by octet, and over a socket.

A file of tests/dialogues has three parts, separated by lines of dashes:

    wish: starttls login            what the session must be (starttls, implicit, private, login, lmtp), and
                                    chunks: the server has proven that it drops refused chunks
    auth: PLAIN LOGIN               the mechanisms of the configuration
    message: <a@x> <b@y> <c@y>      reverse-path, forward-paths; more words: 8bit, size=N, ret=, envid=;
                                    a forward-path may be followed by notify= and orcpt=
    ---
    S: 220 mail.example.net         what the server says
    C: EHLO client.example.net      what the client must say, no more and no less, before the server goes on
    CONTENT, CHUNK                  what the client sends as the content after DATA, after BDAT
    TLS                             the handshake
    CLOSED                          the server closes the connection
    ---
    b@y: delivered 2.0.0            the outcome of each recipient, in the order in which they were decided
    fault: lost connection          part of the text of the fault that ends the session

A line that begins with # is a comment. The content of every message is "Subject: x", empty line, ".dot".
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.relay import chunking, sasl, smtp, trouble
from sendmail_py.relay.faults import Fault, TransportFault
from sendmail_py.relay.session import Session
from sendmail_py.relay.transaction import Content, Transaction
from sendmail_py.relay.transport import Connection

FOLDER = Path(__file__).resolve().parent.parent / "dialogues"
CONTENT = b"Subject: x\r\n\r\n.dot\r\n"
ON_THE_WIRE = ["C: Subject: x", "C: ", "C: ..dot", "C: ."]
CHUNK = ["C: Subject: x", "C: ", "C: .dot"]
LOGIN = sasl.Login(b"greg", b"secret")


class Script:
    """One file (or its text)."""

    def __init__(self, text: str) -> None:
        lines = [line for line in text.split("\n") if not line.startswith("#")]
        head, talk, end = "\n".join(lines).split("\n---\n")
        self.wish: set[str] = set()
        self.auth: list[str] = []
        self.messages: list[list[str]] = []
        for line in filter(None, head.split("\n")):
            key, _, rest = line.partition(":")
            if key == "message":
                self.messages.append(rest.split())
            elif key == "wish":
                self.wish = set(rest.split())
            else:
                self.auth = rest.split()
        self.talk = []
        for line in talk.split("\n"):
            self.talk += {"CONTENT": ON_THE_WIRE, "CHUNK": CHUNK}.get(line, [line])
        self.end = [line for line in end.split("\n") if line]


class Mail:
    """A backlog of the script's messages; `results` collects the outcomes as the third part writes them."""

    def __init__(self, messages: list[list[str]]) -> None:
        self.waiting = deque(transaction(words) for words in messages)
        self.results: list[str] = []

    def next_transaction(self) -> Transaction | None:
        """See session.Backlog."""
        return self.waiting.popleft() if self.waiting else None

    def judged(self, done: Transaction) -> None:
        """See session.Backlog."""
        for recipient, verdict in zip(done.recipients, done.verdicts, strict=True):
            assert verdict is not None
            found = trouble.judge(verdict)
            self.results.append(f"{recipient.address.decode()}: {found.kind} {found.status}")

    def prepare(self) -> None:
        """See session.Backlog."""

    def settle(self) -> None:
        """See session.Backlog."""


def transaction(words: list[str]) -> Transaction:
    """A message line of a script."""
    envelope = Envelope(words[0].strip("<>").encode(), [])
    size = len(CONTENT)
    for word in words[1:]:
        key, _, value = word.partition("=")
        if word.startswith("<"):
            envelope.recipients.append(Recipient(word[1:-1].encode()))
        elif key == "notify":
            envelope.recipients[-1].notify = value.encode()
        elif key == "orcpt":
            envelope.recipients[-1].orcpt = value.encode()
        elif key == "size":
            size = int(value)
        elif word == "8bit":
            envelope.eight_bit = True
        else:
            setattr(envelope, key, value.encode())
    return Transaction(envelope, list(range(len(envelope.recipients))), size, lambda: [CONTENT])


def as_stored(new: Transaction) -> dict[tuple[bool, bool], Content]:
    """For `fitted`: whatever the server takes, the content goes as it is."""
    return {(eight_bit, utf8): new.stored for eight_bit in (False, True) for utf8 in (False, True)}


class MemoryLine:
    """The server's side of a script, in memory: it goes on only after the client said all it had to."""

    def __init__(self, talk: list[str], size: int) -> None:
        self.talk = deque(talk)
        self.size = size
        self.inbox = bytearray()
        self.sent: list[str] = []
        self.doing = ""
        self.peer = "memory"
        self.sent = 0
        self.closed = False

    def send(self, octets: bytes, deadline: float, heard: Callable[[bytes], None]) -> None:
        """Compare with the script."""
        self.sent += len(octets)
        assert octets.endswith(b"\r\n")
        for line in octets[:-2].split(b"\r\n"):
            expected = self.talk.popleft() if self.talk else "nothing"
            assert f"C: {line.decode('latin-1')}" == expected
        self.speak()

    def speak(self) -> None:
        """The server's lines up to the client's next one."""
        while self.talk and self.talk[0].startswith("S: "):
            self.inbox += self.talk.popleft()[3:].encode("latin-1") + b"\r\n"

    def receive(self, deadline: float) -> bytes:
        """What the server says next."""
        if not self.inbox and self.talk and self.talk[0] == "CLOSED":
            raise TransportFault(f"lost connection while {self.doing}")
        if not self.inbox:
            self.speak()
        assert self.inbox, f"nobody speaks; the script goes on with {list(self.talk)[:1]}"
        octets = bytes(self.inbox[: self.size])
        del self.inbox[: self.size]
        return octets

    def hear(self, heard: Callable[[bytes], None]) -> None:
        """What the server has said already."""
        if self.inbox:
            heard(bytes(self.inbox))
            self.inbox.clear()

    def start_tls(self, setting: Any, name: str, deadline: float) -> None:
        """The line TLS."""
        assert self.talk.popleft() == "TLS"
        self.speak()

    def close(self) -> None:
        """Note it."""
        self.closed = True


def play(script: Script, line: Any, trace: Callable[[str], None] | None = None) -> list[str]:
    """Play the client over `line`; what came of it in the form of the third part."""
    mail = Mail(script.messages)
    setting: Any = SimpleNamespace(timeout=5.0)
    session = Session(line, setting, "mail.example.net", mail, trace)
    wish = smtp.Wish(
        b"client.example.net",
        implicit="implicit" in script.wish,
        starttls="starttls" in script.wish,
        private=bool(script.wish & {"private", "starttls", "implicit"}),
        login=LOGIN if "login" in script.wish else None,
        mechanisms=script.auth,
        lmtp="lmtp" in script.wish,
    )
    try:
        server = session.play(smtp.opening(wish))
        session.play((chunking if "chunks" in script.wish else smtp).relay(server))
        session.play(smtp.closing())
    except Fault as fault:
        mail.results.append(f"fault: {fault}")
    return mail.results


def check(results: list[str], end: list[str]) -> None:
    """Compare with the third part; a fault's text need only be contained."""
    assert len(results) == len(end), results
    for found, expected in zip(results, end, strict=True):
        if expected.startswith("fault: "):
            assert found.startswith("fault: ")
            assert expected[7:] in found
        else:
            assert found == expected


def serve(connection: socket.socket, talk: list[str], problems: list[str]) -> None:
    """The server's side over a socket."""
    with connection, connection.makefile("rb") as lines:
        for line in talk:
            if line.startswith("S: "):
                with contextlib.suppress(OSError):  # the client may have heard enough
                    connection.sendall(line[3:].encode("latin-1") + b"\r\n")
            elif line.startswith("C: "):
                heard = lines.readline()
                if heard != line[3:].encode("latin-1") + b"\r\n":
                    problems.append(f"heard {heard!r} instead of {line!r}")
                    return


def over_socket(script: Script) -> Iterator[list[str]]:
    """Play the script over a loopback connection; yields the results, then what the server disliked."""
    problems: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.setblocking(False)
    connection = Connection(client, "127.0.0.1", server.getsockname()[1])
    thread = threading.Thread(target=serve, args=(server, script.talk, problems))
    thread.start()
    try:
        yield play(script, connection)
    finally:
        connection.close()
        thread.join(5)
    yield problems
