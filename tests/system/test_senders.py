"""Senders and recipients of real submissions: what leaves, and what is written down about it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from support.launch import Sandbox
from support.needs import needs_root

CONFIG = """\
[identity]
domain = "example.net"
[masquerade]
domain = "example.net"
[masquerade.users]
"*@old.example" = "*@new.example"
[aliases]
files = ["ALIASES"]
"""


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """A machine with aliases."""
    folder = sandbox.folder
    (folder / "aliases").write_text(
        f"staff: :include:{folder}/staff\nowner-staff: boss@nas.lan\nsales@shop.example: ann@a.example\n"
    )
    (folder / "staff").write_text("ann@a.example\nbob@b.example # new\n")
    sandbox.configure(CONFIG.replace("ALIASES", str(folder / "aliases")))
    return sandbox


def only_message(box: Sandbox) -> tuple[list[str], bytes]:
    """The records and the message of the one queue file."""
    (path,) = [one for one in (box.spool / "queue").iterdir() if len(one.name) == 12]
    records, _, message = path.read_bytes().partition(b"\n\n")
    return records.decode().split("\n"), message


def test_changes_of_the_header_are_in_the_queue_file_and_in_the_log(box: Sandbox) -> None:
    message = (
        b'From: "A, B" <root@nas.lan>\nReply-To: x@old.example, fine@example.org\nTo: y@example.org\n\nhi\n'
    )
    assert box.run("sendmail", "-f", "a@example.org", "y@example.org", stdin=message).returncode == 0
    records, stored = only_message(box)
    assert [one for one in records if one.startswith("X")] == [
        "X from\tdomain\troot@nas.lan\troot@example.net",
        "X reply-to\taddress\tx@old.example\tx@new.example",
    ]
    assert b'From: "A, B" <root@example.net>\r\nReply-To: x@new.example, fine@example.org\r\n' in stored
    assert "from=root@nas.lan -> root@example.net (domain)" in box.log()
    assert b"nas.lan" not in stored, "nothing about it in the message itself"


def test_a_message_that_needs_no_repair_has_no_record_of_one(box: Sandbox) -> None:
    message = b"From: a@example.org\nTo: y@example.org\n\nhi\n"
    assert box.run("sendmail", "-f", "a@example.org", "y@example.org", stdin=message).returncode == 0
    records, _ = only_message(box)
    assert not [one for one in records if one[:1] in "OX"]


def test_a_lists_owner_is_the_envelope_sender_and_not_the_author(box: Sandbox) -> None:
    assert box.run("sendmail", "-f", "greg@example.org", "staff", stdin=b"Subject: x\n\nhi\n").returncode == 0
    records, stored = only_message(box)
    assert "S boss@example.net" in records
    assert "O owner greg@example.org" in records
    assert [one.split()[-1] for one in records if one.startswith("R")] == ["ann@a.example", "bob@b.example"]
    assert b"From: greg@example.org\r\n" in stored


def test_a_report_to_a_list_stays_a_report(box: Sandbox) -> None:
    assert box.run("sendmail", "-f", "<>", "staff", stdin=b"\nhi\n").returncode == 0
    assert "S " in only_message(box)[0]


def senders(box: Sandbox) -> dict[str, list[str]]:
    """Recipients by reverse-path, from all queue files."""
    found: dict[str, list[str]] = {}
    for path in sorted((box.spool / "queue").iterdir()):
        records = path.read_bytes().partition(b"\n\n")[0].decode().split("\n")
        (sender,) = [one[2:] for one in records if one.startswith("S")]
        assert sender not in found
        found[sender] = [one.split()[-1] for one in records if one.startswith("R")]
    return found


def test_only_those_on_the_list_get_the_message_from_its_owner(box: Sandbox) -> None:
    done = box.run(
        "sendmail", "-v", "-f", "greg@example.org", "x@example.org", "staff", "bob@b.example",
        stdin=b"Subject: x\n\nhi\n",
    )  # fmt: skip
    assert done.returncode == 0
    assert senders(box) == {
        "greg@example.org": ["x@example.org"],
        "boss@example.net": ["ann@a.example", "bob@b.example"],
    }
    ids = [path.name for path in sorted((box.spool / "queue").iterdir())]
    assert f"queued as {', '.join(ids)}".encode() in done.stderr
    both = [path.read_bytes() for path in (box.spool / "queue").iterdir()]
    assert all(b"From: greg@example.org\r\n" in one and b"\r\n\r\nhi\r\n" in one for one in both)
    numbers = {line for one in both for line in one.split(b"\r\n") if line.startswith(b"Message-ID")}
    assert len(numbers) == 1, "it is one message"


def test_whoever_is_named_beside_the_list_too_keeps_the_sender(box: Sandbox) -> None:
    given = ["-f", "greg@example.org", "bob@b.example", "staff"]
    assert box.run("sendmail", *given, stdin=b"\nhi\n").returncode == 0
    assert senders(box) == {"greg@example.org": ["bob@b.example"], "boss@example.net": ["ann@a.example"]}


def test_of_two_files_for_one_message_none_stays_when_one_cannot_be_kept(box: Sandbox) -> None:
    box.configure(box.config.read_text() + '[queue]\nmax_queue = "3k"\n')
    given = ["-f", "greg@example.org", "x@example.org", "staff"]
    assert box.run("sendmail", *given, stdin=b"\n" + b"x" * 80 * 50).returncode in (0, 75)
    before = len(list((box.spool / "queue").iterdir()))
    assert before in (0, 2)
    assert box.run("sendmail", *given, stdin=b"\n" + b"x" * 80 * 50).returncode == 75
    assert len(list((box.spool / "queue").iterdir())) == before


def test_owners_hold_in_an_smtp_dialogue_too(box: Sandbox) -> None:
    talk = b"EHLO x\nMAIL FROM:<greg@example.org>\nRCPT TO:<staff>\nDATA\nSubject: x\n\nhi\n.\nQUIT\n"
    assert box.run("sendmail", "-bs", stdin=talk.replace(b"\n", b"\r\n")).returncode == 0
    assert "S boss@example.net" in only_message(box)[0]


def test_an_address_elsewhere_can_have_an_alias(box: Sandbox) -> None:
    assert box.run("sendmail", "sales@shop.example", stdin=b"\nhi\n").returncode == 0
    assert [one for one in only_message(box)[0] if one.startswith("R")] == [
        "RT - rfc822;sales@shop.example ann@a.example"
    ]


def test_a_list_that_others_can_write_holds_up_its_mail(box: Sandbox) -> None:
    (box.folder / "staff").chmod(0o666)
    done = box.run("sendmail", "staff", stdin=b"\nhi\n")
    assert done.returncode == 78
    assert b"chmod go-w" in done.stderr
    assert box.run("sendmail", "x@example.org", stdin=b"\nhi\n").returncode == 0
    assert b"aliases:1: " in box.run("newaliases").stderr


def test_a_domain_that_dns_called_dead_is_repaired_like_any_other(box: Sandbox) -> None:
    box.spool.mkdir(parents=True, mode=0o700)
    now = int(time.time())
    (box.spool / "domains").write_text(
        f"sendmail-py domains 1\ndead.example\t{now}\tDNS knows no such domain\n"
    )
    assert box.run("sendmail", "-f", "a@dead.example", "y@example.org", stdin=b"\nhi\n").returncode == 0
    records, _ = only_message(box)
    assert "S a@example.net" in records
    assert "O domain a@dead.example" in records


def test_explain_says_what_the_submission_then_does(box: Sandbox) -> None:
    message = b"From: root@nas.lan\nTo: staff\n\nhi\n"
    arguments = ["-f", "root@localhost", "-t"]
    done = box.run("sendmail-py", "explain", "--json", "--", *arguments, stdin=message)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert not (box.spool / "queue").exists()
    assert box.run("sendmail", *arguments, stdin=message).returncode == 0
    records, stored = only_message(box)
    assert f"S {told['sender'][-1]['after']}" in records
    assert [one.split(" ", 3)[-1] for one in records if one[:1] == "R"] == [
        one["after"] for one in told["recipients"]
    ]
    assert f"From: {told['header'][0]['after']}\r\n".encode() in stored


def as_user(box: Sandbox, uid: int, *arguments: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run sendmail as another user, with a spool of its own."""
    home = box.folder / f"home-{uid}"
    home.mkdir(mode=0o700)
    os.chown(home, uid, uid)
    box.config.chmod(0o644)
    environ: dict[str, str | None] = {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
    }
    return box.run("sendmail", *arguments, stdin=stdin, env=environ, user=uid, group=uid, extra_groups=[])


def test_a_list_is_read_with_the_rights_of_the_submitter(box: Sandbox, tmp_path: Path) -> None:
    needs_root()
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        if folder != Path("/tmp"):  # pytest's own folders are below it
            folder.chmod(0o755)
    box.configure(CONFIG.replace("ALIASES", str(box.folder / "aliases")) + '[log]\nto = "stderr"\n')
    (box.folder / "staff").chmod(0o600)
    done = as_user(box, 54321, "staff", stdin=b"\nhi\n")
    assert done.returncode == 78
    assert b"make it readable" in done.stderr


def test_a_folder_gets_its_copy_and_the_smart_host_the_others(box: Sandbox) -> None:
    folder = box.folder
    (folder / "aliases").write_text(f"archive: maildir:{folder}/mail, x@example.org\n")
    box.configure(box.config.read_text().replace("[aliases]\n", "[aliases]\nmaildir = true\n"))
    told = box.run("sendmail", "-bv", "archive").stdout.decode()
    assert f'archive: "maildir:{folder}/mail" (alias, delivered here)\n' in told
    assert "archive: x@example.org (alias, no smart host is configured)\n" in told
    assert box.run("newaliases").stderr == b""
    assert box.run("sendmail", "-f", "greg@example.org", "archive", stdin=b"\nhi\n").returncode == 0
    assert sorted(len(one) for one in recipients_by_file(box)) == [1, 1]
    assert box.run("sendmail", "-q").returncode in (0, 75)
    (file,) = (folder / "mail" / "new").iterdir()
    lines = file.read_bytes().split(b"\n")
    assert lines[:2] == [b"Return-Path: <greg@example.org>", b"Delivered-To: archive@example.net"]
    assert lines[-2:] == [b"hi", b""]
    assert recipients_by_file(box) == [["x@example.org"]]


def recipients_by_file(box: Sandbox) -> list[list[str]]:
    found = []
    for path in (box.spool / "queue").iterdir():
        if len(path.name) == 12:
            records = path.read_bytes().partition(b"\n\n")[0].decode().split("\n")
            found.append([one.split(" ", 3)[3] for one in records if one.startswith("R")])
    return found
