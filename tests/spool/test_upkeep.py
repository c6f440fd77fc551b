"""What a flush owes besides mail, asked cheaply."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sendmail_py.spool import refused, upkeep
from sendmail_py.spool.refused import Refusal
from sendmail_py.spool.tries import LATEST

NOW = 1_795_503_909.0


def at(folder: Path, name: str, seconds: float) -> None:
    upkeep.touch(str(folder / name), NOW + seconds)


def test_a_refusal_with_a_time_that_no_clock_shows_can_be_reckoned_with(tmp_path: Path) -> None:
    (tmp_path / "refused").write_text(f"{refused.VERSION}\nisp\ta@x\t{'9' * 400}\t1\t-{'9' * 400}\t0\tno\n")
    found = refused.read(str(tmp_path))["isp", "a@x"]
    assert (found.until, found.since) == (LATEST, -LATEST)


@pytest.mark.parametrize(
    ("owed", "noticed", "due"),
    [
        (None, None, False),
        (-5, None, True),
        (-5, -3599, False),
        (-5, -3600, True),
        (-5, 86400, True),  # the clock was set back
        (None, -7200, False),
    ],
)
def test_a_notice_an_hour(owed: float | None, noticed: float | None, due: bool, tmp_path: Path) -> None:
    for name, seconds in (("owed", owed), ("noticed", noticed)):
        if seconds is not None:
            at(tmp_path, name, seconds)
    assert upkeep.is_notice_due(str(tmp_path), NOW) is due
    assert upkeep.is_due(str(tmp_path), [], "owner", NOW) is due
    assert not upkeep.is_due(str(tmp_path), [], "dsn", NOW)


def test_a_look_at_old_failures_a_day_if_there_can_be_any(tmp_path: Path) -> None:
    assert not upkeep.is_expiry_due(str(tmp_path), NOW)
    (tmp_path / "failed").mkdir()
    assert upkeep.is_expiry_due(str(tmp_path), NOW)
    at(tmp_path, "expired", -86399)
    assert not upkeep.is_expiry_due(str(tmp_path), NOW)
    at(tmp_path, "expired", -86400)
    assert upkeep.is_expiry_due(str(tmp_path), NOW)
    at(tmp_path, "expired", 10)
    assert upkeep.is_expiry_due(str(tmp_path), NOW)


def test_a_changed_configuration_counts_when_a_sender_was_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("x")
    files = [str(file)]
    assert not upkeep.are_rules_new(str(tmp_path), files)
    refused.write(str(tmp_path), {("isp", "a@x"): Refusal(1, 1, 1, refused.rules_of(files), "no")})
    assert not upkeep.are_rules_new(str(tmp_path), files)
    os.utime(file, (1, 1))
    assert upkeep.are_rules_new(str(tmp_path), files)


def test_touch_makes_and_moves_a_time(tmp_path: Path) -> None:
    for seconds in (5, 9):
        at(tmp_path, "x", seconds)
        assert upkeep.changed(str(tmp_path / "x")) == NOW + seconds
    assert upkeep.changed(str(tmp_path / "nothing")) == 0
