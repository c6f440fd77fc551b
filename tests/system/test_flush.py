"""Queue runs by the installed command against a scripted smart host: from the pipe to the server."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from support.certificates import Authority
from support.faults import files, inject, traced
from support.launch import Sandbox, smarthost_table
from support.script import Close
from support.smarthost import SmartHost

BASE = '[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n'
SECRET = "correct horse battery"


def configure(box: Sandbox, host: SmartHost, more: str = "", **keys: object) -> None:
    """Point the sandbox at a smart host without TLS (loopback); every flush tries everything."""
    table = smarthost_table(**{"port": host.port, "tls": "none", **keys})
    box.configure(f'{more}\n{BASE}\n[queue]\nretry_min = "0s"\nretry_max = "0s"\n{table}')


def queue(box: Sandbox, *recipients: str, count: int = 1) -> None:
    """Queue some small messages; their bodies are numbered."""
    for number in range(count):
        done = box.run("sendmail", "-f", "me@example.net", *recipients, stdin=b"Subject: x\n\n%d\n" % number)
        assert (done.returncode, done.stderr) == (0, b"")


def bodies(host: SmartHost) -> list[int]:
    """The numbers of the messages that arrived."""
    return [int(one.data.rpartition(b"\r\n\r\n")[2]) for one in host.messages]


def flush(box: Sandbox, *words: str) -> None:
    """A silent, successful run, as cron would see it."""
    done = box.run("sendmail", "-q", *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_message_goes_from_the_pipe_to_the_server_over_tls_with_a_login(sandbox: Sandbox) -> None:
    """STARTTLS with a verified certificate, AUTH, the envelope, the content, an empty queue."""
    authority = Authority()
    context = authority.server_context("smarthost.example.net")
    with SmartHost(tls="starttls", users={"greg": SECRET}, authority=authority, context=context) as host:
        (sandbox.folder / "ca.pem").write_text(host.ca_pem)
        secret = sandbox.folder / "secret"
        secret.write_text(SECRET + "\n")
        secret.chmod(0o600)
        configure(
            sandbox,
            host,
            tls="starttls",
            user="greg",
            password_file=str(secret),
            ca_file=str(sandbox.folder / "ca.pem"),
            verify_name="smarthost.example.net",
        )
        queue(sandbox, "a@example.org", "b@example.org")
        flush(sandbox)
    (message,) = host.messages
    assert (message.mail_from, message.tls, message.login) == (b"me@example.net", True, "greg")
    assert [address for address, _ in message.rcpts] == [b"a@example.org", b"b@example.org"]
    assert message.data.endswith(b"Subject: x\r\n\r\n0\r\n")
    assert host.violations == []
    assert sandbox.queue() == []
    assert files(sandbox.spool / "queue") == []
    assert SECRET not in sandbox.log()
    assert sandbox.log().count("status=sent") == 2


def test_many_messages_take_one_session_and_one_round_trip_each(sandbox: Sandbox) -> None:
    """Greeting and EHLO, then a round trip per message; the farewell waits for nobody."""
    with SmartHost() as host:
        configure(sandbox, host)
        queue(sandbox, "a@example.org", count=20)
        flush(sandbox)
    assert sorted(bodies(host)) == list(range(20))
    assert host.connections == 1
    assert host.round_trips <= 20 + 4


def test_two_flushes_at_once_send_every_message_once(sandbox: Sandbox) -> None:
    """Claims."""
    with SmartHost(delay=0.01) as host:
        configure(sandbox, host)
        queue(sandbox, "a@example.org", count=30)
        runs = [sandbox.start("sendmail", "-q") for _ in range(3)]
        for run in runs:
            assert run.communicate(timeout=60)[1] == b""
    assert sorted(bodies(host)) == list(range(30))
    assert sandbox.queue() == []


def test_a_dead_smart_host_costs_one_try_and_no_message(sandbox: Sandbox) -> None:
    """Everything stays; mailq and the log name the step; the pause is kept."""
    with SmartHost() as host:
        port = host.port
    table = smarthost_table(port=port, tls="none")
    sandbox.configure(f"{BASE}\n{table}")
    queue(sandbox, "a@example.org", count=3)
    flush(sandbox)
    rows = sandbox.queue()
    assert len(rows) == 3
    assert all("Connection refused" in row["recipients"][0]["delay_reason"] for row in rows)
    assert f"127.0.0.1:{port}" in sandbox.log() or f"]:{port}" in sandbox.log()
    before = sandbox.log()
    flush(sandbox)
    assert sandbox.log() == before


def test_a_wrong_password_is_tried_once_and_never_shown(sandbox: Sandbox) -> None:
    """No bounce, no second login, no secret anywhere."""
    with SmartHost(users={"greg": "other"}, login_required=True) as host:
        configure(sandbox, host, user="greg", password=SECRET)
        queue(sandbox, "a@example.org", count=5)
        done = sandbox.run("sendmail", "-q", "-v")
    assert host.auth_attempts == 1
    assert len(sandbox.queue()) == 5
    shown = done.stdout + done.stderr + sandbox.log().encode() + sandbox.run("mailq").stdout
    assert SECRET.encode() not in shown
    assert b"535" in shown


@pytest.mark.parametrize("stage", [b"greeting", b"EHLO", b"MAIL", b"RCPT", b"DATA", b"."])
@pytest.mark.parametrize("reply", [b"421 4.3.2 closing", b"451 4.3.0 not now", Close()])
def test_temporary_trouble_at_any_stage_keeps_every_message(
    sandbox: Sandbox, stage: bytes, reply: bytes | Close
) -> None:
    """And the next run, on a healthy server, delivers each exactly once."""
    with SmartHost(replies={stage: [reply, reply, reply, reply]}) as host:
        configure(sandbox, host)
        queue(sandbox, "a@example.org", count=2)
        flush(sandbox)
        first = bodies(host)
        for _ in range(6):
            flush(sandbox)
    assert sorted(bodies(host)) == [0, 1]
    assert len(first) < 2 or reply == b"451 4.3.0 not now"
    assert files(sandbox.spool / "failed") == []


def test_recipients_are_judged_one_by_one(sandbox: Sandbox) -> None:
    """Delivered, deferred, failed in one message; the failed one is kept in failed/ at the end."""
    refusals: dict[bytes, object] = {
        b"RCPT TO:<bad@": b"550 5.1.1 No such user",
        b"RCPT TO:<busy@": [b"450 4.2.1 Busy"],
    }
    sandbox.environ["SENDMAIL_PY_QUEUE_REPORT"] = "none"
    with SmartHost(replies=refusals) as host:  # type: ignore[arg-type]
        configure(sandbox, host)
        queue(sandbox, "good@example.org", "bad@example.org", "busy@example.org")
        flush(sandbox)
        (row,) = sandbox.queue()
        assert [one["address"] for one in row["recipients"]] == ["busy@example.org"]
        flush(sandbox)
    assert [address for one in host.messages for address, _ in one.rcpts] == [
        b"good@example.org",
        b"busy@example.org",
    ]
    assert sandbox.queue() == []
    shown = sandbox.run("sendmail-py", "queue", "list", "--failed").stdout
    assert b"bad@example.org" in shown
    assert b"5.1.1 No such user" in shown


def test_selects_messages_by_id_recipient_and_sender(sandbox: Sandbox) -> None:
    """-qI, -qR, -qS and their negation."""
    with SmartHost() as host:
        configure(sandbox, host)
        for sender, recipient in (("s1@example.net", "a@one.example"), ("s2@example.net", "b@two.example")):
            sandbox.run("sendmail", "-f", sender, recipient, stdin=b"\n0\n")
        sandbox.run("sendmail", "-q", "-qRthree.example")
        assert host.messages == []
        sandbox.run("sendmail", "-qStwo", "-qRtwo")
        assert host.messages == []
        sandbox.run("sendmail", "-q!Ss2")
        assert [one.mail_from for one in host.messages] == [b"s1@example.net"]
        (row,) = sandbox.queue()
        sandbox.run("sendmail", f"-qI{row['queue_id']}")
    assert [one.mail_from for one in host.messages] == [b"s1@example.net", b"s2@example.net"]


def test_delivery_now_relays_while_the_caller_waits(sandbox: Sandbox) -> None:
    """Silent, exit 0; and -odq only queues."""
    with SmartHost() as host:
        configure(sandbox, host, more='delivery = "now"')
        queue(sandbox, "a@example.org")
        assert len(host.messages) == 1
        sandbox.run("sendmail", "-odq", "a@example.org", stdin=b"\n1\n")
        assert len(host.messages) == 1
    queue(sandbox, "a@example.org")
    assert len(sandbox.queue()) == 2


def test_delivery_in_the_background_keeps_nobody_waiting(sandbox: Sandbox) -> None:
    """The caller has its exit status, and its pipes are closed, before the server has answered."""
    with SmartHost(delay=0.5) as host:
        configure(sandbox, host, more='delivery = "background"')
        start = time.monotonic()
        queue(sandbox, "a@example.org")
        assert time.monotonic() - start < 1.0
        assert until(lambda: len(host.messages) == 1)
        assert until(lambda: sandbox.queue() == [])


def until(condition: Callable[[], bool]) -> bool:
    """Whether it came true within 20 seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_flush_that_is_killed_at_any_call_loses_nothing(sandbox: Sandbox) -> None:
    """Three messages, kill -9 at every call that changes something; the next runs deliver the rest."""
    with SmartHost() as host:
        configure(sandbox, host)
        queue(sandbox, "a@example.org", count=3)
        changing = ("pwrite64", "fdatasync", "unlinkat", "unlink", "sendto", "fsync", "flock", "write")
        command = ["sendmail", "-q"]
        calls = [one for one in traced(sandbox, command, b"", str(sandbox.spool)) if one.name in changing]
        assert sorted(bodies(host)) == [0, 1, 2]
        assert len(calls) > 10
        tried = 0
        for call in calls:
            host.messages.clear()
            queue(sandbox, "a@example.org", count=3)
            inject(sandbox, command, b"", call, "signal=SIGKILL")
            for _ in range(2):
                flush(sandbox)
            seen = Counter(bodies(host))
            assert set(seen) == {0, 1, 2}, call.text
            assert sum(seen.values()) <= 4, call.text  # at most the one whose answer was not yet written down
            assert files(sandbox.spool / "queue") == [], call.text
            assert files(sandbox.spool / "failed") == [], call.text
            tried += 1
        assert tried > 10


def test_nothing_due_opens_no_connection(sandbox: Sandbox) -> None:
    """An empty queue, or one whose messages wait for their next try."""
    with SmartHost(replies={b"RCPT": b"450 4.2.1 Busy"}) as host:
        table = smarthost_table(port=host.port, tls="none")
        sandbox.configure(f'{BASE}\n[queue]\nretry_min = "1h"\n{table}')
        flush(sandbox)
        assert host.connections == 0
        queue(sandbox, "a@example.org")
        flush(sandbox)
        flush(sandbox)
        assert host.connections == 1
    assert sandbox.queue()[0]["recipients"][0]["delay_reason"].startswith("450")


def test_without_a_smart_host_the_mail_waits_and_the_flush_says_why(sandbox: Sandbox) -> None:
    """EX_CONFIG and one line."""
    sandbox.configure(BASE)
    queue(sandbox, "a@example.org")
    done = sandbox.run("sendmail", "-q")
    assert done.returncode == 78
    assert b"smart host" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert len(sandbox.queue()) == 1
