"""The relay's copy of a message: only of the owner's own queue files, whole, and bounded."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.relay.content import BareLineEndError
from sendmail_py.shared import copies
from sendmail_py.shared.dialect import Offer
from sendmail_py.shared.frames import FrameError
from sendmail_py.shared.place import Place


def offer(offset: int, size: int) -> Offer:
    return Offer((1, 0), "6B0569ACE7BF", (offset, size), Envelope(b"", [Recipient(b"a@x.example")], 1.0))


@pytest.mark.parametrize("size", [0, 1, 100, copies.SMALL, copies.SMALL + 1, 3 * copies.PIECE + 5])
def test_it_is_what_was_shown_and_stays_so(tmp_path: Path, size: int) -> None:
    octets = (b"\xc3\xa9 line\r\n" * (size // 3))[:size].removesuffix(b"\r").ljust(size, b".")
    (tmp_path / "file").write_bytes(b"head" + octets + b"tail")
    with open(tmp_path / "file", "rb") as file:
        made = copies.take(file.fileno(), offer(4, size), 1 << 20)
    (tmp_path / "file").write_bytes(b"changed")
    assert b"".join(made.chunks()) == octets == b"".join(made.chunks())
    assert made.eight_bit == (not octets.isascii())
    made.close()
    assert os.listdir(tmp_path) in (["file"], ["file", "home"], ["home", "file"])


def test_what_is_larger_than_allowed_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(copies.TooBigError):
        copies.take(-1, offer(0, 101), 100)


def test_a_file_that_is_shorter_than_it_says_is_a_lie(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    before = len(os.listdir("/proc/self/fd"))
    for size in (50_000, 200_000):
        with open(tmp_path / "file", "rb") as file, pytest.raises(FrameError, match="shorter"):
            copies.take(file.fileno(), offer(90_000, size), 1 << 20)
    assert len(os.listdir("/proc/self/fd")) == before


def place_of(folder: Path) -> Place:
    """A spool there."""
    made = Place(str(folder))
    made.settle()
    return made


def test_only_an_own_file_with_one_name_on_the_spools_mount_is_fit(tmp_path: Path) -> None:
    path, uid, device = tmp_path / "file", os.getuid(), place_of(tmp_path)
    path.touch()
    with open(path, "rb") as file:
        assert copies.is_fit(file.fileno(), uid, device)
        assert not copies.is_fit(file.fileno(), uid + 1, device)
        assert not copies.is_fit(file.fileno(), uid, place_of(Path("/proc")))
        (tmp_path / "other").hardlink_to(path)
        assert not copies.is_fit(file.fileno(), uid, device)
        (tmp_path / "other").unlink()
        path.unlink()
        assert not copies.is_fit(file.fileno(), uid, device)


def test_what_is_no_file_is_not_fit(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    left, right = socket.socketpair()
    memory = os.memfd_create("memory")
    others = [os.open(tmp_path / "fifo", os.O_RDWR), os.open(tmp_path, os.O_RDONLY), os.open("/dev/null", 0)]
    for fd in (*others, left.fileno(), memory):
        assert not copies.is_fit(fd, os.getuid(), place_of(tmp_path))
    for fd in (*others, memory):
        os.close(fd)
    left.close()
    right.close()


@pytest.mark.parametrize("bad", [b"\n.\r\n", b"\r", b"x\ny\r\n", b"x\ry\r\n", b"x\r\r\n"])
@pytest.mark.parametrize("before", [0, 10, copies.PIECE - 1, copies.PIECE, 2 * copies.PIECE + 3])
def test_what_could_end_the_mail_data_by_itself_is_refused(tmp_path: Path, bad: bytes, before: int) -> None:
    octets = b"x" * before + bad
    (tmp_path / "file").write_bytes(octets)
    count = len(os.listdir("/proc/self/fd"))
    with open(tmp_path / "file", "rb") as file, pytest.raises(BareLineEndError):
        copies.take(file.fileno(), offer(0, len(octets)), 1 << 20)
    assert len(os.listdir("/proc/self/fd")) == count
