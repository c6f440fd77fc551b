"""The installed commands against Debian's Postfix: a server that we did not write, over TLS, with a login."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.launch import Sandbox, smarthost_table
from support.postfix import REFUSED, Postfix

USER, PASSWORD = "greg", 'pa\'ss "word" %s'
SENDER = "greg@isp.example"
BODY = b"Gr\xc3\xbc\xc3\x9fe\n.\n..\n.dot\n\ntrailing blank \n" + b"x" * 900 + b"\n"
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256")


@pytest.fixture(scope="module")
def running() -> Iterator[Postfix]:
    """One instance for the module; each test looks at what it added."""
    with Postfix({USER: PASSWORD}) as postfix:
        yield postfix


def configure(sandbox: Sandbox, postfix: Postfix, password: str = PASSWORD, **keys: object) -> None:
    """Let the sandbox relay through Postfix, with a login and a checked certificate."""
    secret = sandbox.folder / "secret"
    secret.write_text(f"{password}\n")
    secret.chmod(0o600)
    keys = {"port": postfix.port, "host": "localhost", "user": USER, "ca_file": postfix.ca_file, **keys}
    masquerade = f'[identity]\ndomain = "isp.example"\n[masquerade.users]\n"*" = "{SENDER}"\n'
    sandbox.configure(masquerade + smarthost_table(**keys, password_file=str(secret)))


def submit(sandbox: Sandbox, *recipients: str, subject: str = "a test") -> None:
    """Queue one message; nothing may be said."""
    done = sandbox.run("sendmail", "-oi", *recipients, stdin=b"Subject: %s\n\n%s" % (subject.encode(), BODY))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def body(message: bytes) -> bytes:
    """Return what follows the header."""
    return message.partition(b"\n\n")[2]


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_delivers_the_body_byte_for_byte(
    sandbox: Sandbox, running: Postfix, tls: str, mechanism: str
) -> None:
    port = running.port if tls == "starttls" else running.tls_port
    configure(sandbox, running, tls=tls, port=port, auth=[mechanism])
    before, log = len(running.messages()), len(running.log())
    submit(sandbox, "reader@elsewhere.example")
    done = sandbox.run("sendmail", "-q")
    assert (done.returncode, done.stderr) == (0, b"")
    message = running.wait_for(before + 1)[-1]
    assert body(message) == BODY
    assert message.startswith(b"Return-Path: <%s>\n" % SENDER.encode())
    assert f"sasl_method={mechanism}, sasl_username={USER}" in running.log()[log:]
    assert sandbox.queue() == []


def test_two_hundred_messages_take_one_session(sandbox: Sandbox, running: Postfix) -> None:
    configure(sandbox, running, max_connections=1)
    before, sessions = len(running.messages()), running.sessions()
    for number in range(200):
        submit(sandbox, "reader@elsewhere.example", subject=f"number {number}")
    assert len(sandbox.queue()) == 200
    assert sandbox.run("sendmail", "-q").returncode == 0
    arrived = running.wait_for(before + 200)[before:]
    subjects = {
        line
        for message in arrived
        for line in message.split(b"\n\n")[0].split(b"\n")
        if line[:8] == b"Subject:"
    }
    assert subjects == {b"Subject: number %d" % number for number in range(200)}
    assert running.sessions() == sessions + 1
    assert sandbox.queue() == []


def test_a_wrong_password_keeps_the_mail_and_is_tried_once(sandbox: Sandbox, running: Postfix) -> None:
    wrong = "not the password"
    configure(sandbox, running, password=wrong, auth=["PLAIN"])
    log = len(running.log())
    for _ in range(3):
        submit(sandbox, "reader@elsewhere.example")
    done = sandbox.run("sendmail", "-q")
    assert len(sandbox.queue()) == 3
    assert running.log()[log:].count("SASL PLAIN authentication failed") == 1
    said = sandbox.log() + done.stdout.decode() + done.stderr.decode()
    assert "535" in said
    assert wrong not in said


def test_an_unknown_authority_keeps_the_mail(sandbox: Sandbox, running: Postfix) -> None:
    configure(sandbox, running)
    sandbox.configure(sandbox.config.read_text().replace("ca_file", "# ca_file"))
    log = len(running.log())
    submit(sandbox, "reader@elsewhere.example")
    sandbox.run("sendmail", "-q")
    assert len(sandbox.queue()) == 1
    assert "sasl_method" not in running.log()[log:]


def test_a_refused_recipient_fails_and_the_other_is_served(sandbox: Sandbox, running: Postfix) -> None:
    configure(sandbox, running)
    before = len(running.messages())
    submit(sandbox, REFUSED, "reader@elsewhere.example")
    assert sandbox.run("sendmail", "-q").returncode == 0
    assert b"\nDelivered-To: reader@elsewhere.example\n" in running.wait_for(before + 1)[-1]
    (report,) = sandbox.queue()  # which tells the sender
    assert report["sender"] == "MAILER-DAEMON"
    failed = list((sandbox.spool / "failed").iterdir())
    assert any(REFUSED.encode() in path.read_bytes() for path in failed)
