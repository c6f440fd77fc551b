"""A flush that has nothing to send, minute after minute: cheap, silent, and quiet no longer than right."""

from __future__ import annotations

import os
import time

from support.faults import files, traced
from support.launch import Sandbox, smarthost_table
from support.smarthost import SmartHost

BASE = '[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n'


def queue(box: Sandbox, *words: str, sender: str = "me@example.net") -> None:
    done = box.run("sendmail", "-f", sender, *words, stdin=b"Subject: x\n\nbody\n")
    assert (done.returncode, done.stderr) == (0, b"")


def flush(box: Sandbox) -> None:
    done = box.run("sendmail", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def looks(box: Sandbox) -> list[str]:
    """The calls of a flush that read a folder."""
    calls = traced(box, ["sendmail", "-q"], b"", str(box.spool))
    return [one.text for one in calls if one.name == "getdents64"]


def grow_old(box: Sandbox) -> None:
    """As if nothing had changed for a while."""
    long_ago = time.time() - 60
    os.utime(box.spool / "queue", (long_ago, long_ago))


def test_a_queue_that_waits_is_read_once(sandbox: Sandbox) -> None:
    """And again when anything has changed."""
    with SmartHost(replies={b"RCPT": b"450 4.2.1 Busy"}) as host:
        sandbox.configure(f'{BASE}[queue]\nretry_min = "1h"\n{smarthost_table(port=host.port, tls="none")}')
        queue(sandbox, "a@x.example")
        flush(sandbox)
        grow_old(sandbox)
        assert looks(sandbox)
        assert (sandbox.spool / "due").exists()
        assert not looks(sandbox)
        connections = host.connections
        queue(sandbox, "b@x.example")
        assert looks(sandbox)
        assert host.connections == connections + 1


def test_while_every_smart_host_rests_nothing_is_read(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        port = host.port
    sandbox.configure(BASE + smarthost_table(port=port, tls="none"))
    queue(sandbox, "a@x.example")
    flush(sandbox)
    assert not looks(sandbox)


def test_what_is_held_for_ever_starts_no_run(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        sandbox.configure(BASE + smarthost_table(port=host.port, tls="none"))
        queue(sandbox, "a@x.example")
        assert sandbox.run("sendmail-py", "queue", "hold", "--all").returncode == 0
        flush(sandbox)
        assert host.connections == 0
        assert not (sandbox.spool / "usage").read_bytes().startswith(b"x")
        sandbox.run("sendmail-py", "queue", "release", "--all")
        flush(sandbox)
        assert len(host.messages) == 1


def test_changed_rules_are_tried_at_once_though_nothing_is_due(sandbox: Sandbox) -> None:
    """A refused sender waits for hours, unless its owner has changed the configuration."""
    with SmartHost(replies={b"MAIL FROM:<me@": b"553 5.7.1 not yours"}) as host:
        table = smarthost_table(port=host.port, tls="none")
        sandbox.configure(f'{BASE}[queue]\nretry_min = "2h"\nreport = "none"\n{table}')
        queue(sandbox, "a@x.example")
        for _ in range(2):
            flush(sandbox)
        assert host.connections == 1
        users = '[masquerade.users]\n"*" = "you@example.net"\n[masquerade]\noverride = "fix"\n'
        sandbox.configure(f'{BASE}[queue]\nretry_min = "2h"\nreport = "none"\n{users}{table}')
        flush(sandbox)
        assert [one.mail_from for one in host.messages] == [b"you@example.net"]
    assert files(sandbox.spool / "queue") == []


def test_the_owner_hears_of_a_failure_though_nothing_is_left_to_send(sandbox: Sandbox) -> None:
    """The second notice is an hour after the first."""
    with SmartHost(replies={b"RCPT TO:<bad@": b"550 5.1.1 No such user"}) as host:
        table = smarthost_table(port=host.port, tls="none")
        sandbox.configure(f'{BASE}[queue]\nreport = "owner"\n{table}')
        for _ in range(2):
            queue(sandbox, "bad@x.example")
            flush(sandbox)
            flush(sandbox)
        assert len(host.messages) == 1
        flush(sandbox)
        assert len(host.messages) == 1
        an_hour_ago = time.time() - 3605
        os.utime(sandbox.spool / "noticed", (an_hour_ago, an_hour_ago))
        flush(sandbox)
        flush(sandbox)
        assert len(host.messages) == 2
        flush(sandbox)
    assert all(not one.mail_from for one in host.messages)


def test_what_failed_long_ago_goes_though_nothing_is_left_to_send(sandbox: Sandbox) -> None:
    with SmartHost(replies={b"RCPT TO:<bad@": b"550 5.1.1 No such user"}) as host:
        table = smarthost_table(port=host.port, tls="none")
        sandbox.configure(f'{BASE}[queue]\nreport = "none"\nfailed_lifetime = "10d"\n{table}')
        queue(sandbox, "bad@x.example")
        flush(sandbox)
        (message,) = [name for name in files(sandbox.spool / "failed") if len(name) == 12]
        long_ago, yesterday = time.time() - 11 * 86400, time.time() - 86405
        os.utime(sandbox.spool / "failed" / message, (long_ago, long_ago))
        os.utime(sandbox.spool / "expired", (yesterday, yesterday))
        flush(sandbox)
        assert files(sandbox.spool / "failed") == []
        assert host.connections == 1
