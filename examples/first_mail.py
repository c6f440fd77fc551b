"""The way of one message, from cron's pipe to a mail server, told step by step and checked at the end.

The server is a real one (aiosmtpd, on 127.0.0.1) that takes mail only over TLS and after a login. The
commands are the ones that `sendmail-py install` writes. Everything lives in one temporary folder. Exit status
0: every check holds.
"""

from __future__ import annotations

import logging
import os
import shutil
import ssl
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

LOGIN, PASSWORD = "greg", "correct horse battery staple"
SENDER, READER = "greg@isp.example", "ops@isp.example"
PATIENCE = 60  # seconds for one command

CONFIGURATION = """\
[identity]
domain = "isp.example"               # completes names that have no domain

[masquerade.users]
"*" = "{sender}"             # whoever sends from this machine is, to the world, greg

[aliases]
files = ["{folder}/aliases"]

[[smarthost]]
host = "localhost"
port = {port}
tls = "starttls"                     # the default; no TLS, no mail
ca_file = "{folder}/ca.pem"
user = "{login}"
password_file = "{folder}/isp.secret"

[queue]
directory = "{folder}/spool"

[log]
to = "{folder}/mail.log"
"""

ALIASES = "root: ops\nops: {reader}\n"

BODY = """\
Backup of /home: 12 files, 3 of them new.
Grüße vom Server; two blanks follow: \x20
.
.. and dots at the start of a line are text.
"""

CRON_MESSAGE = f"""\
From: root (Cron Daemon)
To: root
Subject: Cron <root@nas> /usr/local/bin/backup
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit
X-Cron-Env: <SHELL=/bin/sh>
X-Cron-Env: <HOME=/root>

{BODY}""".encode()


class Mailbox:
    """The server's side: who may log in, and what arrived."""

    def __init__(self) -> None:
        self.arrived: list[tuple[Session, Envelope]] = []

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        """Let greg in with his password."""
        right = data == LoginPassword(LOGIN.encode(), PASSWORD.encode())
        return AuthResult(success=right, auth_data=data, handled=False)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the message."""
        self.arrived.append((session, envelope))
        return "250 2.0.0 Taken with thanks"


class Server(Controller):
    """aiosmtpd's own server in a thread, on a port that the kernel chooses."""

    def _create_server(self) -> Coroutine[Any, Any, Any]:
        create = super()._create_server()

        async def create_and_look() -> Any:
            server: Any = await create
            self.port = server.sockets[0].getsockname()[1]
            return server

        return create_and_look()


class BrokenOffError(Exception):
    """A command failed; the rest of the story would make no sense."""


class Story:
    """The steps and the checks, as the reader sees them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps = 0
        self.faults: list[str] = []
        self.said = b""
        self.environment = {
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PATH": f"{folder}/bin:/usr/bin:/bin",
            "SENDMAIL_PY_CONFIG": f"{folder}/config.toml",
            "XDG_CONFIG_HOME": f"{folder}/.config",
            "XDG_STATE_HOME": f"{folder}/.local/state",
        }

    def step(self, title: str) -> None:
        """Begin the next step."""
        self.steps += 1
        print(f"\n{self.steps}. {title}\n")

    def show(self, text: str | bytes, mark: str = "   | ") -> None:
        """Show a file, a message or what a command said."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        for line in text.splitlines():
            print(f"{mark}{line}".rstrip())

    def run(self, *command: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run a command in the sealed environment and show what it said."""
        name = command[0].rpartition("/")[2]
        print(f"   $ {'cron | ' if stdin else ''}{' '.join([name, *command[1:]])}")
        path = shutil.which(command[0], path=self.environment["PATH"]) or command[0]
        feed: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        done = subprocess.run(  # noqa: S603 - the words are this program's own
            [path, *command[1:]],
            env=self.environment,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            **feed,
        )
        self.show(done.stdout + done.stderr)
        self.said += done.stdout + done.stderr
        if done.returncode != 0:
            raise BrokenOffError(f"{name} ended with status {done.returncode}")
        return done

    def check(self, claim: str, found: object, expected: object) -> None:
        """Compare, and say it."""
        if found == expected:
            print(f"   ok       {claim}")
            return
        print(f"   NOT SO   {claim}\n            expected {expected!r}\n            found    {found!r}")
        self.faults.append(claim)


def serve(folder: Path) -> tuple[Server, Mailbox]:
    """Start the mail server; its authority's certificate goes to ca.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    mailbox = Mailbox()
    server = Server(
        mailbox,
        hostname="127.0.0.1",
        port=0,
        server_hostname="mail.isp.example",
        tls_context=context,
        require_starttls=True,
        authenticator=mailbox.authenticate,
        auth_required=True,
    )
    server.start()
    return server, mailbox


def write_files(folder: Path, port: int) -> str:
    """Write the configuration, the aliases and the password; returns the configuration."""
    text = CONFIGURATION.format(folder=folder, port=port, login=LOGIN, sender=SENDER)
    (folder / "config.toml").write_text(text)
    (folder / "aliases").write_text(ALIASES.format(reader=READER))
    with open(os.open(folder / "isp.secret", os.O_WRONLY | os.O_CREAT, 0o600), "w") as secret:
        secret.write(f"{PASSWORD}\n")
    return text


def tell(story: Story, server: Server, mailbox: Mailbox) -> None:
    """Walk the message through, step by step."""
    story.step(
        f"A mail server, as at a provider's: 127.0.0.1 port {server.port}, STARTTLS and a login required."
    )
    print("   Its certificate comes from an authority made just now (ca.pem). It runs inside this program.")

    story.step("The configuration, config.toml:")
    story.show(write_files(story.folder, server.port))
    print("\n   and the alias file, aliases:\n")
    story.show(ALIASES.format(reader=READER))

    story.step("The commands, written by the admin command:")
    story.run(
        os.path.join(sysconfig.get_path("scripts"), "sendmail-py"),
        "install",
        "--bindir",
        f"{story.folder}/bin",
    )

    story.step(
        "Cron reports on a backup. It pipes this into sendmail, from a sender that nobody could answer:"
    )
    story.show(CRON_MESSAGE, "   > ")
    print()
    story.run("sendmail", "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", stdin=CRON_MESSAGE)
    print("   sendmail has ended: the message is on the disk, synced. Nothing has been sent yet.")

    story.step("There it waits:")
    queue = story.run("mailq")

    story.step("The flush, as cron or a timer would run it:")
    story.run("sendmail", "-q")

    story.step("What the server received, envelope and message:")
    for session, envelope in mailbox.arrived:
        story.show(received(session, envelope))

    story.step("Checked:")
    check(story, mailbox, queue.stdout)


def received(session: Session, envelope: Envelope) -> str:
    """Return envelope and message as a text to show."""
    options = " ".join(envelope.mail_options)
    recipients = "".join(f"RCPT TO:<{address}>\n" for address in envelope.rcpt_tos)
    login = getattr(session.auth_data, "login", b"nobody").decode()
    content = envelope.content if isinstance(envelope.content, bytes) else b""
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    return (
        f"(from {session.host_name}, {'over TLS' if session.ssl else 'in clear'}, logged in as {login})\n\n"
        f"MAIL FROM:<{envelope.mail_from}> {options}\n{recipients}\n{text}"
    )


def check(story: Story, mailbox: Mailbox, queue_before: bytes) -> None:
    """Hold what arrived against what should have."""
    story.check("mailq showed the waiting message", SENDER.encode() in queue_before, True)
    story.check("one message arrived, once", len(mailbox.arrived), 1)
    for session, envelope in mailbox.arrived[:1]:
        check_envelope(story, session, envelope)
        check_message(story, envelope)
    secret = PASSWORD.encode() in story.said + read_log(story.folder)
    story.check("the password is in nothing that was said or logged", secret, False)
    after = story.run("mailq")
    story.check("the queue is empty", after.stdout.strip(), b"Mail queue is empty")


def check_envelope(story: Story, session: Session, envelope: Envelope) -> None:
    """Check the session and the envelope."""
    login = getattr(session.auth_data, "login", b"")
    story.check("it came over TLS", session.ssl is not None, True)
    story.check(f"after a login as {LOGIN}", login, LOGIN.encode())
    story.check(f"the envelope sender can be answered: {SENDER}", envelope.mail_from, SENDER)
    story.check(f"root's mail went where the aliases say: {READER}", envelope.rcpt_tos, [READER])
    story.check("8-bit text was announced", "BODY=8BITMIME" in envelope.mail_options, True)


def check_message(story: Story, envelope: Envelope) -> None:
    """Check header and body."""
    content = envelope.content if isinstance(envelope.content, bytes) else b""
    head, _, body = content.partition(b"\r\n\r\n")
    fields = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").split(b"\r\n")
    named = {field.partition(b":")[0].lower(): field.partition(b":")[2].strip() for field in fields}
    story.check(
        "From: was repaired, its comment kept", named.get(b"from"), f"{SENDER} (Cron Daemon)".encode()
    )
    for name in ("Date", "Message-ID", "Received"):
        story.check(f"{name}: was added", bool(named.get(name.lower().encode())), True)
    sent = [
        line
        for line in CRON_MESSAGE.partition(b"\n\n")[0].split(b"\n")
        if line[:5] not in (b"From:", b"To: r")
    ]
    story.check("every other field is as cron wrote it", [line for line in fields if line in sent], sent)
    story.check("the body is the same, byte for byte", body, BODY.replace("\n", "\r\n").encode())


def read_log(folder: Path) -> bytes:
    """Return the log, empty if there is none."""
    log = folder / "mail.log"
    return log.read_bytes() if log.exists() else b""


def main() -> int:
    """Tell the story; 0 if every check holds."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # the server's own notes are not part of the story
    sys.stdout.reconfigure(line_buffering=True, errors="replace")  # type: ignore[union-attr]
    print("sendmail_py: the way of one message. All of it stays on this machine, in one temporary folder.")
    with tempfile.TemporaryDirectory(prefix="first-mail-") as folder:
        story = Story(Path(folder))
        server, mailbox = serve(story.folder)
        try:
            tell(story, server, mailbox)
        except BrokenOffError as error:
            story.faults.append(str(error))
        finally:
            server.stop()
    if story.faults:
        print(f"\nfirst-mail: not as it should be: {'; '.join(story.faults)}", file=sys.stderr)
        return 1
    print("\nEverything is as it should be.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
