"""The command lines of programs that are not installed here, as their source has them, from a shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from callers.arrived import Arrived
from callers.machine import Machine
from support.smarthost import SmartHost

FULL = "From: sales@example.org\nTo: to@example.org\nSubject: hello\n\nfirst\n.dot\nlast\n"
CRONIE = FULL.replace("sales@example.org", '"(Cron Daemon)" <caller>')
NO_FROM = FULL.partition("\n")[2]
NO_HEADER = "first\n.dot\nlast\n"

US = b"caller@example.net"
SALES = b"sales@example.org"
NULL = b""
TO = [b"to@example.org"]
ROOT = [b"owner@isp.example"]

# program: (command line, message, reverse-path, recipients)
LINES = {
    "cronie": ("/usr/sbin/sendmail -FCronDaemon -i -odi -oem -oi -t -f caller", CRONIE, US, TO),
    "fcron": ("/usr/sbin/sendmail -Ffcron -odi root", NO_FROM, US, ROOT),
    "claws-mail": ("/usr/sbin/sendmail -t -i", FULL, US, TO),
    "Evolution": ("sendmail -i -f sales@example.org -- to@example.org", FULL, SALES, TO),
    "PHPMailer": ("/usr/sbin/sendmail -oi -fsales@example.org -t", FULL, SALES, TO),
    "PEAR Mail": ("/usr/sbin/sendmail -i -fsales@example.org -- to@example.org", FULL, SALES, TO),
    "Symfony Mailer": ("/usr/sbin/sendmail -fsales@example.org to@example.org", FULL, SALES, TO),
    "MIME::Tools": ("/usr/lib/sendmail -t -oi -oem", FULL, US, TO),
    "mailer.py": ("/usr/sbin/sendmail -f sales@example.org to@example.org", FULL, SALES, TO),
    "commit-email.pl": ("/usr/sbin/sendmail -f'sales@example.org' to@example.org", FULL, SALES, TO),
    "unattended-upgrades": ("/usr/sbin/sendmail -oi -t", FULL, US, TO),
    "cron-apt": ("sendmail -t -oi", FULL, US, TO),
    "debsecan": ("/usr/sbin/sendmail -t", NO_FROM, US, TO),
    "popularity-contest": ("sendmail -oi -f sales@example.org to@example.org", FULL, SALES, TO),
    "rkhunter": ("/usr/sbin/sendmail root", NO_HEADER, US, ROOT),
    "arpwatch": ("/usr/lib/sendmail -odi root", FULL, US, ROOT),
    "BackupPC": ("/usr/sbin/sendmail -t -f sales@example.org", FULL, SALES, TO),
    "Request Tracker": ("/usr/sbin/sendmail -oi -t -f sales@example.org", FULL, SALES, TO),
    "Request Tracker's bounces": ('/usr/sbin/sendmail -oi -t -f "<>"', FULL, NULL, TO),
    "Request Tracker's manual": ("/usr/sbin/sendmail -oi -ODeliveryMode=b -OErrorMode=m -t", FULL, US, TO),
    "Sympa": (
        "/usr/sbin/sendmail -oi -odi -oem -N success,delay,failure -V id-1 -f sales@example.org "
        "-- to@example.org",
        FULL,
        SALES,
        TO,
    ),
    "Sympa's reports": ("/usr/sbin/sendmail -oi -odi -oem -f '' -- to@example.org", FULL, NULL, TO),
    "Znuny": ("/usr/sbin/sendmail -i -f '' to@example.org", FULL, NULL, TO),
    "Dovecot": ("/usr/sbin/sendmail -i -f '<>' -- to@example.org", FULL, NULL, TO),
    "maildrop": ("/usr/sbin/sendmail -oi -f '' to@example.org", FULL, NULL, TO),
    "systemd-cron": ("sendmail -i -B 8BITMIME root", NO_FROM, US, ROOT),
    "aerc": ("sendmail to@example.org other@example.org", FULL, US, [*TO, b"other@example.org"]),
}


@pytest.fixture(scope="module")
def came(shared_ground: Path) -> dict[str, Arrived]:
    """What came out for each program. All of them must end with status 0 and say nothing."""
    came: dict[str, Arrived] = {}
    with SmartHost() as host, Machine.on(shared_ground, host) as machine:
        for number, (program, (line, text, _, _)) in enumerate(LINES.items(), 1):
            machine.sends("sh", "-c", f"exec {line}", stdin=text.encode())
            came[program] = machine.arrived(number)[-1]
    return came


@pytest.mark.parametrize("program", LINES)
def test_takes_the_line_of(program: str, came: dict[str, Arrived]) -> None:
    """As the table says; the body arrives whole, and a header that was missing is there."""
    _, text, sender, recipients = LINES[program]
    message = came[program]
    assert (message.sender, message.recipients) == (sender, recipients)
    assert message.lines() == [b"first", b".dot", b"last"]
    author = {FULL: SALES, CRONIE: b'"(Cron Daemon)" <caller@example.net>'}.get(text)
    assert message.field("From") == author if author else US in message.field("From")
    assert message.field("Date")
    assert message.field("Message-ID")


def test_takes_the_options_for_reports(came: dict[str, Arrived]) -> None:
    """Sympa's -N and -V."""
    assert came["Sympa"].notify == [[b"NOTIFY=SUCCESS,DELAY,FAILURE"]]
    assert b"ENVID=id-1" in came["Sympa"].parameters
