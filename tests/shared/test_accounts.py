"""Subordinate uids are their account's, and nothing in the file can make trouble."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.shared import accounts
from sendmail_py.shared.accounts import Accounts


@pytest.mark.parametrize(
    ("uid", "account"),
    [
        (0, 0),
        (1000, 1000),
        (99_999, 99_999),
        (100_000, 100_000),
        (165_535, 100_000),
        (165_536, 165_536),
        (231_071, 165_536),
        (231_072, 231_072),
        (1 << 31, 1 << 31),
    ],
)
def test_a_range_is_one_account(uid: int, account: int) -> None:
    lines = [b"eve:165536:65536\n", b"adam:100000:65536\n"]
    assert Accounts(lines).of(uid) == account


def test_lines_that_are_none_are_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    path.write_bytes(b"# text\n\nadam:x:1\nadam:-5:1\n:::\nadam:1:2:3\n\xff\xff:70000:10\nadam:90000:10")
    known = accounts.read(str(path))
    assert [known.of(uid) for uid in (1, 70_005, 90_009)] == [1, 70_000, 90_000]
    assert accounts.read(str(tmp_path / "none")).of(5) == 5
