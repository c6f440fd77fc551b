"""sendmail-py queue: what waits and what failed, shown and deleted, without disturbing a flush."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sendmail_py.admin import setting
from sendmail_py.admin.cli import cli
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.spool import draft
from sendmail_py.spool.breaker import Breaker, Pause
from sendmail_py.spool.queue import Spool
from sendmail_py.spool.tries import Try

HEADER = b"From: Greg <greg@example.net>\r\nSubject: a\x1b[31mred\r\n\tfolded\r\n"
CONTENT = HEADER + b"\r\nbody with \x07 and \xff\r\n.\r\nend\r\n"


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    config = tmp_path / "config.toml"
    settings = f'[[smarthost]]\nname = "isp"\nhost = "127.0.0.1"\n[log]\nto = "{tmp_path}/log"\n'
    config.write_text(settings + f'[queue]\ndirectory = "{tmp_path}/spool"\n')
    monkeypatch.setenv("SENDMAIL_PY_CONFIG", str(config))
    return Spool(str(tmp_path / "spool"))


def submit(spool: Spool, *recipients: bytes, content: bytes = CONTENT, age: float = 0) -> str:
    created = time.time() - age
    envelope = Envelope(b"greg@example.net", [Recipient(one) for one in recipients], created)
    envelope.login, envelope.uid = b"greg", 1000
    file = draft.begin(spool.directory, int(created * 1e9))
    file.envelope(envelope)
    file.write(content)
    file.commit()
    return file.queue_id


def attempt(spool: Spool, queue_id: str, state: bytes, reply: str, due: int = 0) -> None:
    """Play a flush: every recipient gets this state and this reply."""
    waiting = next(one for one in spool.listing() if one.queue_id == queue_id)
    claim = spool.claim(waiting)
    assert claim is not None
    indices = range(len(claim.envelope.recipients))
    claim.defer({index: Try(5, due, int(time.time()), "isp", "4.7.0", reply) for index in indices})
    if state != b"T":
        claim.mark(dict.fromkeys(indices, state))
    spool.finish(claim)
    spool.settle()


def queue(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(cli, ["queue", *arguments], input=answer)


def ids(spool: Spool) -> list[str]:
    return [one.queue_id for one in spool.listing()]


@pytest.mark.parametrize(
    ("options", "text"),
    [((), "the queue is empty\n"), (("--failed",), "no failed messages\n"), (("--json",), "")],
)
def test_an_empty_queue_is_said_to_be_empty_and_no_spool_is_made(
    spool: Spool, options: tuple[str, ...], text: str
) -> None:
    result = queue("list", *options)
    assert (result.exit_code, result.stdout, result.stderr) == (0, text, "")
    assert not os.path.exists(spool.directory)


def test_lists_a_row_for_each_recipient_with_its_last_reply(spool: Spool) -> None:
    queue_id = submit(spool, b"ops@example.org", b"all@example.org", age=3 * 3600 + 12 * 60)
    attempt(spool, queue_id, b"T", "454 4.7.0 Too many logins", int(time.time()) + 90000)
    head, first, second = queue("list").stdout.splitlines()
    assert head.split() == ["ID", "AGE", "SIZE", "TRIES", "NEXT", "FROM", "TO", "/", "LAST", "REPLY"]
    assert first.split()[:4] == [queue_id, "3h12m", str(len(CONTENT)), "5"]
    assert first.endswith("greg@example.net  ops@example.org  454 4.7.0 Too many logins")
    assert second.startswith(" " * len(queue_id))
    assert second.endswith(" " * 10 + "all@example.org  454 4.7.0 Too many logins")


def test_leaves_out_recipients_that_have_their_copy(spool: Spool) -> None:
    queue_id = submit(spool, b"done@example.org", b"wait@example.org")
    claim = spool.claim(spool.listing()[0])
    assert claim is not None
    claim.mark({0: b"D"})
    claim.release()
    result = queue("list")
    assert "wait@example.org" in result.stdout
    assert "done@example.org" not in result.stdout
    assert "done@example.org> delivered" in queue("show", queue_id).stdout


def test_says_which_smart_host_is_left_alone_and_why(spool: Spool) -> None:
    submit(spool, b"ops@example.org")
    now = int(time.time())
    Breaker(spool.directory).set("isp", Pause(now + 600, 2, now, "535 5.7.8 bad password\x1b[m"))
    last = queue("list").stdout.splitlines()[-1]
    assert last.startswith("smart host isp is left alone until ")
    assert last.endswith(": 535 5.7.8 bad password\\x1b[m")


def test_what_the_sender_rules_changed_is_shown(spool: Spool) -> None:
    file = draft.begin(spool.directory, time.time_ns())
    envelope = Envelope(b"greg@example.net", [Recipient(b"a@example.org")], time.time())
    envelope.original, envelope.rule = b"root@nas.lan", b"users"
    envelope.changes = [(b"from", b"domain", b"www@nas.lan", b"www@example.net")]
    file.envelope(envelope)
    file.write(b"Subject: x\r\n\r\n")
    file.commit()
    lines = queue("show", file.queue_id).stdout.splitlines()
    assert "        was <root@nas.lan>, changed by the rule users" in lines
    assert "header  from: <www@example.net> was <www@nas.lan>, changed by the rule domain" in lines


def test_a_plain_file_in_place_of_failed_costs_one_line(spool: Spool) -> None:
    queue_id = submit(spool, b"a@example.org")
    with open(f"{spool.directory}/failed", "w"):
        result = queue("list")
    assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
    assert "failed: Not a directory" in result.stderr
    assert queue_id in result.stdout


def test_failed_messages_are_counted_and_listed_with_the_reason(spool: Spool) -> None:
    queue_id = submit(spool, b"nobody@example.org")
    attempt(spool, queue_id, b"F", "550 5.1.1 no such user")
    assert queue("list").stdout.splitlines()[-1] == "1 message failed; see sendmail-py queue list --failed"
    assert (
        queue("list", "--failed")
        .stdout.splitlines()[-1]
        .endswith("failed  greg@example.net  nobody@example.org  550 5.1.1 no such user")
    )


def test_a_damaged_message_is_listed_with_what_is_wrong_and_stops_nothing(spool: Spool) -> None:
    bad, good = submit(spool, b"a@example.org"), submit(spool, b"b@example.org")
    Path(spool.directory, "queue", bad).write_bytes(b"nonsense")
    result = queue("list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == [bad, good]
    assert "no queue file" in result.stdout
    assert "cannot be read: no queue file" in queue("show", bad).stdout
    assert CliRunner().invoke(cli, ["queue", "show", bad, "--raw"]).stdout_bytes == b"nonsense"


def test_a_damaged_message_among_the_failed_ones_keeps_its_reason(spool: Spool) -> None:
    bad = submit(spool, b"a@example.org")
    path = Path(spool.directory, "queue", bad)
    path.write_bytes(path.read_bytes().replace(b"Subject", b"Sabject"))
    claimed = Spool(spool.directory)
    with pytest.raises(Exception, match="checksum"):
        claimed.claim(claimed.listing()[0])
    row = json.loads(queue("list", "--failed", "--json").stdout)
    assert row["queue_id"] == bad
    assert "failed" in row["queue_name"]


def test_json_has_a_line_for_each_message_and_the_keys_of_postqueue(spool: Spool) -> None:
    queue_id = submit(spool, b"ops@example.org")
    attempt(spool, queue_id, b"T", "454 4.7.0 \x1b[31mno", 12345)
    submit(spool, b"two@example.org")
    first, second = [json.loads(line) for line in queue("list", "--json").stdout.splitlines()]
    assert first["queue_name"] == "deferred"
    assert first["queue_id"] == queue_id
    assert first["sender"] == "greg@example.net"
    assert first["message_size"] == len(CONTENT)
    assert first["recipients"] == [
        {
            "address": "ops@example.org",
            "state": "waiting",
            "tries": 5,
            "next_try": 12345,
            "last_try": first["recipients"][0]["last_try"],
            "delay_reason": "isp: 454 4.7.0 \\x1b[31mno",
        }
    ]
    assert second["recipients"][0]["tries"] == 0


def test_shows_envelope_tries_and_header_and_nothing_that_steers_a_terminal(spool: Spool) -> None:
    queue_id = submit(spool, b"ops@example.org")
    attempt(spool, queue_id, b"T", "454 4.7.0 later", int(time.time()) + 600)
    result = queue("show", queue_id.lower())
    assert result.exit_code == 0
    assert f"id      {queue_id}\nstate   waiting\n" in result.stdout
    assert "user    greg (uid 1000)\nfrom    <greg@example.net>\n" in result.stdout
    assert "to      <ops@example.org> waiting, 5 tries, the last " in result.stdout
    assert "\n        isp: 454 4.7.0 later\n" in result.stdout
    assert result.stdout.endswith(
        "\n\nFrom: Greg <greg@example.net>\nSubject: a\\x1b[31mred\n        folded\n"
    )


def test_shows_who_was_the_sender_before_the_rules(spool: Spool) -> None:
    envelope = Envelope(b"greg@example.net", [Recipient(b"a@example.org", b"NEVER")], time.time())
    envelope.original, envelope.rule, envelope.body = b"root@host", b"users", b"8BITMIME"
    file = draft.begin(spool.directory, time.time_ns())
    file.envelope(envelope)
    file.commit()
    text = queue("show", file.queue_id).stdout
    assert "was <root@host>, changed by the rule users" in text
    assert "body    8BITMIME" in text
    assert "notify NEVER" in text


def test_shows_the_body_on_request_printable(spool: Spool) -> None:
    text = queue("show", "--body", submit(spool, b"ops@example.org")).stdout
    assert text.endswith("\n\nbody with \\x07 and \\xff\n.\nend\n")


@pytest.mark.parametrize(
    "content", [CONTENT, b"", HEADER, b"X: " + b"y" * 200_000 + b"\r\n\r\n" + b"z\r\n" * 70_000]
)
def test_raw_is_the_message_octet_for_octet(spool: Spool, content: bytes) -> None:
    queue_id = submit(spool, b"ops@example.org", content=content)
    assert queue("show", queue_id, "--raw").stdout_bytes == content
    assert queue("show", queue_id).exit_code == 0
    assert queue("show", queue_id, "--body").exit_code == 0


@pytest.mark.parametrize("command", ["show", "delete"])
@pytest.mark.parametrize(
    "queue_id", ["0123456789AB", "../../etc/pw", "", "x", "0123456789ABCDEF", "ID\n\x1b[31m"]
)
def test_a_message_that_does_not_exist_costs_one_line(spool: Spool, command: str, queue_id: str) -> None:
    submit(spool, b"ops@example.org")
    result = queue(command, queue_id)
    assert result.exit_code == 65
    assert result.stdout == ""
    assert result.stderr.startswith("sendmail-py: ")
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr


def test_deletes_a_message_and_what_belongs_to_it(spool: Spool, tmp_path: Path) -> None:
    keep, queue_id = submit(spool, b"keep@example.org"), submit(spool, b"ops@example.org")
    attempt(spool, queue_id, b"T", "454 later")
    result = queue("delete", "--yes", queue_id, queue_id)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "deleted 1 message\n", "")
    assert os.listdir(Path(spool.directory, "queue")) == [keep]
    assert (
        f"{queue_id}: from=<greg@example.net>, status=deleted (by sendmail-py)"
        in (tmp_path / "log").read_text()
    )


def test_deletes_a_failed_message_by_its_id_with_its_replies(spool: Spool) -> None:
    queue_id = submit(spool, b"ops@example.org")
    attempt(spool, queue_id, b"F", "550 no")
    assert queue("delete", "--yes", queue_id).exit_code == 0
    assert os.listdir(Path(spool.directory, "failed")) == []


def test_all_means_the_queue_or_the_failed_messages(spool: Spool) -> None:
    failed = submit(spool, b"failed@example.org")
    attempt(spool, failed, b"F", "550 no")
    submit(spool, b"a@example.org")
    submit(spool, b"b@example.org")
    assert queue("delete", "--all", "--yes").stdout == "deleted 2 messages\n"
    assert (ids(spool), [one.queue_id for one in spool.failed()]) == ([], [failed])
    assert queue("delete", "--all", "--failed", "--yes").stdout == "deleted 1 message\n"
    assert spool.failed() == []
    assert queue("delete", "--all", "--yes").stdout == "there is nothing to delete\n"


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 2), ("\n", 2)])
def test_asks_with_the_count_before_it_deletes(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    submit(spool, b"a@example.org")
    submit(spool, b"b@example.org")
    monkeypatch.setattr(setting, "asks", lambda: True)
    result = queue("delete", "--all", answer=answer)
    assert result.exit_code == 0
    assert "Delete 2 messages for good? [y/N]: " in result.stdout
    assert len(ids(spool)) == left


def test_the_end_of_input_instead_of_an_answer_deletes_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(spool, b"a@example.org")
    monkeypatch.setattr(setting, "asks", lambda: True)
    assert queue("delete", "--all").exit_code == 130
    assert len(ids(spool)) == 1


def test_refuses_to_delete_when_there_is_nobody_to_ask(spool: Spool) -> None:
    submit(spool, b"a@example.org")
    result = queue("delete", "--all", answer="y\n")
    assert result.exit_code == 64
    assert result.stderr == "sendmail-py: 1 message to delete and nobody to ask; give --yes if you mean it\n"
    assert len(ids(spool)) == 1


@pytest.mark.parametrize(
    "arguments",
    [("delete",), ("delete", "--all", "0123456789AB"), ("delete", "--failed", "0123456789AB"),
     ("delete", "--failed"), ("show",), ("show", "a", "b"), ("show", "--body", "--raw", "a"),
     ("list", "--older", "x"),
     ("hold",), ()],
)  # fmt: skip
def test_a_wrong_command_line_is_64_and_one_line(spool: Spool, arguments: tuple[str, ...]) -> None:
    result = queue(*arguments)
    assert result.exit_code == 64
    assert result.stderr.startswith("sendmail-py: ")
    assert result.stderr.count("\n") == 1


def test_deletes_nothing_when_one_of_the_ids_is_wrong(spool: Spool) -> None:
    queue_id = submit(spool, b"a@example.org")
    assert queue("delete", "--yes", queue_id, "0123456789AB").exit_code == 65
    assert ids(spool) == [queue_id]


def test_a_message_that_is_being_sent_is_left_alone(spool: Spool) -> None:
    busy, idle = submit(spool, b"a@example.org"), submit(spool, b"b@example.org")
    claim = spool.claim(spool.listing()[0])
    assert claim is not None
    result = queue("delete", "--all", "--yes")
    assert result.exit_code == 75
    assert result.stderr == f"sendmail-py: {busy} is being sent; try again later\n"
    assert result.stdout == "deleted 1 message\n"
    assert ids(spool) == [busy]
    claim.release()
    assert idle not in ids(spool)


def test_a_spool_that_others_may_write_is_not_touched(spool: Spool) -> None:
    submit(spool, b"a@example.org")
    os.chmod(Path(spool.directory, "queue"), 0o722)  # noqa: S103
    result = queue("list")
    assert result.exit_code == 77
    assert result.stderr.count("\n") == 1


def test_without_a_home_there_is_no_spool_to_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    found = setting.load(str(tmp_path / "empty.toml"))
    found.queue.directory = ""
    monkeypatch.setattr(setting, "load", lambda file: found)
    assert queue("list").exit_code == 78
