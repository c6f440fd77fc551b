"""Messages that wait: holds given with the message, flushes that stop early or go on."""

from __future__ import annotations

import time

import pytest

from support.faults import files, inject, traced
from support.launch import Sandbox, smarthost_table
from support.smarthost import SmartHost

BASE = '[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n'
BASE += '[queue]\nretry_min = "0s"\nretry_max = "0s"\n'
MESSAGE = b"Subject: x\n\nbody\n"


def send(box: Sandbox, *options: str, status: int = 0) -> bytes:
    """Queue a message; what was said."""
    done = box.run("sendmail", "-f", "me@example.net", *options, "a@x.example", stdin=MESSAGE)
    assert done.returncode == status, done.stderr
    return done.stderr


def test_a_message_with_a_hold_waits_and_can_be_taken_back_or_let_go(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        sandbox.configure(BASE + smarthost_table(port=host.port, tls="none"))
        send(sandbox, "--hold-for=1h")
        send(sandbox, "--deliver-at", "@4000000000")
        send(sandbox, "--hold-for=0s")
        sandbox.run("sendmail", "-q")
        assert len(host.messages) == 1
        names = {one["queue_id"]: one["queue_name"] for one in sandbox.queue()}
        assert list(names.values()) == ["hold", "hold"]
        first, second = names
        sandbox.run("sendmail-py", "queue", "release", first)
        sandbox.run("sendmail-py", "queue", "delete", "--yes", second)
        sandbox.run("sendmail", "-q")
        assert len(host.messages) == 2
    assert files(sandbox.spool / "queue") == []


def test_a_hold_ends_by_itself(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        sandbox.configure(BASE + smarthost_table(port=host.port, tls="none"))
        send(sandbox, "--hold-for=2s")
        sandbox.run("sendmail", "-q")
        assert host.messages == []
        sandbox.run("sendmail", "-q", "--wait=10s")
        assert len(host.messages) == 1
    assert files(sandbox.spool / "queue") == []


def test_with_delivery_now_a_held_message_is_not_sent_at_once(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        sandbox.configure('delivery = "now"\n' + BASE + smarthost_table(port=host.port, tls="none"))
        send(sandbox, "--hold-for=1h")
        assert host.connections == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--hold-for=x"],
        ["--deliver-at=2001-01-01T00:00"],
        ["--hold-for=1m", "--deliver-at=08:00"],
        ["--limit=1"],
    ],
)
def test_a_wrong_wish_is_64_and_queues_nothing(sandbox: Sandbox, words: list[str]) -> None:
    assert send(sandbox, *words, status=64).count(b"\n") == 1
    assert files(sandbox.spool / "queue") == []


def test_the_hold_is_there_before_the_message(sandbox: Sandbox) -> None:
    """Kill -9 at every call: never a message that a flush would send too early."""
    with SmartHost() as host:
        sandbox.configure(BASE + smarthost_table(port=host.port, tls="none"))
        send(sandbox)
        command = ["sendmail", "-f", "me@example.net", "--hold-for=1h", "a@x.example"]
        calls = traced(sandbox, command, MESSAGE, str(sandbox.spool))
        names = [one.name for one in calls if one.name[:5] in ("fsync", "renam") or ".hold-" in one.text]
        assert names == ["openat", "fsync", "fsync", "renameat", "fsync"]
        sandbox.run("sendmail", "-q")
        for call in calls:
            inject(sandbox, command, MESSAGE, call, "signal=SIGKILL")
            sandbox.run("sendmail", "-q")
            left = files(sandbox.spool / "queue")
            assert [name[12:16] for name in left] in ([], ["", ".hol"] * (len(left) // 2)), call.text
        assert len(host.messages) == 1


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EROFS"])
def test_a_hold_that_cannot_be_made_queues_nothing(sandbox: Sandbox, error: str) -> None:
    sandbox.configure(BASE)
    send(sandbox)
    command = ["sendmail", "-f", "me@example.net", "--hold-for=1h", "a@x.example"]
    calls = traced(sandbox, command, MESSAGE, str(sandbox.spool))
    before = files(sandbox.spool / "queue")
    for call in [one for one in calls if ".hold-" in one.text or one.name[:5] in ("fsync", "renam")]:
        done = inject(sandbox, command, MESSAGE, call, f"error={error}")
        assert done.returncode in (73, 75), call.text
        assert done.stderr.count(b"\n") == 1
        assert files(sandbox.spool / "queue") == before, call.text


def test_limit_and_wait_bound_a_run(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        sandbox.configure(BASE + smarthost_table(port=host.port, tls="none"))
        for _ in range(5):
            send(sandbox)
        assert sandbox.run("sendmail", "-q", "--limit=2").returncode == 0
        assert len(host.messages) == 2
        send(sandbox, "--hold-for=1h")
        begin = time.monotonic()
        assert sandbox.run("sendmail", "--wait", "3", "-q").returncode == 0
        assert len(host.messages) == 5
        assert 2 < time.monotonic() - begin < 20
        done = sandbox.run("sendmail", "-q", "--limit=x")
        assert (done.returncode, done.stderr.count(b"\n")) == (64, 1)
