"""What the owner, or a disk, may have put into a queue: no command fails for it, and the mail goes out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.launch import Sandbox, smarthost_table
from support.smarthost import SmartHost

SETTINGS = '[identity]\ndomain = "example.net"\n[queue]\nretry_min = "0s"\nretry_max = "0s"\n'
TRIES = b"sendmail-py tries 1\n"
COMMANDS = [
    ["mailq"],
    ["mailq", "--json"],
    ["sendmail-py", "queue", "list"],
    ["sendmail-py", "queue", "list", "--json"],
    ["sendmail-py", "queue", "stats"],
    ["sendmail-py", "doctor"],
    ["sendmail", "-q"],
    ["sendmail-py", "queue", "flush"],
    ["sendmail-py", "queue", "hold", "--all"],
    ["sendmail-py", "queue", "release", "--all"],
    ["sendmail-py", "queue", "retry", "--all"],
    ["sendmail-py", "queue", "bounce", "--all", "--yes"],
    ["sendmail-py", "queue", "list", "--failed"],
    ["sendmail-py", "queue", "requeue", "--failed", "--all"],
    ["sendmail", "-q"],
]


def litter(queue: Path, ids: list[str]) -> None:
    """Put odd things beside eight messages, and some without."""
    far = b"9" * 20
    (queue / f"{ids[0]}.hold-FFFFFFFFFFFFFFFFFFFF").touch()
    (queue / f"{ids[1]}.FFFFFFFF").write_bytes(
        TRIES + b"0\t%b\t%b\t-5\tx\t9.9.9\t\xff\x1b[31m\n" % (far, far) + b"%b\t1\t1\t1\tx\ty\tz\n0\n" % far
    )
    (queue / f"{ids[2]}.00000001").write_bytes(TRIES + b"0\t1\t1\t%b\tx\t4.0.0\tno\n" % far)
    (queue / f"{ids[3]}.00000000").mkdir()
    (queue / f"{ids[4]}.failure-{ids[4]}").write_bytes(b"0 99999999 -1 x " + b"9" * 5000)
    (queue / f"{ids[5]}.delay-{ids[6]}").write_bytes(b"\xff")
    (queue / f"notice-{ids[6]}").write_bytes(b"nonsense\n\xff \n%b 77\n" % ids[0].encode())
    (queue / f"notice-{ids[7]}").mkdir()
    (queue / "notice-").write_bytes(b"")
    (queue / f"digest-{ids[6]}-{ids[7]}").mkdir()
    (queue / "digest-AAAAAAAAAAAA-BBBBBBBBBBBB").symlink_to("/etc/passwd")
    os.mkfifo(queue / "FFFFFFFFFFFF")
    os.mkfifo(queue / ".EEEEEEEEEEEE")
    (queue / "DDDDDDDDDDDD").mkdir()
    (queue / "CCCCCCCCCCCC").symlink_to(ids[0])
    (queue / "BBBBBBBBBBBB").write_bytes(b"sendmail-py queue 999\n")
    (queue / "AAAAAAAAAAAA").write_bytes(b"\0" * 100)
    (queue / os.fsdecode(b"\xff\n")).touch()


def test_no_command_fails_for_an_odd_file(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        sandbox.configure(SETTINGS + smarthost_table(port=host.port, tls="none"))
        for number in range(9):
            sandbox.run("sendmail", "-f", "me@example.net", "a@x.example", stdin=b"\n%d\n" % number)
        queue = sandbox.spool / "queue"
        ids = sorted(one.name for one in queue.iterdir())
        litter(queue, ids)
        for command in [*COMMANDS[:6], ["sendmail-py", "queue", "show", ids[1]]]:
            done = sandbox.run(*command, timeout=30)
            assert done.returncode == 0, (command, done)
        for command in COMMANDS[6:]:
            done = sandbox.run(*command, timeout=30)
            assert done.returncode in (0, 65, 75), (command, done)
            assert b"internal" not in done.stderr
        bodies = sorted(one.data.split()[-1] for one in host.messages if one.mail_from)
    assert bodies == [b"%d" % number for number in range(9)]
    assert "at the end of the run" not in sandbox.log()


def test_what_has_a_messages_name_and_is_none_hinders_no_export_and_no_delete(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.configure(SETTINGS + smarthost_table(port=9))
    for _ in range(2):
        sandbox.run("sendmail", "-f", "me@example.net", "a@x.example", stdin=b"\nbody\n")
    queue = sandbox.spool / "queue"
    good = sorted(one.name for one in queue.iterdir())
    (queue / "000000000001").symlink_to(good[0])
    (queue / "000000000002").mkdir()
    os.mkfifo(queue / "000000000003")
    done = sandbox.run("sendmail-py", "queue", "export", "--all", "--to", str(tmp_path / "out"))
    assert (done.returncode, done.stderr.count(b"\n")) == (65, 3)
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == good
    done = sandbox.run("sendmail-py", "queue", "delete", "--all", "--yes")
    assert (done.returncode, done.stderr.count(b"\n")) == (65, 3)
    assert b"deleted 2 messages" in done.stdout


@pytest.mark.parametrize("record", [b"C nan", b"C 1e300", b"C -1", b"C inf", b"U 99999999999 x", b"U -5 x"])
def test_times_and_users_that_cannot_be_make_a_file_damaged(sandbox: Sandbox, record: bytes) -> None:
    sandbox.configure(SETTINGS + smarthost_table(port=9))
    sandbox.run("sendmail", "-f", "me@example.net", "a@x.example", stdin=b"\nbody\n")
    (path,) = (sandbox.spool / "queue").iterdir()
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([record if one[:2] == record[:2] else one for one in lines]))
    done = sandbox.run("mailq")
    assert done.returncode == 0
    assert b"a record that cannot be read" in done.stderr
    done = sandbox.run("sendmail-py", "queue", "import", str(path))
    assert (done.returncode, done.stderr.count(b"\n")) == (65, 1)
