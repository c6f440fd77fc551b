"""Times, sizes and counts as people read them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sendmail_py.admin import setting
from sendmail_py.errors import ConfigError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (11520, "3h12m"),
     (86400, "1d"), (86400 + 3600 * 4 + 59, "1d4h"), (86400 * 100, "100d")],
)  # fmt: skip
def test_a_span_has_at_most_two_units(seconds: float, text: str) -> None:
    assert setting.span(seconds) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0"), (1023, "1023"), (1024, "1.0K"), (4200, "4.1K"), (52 << 20, "52M"), (1000 << 10, "1.0M"),
     (5 << 30, "5.0G"), (5000 << 30, "5000G")],
)  # fmt: skip
def test_a_size_has_at_most_three_digits_until_there_is_no_unit_left(octets: int, text: str) -> None:
    assert setting.size(octets) == text


def test_a_moment_is_a_time_today_and_a_date_later() -> None:
    now = time.mktime((2026, 11, 24, 12, 0, 0, 0, 0, 0))
    assert setting.moment(now - 1, now) == "now"
    assert setting.moment(now + 7500, now) == "14:05"
    assert setting.moment(now + 86400 + 7500, now) == "Nov 25 14:05"


def test_counts_one_and_many() -> None:
    assert [setting.count(number) for number in (0, 1, 2)] == ["0 messages", "1 message", "2 messages"]


def test_no_place_for_a_spool_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    found = setting.load(str(tmp_path / "empty.toml"))
    found.queue.directory = ""
    with pytest.raises(ConfigError):
        setting.spool(found)
