"""The command line and the message, call by call: what every caller of a sendmail may rely on.

One row is one call of the installed command; it says the exit status and a word of the one line on standard
error, or what stands in the queue. The groups follow what callers vary: arguments, options, the end of the
input, header, lines, fields, recipients, senders, names of the program.
"""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.launch import Sandbox
from support.queuefile import Stored, leftovers, stored

CONFIG = """\
[identity]
domain = "example.net"
helo = "host.example.net"
[aliases]
files = ["ALIASES"]
"""
ALIASES = """\
root: greg@isp.example
team: a@example.org, b@example.org, root
program: |/bin/true
loop: loop2
loop2: loop
"""
A, B = "a@example.org", "b@example.org"


def login() -> str:
    """The login of the user who runs the tests."""
    return pwd.getpwuid(os.getuid()).pw_name


def full_name() -> str:
    """The name of that user's account."""
    return pwd.getpwuid(os.getuid()).pw_gecos.partition(",")[0].replace("&", login().capitalize())


LOGIN = f"{login()}@example.net"
AUTHOR = f"{full_name()} <{LOGIN}>" if full_name().isalnum() else None


@dataclass
class Queued:
    """What stands in the queue: recipients, and, as far as given, sender, body, fields (None: not there)."""

    to: list[str] = field(default_factory=lambda: [A])
    sender: str | None = None
    body: bytes | None = None
    fields: dict[str, str | None] = field(default_factory=dict)
    records: dict[str, list[str]] = field(default_factory=dict)
    parameters: list[tuple[str, str]] | None = None

    def check(self, message: Stored) -> None:
        """Compare."""
        assert message.recipients == self.to
        assert self.sender in (None, message.sender)
        assert self.body in (None, message.body)
        found = {name: message.field(name) for name in self.fields}
        assert {name: None if one is None else one.decode() for name, one in found.items()} == self.fields
        assert {letter: message.records.get(letter, []) for letter in self.records} == self.records
        assert self.parameters in (None, message.parameters)


Row = tuple[list[str | bytes], bytes, Queued | tuple[int, str]]  # words, input, queued or (status, hint)


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """A configured home machine."""
    aliases = sandbox.folder / "aliases"
    aliases.write_text(ALIASES)
    sandbox.configure(CONFIG.replace("ALIASES", str(aliases)))
    return sandbox


def play(box: Sandbox, row: Row, **keywords: Any) -> None:
    """Make the call and compare."""
    words, text, expected = row
    done = box.run("sendmail", *words, stdin=text, **keywords)
    assert done.stdout == b""
    assert leftovers(box) == []
    if isinstance(expected, Queued):
        assert (done.returncode, done.stderr) == (0, b"")
        (message,) = stored(box)
        expected.check(message)
        return
    status, hint = expected
    assert (done.returncode, done.stderr.count(b"\n")) == (status, 1), done
    assert done.stderr.startswith(b"sendmail: ")
    assert hint in done.stderr.decode()
    assert stored(box) == []


def table(rows: list[Row]) -> pytest.MarkDecorator:
    """A parameter for each row, named by its words."""
    return pytest.mark.parametrize("row", rows, ids=[f"{n}-{name_of(row)}" for n, row in enumerate(rows)])


def name_of(row: Row) -> str:
    """A short name for a row in the list of tests."""
    words = [word if isinstance(word, str) else word.decode("ascii", "backslashreplace") for word in row[0]]
    text = " ".join(words) if words != [A] else row[1][:30].decode("ascii", "backslashreplace")
    return text.encode("unicode_escape").decode()[:50]


MESSAGE = b"Subject: x\n\nbody\n"

ARGUMENTS: list[Row] = [
    ([A], MESSAGE, Queued(sender=LOGIN, body=b"body\r\n", fields={"Subject": "x"})),
    ([A, B], MESSAGE, Queued([A, B])),
    (["-ti"], b"To: a@example.org\n\n.\nx\n", Queued(body=b".\r\nx\r\n")),
    (["-it"], b"To: a@example.org\n\n.\nx\n", Queued(body=b".\r\nx\r\n")),
    (["-t", "-i"], b"To: a@example.org\n\n.\nx\n", Queued(body=b".\r\nx\r\n")),
    (["-fme@example.org", A], MESSAGE, Queued(sender="me@example.org")),
    (["-f", "me@example.org", A], MESSAGE, Queued(sender="me@example.org")),
    (["-tifme@example.org"], b"To: a@example.org\n\n.\n", Queued(sender="me@example.org", body=b".\r\n")),
    (["-tif", "me@example.org"], b"To: a@example.org\n\n.\n", Queued(sender="me@example.org", body=b".\r\n")),
    (["-t", "-f", "me@example.org"], b"To: a@example.org\n\n", Queued(sender="me@example.org")),
    (["-f", "x@example.org", "-f", "me@example.org", A], MESSAGE, Queued(sender="me@example.org")),
    (["-r", "x@example.org", "-fme@example.org", A], MESSAGE, Queued(sender="me@example.org")),
    (["--", A], MESSAGE, Queued()),
    (["-i", "--", "-dash@example.org"], MESSAGE, Queued(["-dash@example.org"])),
    ([A, "-dash@example.org"], MESSAGE, Queued([A, "-dash@example.org"])),
    ([A, "-i"], MESSAGE, (64, "-i after a recipient")),
    ([A, "-f", "me@example.org"], MESSAGE, (64, "-f")),
    ([A, "-t"], MESSAGE, (64, "-t")),
    ([A, "--"], MESSAGE, (64, "--")),
    (["-", A], MESSAGE, (64, "-")),
    (["-"], MESSAGE, (64, "-")),
    (["", A], MESSAGE, Queued()),
    ([A, ""], MESSAGE, Queued()),
    ([""], MESSAGE, (64, "no recipients")),
    (["-Z", A], MESSAGE, (64, "-Z")),
    (["-iZ", A], MESSAGE, (64, "-Z")),
    ([b"-\xff", A], MESSAGE, (64, "xff")),
    ([A, "-f"], MESSAGE, (64, "-f")),
    (["-f"], MESSAGE, (64, "-f needs a value")),
    (["-F"], MESSAGE, (64, "-F needs a value")),
    (["-o"], MESSAGE, (64, "-o needs a value")),
    (["-b"], MESSAGE, (64, "-b needs a value")),
    (["--long", A], MESSAGE, (64, "--long")),
    (["--json", A], MESSAGE, (64, "--json")),
    (["-f", "", A], MESSAGE, Queued(sender="", fields={"From": LOGIN})),
    (["-f", "<>", A], MESSAGE, Queued(sender="", fields={"From": LOGIN})),
    (["-f<>", A], MESSAGE, Queued(sender="", fields={"From": LOGIN})),
    (["-r", "", A], MESSAGE, Queued(sender="")),
    (["-f", "<me@example.org>", A], MESSAGE, Queued(sender="me@example.org")),
    (["-f", "Me <me@example.org>", A], MESSAGE, Queued(sender="me@example.org")),
    (["-f", "me@example.org (Me)", A], MESSAGE, Queued(sender="me@example.org")),
    (["-f", '"a b"@example.org', A], MESSAGE, Queued(sender='"a b"@example.org')),
    (["-f", "a b@c d", A], MESSAGE, (64, "a b@c d")),
    (["-f", " ", A], MESSAGE, (64, "-f: ' ' is not an address")),
    (["-f", b"\xff@example.org", A], MESSAGE, (65, "UTF-8")),
    (["-f", "x" * 1001 + "@example.org", A], MESSAGE, (65, "1000")),
    (["-f", "a@example.org, b@example.org", A], MESSAGE, (64, "exactly one")),
    (["-f", "me@example.org\nRCPT TO:<v@example.org>", A], MESSAGE, (64, "control character")),
    (["-f", "me@example.org\r", A], MESSAGE, (64, "control character")),
    ([A + "\nv@example.org"], MESSAGE, (64, "control character")),
    (["x\r\nDATA\r\n@example.org"], MESSAGE, (64, "control character")),
    (["-F", "x\nBcc: v@example.org", A], MESSAGE, Queued(fields={"Bcc": None, "X": None})),
    (["-f", "bob", A], MESSAGE, Queued(sender="bob@example.net")),
    (["bob"], MESSAGE, Queued(["bob@example.net"])),
    (["root"], MESSAGE, Queued(["greg@isp.example"], parameters=[("-", "rfc822;root@example.net")])),
    (["team"], MESSAGE, Queued([A, B, "greg@isp.example"])),
    (["root@localhost"], MESSAGE, Queued(["greg@isp.example"])),
    ([f"{A},{B}"], MESSAGE, Queued([A, B])),
    ([f" {A} , <{B}> "], MESSAGE, Queued([A, B])),
    ([f'"Last, First" <{A}>'], MESSAGE, Queued()),
    ([f"{A} (a comment, here)"], MESSAGE, Queued()),
    ([f"friends: {A}, B <{B}>;"], MESSAGE, Queued([A, B])),
    (["undisclosed-recipients:;"], MESSAGE, (64, "no recipients")),
]

OPTIONS: list[Row] = [
    (["-Ac", A], MESSAGE, Queued()),
    (["-Am", A], MESSAGE, Queued()),
    (["-A", "c", A], MESSAGE, Queued()),
    (["-Ax", A], MESSAGE, (64, "-A")),
    (["-B8BITMIME", A], MESSAGE, Queued(records={"B": ["8BITMIME"]})),
    (["-B", "8BITMIME", A], MESSAGE, Queued(records={"B": ["8BITMIME"]})),
    (["-B", "7bit", A], MESSAGE, Queued(records={"B": ["7BIT"]})),
    (["-B", "binary", A], MESSAGE, (64, "-B")),
    (["-bm", A], MESSAGE, Queued()),
    (["-b", "m", A], MESSAGE, Queued()),
    (["-bt"], MESSAGE, (64, "-bt")),
    (["-bd"], MESSAGE, (64, "cron")),
    (["-bD"], MESSAGE, (64, "cron")),
    (["-bl"], MESSAGE, (64, "cron")),
    (["-bd", "-q15m"], MESSAGE, (64, "daemon")),
    (["-bh"], MESSAGE, (64, "-bh")),
    (["-bH"], MESSAGE, (64, "-bH")),
    (["-bP"], MESSAGE, (64, "-bP")),
    (["-bz", A], MESSAGE, (64, "-bz")),
    (["-C", "/nonexistent.toml", A], MESSAGE, (78, "/nonexistent.toml")),
    (["-C/nonexistent.toml", A], MESSAGE, (78, "/nonexistent.toml")),
    (["-c", A], MESSAGE, Queued()),
    (["-D", "/tmp/log", A], MESSAGE, (64, "-D")),
    (["-d", A], MESSAGE, Queued()),
    (["-d0.1", A], MESSAGE, Queued()),
    (["-d99.100", "-i", A], MESSAGE, Queued()),
    (["-E", A], MESSAGE, Queued()),
    (["-em", A], MESSAGE, Queued()),
    (["-ep", A], MESSAGE, Queued()),
    (["-e", "q", A], MESSAGE, Queued()),
    (["-ew", A], MESSAGE, Queued()),
    (["-ee", A], MESSAGE, Queued()),
    (["-ex", A], MESSAGE, (64, "-e")),
    (["-FCronDaemon", A], MESSAGE, Queued(fields={"From": f"CronDaemon <{LOGIN}>"})),
    (["-F", "Full Name", A], MESSAGE, Queued(fields={"From": f"Full Name <{LOGIN}>"})),
    (["-G", A], MESSAGE, Queued()),
    (["-h", "3", A], MESSAGE, Queued()),
    (["-h3", A], MESSAGE, Queued()),
    (["-h", "many", A], MESSAGE, (64, "-h")),
    (["-h", A], MESSAGE, (64, "-h")),
    (["-i", A], b"\n.\nx\n", Queued(body=b".\r\nx\r\n")),
    (["-L", "tag", A], MESSAGE, Queued()),
    (["-Ltag", A], MESSAGE, Queued()),
    (["-m", A], MESSAGE, Queued()),
    (["-M", "x", A], MESSAGE, (64, "-M")),
    (["-N", "never", A], MESSAGE, Queued(parameters=[("NEVER", "-")])),
    (["-Nsuccess,failure", A, B], MESSAGE, Queued([A, B], parameters=[("SUCCESS,FAILURE", "-")] * 2)),
    (["-N", "Delay, Success", A], MESSAGE, Queued(parameters=[("DELAY,SUCCESS", "-")])),
    (["-N", "sometimes", A], MESSAGE, (64, "-N")),
    (["-N", "never,success", A], MESSAGE, (64, "-N")),
    (["-n", "root"], MESSAGE, Queued(["root@example.net"])),
    (["-O", "DeliveryMode=q", A], MESSAGE, Queued()),
    (["-ODeliveryMode=b", "-OErrorMode=m", A], MESSAGE, Queued()),
    (["-O", "QueueDirectory=/tmp/x", A], MESSAGE, Queued()),
    (["-odb", A], MESSAGE, Queued()),
    (["-odi", A], MESSAGE, Queued()),
    (["-odq", A], MESSAGE, Queued()),
    (["-odd", A], MESSAGE, Queued()),
    (["-odf", A], MESSAGE, Queued()),
    (["-oem", "-oi", A], b"\n.\nx\n", Queued(body=b".\r\nx\r\n")),
    (["-oep", A], MESSAGE, Queued()),
    (["-oeq", A], MESSAGE, Queued()),
    (["-oew", A], MESSAGE, Queued()),
    (["-oee", A], MESSAGE, Queued()),
    (["-oi", A], b"\n.\nx\n", Queued(body=b".\r\nx\r\n")),
    (["-o", "i", A], b"\n.\nx\n", Queued(body=b".\r\nx\r\n")),
    (["-oitrue", A], b"\n.\nx\n", Queued(body=b".\r\nx\r\n")),
    (["-om", A], MESSAGE, Queued()),
    (["-o7", "-o8", "-oT1h", "-oMrSMTP", "-oMs", "host", "-oA/etc/aliases", A], MESSAGE, (64, "-oA")),
    (["-o7", "-o8", "-oT1h", "-oMrSMTP", "-oA/etc/aliases", "-oQ/tmp", A], MESSAGE, Queued()),
    (["-p", "SMTP:host", A], MESSAGE, Queued()),
    (["-pSMTP", A], MESSAGE, Queued()),
    (["-Q", A], MESSAGE, (64, "-Q")),
    (["-R", "hdrs", A], MESSAGE, Queued(records={"T": ["HDRS"]})),
    (["-Rfull", A], MESSAGE, Queued(records={"T": ["FULL"]})),
    (["-R", "some", A], MESSAGE, (64, "-R")),
    (["-rme@example.org", A], MESSAGE, Queued(sender="me@example.org")),
    (["-S", A], MESSAGE, (64, "-S")),
    (["-s", "Subject", A], MESSAGE, (64, "subject")),
    (["-T", "x", A], MESSAGE, (64, "-T")),
    (["-J", A], MESSAGE, (64, "-J")),
    (["-U", A], MESSAGE, Queued()),
    (["-V", "envid-1", A], MESSAGE, Queued(records={"V": ["envid-1"]})),
    (["-V", "", A], MESSAGE, (64, "-V")),
    (["-V", "a b", A], MESSAGE, (64, "-V")),
    (["-V", "x" * 101, A], MESSAGE, (64, "-V")),
    (["-X", "/tmp/sendmail-py-traffic", A], MESSAGE, Queued()),
    (["-x", A], MESSAGE, Queued()),
    (["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"], MESSAGE, Queued(["greg@isp.example"])),
    (
        ["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"],
        b"To: root\n\n",
        Queued(["greg@isp.example"]),
    ),
    (["-i", "-B", "8BITMIME", A], MESSAGE, Queued()),
    (["-oem", "-oi", "-f", A, "-N", "never", "-R", "hdrs", "-B8BITMIME", "--", B], MESSAGE, Queued([B], A)),
    (
        ["-oi", "-odi", "-oem", "-N", "success,delay,failure", "-V", "id", "-f", "", "--", A],
        MESSAGE,
        Queued(sender=""),
    ),
]

END: list[Row] = [
    ([A], b"\nx\n.\ny\n", Queued(body=b"x\r\n")),
    ([A], b"\nx\r\n.\r\ny\r\n", Queued(body=b"x\r\n")),
    ([A], b"\nx\n.", Queued(body=b"x\r\n")),
    ([A], b"Subject: x\n.\n\ny\n", Queued(body=b"", fields={"Subject": "x"})),
    ([A], b".\nx\n", Queued(body=b"")),
    ([A], b"\n..\n.x\n", Queued(body=b"..\r\n.x\r\n")),
    ([A], b"\n. \nx\n", Queued(body=b". \r\nx\r\n")),
    ([A], b"\nx\n .\ny\n", Queued(body=b"x\r\n .\r\ny\r\n")),
    (["-i", A], b"\nx\n.\ny\n..\n", Queued(body=b"x\r\n.\r\ny\r\n..\r\n")),
    (["-i", A], b"\nx\n.", Queued(body=b"x\r\n.\r\n")),
    ([A], b"", Queued(body=b"", fields={"From": AUTHOR} if AUTHOR else {})),
    ([A], b"\n", Queued(body=b"")),
    ([A], b"\n.\n" + b"x" * 300_000, Queued(body=b"")),
]

HEADER: list[Row] = [
    (
        [A],
        b"From bob Mon Jan  1 10:00:00 2024\nSubject: x\n\ny\n",
        Queued(fields={"Subject": "x"}, body=b"y\r\n"),
    ),
    (
        [A],
        b">From bob Mon Jan  1 10:00:00 2024\nSubject: x\n\ny\n",
        Queued(fields={"Subject": "x"}, body=b"y\r\n"),
    ),
    (
        [A],
        b"From a b\n>From c d\nFrom e f\nSubject: x\n\ny\n",
        Queued(fields={"Subject": "x"}, body=b"y\r\n"),
    ),
    ([A], b"Subject: x\n\nFrom here on\n", Queued(body=b"From here on\r\n")),
    ([A], b"hello world\nmore\n", Queued(body=b"hello world\r\nmore\r\n")),
    ([A], b"Note: this is\nplain text\n", Queued(fields={"Note": "this is"}, body=b"plain text\r\n")),
    ([A], b"\nSubject: x\n", Queued(fields={"Subject": None}, body=b"Subject: x\r\n")),
    ([A], b" Subject: x\n\ny\n", Queued(fields={"Subject": None}, body=b" Subject: x\r\n\r\ny\r\n")),
    ([A], b"\tx\n", Queued(body=b"\tx\r\n")),
    ([A], b"Subject: x\nno header\nmore\n", Queued(fields={"Subject": "x"}, body=b"no header\r\nmore\r\n")),
    ([A], b"Subject: x\n", Queued(fields={"Subject": "x"}, body=b"")),
    ([A], b"Subject: x", Queued(fields={"Subject": "x"}, body=b"")),
    ([A], b"\nx", Queued(body=b"x\r\n")),
    ([A], b"Subject : x\n\n", Queued(fields={"Subject ": "x"})),
    (["-t"], b"To : a@example.org\n\n", Queued()),
    (["-t"], b"tO: a@example.org\nCC: b@example.org\n\n", Queued([A, B], fields={"tO": A, "CC": B})),
    ([A], b"subject: x\nX-Empty:\n\n", Queued(fields={"subject": "x", "X-Empty": ""})),
    ([A], b"X-A: 1\n folded\n\ttwice\n\n", Queued(fields={"X-A": "1\r\n folded\r\n\ttwice"})),
    ([A], b"Subject: =?utf-8?q?=C3=BC?=\n\n", Queued(fields={"Subject": "=?utf-8?q?=C3=BC?="})),
]

LINES: list[Row] = [
    ([A], b"Subject: x\r\n\r\nbody\r\n", Queued(fields={"Subject": "x"}, body=b"body\r\n")),
    ([A], b"Subject: x\r\nX-A: b\n\r\nbody\nmore\r\n", Queued(fields={"X-A": "b"}, body=b"body\r\nmore\r\n")),
    (["-t"], b"To: a@example.org\r\nSubject: x\r\n\r\nbody\nmore\n", Queued(body=b"body\r\nmore\r\n")),
    ([A], b"\na\rb\n", Queued(body=b"a b\r\n")),
    ([A], b"Subject: x\rBcc: v@example.org\n\n", Queued(fields={"Subject": "x Bcc: v@example.org"})),
    ([A], b"\na\r\r\n", Queued(body=b"a\r\n")),
    ([A], b"X: y\r\r\n\r\r\nZ: z\r\r\n", Queued(fields={"X": "y", "Z": None}, body=b"Z: z\r\n")),
    ([A], b"\na\0b\0\n", Queued(body=b"ab\r\n")),
    ([A], b"Sub\0ject: x\n\n", Queued(fields={"Subject": "x"})),
    ([A], "Subject: ü\n\nö\n".encode(), Queued(fields={"Subject": "ü"}, body="ö\r\n".encode())),
    ([A], b"\n\xff\xfe\x80\n", Queued(body=b"\xff\xfe\x80\r\n")),
    ([A], b"\nx  \n\n\n", Queued(body=b"x  \r\n\r\n\r\n")),
    ([A], b"\nx\n.\r", Queued()),
]

LONG_BODY = b"\n" + b"x" * 5000 + b"\n"
LONG_FIELD = b"X-Long: " + b"word " * 1000 + b"\n\nbody\n"

FIELDS: list[Row] = [
    (
        [A],
        b"Date: Mon, 1 Jan 2024 10:00:00 +0000\n\n",
        Queued(fields={"Date": "Mon, 1 Jan 2024 10:00:00 +0000"}),
    ),
    ([A], b"Message-ID: <1@x.example>\n\n", Queued(fields={"Message-ID": "<1@x.example>"})),
    ([A], b"message-id: <1@x.example>\n\n", Queued(fields={"message-id": "<1@x.example>"})),
    ([A], b"From:\n\n", Queued(fields={"From": AUTHOR} if AUTHOR else {})),
    ([A], b"from: me@example.org\n\n", Queued(fields={"from": "me@example.org"})),
    ([A], MESSAGE, Queued(fields={"To": None, "Cc": None, "Bcc": None, "Sender": None})),
    ([A], b"Bcc: v@example.org\n\n", Queued(fields={"Bcc": None})),
    (
        [A],
        b"To: x@example.org\nBcc: v@example.org,\n w@example.org\nX: y\n\n",
        Queued(fields={"Bcc": None, "X": "y"}),
    ),
    ([A], b"Resent-Bcc: v@example.org\n\n", Queued(fields={"Resent-Bcc": None})),
    (["-t"], b"Bcc: a@example.org\n\n", Queued(fields={"Bcc": None})),
    (["-t"], b"To: a@example.org\nBCC: b@example.org\n\n", Queued([A, B], fields={"Bcc": None})),
    ([A], b"Return-Path: <v@example.org>\n\n", Queued(sender=LOGIN, fields={"Return-Path": None})),
    ([A], b"Content-Length: 10\n\n", Queued(fields={"Content-Length": None})),
    ([A], b"Sender: s@example.org\n\n", Queued(fields={"Sender": "s@example.org"})),
    ([A], b"Full-Name: x\n\n", Queued(fields={"Full-Name": "x"})),
    (
        [A],
        b"From: bob\nTo: carl, Dora <dora>\nCc: eve@example.org\n\n",
        Queued(
            fields={
                "From": "bob@example.net",
                "To": "carl@example.net, Dora <dora@example.net>",
                "Cc": "eve@example.org",
            }
        ),
    ),
    (
        [A],
        b'From: "Cron, the Daemon" <root>\n\n',
        Queued(fields={"From": '"Cron, the Daemon" <root@example.net>'}),
    ),
    ([A], b"From: root (Cron Daemon)\n\n", Queued(fields={"From": "root@example.net (Cron Daemon)"})),
    ([A], b"Reply-To: bob\n\n", Queued(fields={"Reply-To": "bob@example.net"})),
    ([A], b"X-Authentication-Warning: x\n\n", Queued(fields={"X-Authentication-Warning": "x"})),
    ([A], b"To: undisclosed-recipients:;\n\n", Queued(fields={"To": "undisclosed-recipients:;"})),
    ([A], b"To: not an address at all\n\n", Queued(fields={"To": "not an address at all"})),
    (
        ["-f", "me@example.org", A],
        b"From: other@example.org\n\n",
        Queued(fields={"From": "other@example.org", "Sender": None}),
    ),
    ([A], b"Received: x\n" * 100 + b"\n", Queued()),
    ([A], b"Received: x\n" * 101 + b"\n", (65, "Received")),
]

RECIPIENTS: list[Row] = [
    (
        ["-t"],
        b"To: a@example.org\nCc: b@example.org\nBcc: c@example.org\n\n",
        Queued([A, B, "c@example.org"]),
    ),
    (["-t"], b"To: a@example.org\nTo: b@example.org\n\n", Queued([A, B])),
    (["-t", B], b"To: a@example.org\n\n", Queued([B, A])),
    (["-t", A], b"To: a@example.org\n\n", Queued([A])),
    (["-t", A], b"\nbody\n", Queued([A])),
    (["-t"], b"Resent-To: a@example.org\nTo: x@example.org\nBcc: y@example.org\n\n", Queued([A])),
    (
        ["-t"],
        b"Resent-To: a@example.org\nResent-From: x@example.org\nResent-Cc: b@example.org\n\n",
        Queued([A, B]),
    ),
    (["-t"], b"Resent-To: a@example.org\nResent-To: b@example.org\n\n", Queued([A, B])),
    (["-t"], b"Resent-Bcc: a@example.org\nTo: x@example.org\n\n", Queued([A], fields={"Resent-Bcc": None})),
    (["-t"], b"Resent-From: x@example.org\nTo: a@example.org\n\n", Queued([A])),
    ([], MESSAGE, (64, "no recipients")),
    ([], b"To: a@example.org\n\n", (64, "no recipients")),
    (["-t"], MESSAGE, (64, "no recipients")),
    (["-t"], b"To:\nCc: undisclosed-recipients:;\n\n", (64, "no recipients")),
    (["-t"], b"Apparently-To: a@example.org\n\n", (64, "no recipients")),
    (["-t"], b"", (64, "no recipients")),
    (["-t"], b"To: Friends: a@example.org, B <b@example.org>;\n\n", Queued([A, B])),
    (
        ["-t"],
        b"To: undisclosed-recipients:;\nBcc: a@example.org\n\n",
        Queued(fields={"To": "undisclosed-recipients:;"}),
    ),
    (["-t"], b'To: (first) a@example.org (last, here), "B, b" <b@example.org>\n\n', Queued([A, B])),
    (["-t"], b"To: =?utf-8?q?a=2C_b?= <a@example.org>\n\n", Queued()),
    (["-t"], b"To: a@example.org,\n b@example.org,\n\tc@example.org\n\n", Queued([A, B, "c@example.org"])),
    (["-t"], b"To: ,, a@example.org , ,\n\n", Queued()),
    (["-t"], b'To: "a b"@example.org\n\n', Queued(['"a b"@example.org'])),
    (["-t"], b"To: a@example.org, A@example.org, a@EXAMPLE.ORG\n\n", Queued([A, "A@example.org"])),
    ([A, A, "a@Example.Org"], MESSAGE, Queued([A])),
    (["team", A], MESSAGE, Queued([A, B, "greg@isp.example"])),
    (["-t"], b"To: <@x.example,@y.example:a@example.org>\n\n", Queued()),
    (["-t"], b"To: a@example.org; b@example.org\n\n", Queued([A, B])),
    (["-t"], b"To: a@example.org b@example.org\n\n", (65, "a@example.org b@example.org")),
    (["ü@example.org"], MESSAGE, Queued(["ü@example.org"])),
    (["-t"], "To: ü@bücher.example\n\n".encode(), Queued(["ü@bücher.example"])),
    ([b"\xff@example.org"], MESSAGE, (65, "UTF-8")),
    ([A, "bad address", B], MESSAGE, (65, "bad address")),
    (["-t"], b"To: a@example.org, bad@@example.org\n\n", (65, "bad@@example.org")),
    (["-t"], b"To: a@example.org, <unclosed@example.org\n\n", (65, "not closed")),
    (["/etc/passwd"], MESSAGE, (65, "/etc/passwd")),
    (["|/bin/true"], MESSAGE, (65, "/bin/true")),
    (['"|/bin/true"'], MESSAGE, (65, "/bin/true")),
    (["-n", "|/bin/true"], MESSAGE, (65, "/bin/true")),
    (["-t", "-n"], b"To: |/bin/true\n\n", (65, "/bin/true")),
    (["-t"], b"To: /etc/passwd\n\n", (65, "/etc/passwd")),
    ([":include:/etc/passwd"], MESSAGE, (65, "include")),
    (["program"], MESSAGE, (65, "program")),
    (["loop"], MESSAGE, (65, "loop")),
    (["\\root"], MESSAGE, Queued(["root@example.net"])),
    (["\\|x"], MESSAGE, (65, "|x")),
    (["a@-x.example"], MESSAGE, (65, "-x.example")),
    (["a@1.2.3.4"], MESSAGE, (65, "brackets")),
    (["a@[192.0.2.1]"], MESSAGE, Queued(["a@[192.0.2.1]"])),
    (["a@example.org."], MESSAGE, Queued()),
    (["x" * 1001 + "@example.org"], MESSAGE, (65, "1000")),
    ([f"r{n}@example.org" for n in range(200)], MESSAGE, Queued([f"r{n}@example.org" for n in range(200)])),
    (
        ["-t"],
        b"To: " + b",\n ".join([b"r%d@example.org" % n for n in range(300)]) + b"\n\n",
        Queued([f"r{n}@example.org" for n in range(300)]),
    ),
]

SENDERS: list[Row] = [
    ([A], MESSAGE, Queued(sender=LOGIN, fields={"From": AUTHOR} if AUTHOR else {})),
    ([A], b"From: other@example.org\n\n", Queued(sender=LOGIN)),
    (["-F", "Full Name", A], MESSAGE, Queued(fields={"From": f"Full Name <{LOGIN}>"})),
    (
        ["-f", "me@example.org", A],
        MESSAGE,
        Queued(sender="me@example.org", fields={"From": "me@example.org"}),
    ),
    (["-F", "Me", "-f", "me@example.org", A], MESSAGE, Queued(fields={"From": "Me <me@example.org>"})),
    (["-F", "Me", A], b"From: other@example.org\n\n", Queued(fields={"From": "other@example.org"})),
    (["-f", "", A], MESSAGE, Queued(sender="", fields={"From": LOGIN})),
    (
        ["-F", "Last, First", "-f", "me@example.org", A],
        MESSAGE,
        Queued(fields={"From": '"Last, First" <me@example.org>'}),
    ),
    (
        ["-F", "J. Q. Doe", "-f", "me@example.org", A],
        MESSAGE,
        Queued(fields={"From": '"J. Q. Doe" <me@example.org>'}),
    ),
    (
        ["-F", 'a"b\\c', "-f", "me@example.org", A],
        MESSAGE,
        Queued(fields={"From": '"a\\"b\\\\c" <me@example.org>'}),
    ),
    (
        ["-F", "Grüße", "-f", "me@example.org", A],
        MESSAGE,
        Queued(fields={"From": "=?utf-8?B?R3LDvMOfZQ==?= <me@example.org>"}),
    ),
    (
        ["-F", "a\rb\tc", "-f", "me@example.org", A],
        MESSAGE,
        Queued(fields={"From": "a b c <me@example.org>"}),
    ),
    (["-F", "", "-f", "me@example.org", A], MESSAGE, Queued(fields={"From": "me@example.org"})),
    (
        ["-f", "bob@localhost", A],
        MESSAGE,
        Queued(sender="bob@example.net", records={"O": ["domain bob@localhost"]}),
    ),
]


@table(ARGUMENTS)
def test_arguments_are_read_as_getopt_reads_them(box: Sandbox, row: Row) -> None:
    play(box, row)


@table(OPTIONS)
def test_an_option_is_obeyed_ignored_or_refused(box: Sandbox, row: Row) -> None:
    play(box, row)
    assert not os.path.exists("/tmp/sendmail-py-traffic")


@table(END)
def test_the_message_ends_where_callers_think_it_ends(box: Sandbox, row: Row) -> None:
    play(box, row)


@table(HEADER)
def test_header_and_body_are_told_apart(box: Sandbox, row: Row) -> None:
    play(box, row)


@table(LINES)
def test_lines_become_crlf_lines_and_nothing_is_lost(box: Sandbox, row: Row) -> None:
    play(box, row)


@table(FIELDS)
def test_fields_are_added_completed_and_removed(box: Sandbox, row: Row) -> None:
    play(box, row)


@table(RECIPIENTS)
def test_recipients_are_found(box: Sandbox, row: Row) -> None:
    play(box, row)


@table(SENDERS)
def test_sender_and_author_are_found(box: Sandbox, row: Row) -> None:
    play(box, row)


@pytest.mark.parametrize(("text", "name"), [(b"X-Long: x", "X-Long"), (LONG_FIELD, "X-Long")])
def test_a_long_field_keeps_its_words(box: Sandbox, text: bytes, name: str) -> None:
    assert box.run("sendmail", A, stdin=text).returncode == 0
    (message,) = stored(box)
    value = dict(message.fields)[name]
    assert value.split() == text.partition(b"\n\n")[0].partition(b":")[2].split()


def test_a_long_line_is_accepted(box: Sandbox) -> None:
    assert box.run("sendmail", A, stdin=LONG_BODY).returncode == 0
    (message,) = stored(box)
    assert message.body.replace(b"\r\n", b"").replace(b" ", b"").replace(b"=", b"") == b"x" * 5000


def test_ours_come_first_and_the_others_keep_their_order(box: Sandbox) -> None:
    text = b"X-B: 2\nReceived: by old\nx-a: 1\nSubject: s\nX-B: 3\n\n"
    assert box.run("sendmail", "-f", "me@example.org", A, stdin=text).returncode == 0
    (message,) = stored(box)
    names = [name for name, _ in message.fields]
    assert names == ["Received", "Message-ID", "Date", "From", "X-B", "Received", "x-a", "Subject", "X-B"]
    assert message.queue_id.encode() in message.fields[0][1]


def test_the_name_of_the_environment_is_used_without_f(box: Sandbox) -> None:
    env: dict[str, str | None] = {"NAME": "Env Name"}
    assert box.run("sendmail", "-f", "me@example.org", A, env=env).returncode == 0
    assert box.run("sendmail", "-f", "me@example.org", "-F", "Given", A, env=env).returncode == 0
    assert [one.field("From") for one in stored(box)] == [
        b"Env Name <me@example.org>",
        b"Given <me@example.org>",
    ]


@pytest.mark.parametrize(
    ("words", "status"), [(["-oeq"], 64), (["-eq", "bad@@x"], 65), (["-oeq", "-C", "/nonexistent", A], 78)]
)
def test_oeq_takes_the_text_and_not_the_code(box: Sandbox, words: list[str], status: int) -> None:
    done = box.run("sendmail", *words, stdin=MESSAGE)
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"")


def test_oee_does_not_hide_that_nothing_was_queued(box: Sandbox) -> None:
    done = box.run("sendmail", "-oee", "bad@@x", stdin=MESSAGE)
    assert (done.returncode, done.stderr.count(b"\n")) == (65, 1)


# --- the names of the program, and the modes that read no message -------------------------------------------

MODES = [
    # name, words, status, standard output begins with
    ("mailq", [], 0, "Mail queue is empty\n"),
    ("mailq", ["-v"], 0, "Mail queue is empty\n"),
    ("mailq", ["-q"], 0, "Mail queue is empty\n"),
    ("mailq", ["-qRexample.org"], 0, "Mail queue is empty\n"),
    ("mailq", ["--json"], 0, ""),
    ("mailq", ["operand"], 64, ""),
    ("mailq", ["-bi"], 65, ""),
    ("sendmail", ["-bp"], 0, "Mail queue is empty\n"),
    ("sendmail", ["-b", "p"], 0, "Mail queue is empty\n"),
    ("sendmail", ["-bp", "-v"], 0, "Mail queue is empty\n"),
    ("sendmail", ["-bp", "-Ac"], 0, "Mail queue is empty\n"),
    ("sendmail", ["-bp", A], 64, ""),
    ("newaliases", [], 65, ""),
    ("newaliases", ["-bp"], 0, "Mail queue is empty\n"),
    ("newaliases", ["operand"], 64, ""),
    ("sendmail", ["-bi"], 65, ""),
    ("sendmail", ["-I"], 65, ""),
    ("runq", [], 0, ""),
    ("runq", ["-v"], 0, ""),
    ("sendmail", ["-q"], 0, ""),
    ("sendmail", ["-qf"], 0, ""),
    ("sendmail", ["-q30m"], 0, ""),
    ("sendmail", ["-qp30m"], 0, ""),
    ("sendmail", ["-qp"], 0, ""),
    ("sendmail", ["-q1h30m"], 0, ""),
    ("sendmail", ["-qI4C0FFEE"], 0, ""),
    ("sendmail", ["-qRexample.org"], 0, ""),
    ("sendmail", ["-qSbob"], 0, ""),
    ("sendmail", ["-q!Rexample.org"], 0, ""),
    ("sendmail", ["-q!Ix", "-q!Sy"], 0, ""),
    ("sendmail", ["-qR"], 64, ""),
    ("sendmail", ["-qG"], 64, ""),
    ("sendmail", ["-qQ"], 64, ""),
    ("sendmail", ["-qL"], 64, ""),
    ("sendmail", ["-q!"], 64, ""),
    ("sendmail", ["-qforever"], 64, ""),
    ("sendmail", ["-q", "30m"], 64, ""),
    ("sendmail", ["-q", "-t"], 64, ""),
    ("sendmail", ["-t", "-q"], 64, ""),
    ("sendmail", ["-bp", "-t"], 64, ""),
    ("mailq", ["-t"], 64, ""),
    ("sendmail", ["--version"], 0, "sendmail_py "),
    ("sendmail", ["--help"], 0, "usage: "),
    ("mailq", ["--help"], 0, "usage: "),
]


@pytest.mark.parametrize(("name", "words", "status", "output"), MODES)
def test_a_name_or_mode_that_reads_no_message(
    box: Sandbox, name: str, words: list[str], status: int, output: str
) -> None:
    """A bad alias file is 65; see the next test for a good one."""
    reading, writing = os.pipe()
    os.write(writing, MESSAGE)
    os.close(writing)
    done = box.start(name, *words, stdin=reading)
    out, errors = done.communicate(timeout=60)
    assert done.returncode == status, errors
    assert out.decode().startswith(output)
    assert bool(out) == bool(output)
    assert bool(errors) == bool(status)
    if status == 0 or words[-1:] == ["-bi"]:
        assert os.read(reading, 100) == MESSAGE  # standard input is left alone
    os.close(reading)


@pytest.mark.parametrize("name", ["newaliases", "sendmail"])
def test_newaliases_is_silent_when_all_is_well(box: Sandbox, name: str) -> None:
    (box.folder / "aliases").write_text("root: greg@isp.example\n")
    done = box.run(name, *([] if name == "newaliases" else ["-bi"]))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("name", ["send-mail", "sendmail.postfix", "hoststat", "rmail", "x"])
def test_any_other_name_sends(box: Sandbox, name: str) -> None:
    (box.folder / name).symlink_to(box.path("sendmail"))
    box.bindir = box.folder
    done = box.run(name, A, stdin=MESSAGE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(stored(box)) == 1
    assert box.run(name, "-Z").stderr.startswith(name.encode() + b": ")


def test_the_last_part_of_argument_zero_counts(box: Sandbox) -> None:
    """Sudo passes `sendmail` without a path; a link may be anywhere."""
    (box.folder / "sub").mkdir()
    (box.folder / "sub" / "mailq").symlink_to(box.path("sendmail"))
    box.bindir = box.folder / "sub"
    assert box.run("mailq").stdout == b"Mail queue is empty\n"


def test_a_selection_lists_and_flushes_parts_of_the_queue(box: Sandbox) -> None:
    """With -bp, or as mailq, -q selects what is shown."""
    for sender, recipient in (("one@example.org", "x@example.com"), ("two@example.org", "y@example.edu")):
        assert box.run("sendmail", "-f", sender, recipient, stdin=MESSAGE).returncode == 0
    ids = [message.queue_id for message in stored(box)]
    cases = {
        "-qRexample.com": ids[:1], "-qRX@EXAMPLE": ids[:1], "-q!Rexample.com": ids[1:], "-qStwo@": ids[1:],
        f"-qI{ids[0]}": ids[:1], f"-q!I{ids[0]}": ids[1:], "-qRexample": ids, "-qSnobody": [],
    }  # fmt: skip
    for word, expected in cases.items():
        for words in (["mailq", word], ["sendmail", "-bp", word], ["sendmail", word, "-bp"]):
            out = box.run(*words).stdout.decode()
            assert [one for one in ids if f"{one} " in out] == expected, words
            assert out.endswith("Mail queue is empty\n" if not expected else ".\n")


# --- -bv ----------------------------------------------------------------------------------------------------

SMARTHOSTS = """
[[smarthost]]
name = "isp"
host = "127.0.0.1"
tls = "none"
senders = ["*@example.net"]
[[smarthost]]
name = "work"
host = "127.0.0.1"
tls = "none"
"""

VERIFIED = [
    ([A], 0, [f"{A}: {A} (as it is, smart host isp, work)"]),
    (["root"], 0, ["root: greg@isp.example (alias, smart host isp, work)"]),
    (["-n", "root"], 0, ["root: root@example.net (completed, smart host isp, work)"]),
    (["bob@localhost"], 0, ["bob@localhost: bob@example.net (completed, smart host isp, work)"]),
    (["-f", "x@example.org", "bob"], 0, ["bob: bob@example.net (completed, smart host work)"]),
    (["team"], 0, [f"team: {one} (alias, smart host isp, work)" for one in (A, B, "greg@isp.example")]),
    ([f"{A}, B <{B}>"], 0, [f"{one}: {one} (as it is, smart host isp, work)" for one in (A, B)]),
    ([A, "|x", "bob"], 65, [
        f"{A}: {A} (as it is, smart host isp, work)",
        "|x: refused: |x: mail to a program is not supported: |x; see aliases.agents",
        "bob: bob@example.net (completed, smart host isp, work)"]),
    (["bad@@x"], 65, ["bad@@x: refused: bad@@x: not an address"]),
    (["program"], 65, [
        "program: refused: program: mail to a program is not supported: |/bin/true; see aliases.agents"]),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status", "lines"), VERIFIED)
def test_bv_tells_how_an_address_would_be_treated(
    box: Sandbox, words: list[str], status: int, lines: list[str]
) -> None:
    """And sends nothing."""
    box.configure(box.config.read_text() + SMARTHOSTS)
    done = box.run("sendmail", "-bv", *words, stdin=MESSAGE)
    assert (done.returncode, done.stderr) == (status, b"")
    assert done.stdout.decode().splitlines() == lines
    assert stored(box) == []


def test_bv_and_explain_name_the_alias_for_everybody_else(box: Sandbox) -> None:
    (box.folder / "aliases").write_text("*: greg@isp.example\n")
    done = box.run("sendmail", "-bv", "bob")
    assert done.stdout.decode() == "bob: greg@isp.example (alias, no smart host is configured)\n"
    found = json.loads(box.run("sendmail-py", "explain", "--json", "--", "bob").stdout)
    (row,) = found["recipients"]
    assert (row["after"], row["rule"], row["reason"]) == ("greg@isp.example", "alias", "*: greg@isp.example")


def test_bv_without_addresses_is_a_usage_error(box: Sandbox) -> None:
    done = box.run("sendmail", "-bv")
    assert (done.returncode, done.stderr.count(b"\n")) == (64, 1)


def test_bv_says_that_there_is_no_smart_host(box: Sandbox) -> None:
    assert b"no smart host is configured" in box.run("sendmail", "-bv", A).stdout
    box.configure(box.config.read_text() + SMARTHOSTS.partition('[[smarthost]]\nname = "work"')[0])
    assert b"no smart host for <x@example.org>" in box.run("sendmail", "-bv", "-f", "x@example.org", A).stdout
