"""sendmail-py flush --loop, as a container has it: mail leaves as it arrives, SIGTERM is an orderly end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sendmail_py.admin import loop as endless
from sendmail_py.admin.cli import cli

from support.launch import Sandbox, smarthost_table
from support.needs import needs, needs_root
from support.script import Stall
from support.smarthost import SmartHost

A = "a@example.org"
MESSAGE = b"Subject: x\n\nhello\n"
BASE = '[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n[aliases]\nfiles = []\n'


def configure(box: Sandbox, host: SmartHost, more: str = "") -> None:
    """A smart host without TLS (loopback)."""
    box.configure(BASE + more + smarthost_table(port=host.port, tls="none"))


def submit(box: Sandbox) -> None:
    """One message into the queue."""
    done = box.run("sendmail", A, stdin=MESSAGE)
    assert (done.returncode, done.stderr) == (0, b"")


def until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Running:
    """`flush --loop` as a process; standard error goes to a file, `end` sends SIGTERM and waits."""

    def __init__(self, box: Sandbox, *words: str, prefix: tuple[str, ...] = ()) -> None:
        self.path = box.folder / "errors"
        with open(self.path, "wb") as file:
            command = [*prefix, box.path("sendmail-py"), "flush", "--loop", *words]
            self.process = subprocess.Popen(
                command, env=box.environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def said(self) -> str:
        """Standard output and error so far."""
        return self.path.read_text()

    def end(self, seconds: float = 20.0, pid: int = 0) -> int:
        """The exit status after SIGTERM."""
        os.kill(pid or self.process.pid, signal.SIGTERM)
        return self.process.wait(seconds)


@pytest.fixture
def start(sandbox: Sandbox) -> Iterator[Callable[..., Running]]:
    """Starts loops that do not outlive the test."""
    started: list[Running] = []

    def begin(*words: str, prefix: tuple[str, ...] = ()) -> Running:
        started.append(Running(sandbox, *words, prefix=prefix))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def ready(box: Sandbox) -> bool:
    """Whether a loop has read its configuration and said so in the log."""
    return until(lambda: "flush --loop: " in box.log())


def test_mail_leaves_as_it_arrives(sandbox: Sandbox, start: Callable[..., Running]) -> None:
    with SmartHost() as host:
        configure(sandbox, host)
        submit(sandbox)  # before anything runs
        running = start("--every", "1h")
        assert until(lambda: len(host.messages) == 1)
        for count in (2, 3):
            begin = time.monotonic()
            submit(sandbox)
            assert until(lambda count=count: len(host.messages) == count)  # type: ignore[misc]
            assert time.monotonic() - begin < 5.0  # LOOK, and a machine that has other things to do
        assert until(lambda: sandbox.queue() == [])
        assert running.end() == 0
    assert running.said() == ""


def test_what_was_deferred_is_tried_again_when_it_is_due(
    sandbox: Sandbox, start: Callable[..., Running]
) -> None:
    with SmartHost(replies={b"RCPT": [b"450 4.2.0 Later"]}) as host:
        configure(sandbox, host, '[queue]\nretry_min = "1s"\nretry_max = "1s"\n')
        submit(sandbox)
        running = start("--every", "1s")
        assert until(lambda: len(host.messages) == 1)
        assert running.end() == 0


def test_a_smart_host_that_rests_is_left_alone_for_all_that_arrives(
    sandbox: Sandbox, start: Callable[..., Running]
) -> None:
    with SmartHost(replies={b"greeting": b"421 4.3.2 Closing"}) as host:
        configure(sandbox, host)
        running = start("--every", "1s")
        for _ in range(3):
            submit(sandbox)
        assert until(lambda: host.connections)
        time.sleep(2.5)
        assert host.connections == 1
        assert running.end() == 0
    assert len(sandbox.queue()) == 3


def test_a_term_ends_an_idle_loop_at_once(sandbox: Sandbox, start: Callable[..., Running]) -> None:
    with SmartHost() as host:
        configure(sandbox, host)
        running = start()
        assert ready(sandbox)
        begin = time.monotonic()
        assert running.end() == 0
        assert time.monotonic() - begin < 5.0


def test_a_term_still_sends_what_has_just_arrived(sandbox: Sandbox, start: Callable[..., Running]) -> None:
    """The container is stopped right after its last message: it is not left behind."""
    with SmartHost() as host:
        configure(sandbox, host)
        running = start("--every", "1h")
        assert ready(sandbox)
        submit(sandbox)
        assert running.end() == 0
        assert len(host.messages) == 1
    assert sandbox.queue() == []


def test_a_term_without_draining_leaves_the_rest_for_the_next_start(
    sandbox: Sandbox, start: Callable[..., Running]
) -> None:
    with SmartHost(replies={b".": [Stall(1.0)]}) as host:
        configure(sandbox, host)
        for _ in range(3):
            submit(sandbox)
        running = start("--drain", "0s")
        assert until(lambda: b"DATA" in host.commands)
        assert running.end() == 0
    assert 1 <= len(host.messages) < 3
    assert len(sandbox.queue()) == 3 - len(host.messages)


def test_a_server_that_says_nothing_does_not_hold_the_end(
    sandbox: Sandbox, start: Callable[..., Running]
) -> None:
    """Ten seconds after SIGTERM the engine would kill us."""
    with SmartHost(replies={b"MAIL": Stall()}) as host:
        configure(sandbox, host)
        submit(sandbox)
        running = start("--drain", "1s")
        assert until(lambda: any(one.startswith(b"MAIL") for one in host.commands))
        begin = time.monotonic()
        assert running.end() == 0
        assert time.monotonic() - begin < 9.0
    assert len(sandbox.queue()) == 1
    with SmartHost() as host:
        configure(sandbox, host)
        sandbox.run("sendmail", "-q", "-v")
        assert len(host.messages) == 1


def test_a_wrong_configuration_is_one_line_and_no_end(
    sandbox: Sandbox, start: Callable[..., Running]
) -> None:
    sandbox.configure("delivery = 5\n")
    running = start("--every", "1s")
    assert until(lambda: "delivery" in running.said())
    time.sleep(2.5)
    assert (running.said().count("\n"), running.process.poll()) == (1, None)
    with SmartHost() as host:
        configure(sandbox, host)
        submit(sandbox)
        assert until(lambda: len(host.messages) == 1)
        assert running.end() == 0
    assert running.said().splitlines()[1:] == ["sendmail-py: flush --loop: all is well again"]
    assert "Traceback" not in running.said()


def test_a_spool_that_goes_and_comes_back_is_survived(
    sandbox: Sandbox, start: Callable[..., Running]
) -> None:
    with SmartHost() as host:
        configure(sandbox, host)
        submit(sandbox)
        running = start("--every", "1s")
        assert until(lambda: len(host.messages) == 1)
        shutil.rmtree(sandbox.spool)
        sandbox.spool.write_text("in the way")
        assert until(lambda: "sendmail-py: " in running.said())
        time.sleep(2.0)
        assert running.said().count("\n") == 1
        sandbox.spool.unlink()
        submit(sandbox)
        assert until(lambda: len(host.messages) == 2)
        assert running.end() == 0


def test_without_syslog_the_log_goes_to_standard_error(
    sandbox: Sandbox, start: Callable[..., Running]
) -> None:
    if os.path.exists(endless.SYSLOG):
        pytest.skip("this machine has a syslog")
    with SmartHost() as host:
        sandbox.configure(BASE + smarthost_table(port=host.port, tls="none") + '[log]\nto = "syslog"\n')
        submit(sandbox)
        running = start()
        assert until(lambda: "status=sent" in running.said())
        assert running.end() == 0


def test_as_process_1_it_ends_on_term_and_buries_the_children_of_others(
    sandbox: Sandbox, start: Callable[..., Running], tmp_path: Path
) -> None:
    needs_root()
    unshare = needs("unshare", "util-linux")
    with SmartHost() as host:
        configure(sandbox, host)
        script = '(sleep 0.3 & exec true) & exec "$@"'  # a child that outlives its parent, under process 1
        prefix = (unshare, "--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh")
        running = start("--every", "1s", prefix=prefix)
        assert ready(sandbox)
        first = children(running.process.pid)[0]
        submit(sandbox)
        assert until(lambda: len(host.messages) == 1)
        assert until(lambda: children(first) == [])
        assert running.end(pid=first) == 0


def children(pid: int) -> list[int]:
    """The children of a process, dead ones too."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("words", [["--every", "5s"], ["--loop", "--limit", "3"], ["--loop", "--wait"]])
def test_options_that_do_not_go_together_are_refused(words: list[str]) -> None:
    result = CliRunner().invoke(cli, ["flush", *words])
    assert (result.exit_code, result.output.count("\n")) == (64, 1)
