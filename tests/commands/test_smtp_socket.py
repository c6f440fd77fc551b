"""sendmail -bs behind a loopback port: the examples for systemd and inetd, and clients that sleep."""

from __future__ import annotations

import configparser
import shlex
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.launch import Sandbox
from support.queuefile import leftovers, stored

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIG = '[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n[aliases]\nfiles = []\n'
SHORT = 0.5  # seconds, in place of minutes
START = b"EHLO client\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<a@example.org>\r\n"


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """A configured home machine."""
    sandbox.configure(CONFIG)
    return sandbox


def unit(name: str) -> configparser.ConfigParser:
    """A systemd unit of the examples."""
    found = configparser.ConfigParser(interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read(EXAMPLES / "systemd" / name)
    return found


def systemd_words() -> list[str]:
    """What the service of the socket unit starts; `-` in front says that the exit status does not matter."""
    return shlex.split(unit("sendmail-py-smtp@.service")["Service"]["ExecStart"].removeprefix("-"))


def inetd_words() -> list[str]:
    """What the line for inetd starts: a path, and the arguments with argument 0."""
    line = (EXAMPLES / "inetd.conf").read_text().splitlines()[-1].split()
    assert line[:4] == ["127.0.0.1:smtp", "stream", "tcp", "nowait"]
    assert line[5].rpartition("/")[2] == line[6]
    return [line[5], *line[7:]]


@contextmanager
def listening(box: Sandbox, words: list[str]) -> Iterator[int]:
    """A port of the loopback address, each of whose connections is a command's standard input and output."""
    running: list[subprocess.Popen[bytes]] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            name = words[0].rpartition("/")[2]
            running.append(
                box.start(name, *words[1:], stdin=connection, stdout=connection, stderr=subprocess.PIPE)
            )
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for process in running:
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, b"")


def test_the_socket_unit_listens_on_the_loopback_address_only() -> None:
    found, service = unit("sendmail-py-smtp.socket"), unit("sendmail-py-smtp@.service")
    assert found["Socket"]["ListenStream"] == "127.0.0.1:25"
    assert found["Socket"]["Accept"] == "yes"
    assert service["Service"]["StandardInput"] == service["Service"]["StandardOutput"] == "socket"
    assert service["Service"]["StandardError"] == "journal"


@pytest.mark.parametrize("words", [systemd_words(), inetd_words()], ids=["systemd", "inetd"])
def test_programs_that_speak_smtp_only_send_by_the_port(box: Sandbox, words: list[str]) -> None:
    """Two clients at the same time; each connection is a process of its own."""
    with listening(box, words) as port:
        clients = [smtplib.SMTP("127.0.0.1", port, timeout=30) for _ in range(2)]
        for number, client in enumerate(clients):
            client.sendmail("app@example.org", [f"r{number}@example.org"], "Subject: x\r\n\r\nhello\r\n")
        for client in clients:
            client.quit()
    assert sorted(message.recipients[0] for message in stored(box)) == ["r0@example.org", "r1@example.org"]
    assert {message.sender for message in stored(box)} == {"app@example.org"}


# --- limits of time -----------------------------------------------------------------------------------------

# The command with shorter limits.
HURRIED = """
import sys
from sendmail_py.commands import dispatch, smtp
smtp.LONGEST_WAIT, smtp.LINGER = float(sys.argv[1]), float(sys.argv[2])
sys.argv = ["sendmail", "-bs"]
dispatch.main()
"""


class Dialogue:
    """A dialogue over a socket, or pipes, with a server of short patience."""

    def __init__(self, box: Sandbox, wait: float, linger: float, pipes: bool = False) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(30)
        self.process = subprocess.Popen(
            [sys.executable, "-c", HURRIED, str(wait), str(linger)],
            stdin=subprocess.PIPE if pipes else theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=box.environment(),
        )
        theirs.close()
        self.replies = self.ours.makefile("rb")
        assert self.reply().startswith(b"220 ")

    def reply(self) -> bytes:
        """The next reply's last line; b"" at the end."""
        while (line := self.replies.readline())[3:4] == b"-":
            pass
        return line

    def end(self) -> tuple[int, bytes]:
        """Exit status and standard error; our side stays open until the command has ended by itself."""
        _, errors = self.process.communicate(timeout=30)
        self.replies.close()
        self.ours.close()
        return self.process.returncode, errors


def test_a_client_that_says_nothing_is_told_421(box: Sandbox) -> None:
    dialogue = Dialogue(box, SHORT, SHORT)
    dialogue.ours.sendall(b"EHLO x\r\nMAIL FROM:<alice@example.org>\r\n")
    assert [dialogue.reply()[:3] for _ in range(3)] == [b"250", b"250", b"421"]
    status, errors = dialogue.end()
    assert (status, errors.count(b"\n")) == (75, 1)


def test_a_client_that_stops_inside_a_message_is_told_421_and_nothing_is_queued(box: Sandbox) -> None:
    dialogue = Dialogue(box, SHORT, SHORT)
    dialogue.ours.sendall(START + b"DATA\r\nSubject: x\r\n\r\nhel")
    assert [dialogue.reply()[:3] for _ in range(5)] == [b"250", b"250", b"250", b"354", b"421"]
    assert dialogue.end()[0] == 75
    assert (stored(box), leftovers(box)) == ([], [])


def test_a_client_that_takes_no_reply_is_given_up(box: Sandbox) -> None:
    dialogue = Dialogue(box, SHORT, SHORT)
    dialogue.ours.setblocking(False)
    commands = b"HELP\r\n" * 10_000
    try:
        while commands:
            commands = commands[dialogue.ours.send(commands) :]
    except BlockingIOError:
        pass
    status, errors = dialogue.end()
    assert (status, errors.count(b"\n")) == (75, 1)


def test_a_slow_client_is_waited_for_as_long_as_it_goes_on(box: Sandbox) -> None:
    """The limit is for the silence between two pieces, not for the dialogue."""
    dialogue = Dialogue(box, 4 * SHORT, SHORT)
    pause = threading.Event()
    for piece in (START[:8], START[8:30], START[30:], b"DATA\r\n", b"x\r\n", b".\r\n", b"QUIT\r\n"):
        pause.wait(0.7 * SHORT)
        dialogue.ours.sendall(piece)
    assert [dialogue.reply()[:3] for _ in range(6)] == [b"250", b"250", b"250", b"354", b"250", b"221"]
    assert dialogue.end() == (0, b"")


def test_a_client_that_does_not_listen_is_drained_for_a_while_only(box: Sandbox) -> None:
    """It writes on and on after 421; the command ends all the same."""
    dialogue = Dialogue(box, 60, SHORT)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            try:
                dialogue.ours.sendall(b"nonsense\r\n")
            except OSError:
                return

    thread = threading.Thread(target=write)
    thread.start()
    while not (reply := dialogue.reply()).startswith(b"421 "):
        assert reply.startswith(b"500 ")
    dialogue.process.wait(timeout=30)
    stop.set()
    thread.join()
    assert dialogue.end() == (0, b"")


def test_pipes_are_not_limited(box: Sandbox) -> None:
    """A person at a terminal, or a program that thinks, is no stranger who went away."""
    dialogue = Dialogue(box, SHORT / 4, SHORT, pipes=True)
    pause = threading.Event()
    assert dialogue.process.stdin
    for _ in range(3):
        pause.wait(SHORT)
        dialogue.process.stdin.write(b"NOOP\r\n")
        dialogue.process.stdin.flush()
        assert dialogue.reply().startswith(b"250 ")
    assert dialogue.end() == (0, b"")
