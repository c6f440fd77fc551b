"""Who is told what: reports in the form of RFC 3464, once each; notices; the end of failed mail."""

from __future__ import annotations

import email
import email.policy
import os
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest
from sendmail_py.mail.envelope import Envelope
from sendmail_py.spool import promise, refused
from sendmail_py.spool.claim import Claim
from sendmail_py.spool.queue import Spool

from relay.dying import dying, in_a_process_of_its_own
from relay.flushing import World, smarthost
from support.script import Close
from support.smarthost import USUAL_EXTENSIONS, SmartHost

NO_USER = {b"RCPT TO:<bad": b"550 5.1.1 No such user here"}
CONTENT = b"Subject: hello\r\nFrom: a@x.example\r\n\r\nthe body\r\n"


def world_of(folder: Path, host: SmartHost, **queue: object) -> World:
    """A world that reports."""
    world = World.beside(folder, host)
    world.config.queue.report, world.config.queue.warn_after = "dsn", 4 * 3600
    world.config.identity.domain = "x.example"
    for key, value in queue.items():
        setattr(world.config.queue, key, value)
    return world


def parsed(host: SmartHost, number: int = -1) -> EmailMessage:
    """A message that arrived, by the standard library."""
    found = email.message_from_bytes(host.messages[number].data, policy=email.policy.SMTP)
    assert not found.defects
    return cast(EmailMessage, found)


def blocks(report: EmailMessage) -> list[dict[str, str]]:
    """The groups of fields of the delivery-status part, the first about the message."""
    part = list(report.iter_parts())[1]
    assert part.get_content_type() == "message/delivery-status"
    payload = cast("list[EmailMessage]", part.get_payload())
    return [{name.lower(): str(value) for name, value in block.items()} for block in payload]


def change(**values: object) -> Callable[[Envelope], None]:
    """Set values of the envelope; those of all recipients begin with rcpt_."""

    def apply(envelope: Envelope) -> None:
        for name, value in values.items():
            if name.startswith("rcpt_"):
                for one in envelope.recipients:
                    setattr(one, name[5:], value)
            else:
                setattr(envelope, name, value)

    return apply


def test_a_failure_is_reported_to_the_sender_by_the_null_sender(tmp_path: Path) -> None:
    with smarthost(replies=NO_USER) as host:
        world = world_of(tmp_path, host)
        queue_id = world.put(b"bad1@y.example", b"good@y.example", b"bad2@y.example", content=CONTENT)
        world.flush()
        world.flush()
    assert [(one.mail_from, [to for to, _ in one.rcpts]) for one in host.messages] == [
        (b"a@x.example", [b"good@y.example"]),
        (b"", [b"a@x.example"]),
    ]
    report = parsed(host)
    assert (report["To"], report["Auto-Submitted"]) == ("a@x.example", "auto-replied")
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    about, *people = blocks(report)
    assert about["reporting-mta"].startswith("dns; ")
    assert "arrival-date" in about
    assert [(one["final-recipient"], one["action"], one["status"]) for one in people] == [
        ("rfc822; bad1@y.example", "failed", "5.1.1"),
        ("rfc822; bad2@y.example", "failed", "5.1.1"),
    ]
    assert "smtp; 550 5.1.1 No such user here" in people[0]["diagnostic-code"]
    parts = list(report.iter_parts())
    assert "bad1@y.example" in parts[0].get_content()
    assert queue_id in parts[0].get_content()
    assert parts[2].get_content_type() == "text/rfc822-headers"
    assert "Subject: hello" in str(parts[2].get_payload())
    assert "the body" not in host.messages[-1].data.decode()
    assert world.failed() == {queue_id: {}}  # all are reported
    assert world.files() == []


def test_the_wishes_of_the_submitter_are_honoured(tmp_path: Path) -> None:
    """RET=FULL, ENVID, ORCPT (RFC 3461)."""
    with smarthost(replies=NO_USER) as host:
        world = world_of(tmp_path, host)
        orcpt = b"rfc822;a+2Bb@y.example"
        wish = change(ret=b"FULL", envid=b"QQ+2B1", rcpt_orcpt=orcpt, rcpt_notify=b"FAILURE")
        world.put(b"bad@y.example", content=CONTENT, change=wish)
        world.flush()
        world.flush()
    about, one = blocks(parsed(host))
    assert about["original-envelope-id"] == "QQ+1"
    assert one["original-recipient"] == "rfc822;a+b@y.example"
    original = list(parsed(host).iter_parts())[2]
    assert original.get_content_type() == "message/rfc822"
    assert b"the body" in host.messages[-1].data


@pytest.mark.parametrize("by", ["the-message", "the-configuration"])
def test_a_report_travels_as_safely_as_the_message(by: str, tmp_path: Path) -> None:
    """RFC 8689 5: REQUIRETLS for the report too, and never with the text."""
    with smarthost(tls="starttls", extensions=[*USUAL_EXTENSIONS, "REQUIRETLS"], replies=NO_USER) as host:
        world = world_of(tmp_path, host)
        wish = change(ret=b"FULL", wishes=[b"REQUIRETLS"] if by == "the-message" else [])
        world.config.smarthosts[0].require_tls = by == "the-configuration"
        world.put(b"bad@y.example", content=CONTENT, change=wish)
        world.flush()
        world.flush()
    assert host.messages[-1].mail_from == b""
    assert b"REQUIRETLS" in host.messages[-1].mail_params
    assert b"the body" not in host.messages[-1].data
    assert list(parsed(host).iter_parts())[2].get_content_type() == "text/rfc822-headers"


@pytest.mark.parametrize("notify", [b"NEVER", b"SUCCESS", b"DELAY", b"SUCCESS,DELAY"])
def test_a_failure_that_was_not_asked_for_is_not_reported(notify: bytes, tmp_path: Path) -> None:
    with smarthost(replies=NO_USER) as host:
        world = world_of(tmp_path, host)
        queue_id = world.put(b"bad@y.example", change=change(rcpt_notify=notify))
        world.flush()
    assert host.messages == []
    assert list(world.failed()) == [queue_id]


@pytest.mark.parametrize("sender", [b"", b"root@localhost", b"root@nas.lan", b"a@[127.0.0.1]"])
def test_nobody_is_told_where_nobody_can_be(sender: bytes, tmp_path: Path) -> None:
    with smarthost(replies=NO_USER) as host:
        world = world_of(tmp_path, host)
        queue_id = world.put(b"bad@y.example", sender=sender)
        world.flush()
    assert host.messages == []
    assert list(world.failed()) == [queue_id]


def test_a_report_that_fails_is_not_reported(tmp_path: Path) -> None:
    with smarthost(replies={b"RCPT": b"550 5.1.1 No such user"}) as host:
        world = world_of(tmp_path, host)
        world.put(b"bad@y.example")
        for _ in range(3):
            world.flush()
    assert len(world.failed()) == 2
    assert world.files() == []


def test_one_delay_report_a_message(tmp_path: Path) -> None:
    with smarthost(replies={b"RCPT TO:<grey@": b"450 4.2.0 Greylisted"}) as host:
        world = world_of(tmp_path, host)
        queue_id = world.put(b"grey@y.example")
        for _ in range(8):
            world.now += 2 * 3600
            world.flush(force=True)
        (message,) = host.messages
        report = parsed(host)
        held = world.files()
        assert list(world.queued()) == [queue_id]
        host.script(b"RCPT TO:<grey@", None)
        world.flush(force=True)
    assert (message.mail_from, message.rcpts[0][0]) == (b"", b"a@x.example")
    (one,) = blocks(report)[1:]
    assert (one["action"], one["status"]) == ("delayed", "4.2.0")
    assert "will-retry-until" in one
    assert any(".delay-" in name for name in held)
    assert world.files() == []


@pytest.mark.parametrize(("offered", "reports"), [(False, 1), (True, 0)])
def test_a_relay_report_when_the_server_sends_no_reports_itself(
    offered: bool, reports: int, tmp_path: Path
) -> None:
    extensions = ["PIPELINING", "8BITMIME", *(["DSN"] if offered else [])]
    with smarthost(extensions=extensions) as host:
        world = world_of(tmp_path, host)
        world.put(b"good@y.example", change=change(rcpt_notify=b"SUCCESS,FAILURE"))
        world.flush()
        world.flush()
    assert len(host.messages) == 1 + reports
    if reports:
        assert [one["action"] for one in blocks(parsed(host))[1:]] == ["relayed"]
        assert blocks(parsed(host))[1]["status"] == "2.0.0"
    assert world.files() == []
    assert world.failed() == {}


def test_what_a_server_says_cannot_break_a_report(tmp_path: Path) -> None:
    evil = b"550 5.1.1 \x1b[31m\xff\xfe " + b"x" * 450
    with smarthost(replies={b"RCPT TO:<bad@": evil}) as host:
        world = world_of(tmp_path, host)
        world.put(b"bad@y.example", content=b"Subject: \xc3\xa9\r\n\r\n\xff\r\n", change=change(ret=b"FULL"))
        world.flush()
        world.flush()
    report = parsed(host)
    assert max(map(len, host.messages[-1].data.split(b"\r\n"))) <= 998
    assert b"\x1b" not in host.messages[-1].data
    assert [one["status"] for one in blocks(report)[1:]] == ["5.1.1"]


# --- crashes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipient", [b"bad@y.example", b"good@y.example"])
def test_one_report_wherever_a_run_dies(recipient: bytes, tmp_path: Path) -> None:
    """Of a failure and of a relay; another copy of the message itself only where the answer was lost."""
    at, died = 0, True
    while died:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        with smarthost(replies=NO_USER, extensions=["8BITMIME"]) as host:
            world = world_of(folder, host)
            world.put(recipient, change=change(rcpt_notify=b"SUCCESS,FAILURE"))
            died = dying(world, at)
            for _ in range(3):
                world.now += 5 * 3600
                world.flush()
        got = [one.mail_from for one in host.messages]
        assert got.count(b"") == 1, (at, got)
        assert len(got) <= 3, (at, got)
        with world.spool() as spool:
            spool.listing()
            spool.clean()
        assert world.files() == [], at
    assert at > 20


def test_one_report_though_another_run_had_listed_the_queue_before_one_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, died = 0, True
    while died:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        with smarthost(replies=NO_USER) as host:
            world = world_of(folder, host)
            world.put(b"bad@y.example")
            with world.spool() as spool:
                old = spool.listing()
            died = dying(world, at)
            monkeypatch.setattr(Spool, "listing", lambda self, old=old: list(old))
            world.flush()
            monkeypatch.undo()
            for _ in range(3):
                world.now += 5 * 3600
                world.flush()
        assert [one.mail_from for one in host.messages].count(b"") == 1, at
    assert at > 20


def test_a_full_disk_keeps_the_message_until_it_can_be_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*words: object) -> None:
        raise OSError(28, "No space left on device")

    with smarthost(replies=NO_USER) as host:
        world = world_of(tmp_path, host)
        queue_id = world.put(b"bad@y.example")
        with monkeypatch.context() as patch:
            patch.setattr(promise, "queue", full)
            world.flush()
        assert queue_id in world.queued()
        assert host.messages == []
        assert "cannot be written" in world.log
        for _ in range(2):
            world.flush()
    assert [one.mail_from for one in host.messages] == [b""]
    assert list(world.failed()) == [queue_id]


# --- the owner ----------------------------------------------------------------------------------------------


def test_the_owner_gets_one_notice_an_hour(tmp_path: Path) -> None:
    with smarthost(replies=NO_USER) as host:
        world = world_of(tmp_path, host, report="owner")
        world.config.masquerade.users["*"] = ["greg@isp.example"]
        for n in range(3):
            world.put(b"bad%d@y.example" % n)
        world.flush()
        world.flush()
        assert [one.rcpts[0][0] for one in host.messages] == [b"greg@isp.example"]
        notice = parsed(host)
        assert notice["Subject"] == "3 messages could not be delivered"
        assert all(f"bad{n}@y.example" in notice.get_content() for n in range(3))
        world.put(b"bad3@y.example")
        world.flush()
        world.now += 1800
        world.flush()
        assert len(host.messages) == 1
        world.now += 1801
        world.put(b"good@y.example")
        world.flush()
        world.flush()
    assert "1 message could not" in str(parsed(host)["Subject"])
    assert all(not people for people in world.failed().values())


@pytest.mark.parametrize("days", [0, 1, 29])
def test_failed_messages_are_kept_for_their_lifetime(days: int, tmp_path: Path) -> None:
    with smarthost(replies=NO_USER) as host:
        world = world_of(tmp_path, host, report="none")
        world.put(b"bad@y.example")
        for _ in range(days + 1):
            world.flush()
            world.now += 86400
            world.put(b"good@y.example")
    assert len(world.failed()) == 1


def test_failed_messages_are_removed_at_their_time_but_not_by_a_jump_of_the_clock(tmp_path: Path) -> None:
    with smarthost(replies=NO_USER) as host:
        world = world_of(tmp_path, host, report="none")
        world.put(b"bad@y.example")
        world.flush()
        world.now += 20 * 365 * 86400
        world.put(b"good@y.example")
        world.flush()
        assert len(world.failed()) == 1
        world.now += 86401
        world.put(b"good@y.example")
        world.flush()
    assert world.failed() == {}
    assert os.listdir(world.directory + "/failed") == []


# --- refused senders ----------------------------------------------------------------------------------------

REFUSED = {b"MAIL FROM:<bad@": b"553 5.7.1 not your address"}


def test_a_refused_sender_costs_one_refusal_a_run_and_is_told_once(tmp_path: Path) -> None:
    with smarthost(replies=REFUSED) as host:
        world = world_of(tmp_path, host)
        world.config.masquerade.users["*"] = ["greg@isp.example"]
        for n in range(20):
            world.put(b"r%d@y.example" % n, sender=b"bad@x.example")
        world.put(b"s@y.example")
        summary = world.flush()
        assert (summary.delivered, summary.deferred) == (1, 1)
        assert host.commands.count(b"MAIL FROM:<bad@x.example>") <= 2
        refusals = [one for one in host.commands if one.startswith(b"MAIL FROM:<bad@")]
        for _ in range(3):
            world.flush()
        assert [one for one in host.commands if one.startswith(b"MAIL FROM:<bad@")] == refusals
        world.now += 301
        world.flush()
        world.flush()
        assert len([one for one in host.commands if one.startswith(b"MAIL FROM:<bad@")]) == len(refusals) + 1
    notices = [one for one in host.messages if one.mail_from == b""]
    assert [one.rcpts[0][0] for one in notices] == [b"greg@isp.example"]
    assert world.log.count("refuses the sender") == 1
    assert len(world.queued()) == 20


def test_the_owner_of_a_refused_sender_is_told_once_however_often_the_configuration_is_written(
    tmp_path: Path,
) -> None:
    """Each time it is tried again; when it has no mail any more it is forgotten."""
    with smarthost(replies=REFUSED) as host:
        world = world_of(tmp_path, host)
        world.config.masquerade.users["*"] = ["greg@isp.example"]
        world.config.masquerade.override = "allow"
        world.put(b"r@y.example", sender=b"bad@x.example")
        for n in range(4):
            os.utime(world.config.files[0], (n, n))
            world.flush()
        tried = [one for one in host.commands if one.startswith(b"MAIL FROM:<bad@")]
        assert len(tried) == 4
        world.flush()
        assert [one.rcpts[0][0] for one in host.messages] == [b"greg@isp.example"]
        with world.spool() as spool:
            assert spool.delete(spool.listing()[0])
        os.utime(world.config.files[0], (9, 9))
        world.put(b"s@y.example")
        world.flush()
    assert refused.read(world.directory) == {}


def test_a_refused_sender_whose_mail_was_deleted_is_forgotten_when_the_queue_is_empty(tmp_path: Path) -> None:
    with smarthost(replies=REFUSED) as host:
        world = world_of(tmp_path, host, report="none")
        world.put(b"r@y.example", sender=b"bad@x.example")
        world.flush()
        assert len(refused.read(world.directory)) == 1
        with world.spool() as spool:
            assert spool.delete(spool.listing()[0])
        world.put(b"s@y.example")
        world.flush()
    assert refused.read(world.directory) == {}


def test_changed_rules_are_applied_to_the_messages_of_a_refused_sender(tmp_path: Path) -> None:
    with smarthost(replies=REFUSED) as host:
        world = world_of(tmp_path, host, report="none")
        content = b"From: Bad <bad@x.example>\r\nSubject: x\r\n\r\nbody\r\n"
        ids = [world.put(b"r%d@y.example" % n, sender=b"bad@x.example", content=content) for n in range(3)]
        world.flush()
        assert len(world.queued()) == 3
        world.config.masquerade.users["*"] = ["greg@isp.example"]
        os.utime(world.config.files[0], (1, 1))
        assert world.flush().delivered == 3
    mail = [one for one in host.messages if one.rcpts[0][0].startswith(b"r")]
    assert {one.mail_from for one in mail} == {b"greg@isp.example"}
    assert {one.data for one in mail} == {b"From: Bad <greg@isp.example>\r\nSubject: x\r\n\r\nbody\r\n"}
    assert all(f"{queue_id}: from=<greg@isp.example>, was=<bad@x.example>" in world.log for queue_id in ids)
    assert world.files() == []


def test_a_refused_sender_that_the_server_takes_again_is_forgotten(tmp_path: Path) -> None:
    with smarthost(replies=REFUSED) as host:
        world = world_of(tmp_path, host, report="none")
        for n in range(3):
            world.put(b"r%d@y.example" % n, sender=b"bad@x.example")
        world.flush()
        host.script(b"MAIL FROM:<bad@", None)
        world.now += 14401
        assert world.flush().delivered == 3


# --- throttling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [b"MAIL", b"RCPT", b"DATA", b"."])
def test_a_server_that_wants_less_gets_a_pause_and_no_message_is_the_worse_for_it(
    stage: bytes, tmp_path: Path
) -> None:
    with smarthost() as host:
        world = world_of(tmp_path, host)
        ids = [world.put(b"r%d@y.example" % n) for n in range(6)]
        host.script(stage, b"451 4.7.1 Rate limit exceeded, slow down")
        world.flush()
        assert world.paused()
        assert len(world.queued()) == 6
        assert [world.queued()[one] for one in ids] == [{b"r%d@y.example" % n: None} for n in range(6)]
        assert len([one for one in host.commands if one.startswith(b"MAIL")]) <= 2
        host.script(stage, None)
        world.now += 14401
        assert world.flush().delivered == 6
    assert not world.paused()


# --- the answer that nobody heard ---------------------------------------------------------------------------


def killed_before_the_mark(world: World) -> None:
    """A run that dies when it has the server's 250 and has not written it down."""

    def run() -> None:
        def die(self: Spool, claims: list[Claim], release: object = None) -> None:
            os._exit(1)

        Spool.remove = die  # type: ignore[method-assign]
        for setting in world.config.smarthosts:
            setting.timeout = setting.connect_timeout = 10  # the server answers, however slow the machine is
        world.flush(force=True)

    assert in_a_process_of_its_own(run)


def test_with_hold_a_message_whose_answer_was_lost_waits_for_a_person(tmp_path: Path) -> None:
    with smarthost() as host:
        world = world_of(tmp_path, host, on_unknown="hold")
        queue_id = world.put(b"r@y.example")
        killed_before_the_mark(world)
        for _ in range(3):
            world.now += 5 * 3600
            world.flush(force=True)
    assert len(host.messages) == 1
    assert "answer unknown" in world.log
    assert world.log.count("held") == 1
    with world.spool() as spool:
        listed = spool.read(spool.listing()[0])
    assert listed is not None
    assert (listed.queue_id, listed.envelope.recipients[0].state) == (queue_id, b"U")


def test_with_resend_it_goes_out_again_but_not_a_fourth_time(tmp_path: Path) -> None:
    with smarthost() as host:
        world = world_of(tmp_path, host)
        world.put(b"r@y.example")
        for _ in range(3):
            killed_before_the_mark(world)
        for _ in range(3):
            world.now += 5 * 3600
            world.flush(force=True)
    assert len(host.messages) == 3
    assert len(world.queued()) == 1
    assert "see sendmail-py queue release" in world.log


@pytest.mark.parametrize(("on_unknown", "copies"), [("resend", 3), ("hold", 1)])
def test_a_connection_that_breaks_at_the_final_dot(on_unknown: str, copies: int, tmp_path: Path) -> None:
    with smarthost(replies={b".": Close()}) as host:
        world = world_of(tmp_path, host, on_unknown=on_unknown)
        world.put(b"r@y.example")
        for _ in range(6):
            world.now += 5 * 3600
            world.flush(force=True)
    assert len([one for one in host.commands if one.startswith(b"MAIL FROM:<a@")]) == copies
