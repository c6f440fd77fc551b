"""The tries file: what was tried, in a form that survives anything a server says, and may be lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.spool import tries
from sendmail_py.spool.tries import Try, is_due

ID = "6B0539A4E3DC"
LONGEST = 4 * 3600


def fields(one: Try) -> tuple[object, ...]:
    return (one.tries, one.next, one.last, one.smarthost, one.status, one.reply, one.unknown, one.waited)


@pytest.mark.parametrize(
    ("due", "now", "answer"),
    [
        (0, 1000, True),
        (999, 1000, True),
        (1000, 1000, True),
        (1001, 1000, False),
        (1000 + LONGEST + 1, 1000, False),
        (1000 + LONGEST + 2, 1000, True),  # nobody waits so long: the clock was wrong
        (4_000_000_000, 1000, True),
        (1000, 4_000_000_000, True),
    ],
)
def test_is_due_at_its_time_and_whenever_a_clock_has_jumped(due: int, now: int, answer: bool) -> None:
    assert is_due(due, now, LONGEST) is answer


def test_the_name_says_when_the_first_is_due() -> None:
    assert (
        tries.file_name(ID, {0: Try(1, 0x20, 1, "", "", ""), 1: Try(1, 0x10, 1, "", "", "")})
        == f"{ID}.00000010"
    )
    assert tries.file_name(ID, {}) == f"{ID}.00000000"
    assert tries.file_name(ID, {0: Try(1, 1 << 40, 1, "", "", "")}) == f"{ID}.FFFFFFFF"
    assert tries.file_name(ID, {0: Try(1, -5, 1, "", "", "")}) == f"{ID}.00000000"


numbers = st.integers(0, tries.LATEST)
words = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
times = st.integers(0, tries.LATEST)
attempts = st.builds(Try, numbers, times, times, words, words, words, numbers, numbers)


@given(st.dictionaries(st.integers(-1, 50), attempts, max_size=5))
def test_reads_what_it_wrote(known: dict[int, Try]) -> None:
    read = tries.decode(tries.encode(known))
    assert {index: fields(one) for index, one in read.items()} == {i: fields(one) for i, one in known.items()}


@given(st.text())
def test_no_reply_breaks_a_line(reply: str) -> None:
    """Tabs, line ends, control characters, lone surrogates."""
    encoded = tries.encode({3: Try(1, 2, 3, "isp", "4.0.0", reply), 4: Try(9, 9, 9, "isp", "4.0.0", "ok")})
    assert encoded.count(b"\n") == 3
    assert sorted(tries.decode(encoded)) == [3, 4]


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("0\t1\t2\t3\tisp\t4.0.0\tbusy", True),  # as an earlier version wrote it
        ("0\t1\t2\t3\tisp\t4.0.0\tbusy\t1\t60", True),
        ("0\t1\t2\t3\tisp\t4.0.0", False),
        ("0\t1\t2\tx\tisp\t4.0.0\tbusy", False),
        ("", False),
    ],
)
def test_a_line_that_cannot_be_read_is_left_out(line: str, known: bool) -> None:
    good = "7\t1\t2\t3\tisp\t4.0.0\tbusy\t0\t0"
    found = tries.decode(f"{tries.VERSION}\n{line}\n{good}\n".encode())
    assert sorted(found) == ([0, 7] if known else [7])


@pytest.mark.parametrize("digits", ["9" * 400, "-" + "9" * 400])
@pytest.mark.parametrize("field", [1, 2, 3, 7, 8])
def test_a_number_that_nobody_wrote_is_one_that_can_be_reckoned_with(digits: str, field: int) -> None:
    fields = ["0", "1", "2", "3", "isp", "4.0.0", "busy", "0", "0"]
    fields[field] = digits
    one = tries.decode(f"{tries.VERSION}\n{chr(9).join(fields)}\n".encode())[0]
    assert max(map(abs, (one.tries, one.next, one.last, one.unknown, one.waited))) == tries.LATEST


def test_another_version_counts_as_lost() -> None:
    assert tries.decode(tries.encode({0: Try(1, 2, 3, "", "", "")}).replace(b"tries 1", b"tries 2")) == {}


def test_a_file_that_is_gone_or_no_file_counts_as_lost(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert [tries.read_tries(folder, name) for name in ("nothing", "folder", "link")] == [{}, {}, {}]
    os.close(folder)
