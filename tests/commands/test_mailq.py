"""mailq: the layout of Postfix, and what monitoring tools read of it."""

from __future__ import annotations

import errno
import json
import re
import sys
from pathlib import Path

import pytest
from sendmail_py.commands.mailq import as_text, everything, summary
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.maillog import json_line
from sendmail_py.spool import absorb, refused, steering
from sendmail_py.spool.breaker import Breaker, Pause
from sendmail_py.spool.queue import Listed, Spool
from sendmail_py.spool.refused import Refusal
from sendmail_py.spool.tries import Try

from support.launch import Sandbox, smarthost_table


def listed(*recipients: Recipient, size: int = 292, sender: bytes = b"alice@example.net") -> Listed:
    """A message of Mon Nov 23 15:19:55 UTC 2026."""
    envelope = Envelope(sender, list(recipients), 1795447195.5)
    return Listed("42D721921EA0", envelope, size, {}, (0, 0))


def test_prints_the_layout_of_postfix() -> None:
    """Id at column 1, size, date, sender at column 42, reasons before their recipients."""
    message = listed(Recipient(b"one@example.org", state=b"D"), Recipient(b"two@example.org"))
    reason = "connect to 127.0.0.1[127.0.0.1]:2525: Connection refused"
    message.tries = {1: Try(1, 0, 0, "isp", "4.4.1", reason)}
    assert as_text(message, "deferred", "") == (
        "42D721921EA0    292 Mon Nov 23 15:19:55  alice@example.net\n"
        "                   (connect to 127.0.0.1[127.0.0.1]:2525: Connection refused)\n"
        "                                         two@example.org\n"
        "\n"
    )


@pytest.mark.parametrize(("state", "start"), [("active", "42D721921EA0*"), ("hold", "42D721921EA0!")])
def test_the_status_letter_follows_the_id(state: str, start: str) -> None:
    """Sender and recipients stay in their column."""
    line = as_text(listed(Recipient(b"a@b.example")), state, "").split("\n")[0]
    assert line.startswith(start)
    assert line.index("alice@") == 41


def test_nothing_but_ids_and_the_header_starts_at_column_one_with_a_digit() -> None:
    """`mailq | grep -c '^[A-F0-9]'` counts messages, also with reasons that are too long."""
    message = listed(Recipient(b"a@b.example"), sender=b"")
    message.tries = {0: Try(1, 0, 0, "isp", "4.0.0", "A" * 200)}
    lines = as_text(message, "deferred", "").split("\n")
    assert [line for line in lines if re.match(r"[A-F0-9]", line)] == [lines[0]]
    assert "MAILER-DAEMON" in lines[0]
    assert lines[1].startswith("(AAAA")


def test_a_reason_stands_once_above_its_recipients() -> None:
    """Recipients with the same reason stand together."""
    message = listed(*[Recipient(name + b"@b.example") for name in (b"a", b"b", b"c")])
    message.tries = {0: Try(1, 0, 0, "x", "4", "busy"), 2: Try(1, 0, 0, "x", "4", "busy")}
    text = as_text(message, "deferred", "")
    assert text.count("(busy)") == 1
    assert text.index("b@b.example") < text.index("(busy)") < text.index("a@b.example")


@pytest.mark.parametrize(
    ("messages", "octets", "line"),
    [
        (0, 0, "Mail queue is empty\n"),
        (1, 1023, "-- 0 Kbytes in 1 Request.\n"),
        (3, 2048, "-- 2 Kbytes in 3 Requests.\n"),
    ],
)
def test_the_summary_is_what_check_mailq_looks_for(messages: int, octets: int, line: str) -> None:
    """The last line, word for word."""
    assert summary(messages, octets) == line


def test_an_empty_queue_says_so_in_one_line(sandbox: Sandbox) -> None:
    """And JSON says nothing."""
    assert sandbox.run("mailq").stdout == b"Mail queue is empty\n"
    assert sandbox.run("sendmail", "-bp").stdout == b"Mail queue is empty\n"
    assert sandbox.run("mailq", "--json").stdout == b""


def test_json_has_the_keys_of_postqueue(sandbox: Sandbox) -> None:
    """One object per line, with the fault of the smart host as the reason."""
    sandbox.configure(smarthost_table(port=25, name="isp", tls="none"))
    done = sandbox.run("sendmail", "-f", "", "a@example.org", '"q\\"uote"@example.org', stdin=b"\nx\n")
    assert done.returncode == 0
    Breaker(str(sandbox.spool)).set("isp", Pause(2**31, 1, 0, "login refused"))
    (row,) = sandbox.queue()
    assert list(row) == [
        "queue_name", "queue_id", "arrival_time", "message_size", "forced_expire", "sender", "recipients",
    ]  # fmt: skip
    assert row["queue_name"] == "deferred"
    assert row["forced_expire"] is False
    assert row["sender"] == "MAILER-DAEMON"
    assert row["recipients"][0] == {"address": "a@example.org", "delay_reason": "login refused"}
    assert row["recipients"][1]["address"] == '"q\\"uote"@example.org'


def test_a_message_that_is_being_sent_has_a_star(sandbox: Sandbox) -> None:
    """And mailq does not disturb the flush that has it."""
    sandbox.run("sendmail", "a@example.org", stdin=b"\nx\n")
    spool = Spool(str(sandbox.spool))
    claim = spool.claim(spool.listing()[0])
    assert claim is not None
    line = sandbox.run("mailq").stdout.split(b"\n")[1]
    assert line.startswith(claim.queue_id.encode() + b"* ")
    claim.release()


def test_a_damaged_file_does_not_hide_the_others(sandbox: Sandbox) -> None:
    """One line on stderr, the rest on stdout."""
    sandbox.run("sendmail", "a@example.org", stdin=b"\nx\n")
    (sandbox.spool / "queue" / "000000000000").write_bytes(b"junk")
    done = sandbox.run("mailq")
    assert done.returncode == 0
    assert b"a@example.org" in done.stdout
    assert done.stderr.count(b"\n") == 1
    assert b"000000000000" in done.stderr


def test_a_plain_file_in_place_of_failed_costs_one_line(sandbox: Sandbox) -> None:
    """The queue is listed, and its last line is what monitoring tools read."""
    sandbox.run("sendmail", "a@example.org", stdin=b"\nx\n")
    (sandbox.spool / "failed").write_text("")
    done = sandbox.run("mailq")
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1)
    assert b"failed: Not a directory" in done.stderr
    assert done.stdout.endswith(b"\n\n-- 0 Kbytes in 1 Request.\n")


def test_operands_are_refused(sandbox: Sandbox) -> None:
    """As dma does: 64."""
    assert sandbox.run("mailq", "x").returncode == 64


def test_a_reader_that_has_seen_enough_is_no_fault(sandbox: Sandbox) -> None:
    """`mailq | head -1`."""
    for _ in range(50):
        sandbox.run("sendmail", *[f"user{n}@example.org" for n in range(200)], stdin=b"\nx\n")
    process = sandbox.start("mailq")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"-Queue ID-")
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")


def test_json_lines_are_json(tmp_path: Path) -> None:
    """Whatever octets an address holds."""
    ugly = 'a"b\\c\x7f\u2028é\udcff\x01'
    assert json.loads(json_line([("k", ugly), ("n", 3), ("l", [])])) == {
        "k": ugly.replace("\udcff", "\ufffd"),
        "n": 3,
        "l": [],
    }


def test_held_messages_refused_senders_unknown_answers_and_failures_show(sandbox: Sandbox) -> None:
    """The letter !, the reasons, and how many have failed."""
    sandbox.configure('[queue]\non_unknown = "hold"\n' + smarthost_table(port=9, tls="none"))
    for sender in ("held", "refused", "unknown", "failed"):
        done = sandbox.run("sendmail", "-f", f"{sender}@example.net", "to@example.org", stdin=b"\nx\n")
        assert (done.returncode, done.stderr) == (0, b"")
    spool = Spool(str(sandbox.spool))
    held, _, unknown, failed = spool.listing()
    steering.hold(spool, held)
    reply = "sender refused: 553 not yours"
    refusal = Refusal(4_000_000_000, 1, 1, "0", reply)
    refused.write(spool.directory, {("here", "refused@example.net"): refusal})
    for waiting, state in ((unknown, b"U"), (failed, b"F")):
        claim = spool.claim(waiting)
        assert claim is not None
        claim.mark({0: state})
        spool.finish(claim)
    rows = {row["sender"].partition("@")[0]: row for row in sandbox.queue()}
    assert {name: row["queue_name"] for name, row in rows.items()} == {
        "held": "hold",
        "refused": "deferred",
        "unknown": "hold",
    }
    assert rows["refused"]["recipients"][0]["delay_reason"] == reply
    assert rows["unknown"]["recipients"][0]["delay_reason"].startswith("answer unknown")
    text = sandbox.run("mailq").stdout.decode()
    assert f"\n{held.queue_id}! " in "\n" + text
    assert text.splitlines()[-2] == "(1 failed: see sendmail-py queue list --failed)"
    assert text.splitlines()[-1].endswith("3 Requests.")


def test_reports_that_failed_are_counted_apart(sandbox: Sandbox) -> None:
    for sender in ("", "me@example.net"):
        sandbox.run("sendmail", "-f", sender, "to@example.org", stdin=b"\nx\n")
    spool = Spool(str(sandbox.spool))
    for waiting in spool.listing():
        claim = spool.claim(waiting)
        assert claim is not None
        claim.mark({0: b"F"})
        spool.finish(claim)
    line = "2 failed, 1 of them undeliverable reports"
    assert f"({line}: see sendmail-py queue list --failed)\n" in sandbox.run("mailq").stdout.decode()
    assert (
        f"{line.replace('2 failed', '2 messages failed')}; see"
        in sandbox.run("sendmail-py", "queue", "list").stdout.decode()
    )
    assert (
        "1 of them reports that nobody got"
        in sandbox.run("sendmail-py", "doctor", "--offline").stdout.decode()
    )


@pytest.mark.parametrize("command", [["mailq"], ["sendmail-py", "queue", "list"]])
def test_messages_that_a_digest_had_hidden_are_shown(sandbox: Sandbox, command: list[str]) -> None:
    """A flush died while it made the digest `.RID`: whoever looks next puts them back."""
    sandbox.configure(smarthost_table(host="127.0.0.1", port=9))
    for _ in range(2):
        sandbox.run("sendmail", "-f", "a@x.example", "r@y.example", stdin=b"\nbody\n")
    folder = sandbox.spool / "queue"
    first, second = sorted(one.name for one in folder.iterdir())
    digest = f"{int(second, 16) + 9:012X}"
    (folder / f".{digest}").write_bytes((folder / first).read_bytes())
    (folder / first).rename(folder / f"digest-{digest}-{first}")
    shown = sandbox.run(*command)
    assert shown.stderr == b""
    assert first.encode() in shown.stdout
    assert second.encode() in shown.stdout
    assert sorted(one.name for one in folder.iterdir()) == [first, second]


def test_what_cannot_be_put_back_is_told(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.configure(smarthost_table(host="127.0.0.1", port=9))
    sandbox.run("sendmail", "-f", "a@x.example", "r@y.example", stdin=b"\nbody\n")
    spool = Spool(str(sandbox.spool))
    queue_id = spool.listing()[0].queue_id
    name = f"digest-{int(queue_id, 16) + 9:012X}-{queue_id}"
    (sandbox.spool / "queue" / queue_id).rename(sandbox.spool / "queue" / name)
    (sandbox.spool / "queue" / f".{name[7:19]}").write_bytes(b"")
    said: list[str] = []
    monkeypatch.setattr(absorb, "recover", unwritable)
    monkeypatch.setattr(sys.stderr, "write", said.append)
    assert list(everything(spool, "mailq")) == []
    assert said == ["mailq: messages of an unfinished digest are not shown: Read-only file system\n"]
    monkeypatch.undo()


def unwritable(spool: Spool) -> bool:
    raise OSError(errno.EROFS, "Read-only file system")
