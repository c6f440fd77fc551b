"""Signals to a flush: the message in hand is finished, the rest waits, the queue is clean."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from support.faults import files
from support.launch import Sandbox, smarthost_table
from support.needs import needs
from support.script import Stall
from support.smarthost import SmartHost

BASE = '[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n'


def configure(box: Sandbox, host: SmartHost) -> None:
    table = smarthost_table(port=host.port, tls="none")
    box.configure(f'{BASE}\n[queue]\nretry_min = "0s"\nretry_max = "0s"\n{table}')


def queue(box: Sandbox, count: int) -> None:
    for number in range(count):
        stdin = b"Subject: x\n\n%d\n" % number
        done = box.run("sendmail", "-f", "me@example.net", "a@x.example", stdin=stdin)
        assert done.returncode == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_flush_that_is_asked_to_end_finishes_what_it_has_in_hand(sandbox: Sandbox, number: int) -> None:
    with SmartHost(delay=0.1) as host:
        configure(sandbox, host)
        queue(sandbox, 12)
        run = sandbox.start("sendmail", "-q")
        until(lambda: len(host.messages) >= 2)
        run.send_signal(number)
        assert (run.wait(20), run.communicate()[1]) == (0, b"")
        sent = len(host.messages)
        left = [name for name in files(sandbox.spool / "queue") if len(name) == 12]
        assert 2 <= sent < 12
        assert (len(left), len(files(sandbox.spool / "queue"))) == (12 - sent, 12 - sent)
        assert "answer unknown" not in sandbox.log()
        sandbox.run("sendmail", "-q")
    assert sorted(int(one.data.split()[-1]) for one in host.messages) == list(range(12))


def test_who_asks_twice_need_not_wait_for_a_server_that_says_nothing(sandbox: Sandbox) -> None:
    with SmartHost(replies={b"RCPT": [Stall()]}) as host:
        configure(sandbox, host)
        queue(sandbox, 2)
        run = sandbox.start("sendmail", "-q")
        until(lambda: any(one.startswith(b"RCPT") for one in host.commands))
        start = time.monotonic()
        run.terminate()
        time.sleep(0.3)
        run.terminate()
        assert run.wait(20) == 75
        assert b"stays in the queue" in run.communicate()[1]
        assert time.monotonic() - start < 5
        sandbox.run("sendmail", "-q")
    assert len(host.messages) == 2


@contextlib.contextmanager
def silent(full: bool) -> Iterator[tuple[int, socket.socket]]:
    """A server that never says anything; a full one does not even take the connection."""
    with socket.socket() as listener, contextlib.ExitStack() as crowd:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3 if full else 0):
            one = crowd.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1], listener


@pytest.mark.parametrize(
    ("step", "tls"), [("connect", "none"), ("greeting", "none"), ("handshake", "implicit")]
)
def test_who_has_no_mail_in_hand_ends_at_once(sandbox: Sandbox, step: str, tls: str) -> None:
    """One SIGTERM is enough before MAIL; the smart host is not blamed."""
    with silent(step == "connect") as (port, listener):
        table = smarthost_table(port=port, tls=tls, connect_timeout="60s", timeout="60s")
        sandbox.configure(f"{BASE}\n{table}")
        queue(sandbox, 2)
        run, connection = sandbox.start("sendmail", "-q"), listener
        if step == "connect":
            time.sleep(1.0)
        else:
            listener.settimeout(20)
            connection, _ = listener.accept()
        time.sleep(0.2)
        begin = time.monotonic()
        run.terminate()
        assert (run.wait(20), run.communicate()[1]) == (0, b"")
        assert time.monotonic() - begin < 2
        connection.close()
    assert not (sandbox.spool / "pauses").exists()
    assert [len(name) for name in files(sandbox.spool / "queue")] == [12, 12]


def test_a_password_command_that_asks_nobody_does_not_hold_the_end_up(sandbox: Sandbox) -> None:
    with SmartHost(users={"greg": "secret"}) as host:
        pid = sandbox.folder / "pid"
        command = ["/bin/sh", "-c", f"echo $$ > {pid}; exec sleep 60"]
        table = smarthost_table(port=host.port, tls="none", user="greg", password_command=command)
        sandbox.configure(f"{BASE}\n{table}")
        queue(sandbox, 1)
        run = sandbox.start("sendmail", "-q")
        until(lambda: pid.exists() and pid.read_text().endswith("\n"))
        begin = time.monotonic()
        run.terminate()
        assert (run.wait(20), run.communicate()[1]) == (0, b"")
        assert time.monotonic() - begin < 2
        assert host.connections == 0
    assert not (sandbox.spool / "pauses").exists()
    assert [len(name) for name in files(sandbox.spool / "queue")] == [12]


def test_pflogsumm_reads_our_log(sandbox: Sandbox) -> None:
    pflogsumm = needs("pflogsumm")
    refusals = {b"RCPT TO:<bad@": b"550 5.1.1 No such user", b"RCPT TO:<busy@": b"450 4.2.1 Busy"}
    with SmartHost(replies=refusals) as host:  # type: ignore[arg-type]
        configure(sandbox, host)
        queue(sandbox, 3)
        sandbox.run("sendmail", "-f", "me@example.net", "bad@x.example", "busy@x.example", stdin=b"\n1\n")
        sandbox.run("sendmail", "-q")
    command = [pflogsumm, "--syslog-name", "sendmail-py", "-e"]
    said = subprocess.run(command, input=sandbox.log().encode(), capture_output=True, check=True).stdout
    totals = said.decode().partition("Per-Hour")[0]
    rows = [line.split(None, 1) for line in totals.splitlines() if len(line.split()) > 1]
    found = {what.split()[0]: number for number, what in rows}
    assert (found["received"], found["bounced"], found["deferred"]) == ("4", "1", "1"), totals
    assert found["delivered"] == "3", totals
    assert b"4.2.1 Busy" in said
