"""sendmail --hold-for, --deliver-at: when a message may be sent at the earliest."""

from __future__ import annotations

import time

from sendmail_py.errors import UsageError, printable
from sendmail_py.policy import schema

LATEST = 0xFFFFFFFF  # seconds since the epoch, in the year 2106


def until(given: dict[str, bytes], now: int) -> int:
    """Seconds since the epoch; the values are those of the long options. UsageError."""
    if len(given) > 1:
        raise UsageError("--hold-for and --deliver-at exclude each other")
    name, value = next(iter(given.items()))
    try:
        found = now + span(value) if name == "hold-for" else moment(value.decode("ascii"), now)
        if now <= found <= LATEST:
            return found
        raise UsageError(f"option --{name}: {printable(value, 64)} is in the past, or too far ahead")
    except (ValueError, OverflowError):
        wanted = "30s, 5m, 4h or 5d" if name == "hold-for" else "2026-12-31T08:00, 08:00 or @SECONDS"
        raise UsageError(f"option --{name}: {printable(value, 64)!r} is no time such as {wanted}") from None


def span(value: bytes) -> int:
    """Seconds, as in the configuration; ValueError."""
    return schema.duration(value.decode("ascii"), "")


def moment(text: str, now: int) -> int:
    """A time (RFC 3339 without what is obvious): `2026-12-31T08:00:00+01:00`; or `08:00`, `@1798700400`.

    Without a zone it is that of the caller; without a date it is the next such time. ValueError.
    """
    if text.startswith("@"):
        return natural(text[1:])
    date, _, clock = text.replace(" ", "T").rpartition("T")
    clock, offset = split_zone(clock)
    if not date and offset is None:
        return next_such(time_of_day(clock), now)
    year, month, day = numbers(date, "-", 3, 3)
    hour, minute, second = time_of_day(clock)
    midnight = days(year, month, day) * 86400
    if time.gmtime(midnight)[:3] != (year, month, day):
        raise ValueError
    if offset is None:
        return int(time.mktime((year, month, day, hour, minute, second, 0, 0, -1)))
    return midnight + hour * 3600 + minute * 60 + second - offset


def split_zone(clock: str) -> tuple[str, int | None]:
    """The time of day, and its zone in seconds east of Greenwich, None when it is not given."""
    if clock[-1:] in ("Z", "z"):
        return clock[:-1], 0
    for sign, factor in (("+", 1), ("-", -1)):
        rest, mark, zone = clock.partition(sign)
        if mark:
            hours, minutes = numbers(zone if ":" in zone else f"{zone[:2]}:{zone[2:]}", ":", 2, 2)
            return rest, factor * (hours * 3600 + minutes * 60)
    return clock, None


def time_of_day(clock: str) -> tuple[int, int, int]:
    """Hour, minute and second; ValueError."""
    hour, minute, second = [*numbers(clock, ":", 2, 3), 0][:3]
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError
    return hour, minute, second


def next_such(wanted: tuple[int, int, int], now: int) -> int:
    """The next time that a clock on the wall shows this; ValueError when none does."""
    today = time.localtime(now)
    for day in (today.tm_mday, today.tm_mday + 1):
        found = int(time.mktime((today.tm_year, today.tm_mon, day, *wanted, 0, 0, -1)))
        if found > now:
            return found
    raise ValueError


def days(year: int, month: int, day: int) -> int:
    """Days since the epoch in the Gregorian calendar."""
    early = month < 3  # the year begins in March, so that the leap day is its last
    y, m = year - early, (month + 9) % 12
    return 365 * y + y // 4 - y // 100 + y // 400 + (m * 306 + 5) // 10 + day - 1 - 719_468


def numbers(text: str, between: str, fewest: int, most: int) -> list[int]:
    """Numbers between marks; ValueError unless there are so many."""
    found = [natural(word) for word in text.split(between)]
    if not fewest <= len(found) <= most:
        raise ValueError
    return found


def natural(word: str) -> int:
    """A number in a few digits; ValueError."""
    if not word.isdecimal() or len(word) > 12:
        raise ValueError
    return int(word)
