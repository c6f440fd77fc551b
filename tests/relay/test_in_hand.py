"""Messages that everybody has leave the queue together, and durably, before the session goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sendmail_py.spool import durable
from sendmail_py.spool.claim import Claim
from sendmail_py.spool.queue import Spool

from relay.flushing import World, smarthost
from support.script import Close
from support.smarthost import USUAL_EXTENSIONS

CHUNKING = (*USUAL_EXTENSIONS, "CHUNKING")


def test_a_window_of_messages_leaves_with_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[int] = []
    remove = Spool.remove

    def counted(self: Spool, claims: list[Claim], release: Callable[[Claim], None]) -> None:
        removed.append(len(claims))
        remove(self, claims, release)

    with smarthost(extensions=CHUNKING, delay=0.01) as host:
        world = World.beside(tmp_path, host, max_connections=1)
        for n in range(40):
            world.put(b"r%d@y.example" % n)
        monkeypatch.setattr(Spool, "remove", counted)
        assert world.flush().delivered == 40
    assert sum(removed) == 40
    assert len(removed) < 15
    assert world.log.count("status=sent") == world.log.count(": removed") == 40


def test_no_octet_is_read_before_what_was_judged_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next message's 354 comes behind the last one's reply: its content must not pass the removal."""
    with smarthost() as host:
        world = World.beside(tmp_path, host)
        for n in range(6):
            world.put(b"r%d@y.example" % n)
        left: list[tuple[int, int]] = []
        begun = host.action_for

        def seen(key: bytes) -> object:
            if key == b".":
                left.append((len(host.messages), sum(len(name) == 12 for name in world.files())))
            return begun(key)

        monkeypatch.setattr(host, "action_for", seen)
        world.flush()
    assert [accepted + queued for accepted, queued in left] == [6] * 6


def test_what_cannot_be_removed_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(folder: int, name: str) -> None:
        raise OSError(30, "Read-only file system")

    with smarthost() as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example")
        with monkeypatch.context() as patch:
            patch.setattr(durable, "remove", read_only)
            summary = world.flush()
        assert "Read-only" in summary.fault
        assert summary.delivered == 1
        assert world.flush().delivered == 0  # not sent again
    assert len(host.messages) == 1
    assert world.files() == []


def test_a_message_that_somebody_removed_meanwhile_stops_nothing(tmp_path: Path) -> None:
    with smarthost(delay=0.05) as host:
        world = World.beside(tmp_path, host)
        first = world.put(b"r@y.example")
        world.put(b"s@y.example")

        def unlink() -> bool:
            if len(host.messages) == 1 and first in world.files():
                os.unlink(f"{world.directory}/queue/{first}")
            return False

        summary = world.flush(stop=unlink)
    assert (summary.delivered, summary.fault) == (2, "")


def test_a_session_that_ends_when_everybody_of_a_message_is_decided_leaves_nothing_at_hand(
    tmp_path: Path,
) -> None:
    with smarthost(replies={b"RCPT TO:<bad": b"550 5.1.1 nobody", b"DATA": [None, Close()]}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r0@y.example")
        world.put(b"bad@y.example")
        world.put(b"r1@y.example")
        summary = world.flush()
    assert (summary.delivered, summary.failed, summary.fault) == (2, 1, "")
    assert world.files() == []
