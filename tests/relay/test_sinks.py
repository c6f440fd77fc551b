"""Mail that goes to no server: a folder, a command."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from relay.flushing import CONTENT, World, smarthost

TABLE = '[[smarthost]]\nname = "isp"\n'
CHILD = """import sys, pathlib
folder = pathlib.Path(sys.argv[1])
(folder / "arguments").write_text("\\n".join(sys.argv[2:]))
(folder / "message").write_bytes(sys.stdin.buffer.read())
print("these are my words")
sys.exit(int((folder / "status").read_text()))
"""


def world_of(folder: Path, **keys: object) -> World:
    """A world whose smart host is no server."""
    with smarthost() as host:
        world = World.beside(folder, host)
    (setting,) = world.config.smarthosts
    setting.host = ""
    for key, value in keys.items():
        setattr(setting, key, value)
    return world


def command(folder: Path, status: int) -> World:
    """A world whose smart host is a command that ends with that status."""
    child = folder / "child.py"
    child.write_text(CHILD)
    (folder / "status").write_text(str(status))
    world = world_of(folder, command=[sys.executable, str(child), str(folder), "-f", "%s"])
    world.config.smarthosts[0].timeout = 5.0
    return world


def test_a_folder_gets_whole_messages(tmp_path: Path) -> None:
    world = world_of(tmp_path, transport=f"maildir:{tmp_path}/mail")
    world.put(b"a@y.example", b"b@y.example")
    world.put(b"c@y.example")
    assert world.flush().delivered == 3
    files = sorted((tmp_path / "mail/new").iterdir())
    envelope = b"Return-Path: <a@x.example>\nDelivered-To: a@y.example\nDelivered-To: b@y.example\n"
    assert files[0].read_bytes() == envelope + CONTENT.replace(b"\r\n", b"\n")
    assert len(files) == 2
    assert (list((tmp_path / "mail/tmp").iterdir()), world.files()) == ([], [])


def test_a_folder_that_is_made_is_for_its_owner_only(tmp_path: Path) -> None:
    """Whatever the umask; the mail commands' own lets everybody read."""
    world = world_of(tmp_path, transport=f"maildir:{tmp_path}/mail")
    world.put(b"a@y.example")
    before = os.umask(0o022)
    try:
        assert world.flush().delivered == 1
    finally:
        os.umask(before)
    found = [tmp_path / "mail", *(tmp_path / "mail").rglob("*")]
    assert {path.stat().st_mode & 0o077 for path in found} == {0}
    assert len(found) == 5


def test_a_folder_that_cannot_be_written_holds_the_mail(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("no folder")
    world = world_of(tmp_path, transport=f"maildir:{tmp_path}/mail")
    world.put(b"a@y.example")
    world.put(b"b@y.example")
    assert f"{tmp_path}/mail" in world.flush().fault
    assert len(world.queued()) == 2
    assert world.paused()


def test_a_command_gets_the_message_and_the_envelope(tmp_path: Path) -> None:
    world = command(tmp_path, 0)
    world.put(b"a@y.example", b"b@y.example")
    assert world.flush().delivered == 2
    words = (tmp_path / "arguments").read_text().split("\n")
    assert words == ["-f", "a@x.example", "--", "a@y.example", "b@y.example"]
    assert (tmp_path / "message").read_bytes() == CONTENT.replace(b"\r\n", b"\n")


@pytest.mark.parametrize(
    ("status", "delivered", "deferred", "failed"),
    [(0, 1, 0, 0), (65, 0, 0, 1), (67, 0, 0, 1), (68, 0, 0, 1), (69, 0, 1, 0), (75, 0, 1, 0)],
)
def test_the_exit_status_is_the_verdict(
    status: int, delivered: int, deferred: int, failed: int, tmp_path: Path
) -> None:
    world = command(tmp_path, status)
    world.put(b"a@y.example")
    summary = world.flush()
    assert (summary.delivered, summary.deferred, summary.failed) == (delivered, deferred, failed)
    assert ("these are my words" in world.log) == (status != 0)
    assert not world.paused()


@pytest.mark.parametrize("status", [1, 64, 70, 73, 77, 78])
def test_any_other_status_is_the_fault_of_the_command(status: int, tmp_path: Path) -> None:
    world = command(tmp_path, status)
    world.put(b"a@y.example")
    world.put(b"b@y.example")
    assert f"exit status {status}: these are my words" in world.flush().fault
    assert world.paused()
    assert len(world.queued()) == 2


def test_a_command_that_is_missing_holds_the_mail(tmp_path: Path) -> None:
    world = world_of(tmp_path, command=[str(tmp_path / "nothing")])
    world.put(b"a@y.example")
    world.put(b"b@y.example")
    assert "No such file" in world.flush().fault
    assert len(world.queued()) == 2


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    world = world_of(tmp_path, command=[sys.executable, "-c", "import time; time.sleep(60)"])
    world.config.smarthosts[0].timeout = 0.1
    world.put(b"a@y.example")
    world.flush()
    assert "did not end" in world.log
    assert "answer unknown" in world.log


def test_a_sender_is_never_an_option(tmp_path: Path) -> None:
    world = command(tmp_path, 0)
    world.put(b"a@y.example", sender=b"-oQ/tmp@x.example")
    assert world.flush().delivered == 0
    assert not (tmp_path / "arguments").exists()
