"""--help and --version: on standard output, complete, and the same by any name."""

from __future__ import annotations

import pytest
from sendmail_py import __version__
from sendmail_py.commands import usage
from sendmail_py.commands.options import OPTIONS, Request


def said(capsys: pytest.CaptureFixture[str], mode: str) -> str:
    """What is printed."""
    assert usage.run(Request("sendmail", mode), False) == 0
    out, errors = capsys.readouterr()
    assert errors == ""
    return out


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "version") == f"sendmail_py {__version__}\n"


def test_help_has_a_line_for_every_option_and_says_what_is_ignored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`sendmail --help | grep -q -- "-F "` is how some callers find out what it can."""
    lines = said(capsys, "help").splitlines()
    assert lines[0].startswith("usage: sendmail ")
    assert {line[3] for line in lines if line.startswith("  -") and line[3] != "-"} == set(OPTIONS)
    for letter, (_, action, _) in OPTIONS.items():
        (line,) = (one for one in lines if one.startswith(f"  -{letter}"))
        assert line.endswith("(ignored)") == (action == "ignore")
        assert line.endswith("(refused)") == (action == "refuse")
        assert len(line) < 100
    assert any(line.startswith("  -F value") for line in lines)
