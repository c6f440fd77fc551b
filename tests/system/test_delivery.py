"""delivery = "background": the first attempt within a second, and nobody waits for it, in each mode."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest

from support.launch import Sandbox, admin_command, smarthost_table
from support.needs import needs_root
from support.script import Stall
from support.smarthost import SmartHost
from support.system import BASE, new_system

A = "a@example.org"
MESSAGE = b"Subject: x\n\nhello\n"
SETTINGS = 'delivery = "background"\n[identity]\ndomain = "example.net"\n[aliases]\nfiles = []\n'
RUNS = 5  # the best of them counts: the machine has other things to do


def until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def test_the_first_attempt_is_made_within_a_second(sandbox: Sandbox) -> None:
    """From the call's end to the arrival at the server, the start of the relay's Python in between."""
    spans = []
    with SmartHost() as host:
        sandbox.configure(SETTINGS + smarthost_table(port=host.port, tls="none"))
        for number in range(1, RUNS + 1):
            assert sandbox.run("sendmail", A, stdin=MESSAGE).returncode == 0
            begin = time.monotonic()
            assert until(lambda number=number: len(host.messages) == number)  # type: ignore[misc]
            spans.append(time.monotonic() - begin)
            assert until(lambda: sandbox.queue() == [])
    assert min(spans) < 1.0, spans


def test_nothing_of_the_caller_is_held_while_the_server_is_slow(sandbox: Sandbox) -> None:
    """`run` reads both pipes to their end, which comes when the last process that has them closes them."""
    with SmartHost(replies={b"greeting": Stall()}) as host:
        sandbox.configure(SETTINGS + smarthost_table(port=host.port, tls="none"))
        done = sandbox.run("sendmail", A, stdin=MESSAGE)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert until(lambda: host.connections)
        assert host.messages == []
    assert len(sandbox.queue()) == 1


@pytest.mark.parametrize("delivery", ["queue", "background"])
def test_in_the_shared_spool_the_wake_up_file_is_touched(delivery: str) -> None:
    """A run of root's that watches looks at it; the user himself connects to nobody."""
    needs_root()
    with SmartHost() as host, new_system() as system:
        system.configure(host, f'delivery = "{delivery}"\n[identity]\ndomain = "example.net"\n')
        system.submit(0)  # root's first message makes the shared spool
        if delivery == "background":
            assert until(lambda: host.messages)
            assert until(lambda: "removed" in system.log())
            time.sleep(1.0)  # its flush ends
        wake = system.at(f"{BASE}/.wake")
        connections = host.connections
        before = wake.stat().st_mtime_ns
        time.sleep(0.05)
        system.submit(2032)
        assert until(lambda: wake.stat().st_mtime_ns > before)
        assert wake.stat().st_size == 0
        time.sleep(0.5)
        assert host.connections == connections
        assert until(lambda: system.flush() or b"to2032@example.org" in host.recipients())


def test_with_cron_alone_a_run_that_watches_sends_at_once_in_the_shared_spool() -> None:
    """`sendmail -q --watch` of /etc/cron.d; the best of some spans counts, the machine is busy."""
    needs_root()
    spans = []
    with SmartHost() as host, new_system() as system:
        system.configure(host, SETTINGS)
        run = system.start("sendmail", "-q", "--watch=1m")
        assert until(system.at(f"{BASE}/.wake").exists)
        for number in range(1, RUNS + 1):
            system.submit(2032)
            begin = time.monotonic()
            assert until(lambda number=number: len(host.messages) == number)  # type: ignore[misc]
            spans.append(time.monotonic() - begin)
        run.terminate()
        assert run.communicate(timeout=30) == (b"", b"")
        assert run.returncode == 0
    assert min(spans) < 1.0, spans


def test_nothing_is_watched_for_users_who_may_wait() -> None:
    needs_root()
    with SmartHost() as host, new_system() as system:
        system.configure(host)
        begin = time.monotonic()
        assert system.start("sendmail", "-q", "--watch=1m").wait(30) == 0
        assert time.monotonic() - begin < 30


def test_a_loop_of_roots_flushes_the_shared_spool_for_everybody() -> None:
    """`sendmail-py flush --loop` in place of cron; an ordinary user's says whose business that is."""
    needs_root()
    with SmartHost() as host, new_system() as system:
        system.configure(host)
        system.submit(0)
        words = [sys.executable, admin_command(), "flush", "--loop", "--every", "1h"]
        loop = system.start(*words)
        assert until(lambda: b"to0@example.org" in host.recipients())
        system.submit(2032)
        assert until(lambda: b"to2032@example.org" in host.recipients())
        loop.terminate()
        _, errors = loop.communicate(timeout=30)
        assert (loop.returncode, errors) == (0, b"")
        theirs = system.start(*words, uid=2032)
        assert theirs.stderr is not None
        assert b"only root can flush the shared spool" in theirs.stderr.readline()
        theirs.terminate()
        assert theirs.wait(30) == 0
