"""--hold-for and --deliver-at: which moment is meant."""

from __future__ import annotations

import calendar
import datetime
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.commands.later import days, until
from sendmail_py.errors import UsageError

NOW = calendar.timegm((2026, 11, 24, 10, 0, 0))


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone with summer time: 11:00 there."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-12-31T08:00", "2026-12-31T07:00:00"),
        ("2027-07-01 08:00:30", "2027-07-01T06:00:30"),
        ("2026-12-31T08:00Z", "2026-12-31T08:00:00"),
        ("2026-12-31T08:00:01-0530", "2026-12-31T13:30:01"),
        ("2028-02-29T23:59:59+00:00", "2028-02-29T23:59:59"),
        ("11:01", "2026-11-24T10:01:00"),
        ("11:00", "2026-11-25T10:00:00"),
        ("00:00:01", "2026-11-24T23:00:01"),
        ("@1798700400", "2026-12-31T07:00:00"),
    ],
)
def test_times_as_people_write_them(text: str, utc: str) -> None:
    wanted = calendar.timegm(time.strptime(utc, "%Y-%m-%dT%H:%M:%S"))
    assert until({"deliver-at": text.encode()}, NOW) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *[
            "x",
            "\xe9",
            "25:00",
            "08",
            "2026-12-31",
            "2027-02-29T10:00",
            "2027-02-30T10:00Z",
            "2026-13-01T10:00",
        ],
        *[
            "2026-12-31T10:60",
            "@",
            "@-1",
            "@x",
            "2025-01-01T00:00",
            "2200-01-01T00:00Z",
            "2026-12-31T08:00+1",
        ],
        "2026-12-31T08:00Zx",
    ],
)
def test_what_is_no_time_or_is_over_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--deliver-at"):
        until({"deliver-at": text.encode()}, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30s", 30), ("5m", 300), ("2d", 172800), ("0s", 0)]
)
def test_lengths_of_time_are_those_of_the_configuration(text: str, seconds: int) -> None:
    assert until({"hold-for": text.encode()}, NOW) == NOW + seconds


def test_not_both() -> None:
    with pytest.raises(UsageError, match="exclude"):
        until({"hold-for": b"1m", "deliver-at": b"08:00"}, NOW)


@given(st.dates(datetime.date(1970, 1, 1), datetime.date(2400, 1, 1)))
def test_days_are_those_of_the_calendar(date: datetime.date) -> None:
    assert days(date.year, date.month, date.day) == (date - datetime.date(1970, 1, 1)).days
