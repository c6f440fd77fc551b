"""Readers as processes: nothing of ours reaches them, and they end whatever they do."""

from __future__ import annotations

import os
import sys
import time

import pytest
from sendmail_py import maillog
from sendmail_py.shared import seats
from sendmail_py.shared.seats import Seats
from sendmail_py.spool.tenants import Owner

from support.needs import needs_root

UID = 54321
OWNER = Owner(UID, f"{UID}.0", "1:1")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    needs_root()
    lines: list[str] = []
    monkeypatch.setattr(maillog.log, "sink", lines.append)
    monkeypatch.setattr(seats, "LAST_WORDS", 0.2)
    monkeypatch.setattr(sys, "executable", os.path.realpath(sys.executable))
    return lines


def test_a_reader_that_does_not_end_is_killed(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        seats, "READER", "import signal, time\nsignal.pthread_sigmask(0, range(1, 30))\ntime.sleep(99)"
    )
    made = Seats()
    channel = made.start(OWNER, b"")
    assert channel is not None
    channel.close()
    assert made.busy() == {UID}
    assert made.leave(UID) is OWNER
    assert made.leave(UID) is None
    assert made.busy() == {UID}
    began = time.monotonic()
    assert made.clear() == []
    assert time.monotonic() - began < 10
    assert log == [f"warning: the reader of uid {UID} did not end and was killed"]
    assert made.free == seats.MOST_READERS


def test_a_reader_knows_its_end_of_the_line_and_nothing_else(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """import os
os.write(0, repr((sorted(os.environ), os.listdir('/proc/self/fd'), os.getresuid(), os.getcwd())).encode())"""
    monkeypatch.setattr(seats, "READER", code)
    monkeypatch.setenv("SENDMAIL_PY_SMARTHOST_PASSWORD", "hushhush")
    inheritable = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    made = Seats()
    channel = made.start(OWNER, b"")
    assert channel is not None
    made.clear()
    channel.pull()
    environ, descriptors, uids, folder = eval(channel.inbox.decode())  # noqa: S307 (our own child's repr)
    assert set(environ) - {"LC_CTYPE"} == set(seats.ENVIRONMENT)
    assert set(descriptors) <= {"0", "1", "2", "3"}
    assert uids == (UID, UID, UID)
    assert folder == "/"
    channel.close()
    os.close(inheritable)


def test_one_that_cannot_be_started_is_told_and_costs_nobody_else(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    made = Seats()
    assert made.start(OWNER, b"") is None
    assert made.clear() == []
    assert len(log) == 1
    assert "no reader can be started" in log[0]
    assert len(os.listdir("/proc/self/fd")) == before


def test_readers_that_were_not_let_go_are_told_at_the_end(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "READER", "pass")
    made = Seats()
    channel = made.start(OWNER, b"")
    assert channel is not None
    assert made.clear() == [OWNER]
    channel.close()
