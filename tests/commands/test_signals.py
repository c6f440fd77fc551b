"""Signals of a command, in a process of its own: what ends it, what waits, what is asked for."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

WATCH = """
import os, time
from sendmail_py.commands import signals
from sendmail_py.errors import TemporaryError
"""


def run(code: str, **keywords: object) -> list[str]:
    """The words that a small program prints."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        **keywords,
    )  # type: ignore[call-overload]
    words: list[str] = done.stdout.split()
    return words


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_a_signal_ends_a_submission_with_a_text(number: signal.Signals) -> None:
    code = f"""
signals.watch()
try:
    os.kill(os.getpid(), {number})
    time.sleep(30)
except TemporaryError as fault:
    print("nothing was queued" in str(fault))
"""
    assert run(code) == ["True"]


def test_a_signal_that_the_caller_ignores_stays_ignored() -> None:
    """As under nohup."""
    code = "signals.watch()\nos.kill(os.getpid(), 1)\nprint('alive')\n"
    assert run(code, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) == ["alive"]


def test_a_flush_under_nohup_goes_on() -> None:
    code = """
signals.watch()
signals.hold_off()
signals.restore()
stop = signals.watch_for_stop()
os.kill(os.getpid(), 1)
print(stop())
os.kill(os.getpid(), 15)
print(stop())
"""
    before = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    assert run(code, **before) == ["False", "True"]


def test_from_the_last_moment_on_nothing_ends_it() -> None:
    code = """
signals.watch()
signals.hold_off()
for number in (1, 2, 3, 15):
    os.kill(os.getpid(), number)
print("alive")
"""
    assert run(code) == ["alive"]


def test_a_signal_that_waits_comes_when_it_may() -> None:
    code = """
signals.watch()
signals.block()
os.kill(os.getpid(), 15)
print("told")
try:
    signals.unblock()
    time.sleep(30)
except TemporaryError:
    print("ended")
"""
    assert run(code) == ["told", "ended"]


def test_a_flush_is_asked_first_and_stopped_the_second_time() -> None:
    code = """
stop = signals.watch_for_stop()
print(stop())
os.kill(os.getpid(), 15)
print(stop())
try:
    os.kill(os.getpid(), 2)
    time.sleep(30)
except TemporaryError:
    print("ended")
"""
    assert run(code) == ["False", "True", "ended"]


def test_an_alarm_comes_after_parts_of_a_second_and_can_be_taken_back() -> None:
    code = """
def ring(number, frame):
    raise TemporaryError("late")
signals.alarm(30, ring)
signals.alarm(0, ring)
signals.alarm(0.05, ring)
try:
    time.sleep(30)
except TemporaryError as fault:
    print(fault)
"""
    assert run(code) == ["late"]
