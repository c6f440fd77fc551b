"""The promise under fire: at every system call an error or a kill, and nothing is lost or half done."""

from __future__ import annotations

import pytest

from support.faults import files, inject, traced
from support.launch import Sandbox

MESSAGE = b"To: a@example.org\nSubject: x\n\n" + b"0123456789abcdef\n" * 20
SENDMAIL = ["sendmail", "-t", "-i"]
ERRORS = {
    "write": ("ENOSPC", "EIO", "EDQUOT", "EFBIG"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "openat": ("EMFILE", "ENOSPC", "EACCES", "EROFS", "EIO"),
    "close": ("EIO", "EDQUOT"),
    "rename": ("EIO", "ENOSPC", "EDQUOT"),
    "renameat": ("EIO", "ENOSPC", "EDQUOT"),
    "renameat2": ("EIO", "ENOSPC", "EDQUOT"),
    "mkdir": ("ENOSPC", "EACCES", "EROFS"),
    "flock": ("EIO",),
    "dup": ("EMFILE",),
    "fstat": ("EIO",),
    "newfstatat": ("EIO",),
    "read": ("EIO",),
}


@pytest.fixture
def configured(sandbox: Sandbox) -> Sandbox:
    """A spool that exists."""
    sandbox.configure('[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n')
    done = sandbox.run(*SENDMAIL, stdin=MESSAGE)
    assert (done.returncode, done.stderr) == (0, b"")
    return sandbox


def waiting(sandbox: Sandbox) -> set[str]:
    """Queue ids."""
    return {one["queue_id"] for one in sandbox.queue()}


def test_every_error_at_every_call_gives_a_code_one_line_and_no_message(configured: Sandbox) -> None:
    """ENOSPC, EIO, EDQUOT, EMFILE and others from the first look at the spool to the end."""
    tried = 0
    for call in traced(configured, SENDMAIL, MESSAGE, str(configured.spool)):
        for error in ERRORS.get(call.name, ()):
            before = waiting(configured)
            done = inject(configured, SENDMAIL, MESSAGE, call, f"error={error}")
            added = waiting(configured) - before
            where = f"{error} at {call.text}: {done!r}"
            tried += 1
            if done.returncode == 0:
                assert len(added) == 1, where
                assert done.stderr == b"", where
            else:
                assert done.returncode in (73, 74, 75), where
                assert not added, where
                assert done.stderr.count(b"\n") == 1, where
                assert done.stderr.startswith(b"sendmail: "), where
            assert not [name for name in files(configured.spool / "queue") if name.startswith(".")], where
    assert tried > 20


def test_a_kill_at_every_call_loses_nothing_and_the_next_flush_tidies_up(configured: Sandbox) -> None:
    """Kill -9: either the whole message is in the queue or none of it."""
    tried = 0
    for call in traced(configured, SENDMAIL, MESSAGE, str(configured.spool)):
        before = waiting(configured)
        done = inject(configured, SENDMAIL, MESSAGE, call, "signal=SIGKILL")
        added = waiting(configured) - before
        assert len(added) <= 1, call.text
        assert done.returncode != 0, call.text
        tried += 1
    assert tried > 15
    for queue_id in waiting(configured):
        shown = configured.run("sendmail-py", "queue", "show", queue_id)
        assert shown.returncode == 0
        assert b"a@example.org" in shown.stdout


def test_the_order_of_the_calls_is_the_promise(configured: Sandbox) -> None:
    """Write, fsync, close, rename, fsync of the folder; nothing is written to the queue file after it."""
    calls = traced(configured, SENDMAIL, MESSAGE, str(configured.spool))
    names = [call.name for call in calls]
    rename = next(i for i, name in enumerate(names) if name.startswith("rename"))
    assert names.count("fsync") == 2
    first, second = [i for i, name in enumerate(names) if name == "fsync"]
    close = names.index("close", first)
    assert names.index("write") < first < close < rename < second
