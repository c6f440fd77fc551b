"""The benchmarks still run and count right; the figures are for people."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.needs import needs, needs_root

FOLDER = Path(__file__).parent


def run(name: str, *arguments: str) -> str:
    environ = {key: os.environ[key] for key in ("PATH", "HOME", "LANG")}
    words = [sys.executable, "-P", str(FOLDER / name), *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=environ)
    assert done.returncode in (0, 1), done.stderr  # 1: beyond a limit
    return done.stdout


def test_the_flush_needs_one_round_trip_a_message_and_smtplib_four() -> None:
    said = run("flush", "--messages", "20", "--delays", "0", "--big", "1", "--tls", "none", "--postfix", "no")
    lines = said.splitlines()
    ours, theirs = (
        next(line for line in lines if line.startswith(name)) for name in ("sendmail -q", "smtplib")
    )
    assert 20 <= int(ours.split()[3]) <= 24
    assert 80 <= int(theirs.split()[4]) <= 84


def test_a_submission_is_measured_beside_the_bare_interpreter() -> None:
    needs("valgrind")
    said = run("submission", "--runs", "1", "--queued", "3", "--big", "1")
    assert said.count("python -IS -c pass") == 4
    assert said.count("sendmail, 1 KiB") == 3
    assert "with 3 messages in the queue" in said


def test_growth_is_measured_at_three_sizes() -> None:
    said = run("growth", "--part", "1000", "100,000 recipients", "10 MB of body").splitlines()
    assert [line[:20].strip() for line in said[1:]] == [
        "10 MB of body",
        "10 MB of body lines",
        "100,000 recipients,",
        "100,000 recipients,",
    ]
    assert all(len(line[44:].split()) == 6 for line in said[1:])


def test_the_rules_are_measured_with_many_users_and_aliases() -> None:
    said = run("rules", "--runs", "1", "--entries", "300")
    assert said.count("sendmail, both fsyncs") == 4


def test_a_long_queue_is_measured_beside_a_short_one() -> None:
    said = run("queue", "--messages", "30", "--runs", "1")
    assert said.count(" ms ") == 18  # five rows of two times, and of two of the CPU but for the first
    assert "sendmail -q, nothing due" in said


# By what the sizes are divided: enough for callgrind to end soon, not so much that a start is all there is.
LINEAR = {
    "10 MB header, small fields": 200,
    "100,000 recipients, -t, Bcc": 20,
    "-bs, 100,000 recipients": 100,
}


@pytest.mark.parametrize(("case", "part"), LINEAR.items())
def test_four_times_the_size_takes_four_times_the_instructions(case: str, part: int) -> None:
    """Counted by callgrind, so that the load of the machine does not matter."""
    needs("valgrind")
    said = run("growth", "--instructions", "--part", str(part), case).splitlines()
    assert len(said) == 2, said
    assert float(said[1].split()[-1]) < 4.5, said


def test_a_fleet_is_simulated_with_and_without_jitter_and_breaker() -> None:
    said = run("fleet", "--hosts", "60", "--outage", "60")
    rows = [line for line in said.splitlines() if "breaker" in line]
    assert len(rows) == 8
    without, ours = rows[0].split()[4:], rows[3].split()[4:]
    assert number(ours[2]) * 5 <= number(without[2])  # the peak when the relay is back
    assert number(ours[0]) * 5 <= number(without[0])  # connections while it is away


def number(text: str) -> int:
    """A figure with commas."""
    return int(text.replace(",", ""))


def test_many_users_are_measured_beside_one() -> None:
    needs_root()
    said = run("shared", "--users", "3", "--messages", "4", "--owners", "5", "--delay", "0")
    assert "BEYOND" not in said
    for row in ("a personal spool (1 x 12)", "one user (1 x 12)", "many users (3 x 4)"):
        assert said.count(row) == 2  # by chunks, and by DATA
    assert "sendmail -q, nothing due, 5 owners" in said
