"""sendmail-py queue hold, release, retry, bounce, requeue, export, import; which messages options choose."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sendmail_py.admin import steer
from sendmail_py.admin.cli import cli
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.spool import draft, refused, steering
from sendmail_py.spool.claim import Claim
from sendmail_py.spool.queue import Spool
from sendmail_py.spool.refused import Refusal
from sendmail_py.spool.tries import Try

CONTENT = b"From: <root@nas.lan>\r\nSubject: x\r\n\r\nbody \xff\r\n"


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    configure(tmp_path, "")
    monkeypatch.setenv("SENDMAIL_PY_CONFIG", str(tmp_path / "config.toml"))
    return Spool(str(tmp_path / "spool"))


def configure(folder: Path, more: str) -> None:
    text = f'{more}\n[[smarthost]]\nname = "isp"\nhost = "127.0.0.1"\n[log]\nto = "{folder}/log"\n'
    (folder / "config.toml").write_text(text + f'[queue]\ndirectory = "{folder}/spool"\n')


def submit(spool: Spool, recipient: bytes, sender: bytes = b"greg@example.net", age: float = 0) -> str:
    created = time.time() - age
    file = draft.begin(spool.directory, int(created * 1e9))
    file.envelope(Envelope(sender, [Recipient(recipient), Recipient(b"b@example.org")], created))
    file.write(CONTENT)
    file.commit()
    return file.queue_id


def claimed(spool: Spool, queue_id: str) -> Claim:
    claim = spool.claim(next(one for one in spool.listing() if one.queue_id == queue_id))
    assert claim is not None
    return claim


def fail(spool: Spool, queue_id: str, reply: str = "550 no") -> None:
    claim = claimed(spool, queue_id)
    claim.defer({0: Try(1, 0, int(time.time()), "isp", "5.1.1", reply)})
    claim.mark({0: b"F", 1: b"D"})
    spool.finish(claim)


def queue(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["queue", *arguments])


def states(spool: Spool, failed: bool = False) -> dict[str, bytes]:
    found = {}
    for one in spool.failed() if failed else spool.listing():
        listed = spool.read(one, failed)
        assert listed is not None
        found[one.queue_id] = b"".join([recipient.state for recipient in listed.envelope.recipients])
    return found


def test_a_held_message_is_passed_over_until_it_is_released(spool: Spool) -> None:
    held, other = submit(spool, b"a@example.org"), submit(spool, b"c@example.org")
    assert queue("hold", held).stdout == "held 1 message\n"
    assert [one.queue_id for one in spool.listing() if not one.is_held(time.time())] == [other]
    assert queue("release", "--all").stdout == "released 2 messages\n"
    assert not any(one.is_held(time.time()) for one in spool.listing())
    assert sorted(os.listdir(spool.directory + "/queue")) == sorted([held, other])


def test_a_hold_for_a_time_ends_by_itself_and_a_clock_that_was_set_back_does_not_stretch_it(
    spool: Spool,
) -> None:
    submit(spool, b"a@example.org")
    queue("hold", "--all", "--for", "10m")
    (waiting,) = spool.listing()
    now = time.time()
    held = {step: waiting.is_held(now + step) for step in (0, 590, 610, -3600, -1e9)}
    assert held == {0: True, 590: True, 610: False, -3600: True, -1e9: False}


def test_a_message_that_was_held_after_the_listing_is_not_sent(spool: Spool) -> None:
    submit(spool, b"a@example.org")
    listing = spool.listing()
    queue("hold", "--all")
    assert spool.claim(listing[0]) is None
    assert spool.listing()[0].is_held(time.time())


def test_what_a_flush_has_in_hand_is_left_alone(spool: Spool) -> None:
    busy, free = submit(spool, b"a@example.org"), submit(spool, b"c@example.org")
    claim = claimed(spool, busy)
    for command in (["hold"], ["release"], ["retry"], ["bounce", "--yes"], ["requeue"], ["delete", "--yes"]):
        result = queue(*command, busy)
        assert (result.exit_code, busy in result.stderr) == (75, True), command
    assert queue("hold", "--all").exit_code == 75
    claim.release()
    assert [one.queue_id for one in spool.listing() if one.held] == [free]


def test_retry_makes_a_message_due_and_lets_its_sender_be_tried(spool: Spool) -> None:
    queue_id = submit(spool, b"a@example.org")
    claim = claimed(spool, queue_id)
    claim.defer({0: Try(3, 4_000_000_000, 1, "isp", "4.2.0", "later")})
    claim.release()
    refusal = Refusal(4_000_000_000, 1, 1, "0", "553 no")
    refused.write(spool.directory, {("isp", "greg@example.net"): refusal, ("isp", "x@y.example"): refusal})
    assert queue("retry", queue_id).stdout == "made due 1 message\n"
    assert spool.listing()[0].next == 0
    known = refused.read(spool.directory)
    assert {key[1]: one.until for key, one in known.items()} == {
        "greg@example.net": 0,  # known to the owner all the same
        "x@y.example": 4_000_000_000,
    }


def test_bounce_asks_reports_and_keeps_the_message_among_the_failed(spool: Spool) -> None:
    queue_id = submit(spool, b"a@example.org")
    assert queue("bounce", queue_id).exit_code == 64
    assert queue("bounce", "--dry-run", queue_id).stdout.endswith("would bounce 1 message\n")
    assert queue("bounce", "--yes", queue_id).stdout == "bounced 1 message\n"
    assert states(spool, failed=True) == {queue_id: b"RR"}
    (report,) = states(spool)
    assert "greg@example.net" in queue("show", report).stdout


def test_requeue_tries_the_failed_recipients_again_under_the_rules_of_now(
    spool: Spool, tmp_path: Path
) -> None:
    queue_id = submit(spool, b"a@example.org", sender=b"root@nas.lan")
    fail(spool, queue_id)
    configure(tmp_path, '[masquerade]\ndomain = "isp.example"\n')
    assert queue("requeue", "--failed", "--all").stdout == "requeued 1 message\n"
    assert states(spool) == {queue_id: b"TD"}
    claim = claimed(spool, queue_id)
    assert claim.envelope.reverse_path == b"root@isp.example"
    assert b"".join(claim.chunks()) == CONTENT.replace(b"root@nas.lan", b"root@isp.example")
    assert claim.tries == {}
    assert os.listdir(spool.directory + "/failed") == []


def test_export_and_import_make_the_same_message_once_more(spool: Spool, tmp_path: Path) -> None:
    queue_id = submit(spool, b"a@example.org")
    claim = claimed(spool, queue_id)
    claim.mark({0: b"D"})
    claim.release()
    assert queue("export", "--all", "--to", str(tmp_path / "out")).exit_code == 0
    assert queue("delete", "--all", "--yes").exit_code == 0
    result = queue("import", str(tmp_path / "out" / queue_id))
    assert result.exit_code == 0
    (new,) = states(spool)
    assert states(spool)[new] == b"DT"
    assert b"".join(claimed(spool, new).chunks()) == CONTENT
    (tmp_path / "out" / queue_id).write_bytes(b"rubbish")
    assert queue("import", str(tmp_path / "out" / queue_id)).exit_code == 65


def test_a_file_that_cannot_be_imported_hinders_no_other(spool: Spool, tmp_path: Path) -> None:
    queue_id = submit(spool, b"a@example.org")
    queue("export", "--all", "--to", str(tmp_path / "out"))
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "rubbish").write_bytes(b"rubbish")
    bad = [str(tmp_path / name) for name in ("link", "rubbish", "nothing", "out")]
    result = queue("import", *bad, str(tmp_path / "out" / queue_id))
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (65, "imported 1 message")
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == bad
    assert len(states(spool)) == 2


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["--older", "1h"], "old"),
        (["--sender", "SHOP"], "shop"),
        (["--sender", "*@shop.example"], "shop"),
        (["--recipient", "y.ex"], "y"),
        (["--recipient", "b@*"], "old shop y"),
        (["--smarthost", "isp"], "y"),
        (["--reply", "over quota"], "y"),
        (["--reply", "452*quota?"], "y"),
        (["--older", "1h", "--sender", "shop"], ""),
    ],
)
def test_options_choose_messages(spool: Spool, options: list[str], chosen: str) -> None:
    ids = {
        submit(spool, b"a@x.example", age=7200): "old",
        submit(spool, b"a@x.example", sender=b"buy@shop.example"): "shop",
        submit(spool, b"a@y.example"): "y",
    }
    claim = claimed(spool, list(ids)[2])
    claim.defer({0: Try(1, 0, 1, "isp", "4.2.2", "452 4.2.2 over quota!")})
    claim.release()
    lines = queue("list", "--json", *options).stdout.splitlines()
    assert sorted(ids[json.loads(line)["queue_id"]] for line in lines) == sorted(chosen.split())
    shown = queue("delete", "--dry-run", *options).stdout
    assert all((queue_id in shown) == (name in chosen.split()) for queue_id, name in ids.items())
    assert len(spool.listing()) == 3


def test_a_damaged_message_hinders_no_other(spool: Spool) -> None:
    """Its length is wrong, which only who claims it sees."""
    bad, good = submit(spool, b"a@example.org"), submit(spool, b"a@example.org")
    with (Path(spool.directory) / "queue" / bad).open("ab") as file:
        file.write(b"more")
    done = queue("hold", "--all")
    assert done.exit_code == 65
    assert "held 1 message\n" in done.output
    assert f"sendmail-py: {bad}: " in done.output
    assert {one.queue_id for one in spool.listing() if one.held} == {good}


def test_two_who_release_a_message_do_not_meet(spool: Spool) -> None:
    queue_id = submit(spool, b"a@example.org")
    queue("hold", queue_id)
    (waiting,) = spool.listing()
    for _ in range(2):  # the second has an old listing
        steering.release(spool, waiting)
    assert not spool.listing()[0].held


def test_export_overwrites_nothing_and_leaves_no_half(spool: Spool, tmp_path: Path) -> None:
    first, second = submit(spool, b"a@example.org"), submit(spool, b"a@example.org")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / first).write_text("mine")
    done = queue("export", "--all", "--to", str(folder))
    assert done.exit_code == 73
    assert "is there already" in done.output
    assert "exported 1 message " in done.output
    assert (folder / first).read_text() == "mine"
    assert (folder / second).read_bytes() == (Path(spool.directory) / "queue" / second).read_bytes()


def test_a_message_that_left_while_it_was_exported_is_no_fault(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(spool, b"a@example.org")
    monkeypatch.setattr(steer, "copy", gone)
    done = queue("export", "--all", "--to", str(tmp_path / "out"))
    assert (done.exit_code, "exported 0 messages" in done.output) == (0, True)


def gone(message: object, path: str) -> None:
    raise FileNotFoundError
