"""What programs send through their language's library: PHP, Perl, Ruby, JavaScript, Python."""

from __future__ import annotations

import pytest

from callers.ground import needs_library
from callers.machine import CONFIG, Machine
from support.needs import needs
from support.script import Stall

LINES = [b"first", b".", b".dot", b"last"]
BOTH = [b"to@example.org", b"hidden@example.org"]
NODE = {"NODE_PATH": "/usr/share/nodejs"}

PHP = r"""
$header = "From: sales@example.org\r\nBcc: hidden@example.org\r\nX-Folded: a\r\n b";
exit(mail("to@example.org", "hello", "first\n.\n.dot\nlast", $header, "-fbounce@example.org") ? 0 : 9);
"""
PHP_ALONE = r"""exit(mail("to@example.org", "hello", "first\n.\n.dot\nlast") ? 0 : 9);"""
EMAIL_SENDER = r"""
use Email::Sender::Simple qw(sendmail); use Email::Simple; use Email::Sender::Transport::Sendmail;
my $header = [From => 'Sales <sales@example.org>', To => 'to@example.org', Subject => 'hello'];
my $message = Email::Simple->create(header => $header, body => "first\n.\n.dot\nlast\n");
sendmail($message, { from => 'bounce@example.org', to => ['to@example.org', 'hidden@example.org'],
                     transport => Email::Sender::Transport::Sendmail->new });
"""
MIME_LITE = r"""
use MIME::Lite;
my $message = MIME::Lite->new(From => 'sales@example.org', To => 'to@example.org', Subject => 'hello',
                              Bcc => 'hidden@example.org', Data => "first\n.\n.dot\nlast\n");
$message->send("sendmail") or exit 9;
"""
MAIL_MAILER = r"""
use Mail::Mailer;
my $mailer = Mail::Mailer->new("sendmail");
$mailer->open({From => 'sales@example.org', To => 'to@example.org', Subject => 'hello',
               Bcc => 'hidden@example.org'});
print $mailer "first\n.\n.dot\nlast\n";
$mailer->close or exit 9;
"""
RUBY = r"""
require "mail"
message = Mail.new { from "sales@example.org"; to "to@example.org"; bcc "hidden@example.org"
                     subject "Grün"; body "first\n.\n.dot\nlast\n" }
message.delivery_method :sendmail
message.deliver!
"""
NODEMAILER = r"""
const transport = require("nodemailer").createTransport({ sendmail: true });
const message = { from: "sales@example.org", to: "to@example.org", bcc: "hidden@example.org",
                  subject: "Grün", text: "first\n.\n.dot\nlast\n" };
transport.sendMail(message, (error) => { if (error) { console.error(error); process.exit(9) } });
"""
TRAC = r"""
import subprocess
words = ["/usr/sbin/sendmail", "-i", "-f", "sales@example.org", "to@example.org", "hidden@example.org"]
text = "From: sales@example.org\nTo: to@example.org\nSubject: hello\n\nfirst\n.\n.dot\nlast\n"
pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
child = subprocess.Popen(words, bufsize=-1, **pipes)
out, err = child.communicate(text.replace("\n", "\r\n").encode())
if child.returncode or err:
    raise SystemExit(f"Sendmail failed with ({child.returncode}, {err}), command: {words}")
"""


def php(machine: Machine, code: str, *before: str) -> None:
    """Run PHP code that must send."""
    needs("php", "php-cli")
    machine.sends(*before, "php", "-r", code)


def test_php_mail(caller_world: Machine) -> None:
    """PHP calls `sh -c "/usr/sbin/sendmail -t -i -fADDR"` with a CRLF header and an LF body.

    It relies on: status 0 for true, the attached -f, Bcc: removed, no trace of a second CR in the header.
    """
    php(caller_world, PHP)
    message = caller_world.only()
    assert caller_world.call() == ["-t", "-i", "-fbounce@example.org"]
    assert (message.sender, message.recipients) == (b"bounce@example.org", BOTH)
    assert message.field("From") == b"sales@example.org"
    assert message.field("X-Folded") == b"a b"
    assert message.fields("Bcc") == []
    assert message.lines() == LINES


def test_php_mail_without_environment(caller_world: Machine) -> None:
    """A web server's process has neither HOME nor PATH, and mail() by itself gives no From:."""
    php(caller_world, PHP_ALONE, "env", "-i")
    message = caller_world.only()
    assert (message.sender, message.recipients) == (b"caller@example.net", [b"to@example.org"])
    assert message.field("From") == b"The Caller <caller@example.net>"
    assert message.lines() == LINES


def test_perl_email_sender(caller_world: Machine) -> None:
    """Email::Sender calls us `-i -f FROM -- RCPT...`; the envelope is not that of the header."""
    needs_library("libemail-sender-perl", "perl", "-MEmail::Sender::Simple", "-e1")
    caller_world.sends("perl", "-e", EMAIL_SENDER)
    message = caller_world.only()
    assert caller_world.call() == ["-i", "-f", "bounce@example.org", "--", *map(bytes.decode, BOTH)]
    assert (message.sender, message.recipients) == (b"bounce@example.org", BOTH)
    assert message.field("From") == b"Sales <sales@example.org>"
    assert message.lines() == LINES


def test_perl_mime_lite(caller_world: Machine) -> None:
    """MIME::Lite calls `/usr/lib/sendmail -t -oi -oem -fADDR`: the old path, Bcc: in the message."""
    needs_library("libmime-lite-perl", "perl", "-MMIME::Lite", "-e1")
    caller_world.sends("perl", "-e", MIME_LITE)
    message = caller_world.only()
    assert caller_world.calls() == [["/usr/lib/sendmail", "-t", "-oi", "-oem", "-fsales@example.org"]]
    assert (message.sender, message.recipients) == (b"sales@example.org", BOTH)
    assert message.fields("Bcc") == []
    assert message.lines() == LINES


@pytest.mark.parametrize("ends", [True, False])
def test_perl_mail_mailer(caller_world: Machine, ends: bool) -> None:
    """Mail::Mailer calls us `-t`, without -i: a lone dot ends the message, unless the setting says no.

    It still writes the rest, and close() must not see a broken pipe.
    """
    needs_library("libmailtools-perl", "perl", "-MMail::Mailer", "-e1")
    if not ends:
        caller_world.configure("dot_ends_message = false\n" + CONFIG)
    caller_world.sends("perl", "-e", MAIL_MAILER)
    message = caller_world.only()
    assert caller_world.call() == ["-t"]
    assert message.sender == b"caller@example.net"
    assert sorted(message.recipients) == sorted(BOTH)
    assert message.field("From") == b"sales@example.org"
    assert message.fields("Bcc") == []
    assert message.lines() == (LINES[:1] if ends else LINES)


def test_ruby_mail(caller_world: Machine) -> None:
    """Ruby's mail calls us through a shell, `-i -f FROM -- RCPT...`, and reads what we say to its end."""
    needs_library("ruby-mail", "ruby", "-rmail", "-e1")
    caller_world.sends("ruby", "-e", RUBY)
    message = caller_world.only()
    assert caller_world.call() == ["-i", "-f", "sales@example.org", "--", *map(bytes.decode, BOTH)]
    assert (message.sender, message.recipients) == (b"sales@example.org", BOTH)
    assert message.subject() == "Grün"
    assert message.fields("Bcc") == []
    assert message.lines() == LINES


def test_ruby_mail_does_not_wait_for_a_flush_in_the_background(caller_world: Machine) -> None:
    """With delivery = "background" the flush holds none of the pipes that Ruby reads to their end."""
    needs_library("ruby-mail", "ruby", "-rmail", "-e1")
    caller_world.configure('delivery = "background"\n' + CONFIG)
    caller_world.host.script(b"greeting", Stall())
    caller_world.sends("ruby", "-e", RUBY)  # would run into the test's time limit
    assert caller_world.host.messages == []


def test_nodemailer(caller_world: Machine) -> None:
    """Nodemailer finds us by PATH and calls us `-i -f FROM RCPT...`."""
    needs_library("node-nodemailer", "node", "-e", f'require("{NODE["NODE_PATH"]}/nodemailer")')
    caller_world.sends("node", "-e", NODEMAILER, env=NODE)
    message = caller_world.only()
    assert caller_world.call() == ["-i", "-f", "sales@example.org", *map(bytes.decode, BOTH)]
    assert (message.sender, message.recipients) == (b"sales@example.org", BOTH)
    assert message.subject() == "Grün"
    assert message.lines() == LINES


def test_python_as_trac_does_it(caller_world: Machine) -> None:
    """Trac takes any octet on standard error for a failure; all its lines end in CRLF."""
    caller_world.sends("/usr/bin/python3", "-c", TRAC)
    message = caller_world.only()
    assert (message.sender, message.recipients) == (b"sales@example.org", BOTH)
    assert message.lines() == LINES


def test_php_mail_that_is_relayed_at_once(caller_world: Machine) -> None:
    """With delivery = "now" and a queue of one's own mail() returns true when the smart host has it."""
    own_queue = '[queue]\ndirectory = "~/spool"\n'
    caller_world.configure('delivery = "now"\n' + CONFIG + own_queue)
    php(caller_world, PHP)
    assert caller_world.host.recipients() == BOTH


FAILURES = {
    "php": "<?php " + PHP,
    "perl": "use Email::Sender::Simple;" + EMAIL_SENDER,
    "perl -MMIME::Lite": MIME_LITE,
    "perl -MMail::Mailer": MAIL_MAILER,
    "node": NODEMAILER,
    "s-nail -s hello to@example.org <": "last",
    "bsd-mailx -s hello to@example.org <": "last",
    "mail.mailutils -s hello to@example.org <": "last",
    "mutt -s hello to@example.org <": "last",
}


@pytest.mark.parametrize("caller", FAILURES)
def test_a_refusal_reaches_the_caller(caller_world: Machine, caller: str) -> None:
    """Exit status 78 becomes the program's own failure, with nothing queued.

    All of the message is read before we say no: a caller that gets SIGPIPE dies of it, or reports that.
    """
    needs(caller.split(maxsplit=1)[0])
    caller_world.configure("delivery = 5\n" + CONFIG)
    much = ("last" if caller == "node" else "last\n") * 50_000
    script = caller_world.write("caller", "script", FAILURES[caller].replace("last", much))
    done = caller_world.run("sh", "-c", f"{caller} {script}", env=NODE)
    assert 0 < done.returncode < 128, caller_world.told(done)
    assert len(caller_world.calls()) == 1
    caller_world.configure(CONFIG)
    assert caller_world.arrived(0) == []
