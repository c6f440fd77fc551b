"""The policy: what each reply and each fault means, and when it is tried again."""

from __future__ import annotations

import random

import pytest
from sendmail_py.relay import transaction, trouble
from sendmail_py.relay.faults import (
    ContentFault,
    EarlyReplyFault,
    LoginFault,
    ProtocolFault,
    RefusedFault,
    TransportFault,
)
from sendmail_py.relay.outcome import AGAIN, DEFERRED, DELIVERED, FAILED, Outcome
from sendmail_py.relay.reply import Reply
from sendmail_py.relay.transaction import DATA, END, MAIL, RCPT, UNSENT, Verdict
from sendmail_py.spool import tries

JUDGEMENTS = [
    (END, 250, b"2.0.0 queued", DELIVERED, "2.0.0"),
    (END, 250, b"", DELIVERED, "2.0.0"),
    (END, 299, b"", DELIVERED, "2.0.0"),
    (END, 452, b"4.3.1 full", DEFERRED, "4.3.1"),
    (END, 421, b"", DEFERRED, "4.0.0"),
    (END, 554, b"5.7.1 spam", FAILED, "5.7.1"),
    (END, 552, b"", FAILED, "5.0.0"),
    (DATA, 451, b"", DEFERRED, "4.0.0"),
    (DATA, 554, b"no valid recipients", FAILED, "5.0.0"),
    (RCPT, 550, b"5.1.1 unknown", FAILED, "5.1.1"),
    (RCPT, 550, b"", FAILED, "5.1.0"),
    (RCPT, 450, b"4.2.0 greylisted", DEFERRED, "4.2.0"),
    (RCPT, 452, b"4.5.3 too many", AGAIN, "4.5.3"),
    (RCPT, 452, b"", AGAIN, "4.5.3"),
    (RCPT, 552, b"5.5.3 too many", AGAIN, "4.5.3"),
    (RCPT, 552, b"", AGAIN, "4.5.3"),
    (RCPT, 452, b"4.2.2 mailbox full", DEFERRED, "4.2.2"),
    (RCPT, 552, b"5.2.2 mailbox full", FAILED, "5.2.2"),
    (MAIL, 451, b"4.3.0 later", DEFERRED, "4.3.0"),
    (MAIL, 552, b"too big", FAILED, "5.3.4"),
    (MAIL, 552, b"5.3.4 too big", FAILED, "5.3.4"),
    (MAIL, 554, b"5.3.4 too big", FAILED, "5.3.4"),
    (MAIL, 550, b"5.7.1 not your address", DEFERRED, "4.7.1"),
    (MAIL, 553, b"", DEFERRED, "4.1.0"),
    (MAIL, 501, b"5.1.7 bad sender", DEFERRED, "4.1.7"),
    (RCPT, 500, b"unknown command", DEFERRED, "4.5.0"),
    (RCPT, 500, b"5.5.2 line too long", DEFERRED, "4.5.2"),
    (RCPT, 502, b"5.5.1 not implemented", DEFERRED, "4.5.1"),
    (RCPT, 503, b"5.5.1 need MAIL", DEFERRED, "4.5.1"),
    (RCPT, 503, b"5.7.0 authentication first", DEFERRED, "4.7.0"),
    (RCPT, 500, b"5.7.1 spam", FAILED, "5.7.1"),
    (RCPT, 503, b"5.1.1 unknown", FAILED, "5.1.1"),
    (RCPT, 501, b"5.1.3 bad syntax", FAILED, "5.1.3"),
    (RCPT, 501, b"bad syntax", FAILED, "5.1.0"),
    (RCPT, 504, b"5.1.2 no such domain", FAILED, "5.1.2"),
    (DATA, 503, b"bad sequence of commands", DEFERRED, "4.5.0"),
    (DATA, 500, b"5.6.0 no", FAILED, "5.6.0"),
    (END, 503, b"5.5.1 bad sequence", DEFERRED, "4.5.1"),
    (END, 500, b"rejected", FAILED, "5.0.0"),
    (UNSENT, 552, b"5.3.4 too big", FAILED, "5.3.4"),
    (UNSENT, 553, b"5.6.7 no SMTPUTF8", FAILED, "5.6.7"),
]


@pytest.mark.parametrize(("phase", "code", "text", "kind", "status"), JUDGEMENTS)
def test_a_reply_means(phase: str, code: int, text: bytes, kind: str, status: str) -> None:
    found = trouble.judge(Verdict(phase, Reply(code, [text])))
    assert (found.kind, found.status) == (kind, status)
    assert str(code) in found.text


@pytest.mark.parametrize("code", range(200, 560))
@pytest.mark.parametrize("phase", [MAIL, RCPT, DATA, END])
def test_the_first_digit_decides_and_4yz_never_fails_a_message(phase: str, code: int) -> None:
    if code // 100 == 3:
        return
    found = trouble.judge(Verdict(phase, Reply(code, [b""])))
    assert (found.kind == DELIVERED) == (code < 300)
    assert not (found.kind == FAILED and code < 500)


@pytest.mark.parametrize("code", [530, 535, 538])
def test_a_missing_login_at_mail_is_no_fault_of_the_message(code: int) -> None:
    assert trouble.is_login_missing(Reply(code, [b""]))


STOPPED = [
    (transaction.OFFERED, TransportFault("lost connection"), DEFERRED, "4.4.2", "lost"),
    (transaction.OFFERED, RefusedFault("closing", Reply(421, [b"4.3.2 bye"])), DEFERRED, "4.3.2", "closing"),
    (transaction.CONTENT, TransportFault("timed out"), DEFERRED, "4.4.2", "timed"),
    (transaction.CONTENT, EarlyReplyFault("big", Reply(552, [b"5.3.4 no"])), DEFERRED, "4.4.2", "big"),
    (transaction.CONTENT, EarlyReplyFault("bye", Reply(421, [b""])), DEFERRED, "4.4.2", "bye"),
    (transaction.CONTENT, EarlyReplyFault("ok?", Reply(250, [b""])), DEFERRED, "4.4.2", "ok"),
    (transaction.CONTENT, ContentFault("cannot read"), DEFERRED, "4.3.0", "read"),
    (transaction.ENDED, TransportFault("lost connection"), DEFERRED, "4.4.2", "answer unknown"),
    (transaction.ENDED, ProtocolFault("nonsense"), DEFERRED, "4.4.2", "answer unknown"),
]


@pytest.mark.parametrize(("stage", "fault", "kind", "status", "word"), STOPPED)
def test_a_fault_in_a_transaction_means(
    stage: str, fault: TransportFault, kind: str, status: str, word: str
) -> None:
    found = trouble.interrupted(stage, fault)
    assert (found.kind, found.status) == (kind, status)
    assert word in found.text


@pytest.mark.parametrize(
    ("stage", "first", "judged", "fault", "blamed"),
    [
        (transaction.OFFERED, True, 0, TransportFault(""), True),
        (transaction.OFFERED, True, 1, TransportFault(""), False),
        (transaction.OFFERED, False, 0, TransportFault(""), False),
        (transaction.CONTENT, True, 5, TransportFault(""), True),
        (transaction.ENDED, True, 5, TransportFault(""), True),
        (transaction.OFFERED, True, 0, LoginFault(""), False),
    ],
)
def test_who_is_to_blame(stage: str, first: bool, judged: int, fault: TransportFault, blamed: bool) -> None:
    assert trouble.is_to_blame(stage, first, judged, fault) == blamed


@pytest.mark.parametrize("random", [0.0, 0.5, 0.999999])
@pytest.mark.parametrize("tries", [1, 2, 3, 5, 10, 1000])
@pytest.mark.parametrize(("shortest", "longest"), [(300, 14400), (0, 0), (0, 14400), (60, 60), (1, 2)])
def test_the_wait_stays_between_its_bounds(tries: int, shortest: int, longest: int, random: float) -> None:
    assert shortest <= trouble.wait(tries, shortest, longest, lambda: random) <= longest


def test_the_wait_doubles() -> None:
    waits = [trouble.wait(tries, 300, 14400, lambda: 0.0) for tries in range(1, 9)]
    assert waits == [300, 600, 1200, 2400, 4800, 9600, 10800, 10800]


def test_retry_min_zero_means_at_once_every_time() -> None:
    assert [trouble.wait(n, 0, 14400, lambda: 0.9) for n in range(1, 20)] == [0] * 19


@pytest.mark.parametrize(
    ("age", "tries", "waited", "expired"),
    [
        (6 * 86400, 3, 6 * 86400, True),
        (6 * 86400, 3, 2.5 * 86400, True),
        (6 * 86400, 2, 6 * 86400, False),
        (6 * 86400, 3, 2.4 * 86400, False),
        (4 * 86400, 100, 4 * 86400, False),
        (-86400, 100, 6 * 86400, True),
        (-86400, 100, 4 * 86400, False),
        (-30 * 365 * 86400, 100, 6 * 86400, True),
        (50 * 365 * 86400, 100, 86400, False),
    ],
)
def test_expires_by_the_clock_by_tries_and_by_what_was_seen_of_the_wait(
    age: float, tries: int, waited: float, expired: bool
) -> None:
    assert trouble.is_expired(1e9, 5 * 86400, tries, waited, 1e9 + age) == expired


@pytest.mark.parametrize(
    ("step", "counted"),
    [(600, 600), (0, 0), (-1e9, 0), (2 * 86400, 0.625 * 86400), (6 * 86400, 6750), (1e9, 6750)],
)
def test_a_step_of_the_wait_counts_for_an_eighth_of_the_lifetime_at_most_and_a_jump_for_less(
    step: float, counted: float
) -> None:
    assert trouble.waited_until(100, 1e9, 1e9 + step, 5 * 86400) == 100 + counted


@pytest.mark.parametrize("lifetime", [0, 1, 3, 60, 600])
@pytest.mark.parametrize("step", [1, 5, 30])
def test_a_short_lifetime_ends_too(lifetime: int, step: int) -> None:
    waited, tries = 0, 0
    while not trouble.is_expired(1e9, lifetime, tries, waited, 1e9 + step * tries):
        waited = int(trouble.waited_until(waited, 1e9, 1e9 + step, lifetime))
        tries += 1
        assert tries < lifetime / step + 5


@pytest.mark.parametrize("seed", range(20))
def test_years_back_and_forth_fail_nothing_early(seed: int) -> None:
    """Half of the lifetime is gone in truth, too, before anything fails."""
    draw = random.Random(seed)  # noqa: S311
    real, shift, last, waited, tries, lifetime = 0.0, 0.0, 1.8e9, 0.0, 0, 5 * 86400.0
    while not trouble.is_expired(1.8e9, lifetime, tries, waited, last):
        real += 3600
        if draw.random() < 0.05:
            shift = draw.uniform(-30, 30) * 365 * 86400
        now = 1.8e9 + real + shift
        waited, last, tries = trouble.waited_until(waited, last, now, lifetime), now, tries + 1
    assert lifetime / 2.5 < real < lifetime * 2


THROTTLING = [
    (450, "4.7.28 Our system has detected an unusual rate of unsolicited mail", True),
    (451, "4.7.1 Rate limit exceeded, slow down", True),
    (454, "4.7.0 Too many messages, try again later", True),
    (450, "4.7.1 Sending limit reached", True),
    (451, "4.7.1 Throttled", True),
    (450, "4.2.1 The user is receiving mail at a rate that exceeds the limit", False),
    (450, "4.2.0 Greylisted", False),
    (451, "4.7.1 Greylisting in action, please come back later", False),
    (452, "4.3.1 Too many messages", False),
    (451, "4.3.0 Temporary local problem", False),
]


@pytest.mark.parametrize(("code", "text", "throttling"), THROTTLING)
def test_a_reply_about_our_rate_is_told_from_one_about_the_message(
    code: int, text: str, throttling: bool
) -> None:
    found = trouble.judge(Verdict(transaction.RCPT, Reply(code, [text.encode()])))
    assert (found.kind, found.cause == "throttled") == (DEFERRED, throttling)


def test_an_expired_recipient_keeps_the_last_reason() -> None:
    found = trouble.expired(Outcome(DEFERRED, "4.2.0", "450 greylisted"), 6 * 86400)
    assert (found.kind, found.status) == (FAILED, "5.4.7")
    assert "450 greylisted" in found.text


@pytest.mark.parametrize(
    ("due", "is_due"), [(0, True), (1000, True), (1001, False), (1000 + 14400, False), (1000 + 20000, True)]
)
def test_due_times_of_a_clock_that_jumped_count_as_due(due: float, is_due: bool) -> None:
    assert tries.is_due(due, 1000, 14400) == is_due
