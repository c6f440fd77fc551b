"""sendmail -bs as a process: what is accepted is in the queue, by the rules of every submission."""

from __future__ import annotations

import resource
import signal
import smtplib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.launch import Sandbox, smarthost_table
from support.queuefile import leftovers, stored
from support.smarthost import SmartHost

CONFIG = """\
[identity]
domain = "example.net"
helo = "host.example.net"
[aliases]
files = ["ALIASES"]
[queue]
max_message = "64M"
"""
START = b"EHLO client\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<a@example.org>\r\n"
MESSAGE = b"DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n"


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """A configured home machine."""
    aliases = sandbox.folder / "aliases"
    aliases.write_text("root: greg@isp.example\nteam: a@example.org, root\nprogram: |/bin/true\n")
    sandbox.configure(CONFIG.replace("ALIASES", str(aliases)))
    return sandbox


def talk(box: Sandbox, dialogue: bytes, *words: str, status: int = 0) -> list[bytes]:
    """Pipe a whole dialogue in; returns the last line of each reply, the greeting left out."""
    done = box.run("sendmail", *words, "-bs", stdin=dialogue)
    assert done.returncode == status, done
    assert bool(done.stderr) == bool(status)
    replies = [line for line in done.stdout.split(b"\r\n") if line[3:4] == b" "]
    assert replies[0].startswith(b"220 ")
    return replies[1:]


class Lockstep:
    """A client that sends a line and waits for its reply, over pipes or a socket."""

    def __init__(self, box: Sandbox, over_socket: bool = False) -> None:
        if over_socket:
            ours, theirs = socket.socketpair()
            self.process = box.start("sendmail", "-bs", stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
            theirs.close()
            self.reading, self.writing = ours.makefile("rb"), ours.makefile("wb", buffering=0)
            self.socket = ours
        else:
            self.process = box.start("sendmail", "-bs")
            assert self.process.stdin
            assert self.process.stdout
            self.reading, self.writing = self.process.stdout, self.process.stdin  # type: ignore[assignment]
        assert self.reply().startswith(b"220 ")

    def reply(self) -> bytes:
        """The next reply's last line."""
        while True:
            line: bytes = self.reading.readline()
            if line[3:4] != b"-":
                return line

    def say(self, octets: bytes, step: int = 1 << 20) -> bytes:
        """Send octets in pieces and return the reply."""
        for at in range(0, len(octets), step):
            self.writing.write(octets[at : at + step])
            self.writing.flush()
        return self.reply()

    def end(self) -> tuple[int, bytes]:
        """Close our side; exit status and standard error."""
        self.writing.close()
        if hasattr(self, "socket"):
            self.socket.shutdown(socket.SHUT_WR)
        status = self.process.wait(timeout=30)
        assert self.process.stderr
        errors = self.process.stderr.read()
        self.reading.close()
        self.process.stderr.close()
        if hasattr(self, "socket"):
            self.socket.close()
        return status, errors


# --- what is queued -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_whole_dialogue_piped_in_queues_its_messages(box: Sandbox, end: bytes) -> None:
    """Postfix, Exim and nullmailer take it so; nmh, Alpine and Symfony wait for each reply."""
    second = b"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\n" + MESSAGE
    replies = talk(box, (START + MESSAGE + second + b"QUIT\r\n").replace(b"\r\n", end))
    assert [reply[:3] for reply in replies] == b"250 250 250 354 250 250 250 354 250 221".split()
    one, two = stored(box)
    assert replies[4] == b"250 2.0.0 Ok: queued as " + one.queue_id.encode()
    assert replies[8].endswith(two.queue_id.encode())
    assert (one.sender, one.recipients, one.body) == ("alice@example.org", ["a@example.org"], b"hello\r\n")
    assert (two.sender, two.recipients) == ("", ["b@example.org"])


def test_parameters_reach_the_envelope_for_each_recipient(box: Sandbox) -> None:
    dialogue = (
        b"EHLO x\r\nMAIL FROM:<a@example.org> RET=hdrs ENVID=QQ+2B BODY=8BITMIME SIZE=10 SMTPUTF8\r\n"
        b"RCPT TO:<a@example.org> NOTIFY=never\r\n"
        b"RCPT TO:<root> NOTIFY=SUCCESS,delay ORCPT=rfc822;Root@nas\r\n"
        b"RCPT TO:<bob>\r\nRCPT TO:<team> NOTIFY=FAILURE\r\nRCPT TO:<a@EXAMPLE.org>\r\n" + MESSAGE
    )
    talk(box, dialogue)
    (message,) = stored(box)
    assert (message.records["T"], message.records["V"], message.records["B"]) == (
        ["HDRS"], ["QQ+2B"], ["8BITMIME"],
    )  # fmt: skip
    assert list(zip(message.recipients, message.parameters, strict=True)) == [
        ("a@example.org", ("NEVER", "-")),
        ("greg@isp.example", ("SUCCESS,DELAY", "rfc822;Root@nas")),
        ("bob@example.net", ("-", "-")),
    ]


def test_the_message_is_completed_and_repaired_as_in_every_submission(box: Sandbox) -> None:
    text = b"to: bob\nBcc: secret@example.org\nReturn-Path: <x@y>\n\n..dot\nbare\rcr\0\n"
    box.run("sendmail", "-i", "-f", "bob@localhost", "-F", "Bob", "c@example.org", stdin=text)
    stuffed = text.replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n..")
    dialogue = b"MAIL FROM:<bob@localhost>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n" + stuffed + b".\r\n"
    talk(box, dialogue, "-F", "Bob")
    piped, spoken = stored(box)
    assert spoken.records["S"] == piped.records["S"] == ["bob@example.net"]
    assert spoken.records["O"] == piped.records["O"]
    assert spoken.body == piped.body == b"..dot\r\nbare cr\r\n"
    changing = ("Received", "Message-ID", "Date")
    assert [one for one in spoken.fields if one[0] not in changing] == [
        one for one in piped.fields if one[0] not in changing
    ]
    assert spoken.field("From") == b"Bob <bob@example.net>"
    assert spoken.field("Bcc") is None


def test_a_message_in_chunks_is_the_same_message(box: Sandbox) -> None:
    talk(box, START + b"BDAT 14\r\nSubject: x\r\n\r\nBDAT 7 LAST\r\n.\r\nend\n")
    (message,) = stored(box)
    assert (message.field("Subject"), message.body) == (b"x", b".\r\nend\r\n")


def test_one_octet_at_a_time_is_enough(box: Sandbox) -> None:
    client = Lockstep(box)
    for line in START.splitlines(keepends=True):
        assert client.say(line, step=1).startswith(b"250")
    assert client.say(b"DATA\r\n", step=1).startswith(b"354")
    assert client.say(b"Subject: x\r\n\r\n..\r\n.\r\n", step=1).startswith(b"250 2.0.0 Ok: queued as ")
    assert client.say(b"QUIT\r\n").startswith(b"221")
    assert client.process.wait(timeout=30) == 0  # though the pipe is still open
    assert client.end() == (0, b"")
    assert stored(box)[0].body == b".\r\n"


def test_the_250_after_the_data_means_that_the_message_is_in_the_queue(box: Sandbox) -> None:
    client = Lockstep(box)
    client.say(START[: START.index(b"MAIL")])
    for line in START.splitlines(keepends=True)[1:]:
        client.say(line)
    client.say(b"DATA\r\n")
    queue_id = client.say(b"\r\nx\r\n.\r\n").split()[-1].decode()
    client.process.kill()
    client.end()
    assert [message.queue_id for message in stored(box)] == [queue_id]


def test_a_socket_is_as_good_as_pipes(box: Sandbox) -> None:
    """As inetd or a systemd socket unit with Accept=yes starts it."""
    client = Lockstep(box, over_socket=True)
    client.say(b"EHLO x\r\n")
    for line in START.splitlines(keepends=True)[1:]:
        assert client.say(line).startswith(b"250")
    client.say(b"DATA\r\n")
    assert client.say(b"x\r\n.\r\n").startswith(b"250")
    assert client.end() == (0, b"")
    assert len(stored(box)) == 1


def test_a_client_that_we_did_not_write_is_content(box: Sandbox) -> None:
    """The standard library's, over a socket."""
    ours, theirs = socket.socketpair()
    process = box.start("sendmail", "-bs", stdin=theirs, stdout=theirs)
    theirs.close()
    client = smtplib.SMTP(local_hostname="client.example")
    client.sock = ours
    assert client.getreply()[0] == 220
    text = "Subject: ü\r\n\r\n.\r\n..x\r\nö".encode()
    for number in range(3):
        options = ["BODY=8BITMIME", "SMTPUTF8", f"ENVID=id{number}"]
        sent = client.sendmail(
            "ä@example.org", [f"r{number}@example.org", "a@-"], text, options, ["NOTIFY=NEVER"]
        )
        assert list(sent) == ["a@-"]
    client.quit()
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    messages = stored(box)
    assert [message.recipients for message in messages] == [[f"r{number}@example.org"] for number in range(3)]
    assert {(message.sender, message.body) for message in messages} == {
        ("ä@example.org", ".\r\n..x\r\nö\r\n".encode())
    }


# --- what is not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        (b"<program>", b"553 5.1.3"),
        (b"<|/bin/sh>", b"553 5.1.3"),
        (b"</etc/passwd>", b"553 5.1.3"),
        (b"<a@-x.example>", b"553 5.1.3"),
        (b"<a@[1.2.3]x>", b"501 5.1.3"),
        (b"<a@b>", b"250 2.1.5"),
    ],
)
def test_a_refused_recipient_is_a_reply_and_the_others_get_the_message(
    box: Sandbox, recipient: bytes, reply: bytes
) -> None:
    replies = talk(box, START + b"RCPT TO:" + recipient + b"\r\n" + MESSAGE + b"QUIT\r\n")
    assert replies[3].startswith(reply)
    assert replies[-2].startswith(b"250")
    assert len(stored(box)) == 1


def test_a_sender_that_is_not_permitted_is_refused(box: Sandbox) -> None:
    box.configure(
        box.config.read_text()
        + '[masquerade]\noverride = "refuse"\n[masquerade.users]\n"*" = "me@isp.example"\n'
    )
    replies = talk(box, START + MESSAGE + START.replace(b"alice@example.org", b"me@isp.example") + MESSAGE)
    assert replies[1].startswith(b"550 5.7.1 alice@example.org")
    assert [reply[:3] for reply in replies] == b"250 550 503 354 503 250 250 250 354 250".split()
    assert [message.sender for message in stored(box)] == ["me@isp.example"]


@pytest.mark.parametrize(
    ("sender", "reply"),
    [
        (b"<\xff@example.org>", b"553 5.1.7"),
        (b"<" + b"x" * 1001 + b"@example.org>", b"553 5.1.7"),
        (b"<a@b@c.example>", b"501 5.1.7"),
        (b"<a@-x.example>", b"250 2.1.0"),  # repaired, as with -f
        (b"<bob@localhost>", b"250 2.1.0"),
    ],
)
def test_a_sender_is_repaired_or_refused(box: Sandbox, sender: bytes, reply: bytes) -> None:
    replies = talk(box, b"MAIL FROM:" + sender + b"\r\nRCPT TO:<a@example.org>\r\n" + MESSAGE)
    assert replies[0].startswith(reply)
    good = reply.startswith(b"250")
    assert [message.sender.partition("@")[2] for message in stored(box)] == ["example.net"] * good


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"Received: x\r\n" * 101 + b"\r\n", b"554 5.6.0"),
        (b"X: " + b"x" * 64 * 1024 * 1024 + b"\r\n", b"552 5.3.4"),
        (b"\r\n" + b"x" * 64 * 1024 * 1024 + b"\r\n", b"552 5.3.4"),
    ],
)
def test_a_refused_message_is_a_reply_and_the_next_is_queued(box: Sandbox, data: bytes, reply: bytes) -> None:
    replies = talk(box, START + b"DATA\r\n" + data + b".\r\n" + START + MESSAGE + b"QUIT\r\n")
    assert replies[4].startswith(reply)
    assert replies[-1].startswith(b"221")
    assert len(stored(box)) == 1
    assert leftovers(box) == []


def test_a_spool_that_cannot_be_used_is_a_temporary_reply(box: Sandbox) -> None:
    (box.folder / "state").write_text("in the way")
    replies = talk(box, START + MESSAGE + START + MESSAGE + b"QUIT\r\n")
    assert [reply[:9] for reply in replies if reply[:1] == b"4"] == [b"451 4.3.0"] * 2
    assert str(box.spool).encode() in replies[4]
    assert replies[-1].startswith(b"221")


def test_a_fault_at_the_very_end_of_a_message_is_its_reply(box: Sandbox) -> None:
    """Nothing of the message is left then: what follows are commands, and each has its own reply."""
    process = box.start(
        "sendmail", "-bs", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
    )
    out, errors = process.communicate(START + MESSAGE + START + MESSAGE + b"QUIT\r\n", timeout=60)
    replies = [line[:3] for line in out.split(b"\r\n") if line[3:4] == b" "]
    assert replies == [b"220", *[b"250", b"250", b"250", b"354", b"451"] * 2, b"221"]
    assert (process.returncode, errors) == (0, b"")
    assert (stored(box), leftovers(box)) == ([], [])


def test_an_end_inside_a_message_queues_nothing_and_is_75(box: Sandbox) -> None:
    done = box.run("sendmail", "-bs", stdin=START + b"DATA\r\nSubject: x\r\n\r\n" + b"x\r\n" * 50_000)
    assert done.returncode == 75
    assert done.stderr.count(b"\n") == 1
    assert (stored(box), leftovers(box)) == ([], [])


def test_an_end_between_messages_is_no_failure(box: Sandbox) -> None:
    assert talk(box, START + MESSAGE + START)[-1].startswith(b"250")
    assert len(stored(box)) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("inside", [False, True])
def test_a_signal_says_421_and_queues_nothing(box: Sandbox, number: signal.Signals, inside: bool) -> None:
    client = Lockstep(box)
    client.say(b"EHLO x\r\n")
    if inside:
        for line in START.splitlines(keepends=True)[1:]:
            client.say(line)
        client.say(b"DATA\r\n")
        client.writing.write(b"Subject: x\r\n\r\n" + b"x\r\n" * 100_000)
        client.writing.flush()
        deadline = time.monotonic() + 20
        while not leftovers(box):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    client.process.send_signal(number)
    assert client.reply().startswith(b"421 ")
    status, errors = client.end()
    assert (status, errors.count(b"\n")) == (75, 1)
    assert (stored(box), leftovers(box)) == ([], [])


def test_a_bad_configuration_is_421_and_78(box: Sandbox) -> None:
    box.configure("nonsense = 1\n")
    done = box.run("sendmail", "-bs", stdin=START + MESSAGE)
    assert done.returncode == 78
    assert done.stdout.startswith(b"421 ")
    assert done.stdout.count(b"\r\n") == done.stderr.count(b"\n") == 1


def test_standard_input_that_is_closed_is_74(box: Sandbox) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"{box.path("sendmail")}" -bs <&-'],
        env=box.environment(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (74, 1)


def test_replies_that_nobody_takes_are_no_success(box: Sandbox) -> None:
    with open("/dev/full", "wb") as full:
        process = box.start("sendmail", "-bs", stdout=full)
    _, errors = process.communicate(START + MESSAGE, timeout=30)
    assert (process.returncode, errors.count(b"\n")) == (75, 1)


def test_operands_and_bs_do_not_go_together(box: Sandbox) -> None:
    done = box.run("sendmail", "-bs", "a@example.org", stdin=START)
    assert (done.returncode, done.stdout) == (64, b"")


# --- limits -------------------------------------------------------------------------------------------------


def test_many_messages_in_a_session_leave_no_descriptors_open(box: Sandbox) -> None:
    one = START[START.index(b"MAIL") :] + MESSAGE
    refused = one.replace(b"Subject: x\r\n", b"Received: x\r\n" * 101)
    done = box.run(
        "sendmail", "-bs", stdin=(one + refused) * 40 + b"QUIT\r\n",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16)),
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.count(b"Ok: queued as") == len(stored(box)) == 40


def peak_kib(box: Sandbox, dialogue: Path) -> int:
    """The peak memory of a dialogue in a file, measured by a small process in between."""
    code = (
        "import os, sys, resource\n"
        "fd = os.open(sys.argv[2], os.O_RDONLY)\n"
        "child = os.posix_spawn(sys.argv[1], [sys.argv[1], '-bs'], os.environ,"
        " file_actions=[(os.POSIX_SPAWN_DUP2, fd, 0)])\n"
        "_, status, usage = os.wait4(child, 0)\n"
        "print(status, usage.ru_maxrss, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-IS", "-c", code, box.path("sendmail"), str(dialogue)],
        env=box.environment(), capture_output=True, check=True,
    )  # fmt: skip
    status, peak = done.stderr.split()
    assert (int(status), done.stdout.count(b"Ok: queued as")) == (0, 1)
    return int(peak)


@pytest.mark.parametrize("chunked", [False, True])
def test_memory_stays_flat_for_a_big_message(box: Sandbox, tmp_path: Path, chunked: bool) -> None:
    peaks = []
    for megabytes in (1, 32):
        lines = (b"x" * 71 + b"\n") * (megabytes * 14564)
        data = b"BDAT %d LAST\r\n" % len(lines) + lines if chunked else b"DATA\r\n" + lines + b"\r\n.\r\n"
        (tmp_path / "dialogue").write_bytes(START + data + b"QUIT\r\n")
        peaks.append(peak_kib(box, tmp_path / "dialogue"))
    assert peaks[1] - peaks[0] < 2048


# --- and then -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", ["now", "background"])
def test_what_was_queued_is_relayed_as_the_configuration_says(box: Sandbox, delivery: str) -> None:
    with SmartHost() as host:
        table = smarthost_table(port=host.port, tls="none")
        box.configure(f'delivery = "{delivery}"\n{CONFIG.replace("ALIASES", "/nonexistent")}{table}')
        talk(box, START + MESSAGE + START + MESSAGE + b"QUIT\r\n")
        deadline = time.monotonic() + 30
        while len(host.messages) < 2 or stored(box):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert len(host.messages) == 2
