"""Whatever the caller's process looks like: the message is queued or one line says why, no traceback ever."""

from __future__ import annotations

import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.launch import Sandbox
from support.needs import needs_root
from support.queuefile import leftovers, stored

A = "a@example.org"
MESSAGE = b"Subject: x\n\nbody\n"
NOBODY = 54321  # a user id without an account
CONFIG = '[identity]\ndomain = "example.net"\n[aliases]\nfiles = []\n'


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """A configured home machine."""
    sandbox.configure(CONFIG)
    return sandbox


@pytest.fixture
def strange(installed: Path) -> Iterator[Sandbox]:
    """A sandbox that belongs to a user id without an account; its folder can be reached by all."""
    needs_root()
    folder = Path(tempfile.mkdtemp(prefix="strange-"))
    try:
        sandbox = Sandbox(installed, folder / "box")
        sandbox.configure(CONFIG)
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        yield sandbox
    finally:
        shutil.rmtree(folder)


def queued(box: Sandbox, *words: str | bytes, text: bytes = MESSAGE, **keywords: Any) -> None:
    """The call queues one message without a word."""
    done = box.run("sendmail", *(words or (A,)), stdin=text, **keywords)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (len(stored(box)), leftovers(box)) == (1, [])


def refused(box: Sandbox, status: int, *words: str | bytes, text: bytes = MESSAGE, **keywords: Any) -> bytes:
    """The call ends with one line and leaves nothing; returns the line."""
    done = box.run("sendmail", *(words or (A,)), stdin=text, **keywords)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (status, b"", 1), done
    assert b"Traceback" not in done.stderr
    assert (stored(box), leftovers(box)) == ([], [])
    return done.stderr


# --- environment --------------------------------------------------------------------------------------------

ENVIRONMENTS: list[dict[str, str | None]] = [
    {"HOME": None},
    {"HOME": "relative"},
    {"HOME": "/nonexistent"},
    {"HOME": None, "PATH": None, "LANG": None, "TZ": None},
    {"LANG": None},
    {"LANG": "C", "LC_ALL": "C"},
    {"LC_ALL": "POSIX"},
    {"LC_ALL": "xx_YY.nonsense"},
    {"LANG": "", "LC_CTYPE": "UTF-8"},
    {"TZ": ":/nonsense"},
    {"TZ": ""},
    {"USER": "", "LOGNAME": ""},
    {"USER": "x" * 100_000},
    {"NAME": "a\nBcc: v@example.org"},
    {"PYTHONHOME": "/nonexistent", "PYTHONPATH": "/nonexistent"},
    {"PYTHONSTARTUP": "/nonexistent", "PYTHONINSPECT": "1", "PYTHONDEBUG": "1", "PYTHONVERBOSE": "1"},
    {"PYTHONHASHSEED": "nonsense", "PYTHONIOENCODING": "nonsense", "PYTHONWARNINGS": "error"},
    {"PYTHONMALLOC": "nonsense", "PYTHONUTF8": "nonsense", "PYTHONCOERCECLOCALE": "nonsense"},
    {"PYTHONTRACEMALLOC": "nonsense", "PYTHONPROFILEIMPORTTIME": "1", "PYTHONFAULTHANDLER": "1"},
    {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
    {"PYTHONPLATLIBDIR": "nonsense", "PYTHONEXECUTABLE": "/nonexistent", "PYTHONSAFEPATH": ""},
    {"LD_LIBRARY_PATH": "/nonexistent:/proc:relative"},
    {"IFS": "x", "ENV": "/nonexistent", "BASH_ENV": "/nonexistent", "CDPATH": "/"},
    {"MAIL": "x", "MAILRC": "/nonexistent", "EMAIL": "v@example.org", "REPLYTO": "v@example.org"},
    {"TMPDIR": "/nonexistent", "XDG_RUNTIME_DIR": "/nonexistent"},
]


@pytest.mark.parametrize("env", ENVIRONMENTS, ids=[",".join(one) for one in ENVIRONMENTS])
def test_the_environment_changes_nothing(box: Sandbox, env: dict[str, str | None]) -> None:
    queued(box, env=env)
    message = stored(box)[0]
    assert message.sender.endswith("@example.net")
    assert message.field("Bcc") is None


def test_a_library_to_preload_that_is_not_there_is_the_loaders_business(box: Sandbox) -> None:
    """It warns on standard error before we live; nothing else is said."""
    done = box.run("sendmail", A, stdin=MESSAGE, env={"LD_PRELOAD": "/nonexistent/lib.so"})
    assert done.returncode == 0
    assert all(b"ld.so" in line for line in done.stderr.splitlines())
    assert len(stored(box)) == 1


def test_an_environment_that_is_not_text_does_no_harm(box: Sandbox) -> None:
    env: dict[bytes, bytes] = {key.encode(): value.encode() for key, value in box.environment().items()}
    env |= {b"NAME": b"J\xf6rg", b"\xff": b"\xfe", b"X\xff": b""}
    done = subprocess.run([box.path("sendmail"), A], input=MESSAGE, env=env, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert stored(box)[0].field("From") == b"=?iso-8859-1?B?SvZyZw==?= <%s>" % stored(box)[0].sender.encode()


@pytest.mark.parametrize("lang", ["C", "C.UTF-8", "POSIX", "nonsense"])
def test_arguments_that_are_not_utf_8_are_octets(box: Sandbox, lang: str) -> None:
    """A name may be; an address may not."""
    queued(box, "-F", b"J\xf6rg", "-f", "me@example.org", A, env={"LANG": lang, "LC_ALL": lang})
    assert stored(box)[0].field("From") == b"=?iso-8859-1?B?SvZyZw==?= <me@example.org>"
    done = box.run("sendmail", b"j\xf6rg@example.org", stdin=MESSAGE, env={"LC_ALL": lang})
    assert (done.returncode, done.stderr.count(b"\n")) == (65, 1)
    done = box.run("sendmail", "-C", b"/\xff", A, stdin=MESSAGE, env={"LC_ALL": lang})
    assert (done.returncode, done.stderr.count(b"\n")) == (78, 1)


# --- the process --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_the_umask_does_not_count(box: Sandbox, mask: int) -> None:
    queued(box, preexec_fn=lambda: os.umask(mask))
    assert {path.stat().st_mode & 0o777 for path in (box.spool / "queue").iterdir()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (box.spool, box.spool / "queue")} == {0o700}


def test_compiled_modules_are_for_everybody(box: Sandbox, tmp_path: Path) -> None:
    """Root's cron may be the first that runs Python on a small system: what it leaves must be of use."""
    words = [sys.executable, "-IS", "-X", f"pycache_prefix={tmp_path}", box.path("mailq")]
    done = subprocess.run(words, env=box.environment(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.pyc")} == {0o644}


def test_the_current_folder_may_be_gone(box: Sandbox, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'rmdir "{gone}"; exec "{box.path("sendmail")}" {A}'
    done = subprocess.run(
        ["sh", "-c", script], cwd=gone, input=MESSAGE, env=box.environment(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(stored(box)) == 1


def test_the_current_folder_may_be_full_of_traps(box: Sandbox, tmp_path: Path) -> None:
    for name in ("os", "posix", "sendmail_py", "marshal", "time", "encodings", "site", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(1)")
    queued(box, cwd=tmp_path)


@pytest.mark.parametrize(
    "numbers", [[signal.SIGPIPE], [signal.SIGCHLD], [signal.SIGPIPE, signal.SIGCHLD], [signal.SIGHUP]]
)
def test_signals_that_the_parent_ignores_are_no_trouble(box: Sandbox, numbers: list[int]) -> None:
    def ignore() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    queued(box, preexec_fn=ignore, restore_signals=False)


def test_signals_that_the_parent_blocks_are_no_trouble(box: Sandbox) -> None:
    queued(box, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)))


def limited(which: int, size: int) -> Any:
    """A function for the child that limits one of its resources."""
    return lambda: resource.setrlimit(which, (size, size))


def test_sixteen_descriptors_are_enough(box: Sandbox) -> None:
    queued(box, preexec_fn=limited(resource.RLIMIT_NOFILE, 16))


def test_too_few_descriptors_are_one_line(box: Sandbox) -> None:
    """With four of them nothing can be opened: the loader or we say so, and nothing is queued."""
    done = box.run("sendmail", A, stdin=MESSAGE, preexec_fn=limited(resource.RLIMIT_NOFILE, 4))
    assert done.returncode not in (0, 1)
    assert b"Traceback" not in done.stderr
    assert (stored(box), leftovers(box)) == ([], [])


def test_a_small_limit_for_files_refuses_what_is_larger(box: Sandbox) -> None:
    line = refused(box, 75, text=b"\n" + b"x\n" * 50_000, preexec_fn=limited(resource.RLIMIT_FSIZE, 8192))
    assert b"File too large" in line
    queued(box, preexec_fn=limited(resource.RLIMIT_FSIZE, 8192))


@pytest.mark.parametrize("name", ["mailq", "newaliases", "runq"])
@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_no_trouble_for_the_others(box: Sandbox, name: str, redirection: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"{box.path(name)}" {redirection}'],
        env=box.environment(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_standard_input_may_be_a_file_or_nothing(box: Sandbox, tmp_path: Path) -> None:
    """Anacron's is a regular file; /dev/null is an empty message."""
    (tmp_path / "message").write_bytes(MESSAGE)
    for path in (tmp_path / "message", Path("/dev/null")):
        with open(path, "rb") as file:
            process = box.start("sendmail", A, stdin=file)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, b"")
    assert [message.body for message in stored(box)] == [b"body\r\n", b""]


def test_standard_input_that_is_open_for_writing_only_is_a_read_error(box: Sandbox, tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as file:
        process = box.start("sendmail", A, stdin=file)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.count(b"\n")) == (74, 1)
    assert stored(box) == []


@pytest.mark.parametrize("name", ["sendmail", "mailq", "newaliases"])
def test_on_a_folder_as_standard_input_python_gives_up_and_nothing_is_queued(
    box: Sandbox, tmp_path: Path, name: str
) -> None:
    """CPython ends with a text of its own (init_sys_streams) before it reads a line of ours; sendmail(8)."""
    folder = os.open(tmp_path, os.O_RDONLY)
    process = box.start(name, *([A] if name == "sendmail" else []), stdin=folder)
    out, errors = process.communicate(timeout=60)
    os.close(folder)
    assert (process.returncode, out) == (1, b"")
    assert b"<stdin> is a directory" in errors
    assert (stored(box), leftovers(box)) == ([], [])


def test_a_fifo_that_nobody_writes_to_is_no_configuration_and_is_not_waited_for(
    box: Sandbox, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert b"fifo" in refused(box, 78, "-C", str(fifo), A)
    assert b"fifo" in refused(box, 78, env={"SENDMAIL_PY_CONFIG": str(fifo)})
    assert b"fifo" in refused(box, 78, env={"SENDMAIL_PY_DELIVERY_FILE": str(fifo)})
    assert b"fifo" in refused(box, 78, "root", env={"SENDMAIL_PY_ALIASES_FILES": str(fifo)})


def test_a_configuration_may_come_from_a_process(box: Sandbox) -> None:
    """`sendmail -C <(command)`, as a shell has it; the process may be slow."""
    text = CONFIG.replace("\n", "\\n")
    log = f'[log]\\nto = "{box.log_file}"\\n'
    script = f"exec \"$0\" -C <(sleep 0.2; printf '{text}'; printf '{log}') -i {A}"
    command = ["bash", "-c", script, box.path("sendmail")]
    done = subprocess.run(command, input=MESSAGE, env=box.environment(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert stored(box)[0].sender.endswith("@example.net")


# --- users --------------------------------------------------------------------------------------------------


def as_nobody(**keywords: Any) -> dict[str, Any]:
    """The keywords of a call by the user without an account."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": [], **keywords}


def test_a_user_without_an_account_sends(strange: Sandbox) -> None:
    queued(strange, **as_nobody())
    (message,) = stored(strange)
    assert (message.sender, message.records["U"]) == (f"uid{NOBODY}@example.net", [f"{NOBODY} uid{NOBODY}"])
    assert message.field("From") == b"uid%d@example.net" % NOBODY


def test_a_user_without_an_account_lists_and_flushes(strange: Sandbox) -> None:
    queued(strange, **as_nobody())
    done = strange.run("mailq", **as_nobody())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b" in 1 Request.\n")
    done = strange.run("sendmail", "-q", **as_nobody())
    assert (done.returncode, done.stderr.count(b"\n")) == (78, 1)  # there is no smart host


def test_a_user_without_account_and_home_is_told_what_is_missing(strange: Sandbox) -> None:
    line = refused(strange, 73, env={"HOME": None, "XDG_STATE_HOME": None}, **as_nobody())
    assert b"queue.directory" in line or b"HOME" in line


def test_a_user_without_account_and_home_needs_a_spool_only(strange: Sandbox) -> None:
    env: dict[str, str | None] = {"HOME": None, "XDG_STATE_HOME": None}
    queued(strange, env={**env, "SENDMAIL_PY_QUEUE_DIRECTORY": str(strange.spool)}, **as_nobody())


def test_a_current_folder_that_may_not_be_read(strange: Sandbox) -> None:
    closed = strange.folder / "closed"
    closed.mkdir(mode=0o000)
    queued(strange, cwd=closed, **as_nobody())


def test_a_spool_of_somebody_else_is_not_used(strange: Sandbox) -> None:
    (strange.folder / "state").mkdir(mode=0o755)
    line = refused(strange, 73, **as_nobody())
    assert str(strange.spool).encode() in line


# --- a terminal ---------------------------------------------------------------------------------------------


def typed(box: Sandbox, keys: bytes) -> subprocess.Popen[bytes]:
    """A call at a terminal at which somebody types; the terminal stays open until the command has ended."""
    ours, theirs = pty.openpty()
    process = box.start("sendmail", A, stdin=theirs)
    os.close(theirs)
    try:
        os.write(ours, keys)
        process.wait(timeout=60)
    finally:
        os.close(ours)
    return process


@pytest.mark.parametrize("end", [b"\x04", b".\n"])
def test_at_a_terminal_end_of_file_and_a_lone_dot_end_the_message(box: Sandbox, end: bytes) -> None:
    process = typed(box, b"Subject: x\n\nbody\n" + end)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, errors) == (0, b"", b"")
    assert stored(box)[0].body == b"body\r\n"


def test_at_a_terminal_a_usage_error_does_not_wait_for_input(box: Sandbox) -> None:
    ours, theirs = pty.openpty()
    process = box.start("sendmail", "-Z", stdin=theirs)
    os.close(theirs)
    _, errors = process.communicate(timeout=60)
    os.close(ours)
    assert (process.returncode, errors.count(b"\n")) == (64, 1)


def test_a_dialogue_at_a_terminal(box: Sandbox) -> None:
    ours, theirs = pty.openpty()
    process = box.start("sendmail", "-bs", stdin=theirs)
    os.close(theirs)
    lines = ["HELO x", "MAIL FROM:<me@example.org>", f"RCPT TO:<{A}>", "DATA", "", "hi", ".", "QUIT", ""]
    os.write(ours, "\n".join(lines).encode())
    out, errors = process.communicate(timeout=60)
    os.close(ours)
    assert (process.returncode, errors) == (0, b"")
    assert out.endswith(b"221 2.0.0 Bye\r\n")
    assert stored(box)[0].body == b"hi\r\n"


# --- sizes --------------------------------------------------------------------------------------------------


def addresses(count: int) -> bytes:
    """So many different addresses, folded."""
    return b",\n ".join([b"r%d@example.org" % number for number in range(count)])


LARGE = {
    "10 MB of small fields": (b"X-A: b\n" * 1_500_000 + b"\n", 0),
    "10 MB in one field": (b"X-A:" + b" word\n" * 1_700_000 + b"\n", 0),
    "10 MB in one line of the header": (b"X-A: " + b"x" * 10_000_000 + b"\n\n", 0),
    "10 MB of a line that is no header": (b"x" * 10_000_000, 0),
    "10 MB of blanks": (b" " * 10_000_000 + b"\n", 0),
    "10 MB of carriage returns": (b"\n" + b"\r" * 10_000_000, 0),
    "10 MB of NUL": (b"\0" * 10_000_000, 0),
    "10 MB of empty lines": (b"\n" * 10_000_000, 0),
    "10 MB of dots": (b"\n" + b"..\n" * 3_000_000, 0),
    "100,000 Received fields": (b"Received: x\n" * 100_000 + b"\n", 65),
    "deep comments in From": (b"From: " + b"(" * 1_000_000 + b")" * 1_000_000 + b" me@example.org\n\n", 0),
    "open comments in From": (b"From: me@example.org " + b"(" * 1_000_000 + b"\n\n", 0),
    "open quotes in From": (b'From: me@example.org "' + b'\\"' * 1_000_000 + b"\n\n", 0),
    "open brackets in From": (b"From: " + b"<" * 1_000_000 + b"\n\n", 0),
    "100,000 authors": (b"From: " + addresses(100_000) + b"\n\n", 0),
    "100,000 From fields": (b"From: me@example.org\n" * 100_000 + b"\n", 0),
    "a million commas in To": (b"To: " + b"," * 1_000_000 + b"\n\n", 0),
}


@pytest.mark.parametrize(("text", "status"), LARGE.values(), ids=LARGE.keys())
def test_what_is_large_is_queued_or_refused(box: Sandbox, text: bytes, status: int) -> None:
    """How the effort grows with the size is counted in tests/bench."""
    done = box.run("sendmail", "-i", A, stdin=text)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (status, b"", int(status > 0)), (
        done.stderr[:300]
    )
    assert (len(stored(box)), leftovers(box)) == (int(status == 0), [])


LARGE_LISTS = {
    "deep comments in To": (b"To: " + b"(" * 1_000_000 + b")" * 1_000_000 + b" a@example.org\n\n", 65),
    "comments at the limit": (b"To: " + b"(" * 100 + b")" * 100 + b" a@example.org\n\n", 0),
    "open groups in To": (b"To: " + b"a:" * 500_000 + b"\n\n", 65),
    "a million commas": (b"To: a@example.org" + b"," * 1_000_000 + b"\n\n", 0),
    "a local part of 1 MB": (b"To: " + b"a." * 500_000 + b"a@example.org\n\n", 65),
    "a domain of 1 MB": (b"To: a@" + b"a." * 500_000 + b"org\n\n", 65),
    "a route of 1 MB": (b"To: <" + b"@a," * 300_000 + b"@b:a@example.org>\n\n", 0),
}


@pytest.mark.parametrize(("text", "status"), LARGE_LISTS.values(), ids=LARGE_LISTS.keys())
def test_a_large_list_of_recipients_is_taken_or_refused(box: Sandbox, text: bytes, status: int) -> None:
    done = box.run("sendmail", "-t", stdin=text)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (status, b"", int(status > 0))
    assert len(done.stderr) < 1000
    assert (len(stored(box)), leftovers(box)) == (int(status == 0), [])


def test_a_hundred_thousand_recipients_are_taken(box: Sandbox) -> None:
    queued(box, "-t", text=b"Bcc: " + addresses(100_000) + b"\nSubject: x\n\n")
    (message,) = stored(box)
    assert len(message.recipients) == 100_000
    assert box.queue()[0]["recipients"][-1]["address"] == "r99999@example.org"


def test_twenty_thousand_operands_are_taken(box: Sandbox) -> None:
    """The kernel takes 2 MB of arguments."""
    queued(box, *[f"r{number}@example.org" for number in range(20_000)])
    assert len(stored(box)[0].recipients) == 20_000


def test_an_input_that_comes_slowly_is_waited_for(box: Sandbox) -> None:
    process = box.start("sendmail", A)
    assert process.stdin
    for octet in b"Subject: x\n\nb\n":
        process.stdin.write(bytes([octet]))
        process.stdin.flush()
        time.sleep(0.005)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert (stored(box)[0].field("Subject"), stored(box)[0].body) == (b"x", b"b\r\n")
