"""Write, sync, rename, sync: each step is checked, and after a fault nothing is left."""

from __future__ import annotations

import errno
import fcntl
import os
import posix
from collections.abc import Iterator
from pathlib import Path

import pytest
from sendmail_py.spool import durable


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def names(tmp_path: Path) -> list[str]:
    return sorted(name for name in os.listdir(tmp_path) if name != "home")


def failing(code: int) -> object:
    def fail(*words: object, **more: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_new_file_is_locked_and_its_name_taken(folder: int, tmp_path: Path) -> None:
    fd = durable.create(folder, ".x")
    assert fd is not None
    assert durable.create(folder, ".x") is None
    with open(tmp_path / ".x", "rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert os.fstat(fd).st_mode & 0o777 == 0o600
    os.close(fd)


def test_a_file_that_a_cleaner_took_before_the_lock_is_a_taken_name(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.lock

    def late(fd: int) -> bool:
        (tmp_path / ".x").unlink()
        return real(fd)

    monkeypatch.setattr(durable, "lock", late)
    assert durable.create(folder, ".x") is None


@pytest.mark.parametrize("code", durable.NO_LOCKS)
def test_where_no_file_can_be_locked_one_goes_on_and_nobody_cleans(
    folder: int, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(code))
    fd = durable.create(folder, ".x")
    assert fd is not None
    assert durable.lock_if_possible(fd)
    assert durable.lock_abandoned(folder, ".x") == -1
    os.close(fd)


def test_another_fault_of_a_lock_is_told_and_leaves_no_file(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        durable.create(folder, ".x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "rename", "close", "dup"])
def test_after_a_fault_neither_name_is_left(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    fd = durable.create(folder, ".x")
    assert fd is not None
    real = getattr(posix, step)
    monkeypatch.setattr(posix, step, failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        durable.publish(folder, fd, ".x", "x")
    monkeypatch.setattr(posix, step, real)
    assert names(tmp_path) == []


def test_the_lock_holds_until_the_file_has_its_name(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = durable.create(folder, ".x")
    assert fd is not None
    seen: list[int] = []
    real = posix.rename

    def rename(*words: object, **more: object) -> None:
        seen.append(durable.lock_abandoned(folder, ".x"))
        real(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(posix, "rename", rename)
    durable.publish(folder, fd, ".x", "x")
    assert (seen, names(tmp_path)) == ([-1], ["x"])


def test_short_writes_are_continued(monkeypatch: pytest.MonkeyPatch, folder: int, tmp_path: Path) -> None:
    fd = durable.create(folder, "x")
    assert fd is not None
    real = posix.write
    monkeypatch.setattr(posix, "write", lambda fd, octets: real(fd, bytes(octets[:3])))
    durable.write_all(fd, b"0123456789")
    os.close(fd)
    assert (tmp_path / "x").read_bytes() == b"0123456789"


def test_replace_is_whole_or_not_at_all(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    durable.replace(folder, "x", b"old", ".x.tries")
    real = posix.write
    monkeypatch.setattr(posix, "write", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        durable.replace(folder, "x", b"new", ".x.tries")
    monkeypatch.setattr(posix, "write", real)
    assert (tmp_path / "x").read_bytes() == b"old"


def test_each_new_folder_is_synced_into_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(durable, "sync_path", synced.append)
    durable.make_folder(f"{tmp_path}/a/b/c")
    durable.make_folder(f"{tmp_path}/a/b/c")
    assert synced == [f"{tmp_path}", f"{tmp_path}/a", f"{tmp_path}/a/b"]
    assert os.stat(tmp_path / "a").st_mode & 0o777 == 0o700


def test_links_and_fifos_are_not_followed_or_waited_for(folder: int, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="symbolic"):
        durable.read_small(folder, "link")
    assert durable.read_small(folder, "fifo") == b""
    assert durable.read_small(folder, "nothing") == b""


def test_an_abandoned_file_is_found_and_a_living_writers_is_not(folder: int) -> None:
    fd = durable.create(folder, ".x")
    assert fd is not None
    assert durable.lock_abandoned(folder, ".x") == -1
    os.close(fd)
    mine = durable.lock_abandoned(folder, ".x")
    assert mine >= 0
    os.close(mine)
    assert durable.lock_abandoned(folder, ".nothing") == -1
