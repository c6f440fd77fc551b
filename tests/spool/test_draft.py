"""A message on its way into the queue: one step makes it, and nothing is left when it fails."""

from __future__ import annotations

import errno
import os
import posix
from pathlib import Path

import pytest
from sendmail_py.errors import CantCreateError, TemporaryError
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.spool import draft
from sendmail_py.spool.queue import Spool

NOW = 1_795_503_909_000_000_000


def envelope(**more: int) -> Envelope:
    made = Envelope(b"me@example.net", [Recipient(b"a@example.org")], NOW / 1e9)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory / "queue"))


def begun(directory: Path, **more: int) -> draft.Draft:
    new = draft.begin(str(directory), NOW)
    new.envelope(envelope(**more))
    new.write(b"Subject: x\r\n\r\nbody\r\n")
    return new


@pytest.mark.parametrize("size", [1, draft.BUFFER - 1, draft.BUFFER, draft.BUFFER * 3 + 1])
def test_any_size_comes_back_whole(tmp_path: Path, size: int) -> None:
    new = begun(tmp_path)
    new.write(b"x" * size)
    new.commit()
    spool = Spool(str(tmp_path))
    claim = spool.claim(spool.listing()[0])
    assert claim is not None
    assert b"".join(claim.chunks()) == b"Subject: x\r\n\r\nbody\r\n" + b"x" * size


def test_a_small_message_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = begun(tmp_path)
    writes: list[int] = []
    real = posix.write
    monkeypatch.setattr(posix, "write", lambda fd, octets: writes.append(fd) or real(fd, octets))
    new.commit()
    assert len(writes) == 1


def test_a_hold_is_there_before_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = begun(tmp_path, hold=0x6B053A00)
    seen: list[list[str]] = []
    real = posix.rename

    def rename(*words: object, **more: object) -> None:
        seen.append(names(tmp_path))
        real(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(posix, "rename", rename)
    new.commit()
    hold = f"{new.queue_id}.hold-6B053A00"
    assert seen == [[f".{new.queue_id}", hold]]
    assert names(tmp_path) == [new.queue_id, hold]
    assert Spool(str(tmp_path)).listing()[0].held == 0x6B053A00


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, TemporaryError), (errno.EROFS, CantCreateError)])
@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
@pytest.mark.parametrize("hold", [0, 0x6B053A00])
def test_a_fault_leaves_nothing_and_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int, kind: type[Exception], hold: int
) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    new = begun(tmp_path, hold=hold)

    def fail(*words: object, **more: object) -> None:
        raise OSError(code, os.strerror(code))

    real = getattr(posix, step)
    monkeypatch.setattr(posix, step, fail)
    with pytest.raises(kind, match="nothing was queued"):
        new.commit()
    monkeypatch.setattr(posix, step, real)
    new.discard()
    assert names(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_a_second_discard_touches_nobody_elses_descriptor(tmp_path: Path) -> None:
    new = begun(tmp_path)
    numbers = (new.fd, new.folder)
    new.discard()
    others = [os.open(tmp_path, os.O_RDONLY) for _ in numbers]
    new.discard()
    for fd in others:
        os.close(fd)  # raises if it was closed
    assert set(others) & set(numbers)


def test_an_id_that_a_clock_brings_again_is_passed_over(tmp_path: Path) -> None:
    first = begun(tmp_path)
    first.commit()
    second = begun(tmp_path)
    second.commit()
    assert int(second.queue_id, 16) == int(first.queue_id, 16) + 1


def test_where_there_is_no_place_it_says_so() -> None:
    with pytest.raises(CantCreateError, match="XDG_STATE_HOME"):
        draft.begin("", NOW)
