"""The log never fails or holds what it tells of, whatever its file is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sendmail_py import maillog


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Back to what the tests have."""
    before = (maillog.log.to, maillog.log.form, maillog.log.tag)
    yield
    maillog.close()
    maillog.configure(*before)


@pytest.mark.parametrize("kind", ["missing folder", "folder", "fifo", "full fifo", "link", "full device"])
def test_a_log_that_cannot_be_written_is_passed_over(kind: str, tmp_path: Path) -> None:
    path, reader = tmp_path / "log", -1
    if kind == "missing folder":
        path = tmp_path / "no" / "log"
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/dev/full")
    elif kind == "full device":
        path = Path("/dev/full")
    else:
        os.mkfifo(path)
    if kind == "full fifo":
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    maillog.configure(str(path), "text", "sendmail-py")
    for _ in range(200):
        maillog.notice("x" * 1000)
    if reader >= 0:
        assert b"xxx" in os.read(reader, 65536)
        os.close(reader)
