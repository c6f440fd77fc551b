"""Seats of the flushes in the background: two, given back by whoever closes them, or ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sendmail_py.spool import durable, seats


def test_there_are_two_and_who_closes_one_gives_it_back(tmp_path: Path) -> None:
    first, second = seats.take(str(tmp_path)), seats.take(str(tmp_path))
    assert seats.take(str(tmp_path)) == -1
    os.close(first)
    third = seats.take(str(tmp_path))
    assert third >= 0
    assert seats.take(str(tmp_path)) == -1
    os.close(second)
    os.close(third)


def test_where_no_file_can_be_made_everybody_has_one(tmp_path: Path) -> None:
    taken = [seats.take(str(tmp_path / "nothing")) for _ in range(5)]
    assert min(taken) >= 0
    for fd in taken:
        os.close(fd)


def test_where_locks_do_not_work_everybody_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "lock_if_possible", lambda fd: True)
    taken = [seats.take(str(tmp_path)) for _ in range(5)]
    assert min(taken) >= 0
    for fd in taken:
        os.close(fd)
