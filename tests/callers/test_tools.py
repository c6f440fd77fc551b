"""What tools send: git, Mercurial, Emacs, procmail, sudo, fail2ban, logwatch."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from callers.machine import Machine
from support.needs import needs

GIT = r"""
git config --global user.name "The Caller"
git config --global user.email sales@example.org
git init -q .
printf 'one\n' >file
git add file
git commit -q -m 'add a file

.
grün'
git send-email --quiet --envelope-sender=auto --to=to@example.org --cc=copy@example.org --confirm=never \
	--suppress-cc=all -1 >/dev/null
"""
HGRC = """\
[ui]
username = sales@example.org
[extensions]
patchbomb =
notify =
[email]
method = /usr/sbin/sendmail
from = sales@example.org
to = to@example.org
[hooks]
changegroup.notify = python:hgext.notify.hook
[usersubs]
to@example.org = *
[notify]
test = False
sources = push
"""
REPOSITORY = "hg init one; hg init two; cd one; echo 1 >file; hg add -q file; hg commit -m 'add a file'; "
EMACS = r"""
(progn
  (require 'message)
  (setq user-mail-address "sales@example.org" user-full-name "Sales" message-interactive WANTED
        message-send-mail-function 'message-send-mail-with-sendmail)
  (message-mail "to@example.org" "hello")
  (message-goto-bcc)
  (insert "hidden@example.org")
  (message-goto-body)
  (insert "first\n.\n.dot\nlast\n")
  (message-send))
"""
FAIL2BAN = r"""
from fail2ban.client.actionreader import ActionReader
from fail2ban.server.action import CommandAction
reader = ActionReader("sendmail", "sshd", {"name": "sshd", "dest": "root"}, basedir="/etc/fail2ban")
reader.read()
reader.getOptions(None)
action = CommandAction(None, "sendmail")
for key, value in reader.getCombined().items():
    setattr(action, key, value)
action.ban({"ip": "192.0.2.1", "failures": 5, "fq-hostname": "nas.lan"})
"""


def test_git_send_email(caller_world: Machine) -> None:
    """It calls us `-f A -i RCPT...` and looks at how the pipe closed."""
    needs("git")
    if not Path("/usr/lib/git-core/git-send-email").exists():
        needs("git-send-email", "git-email")
    caller_world.sends("sh", "-euc", GIT)
    message = caller_world.only()
    assert caller_world.call() == ["-f", "sales@example.org", "-i", "to@example.org", "copy@example.org"]
    assert (message.sender, message.recipients) == (
        b"sales@example.org",
        [b"to@example.org", b"copy@example.org"],
    )
    assert message.field("From") == b"The Caller <sales@example.org>"
    assert message.lines()[:3] == [b".", "grün".encode(), b"---"]


@pytest.mark.parametrize("command", ["yes | hg email -r tip", "hg push -q ../two"])
def test_mercurial(caller_world: Machine, command: str) -> None:
    """Its patchbomb and notify call us `-f FROM RCPT...`, without -i, and look at the status."""
    needs("hg", "mercurial")
    caller_world.write("caller", ".hgrc", HGRC)
    done = caller_world.run("sh", "-euc", REPOSITORY + command)
    assert (done.returncode, done.stderr) == (0, b""), done
    message = caller_world.only()
    assert caller_world.call() == ["-f", "sales@example.org", "to@example.org"]
    assert (message.sender, message.recipients) == (b"sales@example.org", [b"to@example.org"])
    assert message.field("From") == b"sales@example.org"
    assert message.lines()[-1] == b"+1"


@pytest.mark.parametrize("wanted", ["t", "nil"])
def test_emacs_message_mode(caller_world: Machine, wanted: str) -> None:
    """Emacs calls us `-oi -f ADDR -t`, with `-oem -odb` when it is not to wait.

    Any octet of ours on standard output or error is a failure to it.
    """
    needs("emacs", "emacs-nox")
    done = caller_world.run("emacs", "-Q", "--batch", "--eval", EMACS.replace("WANTED", wanted))
    assert done.returncode == 0, done
    assert b"Sending...done" in done.stderr
    message = caller_world.only()
    more = [] if wanted == "t" else ["-oem", "-odb"]
    assert caller_world.call() == ["-oi", "-f", "sales@example.org", *more, "-t"]
    assert (message.sender, message.recipients) == (
        b"sales@example.org",
        [b"to@example.org", b"hidden@example.org"],
    )
    assert message.field("From") == b"Sales <sales@example.org>"
    assert message.fields("Bcc") == []
    assert message.lines() == [b"first", b".", b".dot", b"last"]


def test_procmail(caller_world: Machine) -> None:
    """It forwards with `-oi RCPT...`, the message as it came, as the user whose mail it is."""
    needs("procmail")
    caller_world.write("caller", ".procmailrc", ":0\n! to@example.org other@example.org\n")
    text = b"From: sales@example.org\nTo: caller@nas.lan\nMessage-ID: <1@example.org>\n\nfirst\n.\nlast\n"
    envelope = b"From sales@example.org Tue Nov 24 07:55:25 2026\n"
    caller_world.sends("procmail", "-d", "caller", stdin=envelope + text, user="root")
    message = caller_world.only()
    assert caller_world.call() == ["-oi", "to@example.org", "other@example.org"]
    assert message.sender == b"caller@example.net"
    assert message.recipients == [b"to@example.org", b"other@example.org"]
    assert message.field("From") == b"sales@example.org"
    assert message.field("Message-ID") == b"<1@example.org>"
    assert message.lines()[:3] == [b"first", b".", b"last"]


@pytest.mark.parametrize("user", ["root", "caller"])
def test_sudo(caller_world: Machine, user: str) -> None:
    """It calls us `-t` in the background, and for root with HOME=/, which is nobody's home.

    It relies on: mailerpath being a regular file, no need of an environment. Its mail must wait where the
    flush of root's crontab finds it.
    """
    needs("sudo")
    rules = f"Defaults mail_always\n{user} ALL=(ALL:ALL) NOPASSWD: ALL\n"
    caller_world.replace("/etc/sudoers", rules, 0o440)
    before = Path("/.local").exists()
    try:
        caller_world.sends("sudo", "-n", "true", user=user)
        messages = caller_world.arrived(2)  # accepted, ended
    finally:
        if not before:
            shutil.rmtree("/.local", ignore_errors=True)
    assert caller_world.calls() == [["/usr/sbin/sendmail", "-t"]] * 2
    sender = {"root": b"owner@isp.example", "caller": b"caller@example.net"}[user]
    for message in messages:
        assert (message.sender, message.recipients) == (sender, [b"owner@isp.example"])
        assert message.field("From") == sender
        assert b"SECURITY information" in message.field("Subject")
        assert b"COMMAND=/usr/bin/true" in message.body


def test_fail2ban(caller_world: Machine) -> None:
    """Its own action: `printf ... | /usr/sbin/sendmail -f "fail2ban" "root"`, bare names, no -i."""
    needs("fail2ban-server", "fail2ban")
    caller_world.sends("/usr/bin/python3", "-c", FAIL2BAN, user="root")
    message = caller_world.only()
    assert caller_world.call() == ["-f", "fail2ban", "root"]
    assert (message.sender, message.recipients) == (b"owner@isp.example", [b"owner@isp.example"])
    assert message.field("From") == b"Fail2Ban <owner@isp.example>"
    assert message.field("To") == b"root@example.net"
    assert message.field("Subject") == b"[Fail2Ban] sshd: banned 192.0.2.1 from nas.lan"
    assert b"The IP 192.0.2.1 has just been banned by Fail2Ban after" in message.lines()


def test_logwatch(caller_world: Machine) -> None:
    """It calls us `-t` with From: and To: of bare names."""
    needs("logwatch")
    words = ("--output", "mail", "--mailto", "root", "--service", "zz-sys", "--range", "today")
    caller_world.sends("logwatch", *words, user="root")
    message = caller_world.only()
    assert caller_world.call() == ["-t"]
    assert (message.sender, message.recipients) == (b"owner@isp.example", [b"owner@isp.example"])
    assert message.field("From") == b"owner@isp.example"
    assert message.field("To") == b"root@example.net"
    assert b"Logfiles for Host: nas" in message.body
