"""queue.coalesce: one mail in a time for those who send many; nothing lost wherever a run dies."""

from __future__ import annotations

import email
import errno
import os
import posix
import re
import resource
from collections import Counter
from email.message import Message
from pathlib import Path

import pytest
from sendmail_py.mail.envelope import Envelope
from sendmail_py.spool import bursts

from relay.dying import dying
from relay.flushing import World, smarthost
from support.smarthost import SmartHost

SPAN = 600
CRON = b"From: root <root@x.example>\r\nTo: ops@y.example\r\nSubject: Cron =?utf-8?q?b=C3=A9?=\r\n\r\n"


def world_of(folder: Path, host: SmartHost, span: int = SPAN) -> World:
    """A world that coalesces."""
    world = World.beside(folder, host)
    world.config.queue.coalesce = span
    return world


def cron(world: World, number: int, to: bytes = b"ops@y.example", **more: object) -> str:
    """Queue a mail of cron."""
    return world.put(to, content=CRON + b"run %d\r\n" % number, **more)  # type: ignore[arg-type]


def runs(host: SmartHost) -> list[list[int]]:
    """The numbers in each message that arrived."""
    return [[int(n) for n in re.findall(rb"^run (\d+)", one.data, re.MULTILINE)] for one in host.messages]


def parts(message: Message) -> list[Message]:
    """The messages in a digest."""
    text, digest = message.get_payload()
    assert text.get_content_type() == "text/plain"
    assert digest.get_content_type() == "multipart/digest"
    return [one.get_payload(0) for one in digest.get_payload()]


def test_the_first_goes_at_once_and_the_rest_as_one_digest_when_the_time_is_over(tmp_path: Path) -> None:
    with smarthost() as host:
        world = world_of(tmp_path, host)
        cron(world, 0)
        world.flush()
        assert runs(host) == [[0]]
        for n in (1, 2, 3):
            cron(world, n)
            world.now += 60
            world.flush()
        assert runs(host) == [[0]]
        world.now += SPAN - 180
        world.flush()
        assert runs(host) == [[0], [1, 2, 3]]
        assert world.files() == []
        cron(world, 4)
        world.flush()
        world.now += SPAN
        world.flush()
    assert runs(host) == [[0], [1, 2, 3], [4]]


def test_a_digest_holds_each_message_octet_for_octet_under_the_envelope_of_the_first(tmp_path: Path) -> None:
    with smarthost(extensions=["8BITMIME"]) as host:
        world = world_of(tmp_path, host)
        cron(world, 1)
        world.put(b"ops@y.example", content=CRON + b"run 2\r\n..\r\n\r\n.\r\nFrom here: \xc3\xa9\r\n")
        world.flush()
    (got,) = host.messages
    assert got.mail_from == b"a@x.example"
    assert got.rcpts == [(b"ops@y.example", got.rcpts[0][1])]
    read = email.message_from_bytes(got.data)
    assert read["Subject"] == "[2 messages] Cron =?utf-8?q?b=C3=A9?="
    assert (read["From"], read["To"]) == ("root <root@x.example>", "ops@y.example")
    assert read["Message-ID"].count(".digest@") == 1
    assert read["Auto-Submitted"] == "auto-generated"
    assert [one["Subject"] for one in parts(read)] == ["Cron =?utf-8?q?b=C3=A9?="] * 2
    assert CRON + b"run 2\r\n..\r\n\r\n.\r\nFrom here: \xc3\xa9\r\n" in got.data
    assert host.violations == []


def test_a_server_without_8bitmime_gets_the_same_text_in_seven_bits(tmp_path: Path) -> None:
    with smarthost(extensions=[]) as host:
        world = world_of(tmp_path, host)
        for _ in range(2):
            text = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            world.put(b"ops@y.example", content=text + CRON + b"run 1 \xc3\xa9\r\n")
        world.flush()
    (got,) = host.messages
    assert got.data.isascii()
    assert [one.get_payload(decode=True) for one in parts(email.message_from_bytes(got.data))] == [
        b"run 1 \xc3\xa9\r\n"
    ] * 2


@pytest.mark.parametrize(
    ("sender", "to", "content", "change"),
    [
        (b"b@x.example", b"ops@y.example", CRON, {}),
        (b"a@x.example", b"dev@y.example", CRON, {}),
        (b"a@x.example", b"ops@y.example", CRON.replace(b"Cron", b"cron"), {}),
        (b"a@x.example", b"ops@y.example", CRON, {"envid": b"x"}),
        (b"a@x.example", b"ops@y.example", CRON, {"ret": b"FULL"}),
        (b"a@x.example", b"ops@y.example", CRON, {"wishes": [b"MT-PRIORITY=3"]}),
        (b"a@x.example", b"ops@y.example", CRON + b"x" * (257 << 10), {}),
    ],
)
def test_what_differs_goes_by_itself(
    sender: bytes, to: bytes, content: bytes, change: dict[str, object], tmp_path: Path
) -> None:
    def differ(envelope: Envelope) -> None:
        for name, value in change.items():
            setattr(envelope, name, value)

    with smarthost() as host:
        world = world_of(tmp_path, host)
        cron(world, 1)
        world.put(to, sender=sender, content=content, change=differ)
        world.flush()
    assert len(host.messages) == 2


def test_reports_and_what_was_tried_or_is_held_are_left_alone(tmp_path: Path) -> None:
    with smarthost(replies={b"RCPT": [b"450 4.2.1 Busy"]}) as host:
        world = world_of(tmp_path, host)
        first = cron(world, 1)
        world.flush()
        for n in (2, 3):
            cron(world, n, sender=b"")
        held = cron(world, 4)
        Path(world.directory, "queue", f"{held}.hold").touch()
        world.now += SPAN
        cron(world, 5)
        world.flush()
    assert sorted(runs(host)) == [[1], [2], [3], [5]]
    assert [name[:12] for name in world.files()] == [held, held]
    assert first not in world.queued()


def test_off_is_off(tmp_path: Path) -> None:
    with smarthost() as host:
        world = world_of(tmp_path, host, span=0)
        for n in (1, 2):
            cron(world, n)
        world.flush()
        assert not Path(world.directory, "bursts").exists()
    assert runs(host) == [[1], [2]]


def test_a_person_who_wants_the_queue_sent_need_not_wait(tmp_path: Path) -> None:
    with smarthost() as host:
        world = world_of(tmp_path, host)
        cron(world, 0)
        world.flush()
        for n in (1, 2):
            cron(world, n)
        world.flush(force=True)
    assert runs(host) == [[0], [1, 2]]


@pytest.mark.parametrize("years", [-20, 20])
def test_a_clock_that_jumps_makes_nobody_wait(years: int, tmp_path: Path) -> None:
    with smarthost() as host:
        world = world_of(tmp_path, host)
        cron(world, 0)
        world.flush()
        cron(world, 1)
        world.now += years * 365 * 86400
        world.flush()
    assert runs(host) == [[0], [1]]


def test_a_burst_becomes_several_digests_when_it_is_too_much_for_one(tmp_path: Path) -> None:
    with smarthost() as host:
        world = world_of(tmp_path, host)
        world.config.queue.max_message = 300_000
        for n in range(5):
            world.put(b"ops@y.example", content=CRON + b"run %d\r\n" % n + b"x" * 70 * 1400 + b"\r\n")
        world.flush()
    assert sorted(runs(host)) == [[0, 1, 2], [3, 4]]


def test_a_great_burst_needs_few_descriptors(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 140, hard))
    try:
        with smarthost() as host:
            world = world_of(tmp_path, host)
            for n in range(250):
                cron(world, n)
            world.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sorted(map(len, runs(host))) == [50, 100, 100]
    assert world.files() == []


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    bursts.write(str(tmp_path), {str(n): n for n in range(bursts.MOST + 5)})
    known = bursts.read(str(tmp_path))
    assert len(known) == bursts.MOST
    assert "4" not in known
    (tmp_path / "bursts").write_bytes(b"junk\n")
    assert bursts.read(str(tmp_path)) == {}


def test_nothing_is_lost_and_nothing_doubled_wherever_a_run_dies(tmp_path: Path) -> None:
    """Twice only where an answer was lost."""
    at, died = 0, True
    copies = 0
    while died:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        with smarthost() as host:
            world = world_of(folder, host)
            for n in range(3):
                cron(world, n)
            died = dying(world, at)
            answered = len(host.messages)
            for _ in range(3):
                world.now += 5 * 3600
                world.flush()
        seen = Counter(n for row in runs(host) for n in row)
        assert set(seen) == {0, 1, 2}, at
        assert len(host.messages) <= 1 + answered, (at, runs(host))
        copies += len(host.messages) - 1
        with world.spool() as spool:
            spool.listing()
            spool.clean()
        assert world.files() == [], at
    assert at > 20
    assert copies <= 4


def test_a_disk_that_fails_keeps_the_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever step fails, the next run sends all of them."""
    real = posix.rename
    for failing in range(1, 8):
        folder = tmp_path / str(failing)
        folder.mkdir()
        calls = 0

        def rename(*words: object, **more: object) -> None:
            nonlocal calls
            calls += "digest-" in f"{words}"
            if calls == failing and "digest-" in f"{words}":  # noqa: B023
                raise OSError(errno.EIO, "Input/output error")
            real(*words, **more)  # type: ignore[arg-type]

        with smarthost() as host:
            world = world_of(folder, host)
            for n in range(3):
                cron(world, n)
            monkeypatch.setattr(posix, "rename", rename)
            world.flush()
            monkeypatch.setattr(posix, "rename", real)
            world.now += SPAN
            world.flush()
        assert sorted(n for row in runs(host) for n in row) == [0, 1, 2], failing
        assert world.files() == [], failing
