"""The front door: one line and a status for every fault, quiet when the reader or the person leaves."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from sendmail_py import __version__
from sendmail_py.admin import setting
from sendmail_py.admin.cli import cli
from sendmail_py.errors import TemporaryError

from support.launch import Sandbox

PAGE = Path(__file__).resolve().parents[2] / "man" / "sendmail-py.8"


def commands(
    command: click.Command = cli, path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], click.Command]]:
    """Return every command below `command` with the words that call it."""
    if not isinstance(command, click.Group):
        return [(path, command)]
    return [found for name, one in command.commands.items() for found in commands(one, (*path, name))]


@pytest.mark.parametrize("words", [path for path, _ in commands()] + [(), ("queue",), ("config",)])
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    for option in ("-h", "--help"):
        result = CliRunner().invoke(cli, [*words, option])
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith("Usage: ")


def test_the_page_has_every_command_and_option_and_no_other() -> None:
    page = PAGE.read_text()
    documented = set(re.findall(r"Fl (\S+)", page))
    real = {"-version", "-help", "h"}
    for words, command in commands():
        assert f".Cm {' '.join(words)}\n" in page
        real |= {name[1:] for option in command.params for name in option.opts if name.startswith("-")}
    assert documented == real


def test_says_its_version() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"sendmail_py {__version__}\n")


@pytest.mark.parametrize(
    "arguments", [[], ["bogus"], ["--bogus"], ["timer"], ["queue"], ["install", "--bindir"]]
)
def test_a_wrong_command_line_is_one_line_and_64(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stdout) == (64, "")
    assert result.stderr.startswith("sendmail-py: ")
    assert result.stderr.endswith("--help.\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (TemporaryError("later\x1b[31m\nmore"), 75, "later\\x1b[31m more"),
        (PermissionError(13, "Permission denied", "/x"), 77, "Permission denied: /x"),
        (OSError(28, "No space left on device"), 74, "No space left on device"),
        (ZeroDivisionError("secret"), 70, "internal error, please report it: ZeroDivisionError at "),
        (RecursionError(), 70, "internal error, please report it: RecursionError at "),
    ],
)
def test_every_fault_is_one_line_without_traceback(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, status: int, text: str
) -> None:
    def fail(file: str | None) -> None:
        raise fault

    monkeypatch.setattr(setting, "load", fail)
    result = CliRunner().invoke(cli, ["config", "check"])
    assert result.exit_code == status
    assert result.stderr.startswith(f"sendmail-py: {text}")
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.stderr


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(file: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(setting, "load", interrupt)
    result = CliRunner().invoke(cli, ["config", "check"])
    assert (result.exit_code, result.output.strip()) == (130, "")


def closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("arguments", [("config", "show"), ("queue", "list"), ("config", "check")])
def test_a_reader_that_has_seen_enough_is_no_fault(sandbox: Sandbox, arguments: tuple[str, ...]) -> None:
    writer = closed_pipe()
    process = sandbox.start("sendmail-py", *arguments, stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")


def test_a_full_disk_behind_standard_output_is_one_line(sandbox: Sandbox) -> None:
    with open("/dev/full", "wb") as full:
        process = sandbox.start("sendmail-py", "config", "show", stdout=full)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (74, b"sendmail-py: No space left on device\n")


def test_works_with_closed_descriptors(sandbox: Sandbox) -> None:
    command = f"exec {sandbox.path('sendmail-py')} config show <&- >&- 2>&-"
    done = subprocess.run(["/bin/sh", "-c", command], env=sandbox.environment(), check=False, timeout=60)
    assert done.returncode == 0


def test_a_terminal_without_a_character_sees_an_escape(sandbox: Sandbox) -> None:
    sandbox.configure('[masquerade.users]\nroot = "grëg@example.net"\n')
    done = sandbox.run("sendmail-py", "config", "show", env={"PYTHONIOENCODING": "koi8-r"})
    assert done.returncode == 0
    assert b"gr\\xebg@example.net" in done.stdout
