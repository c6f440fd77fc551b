"""The entrance and the one exit: which command a call is, and what becomes of every fault."""

from __future__ import annotations

import io
import os
import posix
import sys
from collections.abc import Callable

import pytest
from sendmail_py import maillog
from sendmail_py.commands import dispatch
from sendmail_py.commands.options import Request
from sendmail_py.errors import ConfigError, DataError, TemporaryError, UsageError

from support.launch import Sandbox

FAULTS: list[tuple[BaseException, int, str]] = [
    (UsageError("a text"), 64, "sendmail: a text"),
    (DataError("a text"), 65, "sendmail: a text"),
    (ConfigError("a text"), 78, "sendmail: a text"),
    (OSError(28, "No space left on device", "/spool"), 75, "sendmail: No space left on device: /spool"),
    (OSError(28, "No space left on device"), 75, "sendmail: No space left on device"),
    (OSError("a text"), 75, "sendmail: input or output error"),
    (KeyError("secret"), 70, "sendmail: internal error, please report it: KeyError at "),
    (RecursionError(), 70, "sendmail: internal error, please report it: RecursionError at "),
    (MemoryError(), 75, "sendmail: out of memory; try again"),
    (KeyboardInterrupt(), 75, ""),
    (BrokenPipeError(), 0, ""),
]


def raising(fault: BaseException) -> Callable[[str], Callable[[Request, bool], int]]:
    """A door behind which a command fails."""

    def run(request: Request, stdin_open: bool) -> int:
        raise fault

    return lambda mode: run


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """The arguments of the call."""
    monkeypatch.setattr("sys.argv", ["sendmail", *words])


@pytest.mark.parametrize(("fault", "status", "line"), FAULTS, ids=[repr(row[0]) for row in FAULTS])
def test_every_fault_is_a_status_and_one_line(
    fault: BaseException,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    called(monkeypatch, "a@example.org")
    monkeypatch.setattr(dispatch, "door", raising(fault))
    assert dispatch.guarded(Request("sendmail", "submit"), False) == status
    out, errors = capfd.readouterr()
    assert (out, errors.count("\n")) == ("", bool(line))
    assert errors.startswith(line)
    assert "secret" not in errors


@pytest.mark.parametrize(
    "fault", [ConfigError("a text"), TemporaryError("a text"), OSError(5, "a text"), KeyError("a text")]
)
def test_a_message_that_is_queued_is_a_success_whatever_the_flush_does(
    fault: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever got another status would send it again; the log says what was wrong."""
    said: list[str] = []
    monkeypatch.setattr(maillog, "warning", said.append)
    monkeypatch.setattr(dispatch, "door", raising(fault))
    dispatch.flush_afterwards(Request("sendmail", "submit"), True)
    assert capfd.readouterr() == ("", "")
    assert len(said) == 1
    assert said[0] == "a text" or said[0].startswith("internal error, please report it: KeyError at ")


@pytest.mark.parametrize("words", [["-bp"], ["-bv", "a@example.org"]])
def test_what_the_character_set_lacks_is_an_escape(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(request: Request, stdin_open: bool) -> int:
        sys.stdout.write("gr\xfc\xdfe \u4f8b\n")
        return 0

    octets = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(octets, encoding="iso-8859-1"))
    called(monkeypatch, *words)
    monkeypatch.setattr(dispatch, "door", lambda mode: run)
    assert dispatch.guarded(Request("sendmail", "submit"), True) == 0
    assert octets.getvalue() == b"gr\xfc\xdfe \\u4f8b\n"


def test_silence_was_asked_for_and_the_status_stays(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    called(monkeypatch, "-oeq", "-Z")
    assert dispatch.guarded(Request("sendmail", "submit"), False) == 64
    assert capfd.readouterr() == ("", "")


def test_a_line_that_nobody_can_read_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(posix, "write", refuse)
    dispatch.complain(Request("sendmail", "submit"), "a text")


def test_a_usage_error_takes_the_message_off_the_callers_hands(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would get a broken pipe. A command that reads no message leaves standard input alone."""
    for word, left in (("-Z", b""), ("--nonsense", b""), ("-q", b"message")):
        reading, writing = os.pipe()
        os.write(writing, b"message")
        os.close(writing)
        monkeypatch.setattr(dispatch, "STDIN", reading)
        called(monkeypatch, word, "a@example.org")
        assert dispatch.guarded(Request("sendmail", "submit"), True) == 64
        assert os.read(reading, 100) == left
        os.close(reading)


NAMED = [
    ("mailq", "list"),
    ("mailq.sendmail-py", "list"),
    ("runq.sendmail-py", "flush"),
    ("mailqueue", "submit"),
]


@pytest.mark.parametrize(("name", "mode"), [*NAMED, ("sendmail.sendmail-py", "submit"), (".", "submit")])
def test_the_name_chooses_the_command_also_the_one_behind_the_alternatives(
    monkeypatch: pytest.MonkeyPatch, name: str, mode: str
) -> None:
    """A program that looks where the link /usr/bin/mailq leads calls mailq.sendmail-py."""
    found: list[str] = []
    monkeypatch.setattr("sys.argv", [f"/usr/bin/{name}"])
    monkeypatch.setattr(dispatch, "guard_descriptors", lambda: True)
    monkeypatch.setattr(dispatch, "guarded", lambda request, stdin_open: found.append(request.mode))
    monkeypatch.setattr(dispatch, "leave", lambda status: None)
    dispatch.main()
    assert found == [mode]


@pytest.mark.parametrize("mode", dispatch.DOORS)
def test_every_door_opens(mode: str) -> None:
    assert callable(dispatch.door(mode))


@pytest.mark.parametrize("words", [["mailq"], ["sendmail", "--help"], ["sendmail", "-bv", "a@example.org"]])
def test_output_that_cannot_be_written_is_no_success(sandbox: Sandbox, words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        process = sandbox.start(*words, stdout=full)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.count(b"\n")) == (75, 1)
