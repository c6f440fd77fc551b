"""Submissions through the installed command, as the callers make them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.faults import traced
from support.launch import Sandbox
from support.needs import needs_root

CONFIG = """\
[identity]
domain = "example.net"
helo = "host.example.net"

[masquerade]
domain = "example.net"

[aliases]
files = ["ALIASES"]
"""


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """A configured home machine."""
    aliases = sandbox.folder / "aliases"
    aliases.write_text("root: greg@isp.example\nteam: a@example.org,\n\tb@example.org, root\n")
    sandbox.configure(CONFIG.replace("ALIASES", str(aliases)))
    return sandbox


def stored(box: Sandbox) -> tuple[dict[str, list[str]], bytes, bytes]:
    """The only message: its records by letter, header and body in wire form."""
    (path,) = [one for one in (box.spool / "queue").iterdir() if len(one.name) == 12]
    records, _, rest = path.read_bytes().partition(b"\n\n")
    message = rest[:-28]
    head, _, body = message.partition(b"\r\n\r\n")
    found: dict[str, list[str]] = {}
    for line in records.decode().split("\n")[1:]:
        found.setdefault(line[0], []).append(line[2:])
    return found, head + b"\r\n", body


def queued_ok(done: subprocess.CompletedProcess[bytes]) -> None:
    """Exit 0, and not a word on either stream."""
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_cron_mail_leaves_with_a_sender_that_can_be_answered(box: Sandbox) -> None:
    """Debian's cron, as root: envelope and header repaired together, the comment kept."""
    needs_root()
    box.configure(box.config.read_text() + '[masquerade.users]\nroot = "greg@isp.example"\n')
    message = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@nas> true\n\noutput\n"
    queued_ok(box.run("sendmail", "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", stdin=message))
    records, head, body = stored(box)
    assert records["S"] == ["greg@isp.example"]
    assert records["R"] == [" - rfc822;root@example.net greg@isp.example"]
    assert b"\r\nFrom: greg@isp.example (Cron Daemon)\r\n" in head
    assert b"\r\nTo: root@example.net\r\n" in head
    assert body == b"output\r\n"


def test_adds_what_is_missing_and_takes_out_what_is_secret(box: Sandbox) -> None:
    """Received, Message-ID, Date and From on top; Bcc, Return-Path, Content-Length gone, folded lines too."""
    message = (
        b"to: A <a@example.org>\nBCC: secret@example.org,\n more@example.org\nReturn-Path: <x@y>\n"
        b"Content-Length: 3\nX-Keep:  as  it is \n\nbody\n"
    )
    queued_ok(box.run("sendmail", "-t", "-F", "Alice Example", "-f", "alice@example.org", stdin=message))
    records, head, _ = stored(box)
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line and line[:1] not in b" \t"]
    assert names == [b"Received", b"Message-ID", b"Date", b"From", b"to", b"X-Keep"]
    assert b"From: Alice Example <alice@example.org>\r\n" in head
    assert b"X-Keep:  as  it is \r\n" in head
    assert [row.split()[-1] for row in records["R"]] == [
        "a@example.org", "secret@example.org", "more@example.org",
    ]  # fmt: skip


@pytest.mark.parametrize("null", ["", "<>"])
def test_the_null_reverse_path_stays_null(box: Sandbox, null: str) -> None:
    """For bounces, in both spellings; From: is the user's own address."""
    queued_ok(box.run("sendmail", "-f", null, "a@example.org", stdin=b"\nbody\n"))
    records, head, _ = stored(box)
    assert records["S"] == [""]
    assert b"\r\nFrom: " in head
    assert b"MAILER-DAEMON" not in head


def test_a_message_without_header_is_all_body(box: Sandbox) -> None:
    """`rkhunter | sendmail ADDR`."""
    queued_ok(box.run("sendmail", "a@example.org", stdin=b"hello world\nmore\n"))
    _, head, body = stored(box)
    assert body == b"hello world\r\nmore\r\n"
    assert b"hello" not in head


def test_recipients_are_the_union_and_each_once(box: Sandbox) -> None:
    """Operands and -t, lists in one word, domain in any case; aliases and completion."""
    message = (
        b"To: a@EXAMPLE.org, Friends: c@example.org, D <d@example.org>;\nCc: undisclosed-recipients:;\n\n"
    )
    queued_ok(box.run("sendmail", "-t", "a@example.org,b@example.org", "team", "bob", stdin=message))
    records, head, _ = stored(box)
    assert [row.split()[-1] for row in records["R"]] == [
        "a@example.org",
        "b@example.org",
        "greg@isp.example",
        "bob@example.net",
        "c@example.org",
        "d@example.org",
    ]
    assert b"Cc: undisclosed-recipients:;\r\n" in head


def test_resent_recipients_replace_the_others(box: Sandbox) -> None:
    """All blocks of them."""
    message = (
        b"Resent-To: r1@example.org\nResent-Bcc: r2@example.org\nResent-To: r3@example.org\n"
        b"To: a@example.org\n\n"
    )
    queued_ok(box.run("sendmail", "-t", stdin=message))
    records, head, _ = stored(box)
    assert [row.split()[-1] for row in records["R"]] == ["r1@example.org", "r2@example.org", "r3@example.org"]
    assert b"Resent-Bcc" not in head


def test_dsn_options_are_kept_in_the_envelope(box: Sandbox) -> None:
    """-N, -R, -V."""
    queued_ok(box.run("sendmail", "-N", "success,failure", "-R", "hdrs", "-V", "id1", "a@example.org"))
    records, _, _ = stored(box)
    assert (records["T"], records["V"]) == (["HDRS"], ["id1"])
    assert records["R"] == [" SUCCESS,FAILURE - a@example.org"]


@pytest.mark.parametrize(
    ("words", "status", "hint"),
    [
        (["-Z", "a@example.org"], 64, b"-Z"),
        (["-s", "Subject", "a@example.org"], 64, b"-s"),
        ([], 64, b"recipients"),
        (["-t"], 64, b"recipients"),
        (["a@example.org", "-t"], 64, b"-t"),
        (["-f", "a b@c d", "x@example.org"], 64, b"a b@c d"),
        (["-f", "a@b\nRCPT TO:<v@example.org>", "x@example.org"], 64, b"a@b"),
        (["x@example.org\r\nDATA"], 64, b"x@example.org"),
        (["bad address@@example.org"], 65, b"bad"),
        (["|/bin/sh"], 65, b"/bin/sh"),
        (["/etc/passwd"], 65, b"/etc/passwd"),
        ([":include:/etc/passwd"], 65, b"include"),
        (["-C", "/nonexistent.toml", "a@example.org"], 78, b"/nonexistent.toml"),
        (["-bd"], 64, b"daemon"),
    ],
)
def test_bad_input_gets_one_line_the_right_code_and_queues_nothing(
    box: Sandbox, words: list[str], status: int, hint: bytes
) -> None:
    """And the input is read to its end: 200 kB more than a pipe holds."""
    done = box.run("sendmail", *words, stdin=b"Subject: x\n\n" + b"x" * 200_000)
    assert done.returncode == status, done
    assert done.stderr.count(b"\n") == 1
    assert hint in done.stderr
    assert done.stdout == b""
    assert box.queue() == []


def test_quiet_errors_keep_the_code(box: Sandbox) -> None:
    """-oeq."""
    done = box.run("sendmail", "-oeq", stdin=b"\n")
    assert (done.returncode, done.stderr) == (64, b"")


def test_a_name_never_makes_a_field(box: Sandbox) -> None:
    """-F with a line break."""
    queued_ok(
        box.run(
            "sendmail", "-F", "x\nBcc: v@example.org\nX-Injected: 1", "-f", "a@example.org", "b@example.org"
        )
    )
    _, head, _ = stored(box)
    assert b"\nBcc" not in head
    assert b"\nX-Injected" not in head


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_while_reading_leaves_nothing(box: Sandbox, number: signal.Signals) -> None:
    """No queue file, no temporary file, a code and a line."""
    process = box.start("sendmail", "a@example.org")
    assert process.stdin is not None
    process.stdin.write(b"Subject: x\n\n" + b"x" * 300_000)
    process.stdin.flush()
    deadline = time.monotonic() + 20
    while not (box.spool / "queue").exists() or not list((box.spool / "queue").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 75
    assert errors.count(b"\n") == 1
    assert list((box.spool / "queue").iterdir()) == []


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">&- 2>&-"])
def test_closed_descriptors_do_no_harm(box: Sandbox, redirection: str) -> None:
    """No input is a read error; no output is nobody's loss; no message lands in a queue file."""
    command = f'printf "Subject: x\\n\\nb\\n" | "{box.path("sendmail")}" a@example.org {redirection}'
    if redirection.startswith("<"):
        command = f'"{box.path("sendmail")}" a@example.org {redirection}'
    done = subprocess.run(["sh", "-c", command], env=box.environment(), capture_output=True, check=False)
    assert done.returncode == (74 if redirection.startswith("<") else 0)
    assert len(box.queue()) == (0 if redirection.startswith("<") else 1)


def test_a_hostile_environment_changes_nothing(box: Sandbox, tmp_path: Path) -> None:
    """PYTHON* variables, a module called like ours in the current folder, a broken locale, no HOME."""
    (tmp_path / "os.py").write_text("raise SystemExit(1)")
    (tmp_path / "sendmail_py.py").write_text("raise SystemExit(1)")
    env: dict[str, str | None] = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONHOME": "/nonexistent",
        "PYTHONHASHSEED": "junk",
        "PYTHONWARNINGS": "error",
        "PYTHONINSPECT": "1",
        "LC_ALL": "xx_YY.nonsense",
        "HOME": None,
    }
    queued_ok(box.run("sendmail", "a@example.org", stdin=b"Subject: x\n\nb\n", env=env, cwd=tmp_path))


def test_the_spool_is_private_whatever_the_umask(box: Sandbox) -> None:
    """Umask 0 and 0777."""
    for mask in (0o000, 0o777):
        queued_ok(box.run("sendmail", "a@example.org", preexec_fn=lambda mask=mask: os.umask(mask)))
    modes = {one.stat().st_mode & 0o777 for one in (box.spool / "queue").iterdir()}
    assert modes == {0o600}


def test_a_spool_that_cannot_be_made_is_73_and_says_where(box: Sandbox) -> None:
    """A file in the way."""
    (box.folder / "state").write_text("in the way")
    done = box.run("sendmail", "a@example.org", stdin=b"\nx\n")
    assert done.returncode == 73
    assert str(box.spool).encode() in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_home_where_nothing_can_be_made_is_said(box: Sandbox) -> None:
    """A home that is no place for files; the folder that was tried is named."""
    env: dict[str, str | None] = {"HOME": "/proc/nobody", "XDG_STATE_HOME": None}
    done = box.run("sendmail", "a@example.org", stdin=b"\nx\n", env=env)
    assert done.returncode == 73
    assert done.stderr.count(b"\n") == 1
    assert b"/proc/nobody/" in done.stderr


def test_verbose_says_what_was_done_on_stderr(box: Sandbox) -> None:
    """And what was changed."""
    done = box.run("sendmail", "-v", "-f", "bob@localhost", "a@example.org", stdin=b"\nx\n")
    assert done.returncode == 0
    assert done.stdout == b""
    assert b"bob@localhost" in done.stderr
    assert b"queued as" in done.stderr


def test_a_submission_reads_no_listing(box: Sandbox) -> None:
    """With 1,000 names in the queue: no folder is read, and files are not looked at one by one."""
    queued_ok(box.run("sendmail", "a@example.org"))
    for number in range(1_000):
        (box.spool / "queue" / f"{number:012X}").touch()
    calls = traced(box, ["sendmail", "a@example.org"], b"\nx\n", str(box.spool))
    names = [call.name for call in calls]
    assert "fsync" in names
    assert "getdents64" not in names
    assert len([name for name in names if "stat" in name]) < 20
