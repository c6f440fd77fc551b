"""Two real commands on one queue at the same moment, many rounds: nothing is lost, nothing comes twice."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Callable

import pytest

from support.faults import files
from support.launch import Sandbox, smarthost_table
from support.smarthost import SmartHost

ROUNDS = 40 if os.environ.get("SENDMAIL_PY_EVERY_FAULT") else 4
COUNT = 12  # messages in a round
BASE = '[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n'

Command = Callable[[list[str]], list[str]]


class Arena:
    """A sandbox and a smart host; messages are numbered throughout."""

    def __init__(self, box: Sandbox, host: SmartHost, more: str = "") -> None:
        self.box = box
        self.host = host
        self.number = 0
        table = smarthost_table(port=host.port, tls="none")
        box.configure(f'{BASE}[queue]\nretry_min = "0s"\nretry_max = "0s"\nreport = "none"\n{more}\n{table}')

    def fill(self, to: str = "a@x.example") -> list[str]:
        """Queue a round's messages in one dialogue; their ids, the oldest first."""
        before = set(self.ids())
        one = "MAIL FROM:<me@example.net>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: %d\r\n\r\n%d\r\n.\r\n"
        text = "".join([one % (to, n, n) for n in range(self.number, self.number + COUNT)])
        self.number += COUNT
        done = self.box.run("sendmail", "-bs", stdin=f"EHLO x\r\n{text}QUIT\r\n".encode())
        assert done.stdout.count(b"queued as") == COUNT
        return sorted(set(self.ids()) - before)

    def ids(self, folder: str = "queue") -> list[str]:
        """Queue ids."""
        return [name for name in files(self.box.spool / folder) if len(name) == 12]

    def together(self, *commands: list[str]) -> list[str]:
        """Run commands at once; what each printed. Only "is being sent" may be said on standard error."""
        runs = [self.box.start(name, *words) for name, *words in random.sample(commands, len(commands))]
        said = {tuple(run.args[1:]): run.communicate(timeout=120) for run in runs}  # type: ignore[index]
        for run in runs:
            assert run.returncode in (0, 75)
        for _, errors in said.values():
            assert all(b"is being sent" in line for line in errors.splitlines()), errors
        return [said[tuple(words)][0].decode() for _, *words in commands]

    def bodies(self) -> Counter[int]:
        """How often each message arrived."""
        return Counter(int(one.data.rpartition(b"\r\n\r\n")[2]) for one in self.host.messages)

    def finish(self) -> None:
        """Send the rest."""
        for _ in range(3):
            assert self.box.run("sendmail", "-q").returncode == 0
        assert files(self.box.spool / "queue") == []


def number(text: str, verb: str) -> int:
    """How many messages a command says it did something to."""
    found = re.search(rf"{verb} (\d+) message", text)
    assert found, text
    return int(found[1])


@pytest.mark.parametrize("rival", [["sendmail", "-q"], ["sendmail-py", "queue", "flush"]])
def test_flush_and_flush(sandbox: Sandbox, rival: list[str]) -> None:
    with SmartHost(delay=0.002) as host:
        arena = Arena(sandbox, host)
        for _ in range(ROUNDS):
            arena.fill()
            arena.together(["sendmail", "-q"], rival)
        arena.finish()
    assert arena.bodies() == Counter(range(arena.number))


def test_flush_and_delete(sandbox: Sandbox) -> None:
    """What was deleted did not arrive, what was not arrived once."""
    deleted = 0
    with SmartHost(delay=0.002) as host:
        arena = Arena(sandbox, host)
        for _ in range(ROUNDS):
            victims = arena.fill()[::2]
            delete = ["sendmail-py", "queue", "delete", "--all", "--yes"]
            before = len(host.messages)
            _, told = arena.together(["sendmail", "-q"], delete)
            gone = number(told, "deleted") if "deleted" in told else 0
            deleted += gone
            arena.finish()
            assert len(host.messages) - before + gone == COUNT, (told, victims)
    assert max(arena.bodies().values(), default=1) == 1
    assert len(arena.bodies()) + deleted == arena.number


def test_flush_and_hold(sandbox: Sandbox) -> None:
    """What is held stays, and arrives once when it is released."""
    with SmartHost(delay=0.002) as host:
        arena = Arena(sandbox, host)
        for _ in range(ROUNDS):
            arena.fill()
            before = len(host.messages)
            _, told = arena.together(["sendmail", "-q"], ["sendmail-py", "queue", "hold", "--all"])
            held = number(told, "held")
            assert sandbox.run("sendmail", "-q").returncode == 0
            assert len(arena.ids()) == held
            assert len(host.messages) - before + held == COUNT
            arena.together(["sendmail", "-q"], ["sendmail-py", "queue", "release", "--all"])
            arena.finish()
    assert arena.bodies() == Counter(range(arena.number))


def test_flush_and_requeue(sandbox: Sandbox) -> None:
    """Failed messages that come back while the queue is sent arrive once each."""
    once: list[bytes] = [b"550 5.1.1 No such user"] * COUNT
    refusals = {b"RCPT TO:<bad%d@" % n: list(once) for n in range(ROUNDS)}
    with SmartHost(delay=0.002, replies=refusals) as host:  # type: ignore[arg-type]
        arena = Arena(sandbox, host)
        for n in range(ROUNDS):
            arena.fill(f"bad{n}@x.example")
            assert sandbox.run("sendmail", "-q").returncode == 0
            assert len(arena.ids("failed")) == COUNT
            arena.fill()
            requeue = ["sendmail-py", "queue", "requeue", "--failed", "--all"]
            told = arena.together(["sendmail", "-q"], requeue, ["sendmail", "-q"])[1]
            assert number(told, "requeued") <= COUNT
            arena.finish()
            assert files(sandbox.spool / "failed") == []
    assert arena.bodies() == Counter(range(arena.number))


def test_flush_and_flush_with_digests(sandbox: Sandbox) -> None:
    """Each message arrives once, by itself or in a digest."""
    with SmartHost(delay=0.002) as host:
        arena = Arena(sandbox, host, more='coalesce = "1s"')
        for _ in range(ROUNDS):
            arena.number = 0
            one = "MAIL FROM:<me@example.net>\r\nRCPT TO:<a@x.example>\r\nDATA\r\nSubject: x\r\n\r\n"
            text = "".join([f"{one}no {n}\r\n.\r\n" for n in range(COUNT)])
            sandbox.run("sendmail", "-bs", stdin=f"EHLO x\r\n{text}QUIT\r\n".encode())
            arena.together(["sendmail", "-q"], ["sendmail", "-q"], ["sendmail-py", "queue", "flush"])
            sandbox.run("sendmail-py", "queue", "flush")
            assert files(sandbox.spool / "queue") == []
    found = Counter(re.findall(rb"^no (\d+)", b"\r\n".join(one.data for one in host.messages), re.MULTILINE))
    assert found == {b"%d" % n: ROUNDS for n in range(COUNT)}
    assert len(host.messages) < ROUNDS * COUNT
