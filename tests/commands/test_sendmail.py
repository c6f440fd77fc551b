"""sendmail as a process, beyond what a message looks like: what it leaves behind when it relays by itself."""

from __future__ import annotations

import errno
import fcntl
import os
import posix
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sendmail_py.commands import signals
from sendmail_py.commands.options import Request
from sendmail_py.commands.sendmail import relay_at_once
from sendmail_py.policy.config import Config
from sendmail_py.spool import shared

from support.launch import Sandbox, smarthost_table
from support.queuefile import stored
from support.script import Stall
from support.smarthost import SmartHost

A = "a@example.org"
MESSAGE = b"Subject: x\n\nhello\n"
BASE = '[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n[aliases]\nfiles = []\n'


def configure(box: Sandbox, host: SmartHost, delivery: str) -> None:
    """Have everything relayed at once to a smart host without TLS (loopback)."""
    box.configure(f'delivery = "{delivery}"\n{BASE}{smarthost_table(port=host.port, tls="none")}')


def until(condition: Callable[[], object]) -> bool:
    """Whether it came true within 20 seconds."""
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_flush_in_the_background_holds_no_lock_of_the_caller(sandbox: Sandbox, tmp_path: Path) -> None:
    """As in a cron line: `exec 9>lock; flock 9; ... | sendmail`, and the smart host is slow."""
    with SmartHost(replies={b"greeting": Stall()}) as host, open(tmp_path / "lock", "w") as lock:
        configure(sandbox, host, "background")
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = sandbox.run("sendmail", A, stdin=MESSAGE, pass_fds=[lock.fileno()])
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert until(lambda: host.connections)
        lock.close()
        with open(tmp_path / "lock") as again:
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("delivery", ["now", "background"])
def test_a_configuration_from_a_pipe_is_read_once(sandbox: Sandbox, delivery: str) -> None:
    """`sendmail -C <(command)`: the flush that follows has the same one."""
    with SmartHost() as host:
        configure(sandbox, host, delivery)
        script = f'exec "$0" -C <(cat "$1") {A}'
        command = ["bash", "-c", script, sandbox.path("sendmail"), str(sandbox.config)]
        done = subprocess.run(
            command, input=MESSAGE, env=sandbox.environment(), capture_output=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert until(lambda: host.messages and not stored(sandbox))


def test_a_relative_configuration_is_good_for_the_background_too(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        configure(sandbox, host, "background")
        words = ["-C", sandbox.config.name, A]
        assert sandbox.run("sendmail", *words, stdin=MESSAGE, cwd=sandbox.config.parent).returncode == 0
        assert until(lambda: host.messages and not stored(sandbox))


def test_notes_that_nobody_can_read_are_no_failure(sandbox: Sandbox) -> None:
    with open("/dev/full", "wb") as full:
        process = sandbox.start("sendmail", "-v", A, stderr=full)
    process.communicate(MESSAGE, timeout=60)
    assert (process.returncode, len(stored(sandbox))) == (0, 1)


def settings(delivery: str, spool: str = "") -> Config:
    """A configuration; `spool`: the shared one."""
    found = Config({})
    found.delivery, found.queue.shared = delivery, spool
    return found


def refuse(*_: object) -> int:
    """A system call that fails."""
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_without_a_child_the_message_waits_for_the_next_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "fork", refuse)
    request = Request("sendmail", "submit")
    relay_at_once(request, settings("background"), ["0123456789AB"])
    assert not request.then_flush


SHARED_CASES = [  # delivery, uid, does systemd listen; is a child made, do we flush ourselves
    ("background", 1000, True, False, False),
    ("background", 1000, False, False, False),
    ("now", 1000, True, False, False),
    ("background", 0, True, False, False),
    ("background", 0, False, True, False),
    ("now", 0, True, False, True),
]


@pytest.mark.parametrize(("delivery", "uid", "listens", "child", "flushes"), SHARED_CASES)
def test_in_the_shared_spool_systemd_starts_root_s_flush(
    monkeypatch: pytest.MonkeyPatch, delivery: str, uid: int, listens: bool, child: bool, flushes: bool
) -> None:
    """Systemd would end a child with the service that submitted; nobody but root can flush himself."""
    done: list[str] = []
    monkeypatch.setattr(shared, "ring", lambda: bool(done.append("ring")) or listens)
    monkeypatch.setattr(posix, "geteuid", lambda: uid)
    monkeypatch.setattr(posix, "fork", lambda: done.append("fork") or 1)
    monkeypatch.setattr(signals, "restore", lambda: None)
    request = Request("sendmail", "submit")
    relay_at_once(request, settings(delivery, "/nonexistent"), ["0123456789AB"])
    assert (done, request.then_flush) == (["ring", "fork"] if child else ["ring"], flushes)


def test_a_child_that_cannot_detach_flushes_and_never_goes_on_as_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, replacement in (("fork", lambda: 0), ("setsid", lambda: None), ("listdir", refuse)):
        monkeypatch.setattr(posix, name, replacement)
    monkeypatch.setattr(signals, "restore", lambda: None)
    request = Request("sendmail", "smtp")
    relay_at_once(request, settings("background"), ["0123456789AB"])
    assert request.then_flush
    assert request.only == []


def test_a_burst_in_the_background_needs_few_sessions(sandbox: Sandbox) -> None:
    """A child each, but no more than two of them flush at a time, and none of the mail is left behind."""
    with SmartHost(delay=0.02) as host:
        configure(sandbox, host, "background")
        for n in range(25):
            done = sandbox.run(
                "sendmail", "-f", "a@example.net", f"r{n}@example.net", stdin=b"Subject: x\n\nx\n"
            )
            assert done.returncode == 0
        assert until(lambda: len(host.messages) == 25)
        most, connections = host.most_open, host.connections
    assert most <= 4  # each may open max_connections
    assert connections < 25
