"""What schedulers send: cron, at, anacron, and the line of systemd-cron."""

from __future__ import annotations

import pytest

from callers.machine import Machine
from support.needs import needs

OUTPUT = "printf 'first\\n.\\ngr\\303\\274n\\n'"
LINES = [b"first", b".", "grün".encode()]


def install(machine: Machine, user: str, text: str) -> None:
    """Have crontab(1) install a timetable for the user."""
    machine.sends("crontab", "-", stdin=text.encode(), user=user)


@pytest.mark.parametrize("user", ["root", "caller"])
def test_cron(caller_world: Machine, user: str) -> None:
    """Debian's cron calls us as the crontab's owner, `-FCronDaemon -i -B8BITMIME -oem USER`.

    It relies on: the file being there, -F and -B with attached values, a bare login as recipient, a
    From: `root (Cron Daemon)` in everybody's mail that is repaired like an address, the other fields
    kept. A job at @reboot runs as soon as cron does.
    """
    needs("cron")
    install(caller_world, user, f"@reboot {OUTPUT}\n")
    with caller_world.running("cron", "-f"):
        message = caller_world.only()
    assert caller_world.call() == ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", user]
    sender = {"root": b"owner@isp.example", "caller": b"caller@example.net"}[user]
    assert message.sender == sender
    assert b"BODY=8BITMIME" in message.parameters
    assert message.recipients == [{"root": b"owner@isp.example", "caller": b"caller@isp.example"}[user]]
    assert message.field("From") == b"owner@isp.example (Cron Daemon)"
    assert message.field("To") == user.encode() + b"@example.net"
    assert message.field("Subject").startswith(b"Cron <" + user.encode() + b"@nas> printf")
    assert message.field("Content-Transfer-Encoding") == b"8bit"
    assert b"<SHELL=/bin/sh>" in message.fields("X-Cron-Env")
    assert message.lines() == LINES


def test_cron_with_the_home_of_somebody_else(caller_world: Machine) -> None:
    """Cron changes the user of the process that mails, and leaves it cron's own environment.

    As a system service cron has no HOME; started by a shell or as a container's command it has root's,
    which the crontab's owner cannot even read. The mail must not be lost for that.
    """
    needs("cron")
    install(caller_world, "caller", "@reboot echo hello\n")
    with caller_world.running("cron", "-f", env={"HOME": str(caller_world.folder / "root")}):
        message = caller_world.only()
    assert message.sender == b"caller@example.net"
    assert message.lines() == [b"hello"]


def test_cron_with_mailto(caller_world: Machine) -> None:
    """MAILTO becomes the only operand, a list of addresses in one word."""
    needs("cron")
    install(caller_world, "root", "MAILTO=a@example.org,b@example.org\n@reboot echo hello\n")
    with caller_world.running("cron", "-f"):
        message = caller_world.only()
    assert message.recipients == [b"a@example.org", b"b@example.org"]
    assert message.field("To") == b"a@example.org,b@example.org"
    assert caller_world.call()[-1] == "a@example.org,b@example.org"
    assert message.lines() == [b"hello"]


@pytest.mark.parametrize("user", ["root", "caller"])
def test_at(caller_world: Machine, user: str) -> None:
    """The daemon calls us `-i USER` with a message that has no From:; ours is the submitter's own address."""
    needs("atd", "at")
    with caller_world.running("atd", "-f"):
        done = caller_world.run("at", "now", stdin=f"{OUTPUT}\n".encode(), user=user)
        assert done.returncode == 0, done
        message = caller_world.only()
    assert caller_world.call() == ["-i", user]
    sender = {"root": b"owner@isp.example", "caller": b"caller@example.net"}[user]
    assert message.sender == sender
    assert sender in message.field("From")
    assert message.field("Subject").startswith(b"Output from your job")
    assert message.field("To") == user.encode() + b"@example.net"
    assert message.lines() == LINES


def test_anacron(caller_world: Machine) -> None:
    """Anacron calls us `-FAnacron -odi MAILTO`: no -i, and standard input is a regular file, not a pipe."""
    needs("anacron")
    folder = caller_world.folder
    table = folder / "anacrontab"
    table.write_text("SHELL=/bin/sh\nMAILTO=root\n1 0 daily echo first; echo last\n")
    caller_world.new_folder("anacron")
    done = caller_world.run(
        "anacron", "-d", "-f", "-n", "-t", str(table), "-S", str(folder / "anacron"), user="root"
    )
    assert done.returncode == 0, done
    message = caller_world.only()
    assert caller_world.call() == ["-FAnacron", "-odi", "root"]
    assert message.sender == b"owner@isp.example"
    assert message.recipients == [b"owner@isp.example"]
    assert message.lines() == [b"first", b"last"]
    assert b"got status" not in done.stderr


def test_the_line_of_systemd_cron(caller_world: Machine) -> None:
    """`$SENDMAIL -i -B 8BITMIME MAILTO`: the value of -B as a word of its own."""
    text = "From: root (systemd-cron)\nTo: root\nSubject: [nas] daily\n\ngrün\n".encode()
    caller_world.sends("/usr/sbin/sendmail", "-i", "-B", "8BITMIME", "root", stdin=text, user="root")
    message = caller_world.only()
    assert message.field("From") == b"owner@isp.example (systemd-cron)"
    assert message.lines() == ["grün".encode()]
