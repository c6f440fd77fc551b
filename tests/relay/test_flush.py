"""The queue run against a scripted server: what is delivered, what waits, what fails, what is said."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from sendmail_py.spool import durable
from sendmail_py.spool.breaker import Breaker
from sendmail_py.spool.claim import Claim

from relay.flushing import CONTENT, World, received, smarthost
from support.script import Close, Extra, Stall

LOGIN = {"tls": "starttls", "users": {"greg": "secret"}}


def test_delivers_everything_over_one_session(tmp_path: Path) -> None:
    with smarthost(**LOGIN) as host:
        world = World.beside(tmp_path, host)
        for n in range(20):
            world.put(b"r%d@y.example" % n)
        summary = world.flush()
    assert (summary.delivered, summary.deferred, summary.failed, summary.fault) == (20, 0, 0, "")
    assert world.files() == []
    assert (host.connections, host.logins, host.violations) == (1, 1, [])
    assert {message.data for message in host.messages} == {CONTENT}
    assert all(message.tls and message.login == "greg" for message in host.messages)


def test_one_round_trip_per_message_on_an_open_session(tmp_path: Path) -> None:
    trips = {}
    for count in (10, 60):
        with smarthost(**LOGIN, delay=0.002) as host:
            (tmp_path / str(count)).mkdir()
            world = World.beside(tmp_path / str(count), host)
            for n in range(count):
                world.put(b"r%d@y.example" % n, b"s%d@y.example" % n)
            world.flush()
            assert len(host.messages) == count
        trips[count] = host.round_trips
    assert trips[60] - trips[10] == 50


def test_logs_each_recipient_as_mail_log_tools_expect(tmp_path: Path) -> None:
    refusal = {b"RCPT TO:<bad@": b"550 5.1.1 No such user"}
    with smarthost(replies=refusal) as host:
        world = World.beside(tmp_path, host)
        queue_id = world.put(b"good@y.example", b"bad@y.example", sender=b"")
        world.now += 2.5
        world.flush()
    relay = f"relay=127.0.0.1[127.0.0.1]:{host.port}"
    assert f"{queue_id}: from=<>, size=20, nrcpt=2 (queue active)" in world.log
    good = f"{queue_id}: to=<good@y.example>, {relay}, delay=2.5, dsn=2.0.0, status=sent (250 2.0.0 Queued as"
    assert good in world.log
    bad = f"{queue_id}: to=<bad@y.example>, {relay}, delay=2.5, dsn=5.1.1, status=bounced (550 5.1.1 No such"
    assert bad in world.log


def test_each_recipient_has_an_outcome_of_its_own(tmp_path: Path) -> None:
    replies = {b"RCPT TO:<bad@": b"550 5.1.1 No such user", b"RCPT TO:<grey@": b"450 4.2.0 Greylisted"}
    with smarthost(replies=replies) as host:
        world = World.beside(tmp_path, host)
        queue_id = world.put(b"good@y.example", b"bad@y.example", b"grey@y.example")
        summary = world.flush()
        assert (summary.delivered, summary.deferred, summary.failed) == (1, 1, 1)
        attempt = world.queued()[queue_id][b"grey@y.example"]
        assert attempt is not None
        assert (attempt.tries, attempt.status, attempt.smarthost) == (1, "4.2.0", "isp")
        assert attempt.next == int(world.now + 300)
        assert world.flush().deferred == 0  # not due
        world.now += 301
        host.script(b"RCPT TO:<grey@", None)
        assert world.flush().delivered == 1
    assert received(host) == [b"good@y.example", b"grey@y.example"]
    assert list(world.failed()) == [queue_id]
    assert list(world.failed()[queue_id]) == [b"bad@y.example"]
    assert world.files() == []


def test_a_session_that_breaks_after_progress_clears_the_pause(tmp_path: Path) -> None:
    with smarthost(replies={b"greeting": [b"421 busy"], b".": [None, Close()]}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example")
        world.put(b"s@y.example")
        world.flush()
        assert world.paused()
        assert world.flush(force=True).delivered == 1
        assert not world.paused()


def test_a_message_with_a_failed_recipient_goes_to_failed_when_the_rest_is_delivered(tmp_path: Path) -> None:
    refusals = {b"RCPT TO:<bad@": b"550 no", b"RCPT TO:<grey@": [b"450 later"]}
    with smarthost(replies=refusals) as host:
        world = World.beside(tmp_path, host)
        queue_id = world.put(b"bad@y.example", b"grey@y.example")
        world.flush()
        assert queue_id in world.queued()
        world.flush(force=True)
    assert list(world.failed()) == [queue_id]
    assert "moved to failed" in world.log
    assert "removed" not in world.log


def test_retry_times_grow_and_a_lifetime_ends_them(tmp_path: Path) -> None:
    with smarthost(replies={b"RCPT": b"450 4.2.0 Greylisted"}) as host:
        world = World.beside(tmp_path, host)
        queue_id = world.put(b"grey@y.example")
        waits = []
        for _ in range(3):
            world.flush()
            attempt = world.queued()[queue_id][b"grey@y.example"]
            assert attempt is not None
            waits.append(attempt.next - int(world.now))
            world.now = attempt.next + 1
        assert waits == [300, 600, 1200]
        for _ in range(4):  # at once it could be a clock that jumped
            world.now += 3 * 86400
            summary = world.flush()
    assert summary.failed == 1
    failed = world.failed()[queue_id][b"grey@y.example"]
    assert failed is not None
    assert failed.status == "5.4.7"
    assert "Greylisted" in failed.reply


def test_an_old_message_is_tried_several_times_before_it_expires(tmp_path: Path) -> None:
    with smarthost(replies={b"RCPT": b"450 4.2.0 Greylisted"}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"grey@y.example")
        world.now += 30 * 86400
        results = []
        for _ in range(5):
            summary = world.flush(force=True)
            results.append((summary.deferred, summary.failed))
            world.now += 2 * 86400
    assert results == [(1, 0)] * 4 + [(0, 1)]


def test_a_message_that_a_wrong_clock_dated_in_the_future_expires_all_the_same(tmp_path: Path) -> None:
    """It was submitted thirty years ahead; what is seen to go by counts."""
    with smarthost(replies={b"RCPT": b"450 4.2.0 Greylisted"}) as host:
        world = World.beside(tmp_path, host)
        world.now += 30 * 365 * 86400
        queue_id = world.put(b"grey@y.example")
        world.now -= 30 * 365 * 86400
        days = 0.0
        while not world.failed():
            assert days < 7
            world.flush(force=True)
            world.now += 0.25 * 86400
            days += 0.25
    assert days > 4.9
    failed = world.failed()[queue_id][b"grey@y.example"]
    assert failed is not None
    assert "expired after 5." in failed.reply


@pytest.mark.parametrize("years", [-30, 30])
def test_a_clock_that_jumps_by_years_neither_fails_nor_stalls_a_message(years: int, tmp_path: Path) -> None:
    """There and back: one more try each time, no failure, no long wait."""
    with smarthost(replies={b"RCPT": b"450 4.2.0 Greylisted"}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"grey@y.example")
        for step in (0, years, -years, years, -years):
            world.now += step * 365 * 86400 + 14401
            assert (world.flush().deferred, world.failed()) == (1, {})
        host.script(b"RCPT", None)
        world.now += 14401
        assert world.flush().delivered == 1


def test_a_refused_sender_waits_and_the_others_go_on(tmp_path: Path) -> None:
    with smarthost(replies={b"MAIL FROM:<bad@": b"553 5.7.1 not your address"}) as host:
        world = World.beside(tmp_path, host)
        stays = world.put(b"r@y.example", sender=b"bad@x.example")
        world.put(b"s@y.example")
        summary = world.flush()
    assert (summary.delivered, summary.deferred, summary.failed) == (1, 1, 0)
    attempt = world.queued()[stays][b"r@y.example"]
    assert attempt is not None
    assert "sender refused" in attempt.reply


def test_hundreds_of_recipients_go_in_transactions_of_a_hundred(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host)
        world.put(*[b"r%d@y.example" % n for n in range(250)])
        assert world.flush().delivered == 250
    assert [len(message.rcpts) for message in host.messages] == [100, 100, 50]
    assert host.connections == 1


def test_too_many_recipients_go_on_in_further_transactions(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host)
        world.put(*[b"r%d@y.example" % n for n in range(7)])
        for n in (3, 4, 5, 6):
            host.script(b"RCPT TO:<r%d@" % n, [b"452 4.5.3 Too many recipients"])
        summary = world.flush()
    assert (summary.delivered, summary.deferred) == (7, 0)
    assert [[to for to, _ in message.rcpts] for message in host.messages] == [
        [b"r0@y.example", b"r1@y.example", b"r2@y.example"],
        [b"r3@y.example", b"r4@y.example", b"r5@y.example"],
        [b"r6@y.example"],
    ]


def test_too_many_without_progress_is_a_deferral(tmp_path: Path) -> None:
    with smarthost(replies={b"RCPT": b"452 4.5.3 Too many recipients"}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example", b"s@y.example")
        summary = world.flush()
    assert (summary.delivered, summary.deferred) == (0, 2)


def test_a_damaged_file_never_stops_the_others(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host)
        damaged = world.put(b"r@y.example")
        world.put(b"s@y.example")
        path = tmp_path / "spool" / "queue" / damaged
        path.write_bytes(path.read_bytes()[:-20])
        summary = world.flush()
    assert (summary.delivered, summary.damaged) == (1, 1)
    assert received(host) == [b"s@y.example"]
    assert damaged in world.log


def test_stored_content_with_a_bare_line_end_is_never_sent(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host)
        stays = world.put(b"r@y.example", content=b"Subject: x\r\n\r\n\n.\nMAIL FROM:<evil@x.example>\r\n")
        world.put(b"s@y.example")
        summary = world.flush()
    assert (summary.delivered, summary.deferred) == (1, 1)
    assert stays in world.queued()
    assert received(host) == [b"s@y.example"]
    assert not world.paused()


def test_an_address_that_cannot_stand_in_a_command_fails_alone(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host)
        queue_id = world.put(b"bad address@y.example", b"s@y.example")
        summary = world.flush()
    assert (summary.delivered, summary.failed) == (1, 1)
    assert b"bad address@y.example" in world.failed()[queue_id]
    assert not any(b"bad" in command for command in host.commands)


def test_only_what_is_asked_for_and_force(tmp_path: Path) -> None:
    with smarthost(replies={b"RCPT TO:<r@": [b"450 later"]}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example")
        other = world.put(b"s@y.example")
        assert world.flush(only=lambda queue_id, envelope: queue_id != other).deferred == 1
        assert world.flush(only=lambda queue_id, envelope: queue_id != other).delivered == 0
        assert world.flush(only=lambda queue_id, envelope: queue_id != other, force=True).delivered == 1
    assert list(world.queued()) == [other]


def test_messages_never_tried_come_before_those_that_failed(tmp_path: Path) -> None:
    with smarthost(replies={b"RCPT TO:<r@": [b"450 later"]}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example")
        world.flush()
        world.put(b"s@y.example")
        world.flush(force=True)
    assert host.recipients() == [b"s@y.example", b"r@y.example"]


def test_stop_ends_the_run_after_the_message_in_hand(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host)
        for n in range(5):
            world.put(b"r%d@y.example" % n)
        summary = world.flush(stop=lambda: len(host.messages) >= 2)
    assert 2 <= summary.delivered <= 3
    assert len(world.queued()) == 5 - summary.delivered
    assert host.commands[-1] == b"QUIT"
    assert all(attempt is None for one in world.queued().values() for attempt in one.values())


def test_a_session_that_ends_between_messages_is_reopened(tmp_path: Path) -> None:
    with smarthost(**LOGIN) as host:
        world = World.beside(tmp_path, host)
        for n in range(6):
            world.put(b"r%d@y.example" % n)
        host.script(b"MAIL", [None, None, b"421 4.7.0 enough for one session", None, None, Close()])
        summary = world.flush()
    assert (summary.delivered, summary.deferred, summary.fault) == (6, 0, "")
    assert host.connections == 3
    assert len(host.messages) == 6


def test_a_session_without_progress_ends_the_run(tmp_path: Path) -> None:
    with smarthost() as host:
        world = World.beside(tmp_path, host)
        for n in range(5):
            world.put(b"r%d@y.example" % n)
        host.script(b"MAIL", b"421 4.7.0 go away")
        summary = world.flush()
        assert host.connections == 1
        assert "421 4.7.0 go away" in summary.fault
        assert world.paused()
        assert world.flush().delivered == 0  # the breaker
        assert host.connections == 1
    tried = [attempt for one in world.queued().values() for attempt in one.values() if attempt is not None]
    assert len(tried) == 1  # the first one goes behind the others


def test_a_message_that_kills_the_connection_holds_nobody(tmp_path: Path) -> None:
    with smarthost(replies={b"RCPT TO:<poison@": Close()}) as host:
        world = World.beside(tmp_path, host)
        poison = world.put(b"poison@y.example")
        for n in range(3):
            world.put(b"r%d@y.example" % n)
        assert world.flush().delivered == 3
        for _ in range(3):  # nor does it later, when it is alone
            world.now += 14401
            world.flush()
            assert not world.paused()
        world.put(b"r3@y.example")
        assert world.flush().delivered == 1
    assert received(host) == [b"r%d@y.example" % n for n in range(4)]
    assert list(world.queued()) == [poison]


def test_two_messages_that_kill_the_connection_are_the_smart_hosts_fault(tmp_path: Path) -> None:
    with smarthost(replies={b"DATA": Close()}) as host:
        world = World.beside(tmp_path, host)
        for n in range(5):
            world.put(b"r%d@y.example" % n)
        summary = world.flush()
    assert host.connections == 2
    assert world.paused()
    assert (summary.delivered, summary.deferred) == (0, 2)


def test_an_unknown_answer_is_said_and_the_message_stays(tmp_path: Path) -> None:
    with smarthost(replies={b".": [None, Close(accepted=True)]}) as host:
        world = World.beside(tmp_path, host)
        for n in range(3):
            world.put(b"r%d@y.example" % n)
        summary = world.flush()
    assert (summary.delivered, summary.deferred) == (2, 1)
    (waiting,) = [attempt for one in world.queued().values() for attempt in one.values()]
    assert waiting is not None
    assert "answer unknown" in waiting.reply
    assert "answer unknown" in world.log


def test_a_wrong_password_is_tried_once_and_touches_no_message(tmp_path: Path) -> None:
    with smarthost(**LOGIN) as host:
        world = World.beside(tmp_path, host, password="wrong")
        for n in range(5):
            world.put(b"r%d@y.example" % n)
        summary = world.flush()
        world.flush()
        assert "535" in summary.fault
        assert host.auth_attempts == 1
        assert all(attempt is None for one in world.queued().values() for attempt in one.values())
        assert len(world.files()) == 5  # no tries file was written
        world.config.smarthosts[0].password = "secret"
        world.now += 301
        assert world.flush().delivered == 5
    assert not world.paused()


def test_the_pause_grows_with_each_fault(tmp_path: Path) -> None:
    with smarthost(replies={b"greeting": b"554 no"}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example")
        waits = []
        for _ in range(4):
            world.flush(force=True)
            pause = Breaker(world.directory).get("isp")
            assert pause is not None
            waits.append(pause.until - int(world.now))
    assert waits == [300, 600, 1200, 2400]


def test_retry_min_zero_tries_everything_at_every_flush(tmp_path: Path) -> None:
    with smarthost(replies={b"RCPT": [b"450 later"], b"greeting": [b"421 busy"]}) as host:
        world = World.beside(tmp_path, host)
        world.config.queue.retry_min = 0
        world.put(b"r@y.example")
        assert world.flush().fault
        assert world.flush().deferred == 1
        assert world.flush().delivered == 1


def test_the_next_smart_host_is_tried_after_a_fault(tmp_path: Path) -> None:
    with smarthost(replies={b"greeting": b"421 busy"}) as first, smarthost() as second:
        tables = [
            {"name": "first", "port": first.port, "tls": "none"},
            {"name": "second", "port": second.port, "tls": "none"},
        ]
        world = World(tmp_path, *tables)
        for n in range(3):
            world.put(b"r%d@y.example" % n)
        summary = world.flush()
        assert summary.delivered == 3
        assert world.paused("first")
        world.put(b"s@y.example")
        world.flush()
        assert first.connections == 1  # it rests
    assert (second.connections, len(second.messages)) == (2, 4)


def test_the_first_smart_host_is_tried_again_when_its_pause_is_over(tmp_path: Path) -> None:
    with smarthost(replies={b"greeting": [b"421 busy", None]}) as first, smarthost() as second:
        tables = [
            {"name": "first", "port": first.port, "tls": "none"},
            {"name": "second", "port": second.port, "tls": "none"},
        ]
        world = World(tmp_path, *tables)
        for later in (0, 10, 86400):
            world.now += later
            world.put(b"r@y.example")
            assert world.flush().delivered == 1
    assert (len(first.messages), len(second.messages)) == (1, 2)
    assert not world.paused("first")  # its first mail is the end of the story


def test_senders_choose_their_smart_host(tmp_path: Path) -> None:
    with smarthost() as shop, smarthost() as rest:
        tables: list[dict[str, object]] = [
            {
                "name": "shop",
                "port": shop.port,
                "tls": "none",
                "senders": ["*@Shop.example", "boss@x.example"],
            },
            {"name": "rest", "port": rest.port, "tls": "none"},
        ]
        world = World(tmp_path, *tables)
        world.put(b"1@y.example", sender=b"a@shop.example")
        world.put(b"2@y.example", sender=b"a@x.example")
        world.put(b"3@y.example", sender=b"boss@x.example")
        world.put(b"4@y.example", sender=b"")
        assert world.flush().delivered == 4
    assert shop.recipients() == [b"1@y.example", b"3@y.example"]
    assert rest.recipients() == [b"2@y.example", b"4@y.example"]
    assert (shop.connections, rest.connections) == (1, 1)


def test_a_message_that_no_smart_host_is_for_waits_and_says_so_once(tmp_path: Path) -> None:
    with smarthost() as shop:
        world = World(
            tmp_path, {"name": "shop", "port": shop.port, "tls": "none", "senders": ["*@shop.example"]}
        )
        world.put(b"1@y.example", sender=b"a@shop.example")
        stays = world.put(b"2@y.example", sender=b"a@x.example")
        assert world.flush().delivered == 1
        for _ in range(3):
            world.now += 301
            world.flush()
    attempt = world.queued()[stays][b"2@y.example"]
    assert attempt is not None
    assert (attempt.tries, attempt.reply[:39]) == (0, "no smart host is for this sender; see s")
    assert world.log.count("no smart host is for this sender") == 1


def test_two_flushes_at_once_send_each_message_once(tmp_path: Path) -> None:
    with smarthost(delay=0.001) as host:
        world = World.beside(tmp_path, host)
        for n in range(60):
            world.put(b"r%d@y.example" % n)
        threads = [threading.Thread(target=world.flush, kwargs={"trace": None}) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(host.recipients()) == sorted({b"r%d@y.example" % n for n in range(60)})
    assert world.files() == []


def test_a_full_disk_stops_the_run_instead_of_sending_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Claim, states: dict[int, bytes], sync: bool = True) -> None:
        if sync:
            raise OSError(28, "No space left on device")

    def read_only(folder: int, name: str) -> None:
        raise OSError(30, "Read-only file system")

    with smarthost() as host:
        world = World.beside(tmp_path, host)
        for n in range(5):
            world.put(b"r%d@y.example" % n)
        monkeypatch.setattr(Claim, "mark", full)
        monkeypatch.setattr(durable, "remove", read_only)
        summary = world.flush()
    assert "No space left" in summary.fault
    assert "removed" not in world.log
    assert len(host.messages) <= 2
    assert "status=sent" in world.log


def test_where_nothing_can_be_written_the_run_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*arguments: object) -> None:
        raise OSError(30, "Read-only file system")

    with smarthost() as host:
        world = World.beside(tmp_path, host)
        for n in range(5):
            world.put(b"r%d@y.example" % n)
        monkeypatch.setattr(Claim, "take", read_only)
        assert "Read-only file system" in world.flush().fault
    assert world.log.count("Read-only") == 1
    assert host.connections == 0


def no_room(*arguments: object, **keywords: object) -> None:
    """In place of durable.replace: no new file can be written."""
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("reply", [b"450 4.2.0 later", b"550 5.1.1 unknown"])
def test_a_full_disk_holds_nobody_elses_mail(
    reply: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with smarthost(replies={b"RCPT TO:<bad": reply}) as host:
        world = World.beside(tmp_path, host)
        for n in range(3):
            world.put(b"bad%d@y.example" % n)
            world.put(b"good%d@y.example" % n)
        monkeypatch.setattr(durable, "replace", no_room)
        assert world.flush().delivered == 3
        monkeypatch.undo()
    assert len(world.queued() | world.failed()) == 3


def test_a_full_disk_keeps_no_mail_from_the_next_smart_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with smarthost(replies={b"greeting": b"421 go away"}) as one, smarthost() as two:
        tables = [
            {"name": host.name + str(host.port), "port": host.port, "tls": "none"} for host in (one, two)
        ]
        world = World(tmp_path, *tables)
        world.put(b"r@y.example")
        monkeypatch.setattr(durable, "replace", no_room)
        assert world.flush().delivered == 1


def test_a_full_disk_and_a_refused_sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with smarthost(replies={b"MAIL FROM:<bad@": b"550 5.7.1 not you"}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"a@y.example", sender=b"bad@x.example")
        world.put(b"b@y.example")
        monkeypatch.setattr(durable, "replace", no_room)
        assert world.flush().delivered == 1


def test_without_a_smart_host_nothing_is_touched(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(b"r@y.example")
    assert "no smart host" in world.flush().fault
    assert len(world.queued()) == 1


def test_a_stalled_session_ends_within_its_limits_and_the_next_run_delivers(tmp_path: Path) -> None:
    with smarthost(replies={b"DATA": [Stall()]}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r@y.example")
        assert world.flush().deferred == 1
        assert "timed out while waiting for the reply to DATA command" in world.log
        assert world.flush(force=True).delivered == 1


def test_an_extra_reply_is_not_taken_for_the_answer_of_another_message(tmp_path: Path) -> None:
    with smarthost(replies={b"RCPT TO:<r0@": Extra(b"250 ok", b"250 again")}) as host:
        world = World.beside(tmp_path, host)
        world.put(b"r0@y.example")
        world.put(b"r1@y.example")
        summary = world.flush()
    assert "unexpected reply" in world.log
    assert (summary.delivered, summary.deferred) == (1, 1)
    assert received(host) == [b"r1@y.example"]


FLUSH = """
import sys
from sendmail_py import maillog
from sendmail_py.policy import config
from sendmail_py.relay import flush
from sendmail_py.spool.queue import Spool
maillog.configure("/dev/null", "text")
loaded = config.load({"HOME": "/nonexistent", "SENDMAIL_PY_MASQUERADE_DNS": "false"}, sys.argv[1])
flush.run(loaded, Spool(loaded.queue.directory), force=True)
"""


def test_a_killed_flush_loses_nothing_and_repeats_at_most_what_was_in_flight(tmp_path: Path) -> None:
    with smarthost(delay=0.003) as host:
        world = World.beside(tmp_path, host)
        for n in range(60):
            world.put(b"r%d@y.example" % n)
        kills = rounds = 0
        while world.files() and rounds < 100:
            rounds += 1
            enough = len(host.messages) + 1 + kills % 4
            process = subprocess.Popen([sys.executable, "-c", FLUSH, str(tmp_path / "config.toml")])
            while process.poll() is None and len(host.messages) < enough:
                time.sleep(0.0005)
            kills += process.poll() is None
            process.kill()
            process.wait()
        assert world.files() == []
    assert kills > 10
    counts = Counter(host.recipients())
    assert set(counts) == {b"r%d@y.example" % n for n in range(60)}
    assert sum(counts.values()) - 60 <= kills
