"""Two changes of an installation at once: the second is told of the first, and no end locks anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sendmail_py.admin import lock
from sendmail_py.admin.cli import cli
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import TemporaryError

from support.image import install, snapshot, uninstall

HOLD = """
import sys, time
from sendmail_py.admin import lock
from sendmail_py.admin.tree import Tree
with lock.held(Tree(sys.argv[2])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(image: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that installs into the image."""
    program = tmp_path / "sendmail-py"
    program.write_text(HOLD)
    words = [sys.executable, str(program), "install", str(image)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_of_the_first_and_changes_nothing(
    image: Path, other: subprocess.Popen[str]
) -> None:
    before = snapshot(image)
    for command in (install, uninstall):
        result = command(image)
        assert result.exit_code == 75
        assert result.stderr.count("\n") == 1
        assert f"process {other.pid} (sendmail-py install image) is changing " in result.stderr
        assert f" the installation below {image}; " in result.stderr
        assert "try again" in result.stderr
    assert snapshot(image) == before


def test_to_look_at_what_would_be_done_nobody_waits(image: Path, other: subprocess.Popen[str]) -> None:
    assert install(image, "--dry-run").exit_code == 0


def test_a_kill_leaves_nothing_locked(image: Path, other: subprocess.Popen[str]) -> None:
    before = snapshot(image)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert install(image).exit_code == 0
    assert uninstall(image).exit_code == 0
    assert snapshot(image) == before


def test_the_timer_is_changed_by_one_at_a_time(
    image: Path, other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendmail_py.admin.timer.live_tree", lambda: Tree(str(image)))
    for words in (["install"], ["remove"]):
        assert CliRunner().invoke(cli, ["timer", *words]).exit_code == 75


def test_a_holder_that_cannot_be_seen_is_another_process(
    image: Path, other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LOCKS", "/nonexistent")
    with pytest.raises(TemporaryError, match="another process is changing"), lock.held(Tree(str(image))):
        pass


def test_where_folders_cannot_be_locked_it_goes_on(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int, operation: int) -> None:
        raise OSError(9, os.strerror(9))

    monkeypatch.setattr("fcntl.flock", fail)
    with lock.held(Tree(str(image))):
        pass
