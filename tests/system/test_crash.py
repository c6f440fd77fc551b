"""The crash harness: kill -9, and errors of the disk, at every system call of a submission and of a flush.

Afterwards every accepted message was delivered, none was invented, a failure was reported exactly once, and
the spool is clean. A second copy is allowed only of what the queue said, when the flush had died, may have
been sent: a recipient in state U, sendmail-py-spool(5). All calls are tried with SENDMAIL_PY_EVERY_FAULT=1,
else one in STRIDE.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Set

import pytest

from support.faults import Call, files, inject, traced
from support.launch import Sandbox, smarthost_table
from support.smarthost import SmartHost

STRIDE = 1 if os.environ.get("SENDMAIL_PY_EVERY_FAULT") else 17
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EMFILE", "EROFS")
FAILS_WITH = {
    "write": ("ENOSPC", "EIO", "EDQUOT"),
    "pwrite64": ("ENOSPC", "EIO", "EDQUOT", "EROFS"),
    "fsync": ("ENOSPC", "EIO", "EDQUOT"),
    "fdatasync": ("ENOSPC", "EIO", "EDQUOT"),
    "openat": ("ENOSPC", "EIO", "EDQUOT", "EMFILE", "EROFS"),
    "close": ("EIO", "EDQUOT"),
    "rename": ("ENOSPC", "EIO", "EDQUOT", "EROFS"),
    "renameat": ("ENOSPC", "EIO", "EDQUOT", "EROFS"),
    "renameat2": ("ENOSPC", "EIO", "EDQUOT", "EROFS"),
    "unlink": ("EIO", "EROFS"),
    "unlinkat": ("EIO", "EROFS"),
    "mkdir": ("ENOSPC", "EROFS"),
    "flock": ("EIO",),
    "dup": ("EMFILE",),
    "getdents64": ("EIO",),
}
NETWORK = ("connect", "sendto")
FLUSH = ["sendmail", "-q"]


class World:
    """A sandbox with a smart host; `mail` queues two messages and what must become of them is checked."""

    def __init__(self, box: Sandbox, host: SmartHost) -> None:
        self.box = box
        self.host = host
        self.faults = self.copies = 0
        table = smarthost_table(port=host.port, tls="none")
        head = '[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n'
        box.configure(f'{head}[queue]\nretry_min = "0s"\nretry_max = "0s"\n{table}')

    def mail(self) -> None:
        """One message that arrives, and one with a recipient that arrives and one that fails."""
        for body, recipients in ((b"0", ["good@x.example"]), (b"1", ["good@x.example", "bad@x.example"])):
            stdin = b"Subject: x\n\n" + body + b"\n"
            done = self.box.run("sendmail", "-f", "me@example.net", *recipients, stdin=stdin)
            assert (done.returncode, done.stderr) == (0, b"")

    def flush(self, times: int = 4) -> None:
        """Runs without faults."""
        for _ in range(times):
            assert self.box.run(*FLUSH).returncode == 0

    def in_doubt(self) -> set[bytes]:
        """The bodies of messages with a recipient that the queue calls unknown; b"" for a report."""
        found = set()
        for path in (self.box.spool / "queue").iterdir():
            if len(path.name) == 12 and re.search(rb"^RU ", path.read_bytes(), re.MULTILINE):
                text = path.read_bytes()
                found.add(b"" if b"\nS \n" in text else text.rpartition(b"\r\n\r\n")[2][:3])
        return found

    def check(self, where: str, doubt: Set[bytes] = frozenset()) -> None:
        """What must be true in the end, whatever happened; `doubt` is what in_doubt said after it."""
        self.faults += 1
        seen = Counter(one.data.rpartition(b"\r\n\r\n")[2] for one in self.host.messages if one.mail_from)
        reports = [one for one in self.host.messages if not one.mail_from]
        assert set(seen) == {b"0\r\n", b"1\r\n"}, where
        assert all(count <= 1 + (body in doubt) for body, count in seen.items()), where
        assert 1 <= len(reports) <= 1 + (b"" in doubt), where
        assert all(b"Final-Recipient: rfc822; bad@x.example" in one.data for one in reports), where
        assert len({one.data for one in reports}) == 1, where
        assert files(self.box.spool / "queue") == [], where
        failed = [name for name in files(self.box.spool / "failed") if len(name) == 12]
        assert len(failed) == 1, where
        self.copies += sum(seen.values()) - 2 + len(reports) - 1
        self.host.messages.clear()
        assert self.box.run("sendmail-py", "queue", "delete", "--failed", "--all", "--yes").returncode == 0


@pytest.fixture
def world(sandbox: Sandbox) -> Iterator[World]:
    """A world whose spool exists."""
    with SmartHost(replies={b"RCPT TO:<bad@": b"550 5.1.1 No such user"}) as host:
        made = World(sandbox, host)
        made.mail()
        made.flush()
        made.check("without a fault")
        made.faults = 0
        yield made


def calls(world: World) -> list[Call]:
    """The calls of a flush that reports, from its first look at the spool."""
    world.mail()
    found = traced(world.box, FLUSH, b"", str(world.box.spool))
    world.flush()
    world.check("traced")
    world.faults = 0
    return found


def test_a_flush_that_is_killed_at_any_call_loses_and_invents_nothing(world: World) -> None:
    changing = [one for one in calls(world) if one.name in FAILS_WITH or one.name in NETWORK]
    for call in changing[::STRIDE]:
        world.mail()
        inject(world.box, FLUSH, b"", call, "signal=SIGKILL")
        doubt = world.in_doubt()
        world.flush()
        world.check(call.text, doubt)
    print(
        f"flush: {world.faults} of {len(changing)} kill points, 0 lost, {world.copies} copies in the window"
    )
    assert world.faults > 10


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_the_disk_at_any_call_of_a_flush_loses_and_invents_nothing(
    world: World, error: str
) -> None:
    found = [one for one in calls(world) if "/lib/" not in one.text]  # the interpreter's files are not ours
    failing = [one for one in found if error in FAILS_WITH.get(one.name, ())]
    for call in failing[ERRORS.index(error) % STRIDE :: STRIDE]:
        world.mail()
        done = inject(world.box, FLUSH, b"", call, f"error={error}")
        if b"unsupported hash" not in done.stderr:  # said by the interpreter, which has lost a module
            assert done.stderr.count(b"\n") <= 1, (call.text, done.stderr)
        doubt = world.in_doubt()
        world.flush()
        world.check(f"{error} at {call.text}", doubt)
    print(f"flush: {world.faults} of {len(failing)} calls with {error}, 0 lost, {world.copies} in the window")
    assert world.faults


def test_a_submission_that_is_killed_at_any_call_is_whole_or_not_there(world: World) -> None:
    """And a flush at the same moment sends it, or sweeps it up."""
    command, stdin = ["sendmail", "-f", "me@example.net", "good@x.example"], b"Subject: x\n\n9\n"
    traces = traced(world.box, command, stdin, str(world.box.spool))
    world.flush()
    world.host.messages.clear()
    tried = 0
    for call in [one for one in traces if one.name in FAILS_WITH][:: min(STRIDE, 2)]:
        inject(world.box, command, stdin, call, "signal=SIGKILL")
        world.flush(2)
        bodies = [one.data.rpartition(b"\r\n\r\n")[2] for one in world.host.messages]
        assert bodies in ([], [b"9\r\n"]), call.text
        assert files(world.box.spool / "queue") == [], call.text
        world.host.messages.clear()
        tried += 1
    print(f"submission: {tried} kill points, whole or nothing")
    assert tried


def test_digests_that_a_kill_interrupts_anywhere_lose_and_double_nothing(world: World) -> None:
    """The messages are there again, or the digest is, whatever flush comes next."""
    box, host = world.box, world.host
    box.configure(box.config.read_text().replace("[queue]", '[queue]\ncoalesce = "1s"'))

    def mail() -> None:
        for n in range(3):
            box.run("sendmail", "-f", "me@example.net", "good@x.example", stdin=b"Subject: x\n\nno %d\n" % n)

    def arrived() -> Counter[bytes]:
        text = b"\r\n".join(one.data for one in host.messages)
        host.messages.clear()
        return Counter(re.findall(rb"^no (\d)", text, re.MULTILINE))

    mail()
    found = traced(box, FLUSH, b"", str(box.spool))
    assert arrived() == {b"0": 1, b"1": 1, b"2": 1}
    changing = [one for one in found if one.name in FAILS_WITH or one.name in NETWORK]
    tried = 0
    for call in changing[:: min(STRIDE, 5)]:
        mail()
        inject(box, FLUSH, b"", call, "signal=SIGKILL")
        doubt = bool(world.in_doubt())
        for _ in range(3):
            done = box.run("sendmail-py", "queue", "flush")
            assert done.returncode in (0, 75), done.stderr
        seen = arrived()
        assert set(seen) == {b"0", b"1", b"2"}, call.text
        assert max(seen.values()) <= 1 + doubt, call.text
        assert files(box.spool / "queue") == [], call.text
        tried += 1
    print(f"digest: {tried} of {len(changing)} kill points, 0 lost")
    assert tried > 10
