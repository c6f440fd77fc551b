"""The limits: a full queue and a full disk refuse a message with 75 before anything is written."""

from __future__ import annotations

import os
import posix
import types
from pathlib import Path

import pytest
from sendmail_py.errors import TemporaryError
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.spool import draft, usage
from sendmail_py.spool.queue import Spool

NOW = 1_795_503_909_000_000_000


def queued(folder: Path, limit: int = 1 << 30, octets: int = 1000) -> str:
    file = draft.begin(str(folder), NOW, limit)
    file.envelope(Envelope(b"me@example.net", [Recipient(b"a@example.org")], NOW / 1e9))
    file.write(b"x" * octets)
    file.commit()
    return file.queue_id


def test_a_full_queue_refuses_and_says_which_limit_it_is(tmp_path: Path) -> None:
    for _ in range(3):
        queued(tmp_path, limit=3500)
    with pytest.raises(TemporaryError, match=r"queue\.max_queue"):
        queued(tmp_path, limit=3000)
    assert len(os.listdir(tmp_path / "queue")) == 3


def test_the_files_are_counted_before_a_message_is_refused(tmp_path: Path) -> None:
    queue_id = queued(tmp_path)
    os.unlink(tmp_path / "queue" / queue_id)
    (tmp_path / "usage").write_bytes(b"99999999999999999999\n")
    queued(tmp_path, limit=2000)
    assert 1000 <= int((tmp_path / "usage").read_bytes()) < 2000


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-5"])
def test_a_lost_counter_does_no_harm(content: bytes, tmp_path: Path) -> None:
    queued(tmp_path)
    (tmp_path / "usage").write_bytes(content)
    queued(tmp_path)
    spool = Spool(str(tmp_path))
    usage.put_right(spool.directory, spool.queue_folder())
    assert 2000 < int((tmp_path / "usage").read_bytes()) < 3000


def test_a_disk_that_is_nearly_full_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = types.SimpleNamespace(f_bavail=1000, f_frsize=4096, f_blocks=10**6)
    monkeypatch.setattr(posix, "fstatvfs", lambda fd: room)
    with pytest.raises(TemporaryError, match="only 4000 KiB are free"):
        queued(tmp_path)
    assert os.listdir(tmp_path / "queue") == []


def test_a_discarded_message_is_not_counted_and_leaves_no_descriptor(tmp_path: Path) -> None:
    queued(tmp_path)
    before = (tmp_path / "usage").read_bytes()
    open_files = len(os.listdir("/proc/self/fd"))
    file = draft.begin(str(tmp_path), NOW, 1 << 30)
    file.write(b"x" * 100_000)
    file.discard()
    file.discard()
    assert (tmp_path / "usage").read_bytes() == before
    assert len(os.listdir("/proc/self/fd")) == open_files
