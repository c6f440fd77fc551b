"""What is due, from names and from what is remembered of them: never less than there is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.spool import due
from sendmail_py.spool.due import Horizon
from sendmail_py.spool.queue import FOREVER, Spool, Waiting, add_beside
from sendmail_py.spool.tries import is_due

NOW = 0x6B053A00
LONGEST = 4 * 3600
ID = f"{NOW << 16:012X}"
OTHER = f"{(NOW << 16) + 1:012X}"


def at(seconds: int) -> str:
    return f"{seconds:08X}"


@pytest.mark.parametrize(
    ("names", "quiet"),
    [
        ([], True),
        ([ID], False),
        ([f"{ID}.{at(NOW - 1)}", ID], False),
        ([f"{ID}.{at(NOW)}", ID], False),
        ([ID, f"{ID}.{at(NOW + 1)}"], True),
        ([ID, f"{ID}.{at(NOW + LONGEST + 2)}"], False),
        ([ID, OTHER, f"{ID}.{at(NOW + 9)}"], False),
        ([ID, f"{OTHER}.{at(NOW + 9)}"], False),
        ([ID, f"{ID}.hold"], True),
        ([ID, f"{ID}.hold", OTHER], False),
        ([ID, f"{ID}.hold-{at(NOW + 9 * LONGEST)}"], True),
        ([ID, f"{ID}.hold-{at(NOW)}"], False),
        ([ID, f"{ID}.hold", f"{ID}.{at(NOW - 9)}"], True),
        ([ID, f"{ID}.{at(NOW + 9)}", f"{ID}.delay-{OTHER}"], True),
        ([f"digest-{OTHER}-{ID}"], False),
        (["not an id at", "neither is this one.0"], False),
    ],
)
def test_what_is_due_shows_in_the_names(names: list[str], quiet: bool) -> None:
    assert due.find(names).is_quiet(NOW, LONGEST) is quiet


beside = st.sampled_from(["", ".hold", ".0", ".delay-", ".hold-"])
times = st.integers(NOW - 5, NOW + LONGEST + 5)


@given(st.lists(st.tuples(st.integers(0, 6), beside, times, st.booleans()), max_size=12), times)
def test_agrees_with_the_listing_whenever_it_says_that_nothing_is_due(
    rows: list[tuple[int, str, int, bool]], now: int
) -> None:
    names: set[str] = set()
    for number, what, seconds, alone in rows:
        queue_id = f"{(NOW << 16) + number:012X}"
        if not alone:
            names.add(queue_id)
        tail = {".0": f".{at(seconds)}", ".delay-": f".delay-{ID}", ".hold-": f".hold-{at(seconds)}"}
        names.add(queue_id + tail.get(what, what))
    found: dict[str, Waiting] = {name: Waiting(name) for name in names if len(name) == 12}
    for name in names - found.keys():
        if name[:12] in found:
            add_beside(found[name[:12]], name)
    quiet = not any(is_due(one.next, now, LONGEST) and not one.is_held(now) for one in found.values())
    if due.find(list(names)).is_quiet(now, LONGEST):
        assert quiet


def test_a_clock_that_was_set_back_ends_the_trust_in_a_hold() -> None:
    found = due.find([ID, f"{ID}.hold-{at(NOW + 9)}"])
    assert found.is_quiet(NOW, LONGEST)
    assert not found.is_quiet(NOW - 400 * 86400, LONGEST)
    assert due.find([ID, f"{ID}.hold"]).is_quiet(NOW - 400 * 86400, LONGEST)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """A queue with one message that waits, long unchanged."""
    queue = tmp_path / "queue"
    queue.mkdir()
    for name in (ID, f"{ID}.{at(int(time.time()) + 600)}"):
        (queue / name).touch()
    os.utime(queue, (1, 1))
    fd = os.open(queue, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_what_was_found_is_remembered_until_the_folder_changes(folder: int, tmp_path: Path) -> None:
    now = time.time()
    assert due.recall(str(tmp_path), folder, now) is None
    found = due.look(str(tmp_path), folder, now)
    known = due.recall(str(tmp_path), folder, now + 1)
    assert known is not None
    assert (known.first, known.last) == (found.first, found.last)
    (tmp_path / "queue" / OTHER).touch()
    assert due.recall(str(tmp_path), folder, now + 1) is None


def test_a_folder_that_has_just_changed_is_not_remembered(folder: int, tmp_path: Path) -> None:
    """A second change in the same tick of the file system's clock would not show."""
    (tmp_path / "queue" / OTHER).write_bytes(b"")
    (tmp_path / "queue" / OTHER).unlink()
    due.look(str(tmp_path), folder, time.time())
    assert not [name for name in os.listdir(tmp_path) if "due" in name]


@pytest.mark.parametrize("seconds", [-1, 3601, 10 * 365 * 86400])
def test_what_is_remembered_is_not_believed_for_long_nor_by_another_clock(
    folder: int, tmp_path: Path, seconds: int
) -> None:
    now = int(time.time())
    due.look(str(tmp_path), folder, now)
    assert due.recall(str(tmp_path), folder, now + seconds) is None


JUNK = [b"", b"junk", b"sendmail-py due 1\n1 2 3\n", b"sendmail-py due 2\n1 2 3 4\n\n"]


@pytest.mark.parametrize("content", JUNK)
def test_what_cannot_be_read_is_not_known(folder: int, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "due").write_bytes(content)
    assert due.recall(str(tmp_path), folder, 2) is None


def test_leftovers_are_never_remembered(folder: int, tmp_path: Path) -> None:
    """So that the next flush tidies up."""
    (tmp_path / "queue" / f".{OTHER}").touch()
    os.utime(tmp_path / "queue", (1, 1))
    assert not due.look(str(tmp_path), folder, time.time()).tidy
    assert not (tmp_path / "due").exists()


def test_a_hold_for_ever_is_never_due() -> None:
    assert due.find([ID, f"{ID}.hold"]).first >= FOREVER
    assert Horizon(FOREVER, 0).is_quiet(1 << 39, LONGEST)
    assert Spool("/nonexistent").listing() == []
