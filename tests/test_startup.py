"""What the mail commands load: a submission is hardly more than the interpreter while these lists stay short.

To add an import to the lean path means to add a line here, where everybody sees it. `import re` alone costs
more than all modules of ours; what other modules cost stands in CONTRIBUTING.md.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import sendmail_py

from relay.flushing import World
from support.launch import Sandbox
from support.reader import NAME, PlayedRelay

# Of the standard library, beyond what `python -IS -c pass` has loaded.
STANDARD = {"__future__", "_abc", "_collections_abc", "_stat", "abc", "errno", "fcntl", "genericpath", "os"}
STANDARD |= {"gc", "os.path", "posixpath", "pwd", "stat", "syslog", "time"}

DISPATCH = {"", "commands", "commands.dispatch", "commands.options", "errors", "maillog"}
DISPATCH |= {"submission", "submission.stdin"}
CONFIG = {"commands.setting", "policy", "policy.config", "policy.homes", "policy.schema"}
CONFIG |= {"policy.smarthosts", "policy.toml"}
CONFIG |= {"spool", "spool.durable", "spool.shared"}  # where the shared spool has our folder
SPOOL = {"mail", "mail.envelope", "spool", "spool.durable", "spool.entry", "spool.folders"}
QUEUE = {"spool.breaker", "spool.claim", "spool.queue", "spool.reading", "spool.tries", *SPOOL}

SUBMISSION = {"commands.sendmail", "commands.signals", "mail.address", "mail.addresslist", "mail.everyday"}
SUBMISSION |= {"mail.header"}
SUBMISSION |= {"mail.lines", "policy.aliases", "policy.identity", "policy.masquerade", "policy.validity"}
SUBMISSION |= {"policy.alias_text", "policy.index", "policy.verdicts", "spool.draft"}
SUBMISSION |= {"submission.complete", "submission.intake", "submission.recipients", "submission.submit"}
SUBMISSION |= {"spool.usage"}

MAILQ = {"commands.mailq", "mail.selection", "mail.header", "spool.refused"}
NEWALIASES = {"commands.newaliases", "mail", "mail.address", "mail.addresslist", "mail.everyday"}
NEWALIASES |= {"policy.alias_check"}
NEWALIASES |= {"policy.alias_files", "policy.alias_text", "policy.index", "policy.local_targets"}
NEWALIASES |= {"policy.aliases", "policy.identity"}
SMTP = {"commands.smtp", "submission.session", "submission.smtp_command", "submission.smtp_data"}
SMTP |= {"submission.smtp_reply", "submission.smtp_server"}
FLUSH = {"commands.queue_run", "mail.selection", "commands.shared_run", "spool.tenants", "commands.signals"}
FLUSH |= {"spool.due", "spool.refused", "spool.seats", "spool.upkeep"}

# A reader of root's flush (shared/seats.py), one for each owner with mail.
READER = {"", "errors", "mail.address", "mail.selection", "maillog", *QUEUE}
READER |= {"policy", "policy.config", "policy.homes", "policy.schema", "policy.smarthosts", "policy.toml"}
READER |= {"relay", "relay.backlog", "relay.closing", "relay.delivery", "relay.faults", "relay.in_hand"}
READER |= {"relay.outcome", "relay.reply", "relay.reporter", "relay.senders", "relay.transaction"}
READER |= {"relay.sole_user", "relay.trouble", "shared", "shared.dialect", "shared.frames", "shared.reader"}
READER |= {"shared.settings"}
READER |= {"spool.refused", "spool.shared", "spool.tenants", "spool.upkeep", "spool.usage"}
READER_STANDARD = {"_collections", "_socket", "binascii", "encodings.ascii", "select"}

# Command, arguments, what it may load of ours, what else of the standard library.
COMMANDS: list[tuple[str, list[str], set[str], set[str]]] = [
    ("sendmail", ["-i", "ops@example.net"], SUBMISSION | SPOOL | CONFIG, {"_signal", "binascii"}),
    ("mailq", [], MAILQ | QUEUE | CONFIG, {"binascii", "encodings.ascii"}),
    ("newaliases", [], NEWALIASES | CONFIG, {"binascii"}),
    ("sendmail", ["-q"], FLUSH | QUEUE | CONFIG, {"_signal", "binascii"}),
    ("sendmail", ["-bs"], SMTP | SUBMISSION | SPOOL | CONFIG, {"_signal", "binascii"}),
    ("sendmail", ["--version"], {"commands.usage"}, set()),
]

# Runs a launcher as its `#!` line would, and writes the loaded modules into a file when it ends.
PROBE = """
import sys
bare = set(sys.modules)
import os, posix
real = posix._exit
def leave(status):
    with open(report, "w") as file:
        file.write("\\n".join(sorted(set(sys.modules) - bare)))
    real(status)
os._exit = posix._exit = leave
report, launcher, *arguments = sys.argv[1:]
sys.argv = [launcher, *arguments]
exec(compile(open(launcher, "rb").read(), launcher, "exec"))
"""


def loaded(sandbox: Sandbox, name: str, arguments: list[str], folder: Path) -> set[str]:
    """The modules that a command has loaded when it ends, beyond those of the bare interpreter."""
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    report = folder / "modules"
    command = [sys.executable, "-IS", "-c", PROBE, str(report), sandbox.path(name), *arguments]
    message = b"Subject: hello\n\nhello\n"
    done = subprocess.run(
        command, input=message, cwd=empty, env=sandbox.environment(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return set(report.read_text().split("\n"))


@pytest.mark.parametrize(("name", "arguments", "ours", "standard"), COMMANDS)
def test_a_lean_command_loads_nothing_but_the_list(
    sandbox: Sandbox, tmp_path: Path, name: str, arguments: list[str], ours: set[str], standard: set[str]
) -> None:
    found = loaded(sandbox, name, arguments, tmp_path)
    allowed = {f"sendmail_py.{one}".rstrip(".") for one in ours | DISPATCH} | STANDARD | standard
    assert sorted(found - allowed) == []


def test_the_lists_hold_no_module_that_is_not_there() -> None:
    root = Path(sendmail_py.__file__).parent
    named = set().union(READER, *[ours for _, _, ours, _ in COMMANDS]) | DISPATCH - {""}
    missing = [one for one in sorted(named) if one and not any(root.glob(one.replace(".", "/") + "*"))]
    assert missing == []


def test_an_unsent_message_does_not_load_the_relay_before_it_is_due(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.configure('[[smarthost]]\nname = "isp"\nhost = "127.0.0.1"\ntls = "none"\n')
    assert sandbox.run("sendmail", "ops@example.net", stdin=b"\nhello\n").returncode == 0
    queue = sandbox.spool / "queue"
    (message,) = queue.iterdir()
    (queue / f"{message.name}.FFFFFFF0").write_text("sendmail-py tries 1\n")  # far ahead
    pauses = "sendmail-py pauses 1\nisp\t{until}\t1\t1\tdown\n"
    (sandbox.spool / "pauses").write_text(pauses.format(until=int(time.time()) + 60))
    assert not [one for one in loaded(sandbox, "sendmail", ["-q"], tmp_path) if "relay" in one]


def test_a_reader_loads_nothing_but_the_list(tmp_path: Path) -> None:
    """Neither socket, threading or re, nor what is for reports, digests and new sender rules."""
    world = World(tmp_path, {"name": NAME, "host": "mail.isp.example"})
    world.put(b"b@y.example")
    with PlayedRelay(tmp_path) as relay:
        relay.configure(world.config, world.directory)
        assert relay.want(1) == 1
        relay.delivered(*relay.offers)
        assert relay.end()[0] == b"done"
    allowed = {f"sendmail_py.{one}".rstrip(".") for one in READER} | STANDARD - {"os"} | READER_STANDARD
    assert sorted(set(relay.reported()[1:]) - allowed) == []


# Of the standard library what a run of the queue, which needs ssl and the like, is better off without.
COSTLY = {"datetime", "dataclasses", "email", "json", "logging", "pathlib", "shutil", "tempfile", "tomllib"}
COSTLY |= {"typing", "urllib"}


def test_a_run_of_the_queue_does_without_what_it_seldom_needs(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.configure('[[smarthost]]\nname = "isp"\nhost = "127.0.0.1"\nport = 9\ntls = "none"\n')
    assert sandbox.run("sendmail", "ops@example.net", stdin=b"\nhello\n").returncode == 0
    found = loaded(sandbox, "sendmail", ["-q"], tmp_path)
    assert "sendmail_py.relay.flush" in found
    assert sorted(found & (COSTLY | {"subprocess"})) == []
    late = ("reports", "renewal", "coalesce", "recode", "mime", "sinks", "local", "password_command")
    assert sorted(found & {f"sendmail_py.relay.{one}" for one in late}) == []


def test_a_run_of_the_shared_spool_does_without_it_too() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1])\n"
    code += "from sendmail_py.shared import start\nprint(*sys.modules)"
    package = str(Path(sendmail_py.__file__).parent.parent)
    words = [sys.executable, "-IS", "-c", code, package]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    assert sorted(set(done.stdout.split()) & COSTLY) == []
