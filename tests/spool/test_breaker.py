"""The pauses of smart hosts: kept from run to run, lost without harm."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.spool import breaker, durable
from sendmail_py.spool.breaker import Breaker, Pause
from sendmail_py.spool.tries import LATEST


def facts(pause: Pause | None) -> tuple[int, int, int, str] | None:
    return None if pause is None else (pause.until, pause.count, pause.since, pause.reason)


def test_a_pause_lasts_until_it_is_cleared(tmp_path: Path) -> None:
    one = Breaker(str(tmp_path))
    one.set("isp", Pause(20, 2, 10, "535 no"))
    one.set("other", Pause(30, 1, 10, "down"))
    assert facts(Breaker(str(tmp_path)).get("isp")) == (20, 2, 10, "535 no")
    one.clear("isp")
    again = Breaker(str(tmp_path))
    assert again.get("isp") is None
    assert facts(again.get("other")) == (30, 1, 10, "down")


def test_to_clear_what_is_well_writes_nothing(tmp_path: Path) -> None:
    Breaker(str(tmp_path)).clear("isp")
    assert not (tmp_path / "pauses").exists()


def test_a_reason_stays_one_line(tmp_path: Path) -> None:
    Breaker(str(tmp_path)).set("isp", Pause(1, 1, 1, "a\tb\nother\t9\t9\t9\tx\x1b"))
    known = breaker.read(str(tmp_path))
    assert list(known) == ["isp"]
    assert "\x1b" not in known["isp"].reason


@pytest.mark.parametrize(
    "text", ["", "sendmail-py pauses 2\nisp\t1\t1\t1\tx\n", "junk", "sendmail-py pauses 1\nisp\tx\n"]
)
def test_what_cannot_be_read_is_no_pause(text: str, tmp_path: Path) -> None:
    (tmp_path / "pauses").write_text(text)
    assert breaker.read(str(tmp_path)) == {}


def test_a_time_that_no_clock_shows_ends_within_the_calendar(tmp_path: Path) -> None:
    (tmp_path / "pauses").write_text(f"{breaker.VERSION}\nisp\t{'9' * 400}\t{'9' * 400}\t-{'9' * 400}\tx\n")
    found = breaker.read(str(tmp_path))["isp"]
    assert (found.until, found.count, found.since) == (LATEST, LATEST, -LATEST)


def test_a_full_disk_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "replace", full)
    known = Breaker(str(tmp_path))
    known.set("isp", Pause(1, 1, 1, "x"))
    assert known.get("isp") is not None


def test_no_spool_is_no_pause(tmp_path: Path) -> None:
    assert breaker.read(str(tmp_path / "nothing")) == {}
