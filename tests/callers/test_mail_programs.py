"""What people's mail programs send: s-nail, bsd-mailx, GNU mail, mutt, neomutt, nmh, Alpine."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time

import pytest

from callers.machine import Machine
from support.launch import PATIENCE
from support.needs import needs

TEXT = "first\n.\n.dot\ngrün\n".encode()
LINES = TEXT.split(b"\n")[:-1]
ALL = [b"to@example.org", b"copy@example.org", b"hidden@example.org"]


def test_s_nail(caller_world: Machine) -> None:
    """s-nail calls us `-i -f ADDR -- RCPT...`, hidden recipients on the command line only.

    It relies on: -f as given, options ended by `--`, silence, status 0.
    """
    needs("s-nail")
    words = ("-s", "Grün", "-r", "sales@example.org", "-c", "copy@example.org", "-b", "hidden@example.org")
    caller_world.sends("s-nail", *words, "to@example.org", stdin=TEXT)
    message = caller_world.only()
    assert caller_world.call() == ["-i", "-f", "sales@example.org", "--", *map(bytes.decode, ALL)]
    assert (message.sender, message.recipients) == (b"sales@example.org", ALL)
    assert message.field("From") == b"sales@example.org"
    assert message.fields("Bcc") == []
    assert message.subject() == "Grün"
    assert message.lines() == [b"first", b"=2E", b".dot", b"gr=C3=BCn"]  # its own quoted-printable


def test_bsd_mailx(caller_world: Machine) -> None:
    """bsd-mailx calls us `-i -t -f ADDR`: the sender behind -t, hidden recipients in a Bcc: to be removed.

    It writes 8-bit text raw, in the header too, and no Date or Message-ID.
    """
    needs("bsd-mailx")
    words = ("-s", "Grün", "-r", "sales@example.org", "-c", "copy@example.org", "-b", "hidden@example.org")
    caller_world.sends("bsd-mailx", *words, "to@example.org", stdin=TEXT)
    message = caller_world.only()
    assert caller_world.call() == ["-i", "-t", "-f", "sales@example.org"]
    assert (message.sender, message.recipients) == (b"sales@example.org", ALL)
    assert message.field("From") == b"sales@example.org"
    assert message.fields("Bcc") == []
    assert message.subject() == "Grün"
    assert message.field("Message-ID")
    assert message.lines() == LINES


def test_bsd_mailx_as_a_local_user(caller_world: Machine) -> None:
    """Without -r there is no From: either; ours has the account's name and an address of the mail domain."""
    needs("bsd-mailx")
    caller_world.sends("bsd-mailx", "-s", "hello", "to@example.org,root", stdin=b"hello\n")
    message = caller_world.only()
    assert message.sender == b"caller@example.net"
    assert message.recipients == [b"to@example.org", b"owner@isp.example"]
    assert message.field("From") == b"The Caller <caller@example.net>"
    assert message.field("To") == b"to@example.org,root@example.net"


def test_gnu_mail(caller_world: Machine) -> None:
    """GNU mailutils calls us `-oi -f USER@HOST -t`: the name of this host, which nobody can answer.

    Envelope and From: are repaired alike.
    """
    needs("mail.mailutils", "mailutils")
    caller_world.sends("mail.mailutils", "-s", "hello", "to@example.org", stdin=b"first\n.dot\n")
    message = caller_world.only()
    assert caller_world.call() == ["-oi", "-f", "caller@nas.lan", "-t"]
    assert (message.sender, message.recipients) == (b"caller@example.net", [b"to@example.org"])
    assert message.field("From") == b"caller@example.net"
    assert message.lines() == [b"first", b".dot"]


@pytest.mark.parametrize("program", ["mutt", "neomutt"])
def test_mutt(caller_world: Machine, program: str) -> None:
    """As its rc file says: `-oem -oi -f A -N failure,delay -R hdrs -B8BITMIME -- RCPT...`.

    They rely on: the DSN options reaching the envelope, silence, and the exit status, which they name.
    """
    needs(program)
    caller_world.write(
        "caller",
        ".muttrc",
        "set from='Sales <sales@example.org>' use_envelope_from=yes use_8bitmime=yes send_charset=utf-8\n"
        "set dsn_notify='failure,delay' dsn_return=hdrs copy=no\n",
    )
    words = ("-s", "Grün", "-c", "copy@example.org", "-b", "hidden@example.org", "to@example.org")
    caller_world.sends(program, *words, stdin=TEXT, env={"LC_ALL": "C.UTF-8"})
    message = caller_world.only()
    options = caller_world.call()[: -len(ALL) - 1]
    assert options[:2] == ["-oem", "-oi"]
    assert {"-f", "sales@example.org", "-N", "failure,delay", "-R", "hdrs", "-B8BITMIME"} <= set(options)
    assert (message.sender, message.recipients) == (b"sales@example.org", ALL)
    assert b"RET=HDRS" in message.parameters
    assert b"BODY=8BITMIME" in message.parameters
    assert all(b"NOTIFY=FAILURE,DELAY" in one for one in message.notify)
    assert message.field("From") == b"Sales <sales@example.org>"
    assert message.fields("Bcc") == []
    assert message.subject() == "Grün"
    assert message.lines() == LINES


def nmh_draft(machine: Machine) -> str:
    """A draft of nmh's, and the profile that it wants."""
    machine.write("caller", ".mh_profile", "Path: Mail\n")
    machine.write("caller", "Mail/context", "")
    draft = "From: sales@example.org\nTo: to@example.org\nSubject: hello\n\nfirst\n.\n..two\nlast\n"
    return machine.write("caller", "draft", draft)


def test_nmh_by_smtp(caller_world: Machine) -> None:
    """The first choice of nmh is `-bs -odb -oem -om`: a dialogue by pipes, one answer at a time.

    It relies on: the greeting before anything is said, and the 250 after the data being the promise.
    """
    post = needs("/usr/bin/mh/send", "nmh")
    done = caller_world.run(post, "-mts", "sendmail/smtp", nmh_draft(caller_world))
    assert (done.returncode, done.stderr) == (0, b""), done
    message = caller_world.only()
    assert caller_world.call()[0] == "-bs"
    assert (message.sender, message.recipients) == (b"sales@example.org", [b"to@example.org"])
    assert message.field("From") == b"sales@example.org"
    assert message.lines() == [b"first", b".", b"..two", b"last"]


def test_nmh_by_pipe(caller_world: Machine) -> None:
    """With sendmail/pipe it calls us `-t -i`."""
    post = needs("/usr/bin/mh/send", "nmh")
    caller_world.sends(post, "-mts", "sendmail/pipe", nmh_draft(caller_world))
    message = caller_world.only()
    assert caller_world.call() == ["-t", "-i"]
    assert (message.sender, message.recipients) == (b"caller@example.net", [b"to@example.org"])
    assert message.field("From") == b"sales@example.org"
    assert message.lines() == [b"first", b".", b"..two", b"last"]


def at_a_terminal(machine: Machine, words: tuple[str, ...], awaited: bytes, keys: bytes) -> bytes:
    """Run a full-screen program; when it shows `awaited` and waits, press `keys`. What was on the screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        machine.command(("setsid", "--ctty", *words), "caller"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=machine.environment("caller", {"TERM": "xterm"}),
    )
    os.close(theirs)
    shown, deadline = b"", time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                shown += os.read(ours, 4096)
            elif awaited in shown and keys:
                os.write(ours, keys)
                keys = b""
    except OSError:  # how a terminal says that the program is gone
        pass
    process.terminate()
    process.wait(PATIENCE)
    os.close(ours)
    return shown


def test_alpine(caller_world: Machine) -> None:
    """Alpine calls us `-bs -odb -oem`, from a terminal, and shows what was wrong in its status line."""
    needs("alpine")
    settings = 'personal-name=Sales\nuser-domain=example.org\nsmtp-server=\ndefault-fcc=""\n'
    features = "feature-list=quit-without-confirm,send-without-confirm\nlast-version-used=9.99\n"
    pinerc = caller_world.write("caller", ".pinerc", settings + features)
    letter = "mailto:to@example.org?subject=hello&body=first%0A.%0A..two%0Alast"
    shown = at_a_terminal(caller_world, ("alpine", "-p", pinerc, "-url", letter), b"last", b"\x18")
    assert b"Alpine finished" in shown
    message = caller_world.only()
    assert caller_world.call() == ["-bs", "-odb", "-oem"]
    assert (message.sender, message.recipients) == (b"caller@example.org", [b"to@example.org"])
    assert message.field("From") == b"Sales <caller@example.org>"
    assert message.lines() == [b"first", b".", b"..two", b"last"]
