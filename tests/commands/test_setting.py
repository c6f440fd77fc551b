"""The configuration of a command: the environment, -C, -L, and that it is read once."""

from __future__ import annotations

import posix
from pathlib import Path

import pytest
from sendmail_py import maillog
from sendmail_py.commands import setting
from sendmail_py.commands.options import Request
from sendmail_py.errors import ConfigError


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A call with -C and -L."""
    monkeypatch.setattr(posix, "environ", {b"HOME": bytes(tmp_path)})
    (tmp_path / "config.toml").write_text(f'delivery = "now"\n[log]\nto = "{tmp_path}/log"\n')
    made = Request("sendmail", "submit")
    made.config, made.tag = bytes(tmp_path / "config.toml"), b"cron"
    return made


def test_the_named_file_counts_and_the_log_is_opened_as_it_says(request_of: Request, tmp_path: Path) -> None:
    assert setting.load(request_of).delivery == "now"
    maillog.notice("hello")
    assert " cron[" in (tmp_path / "log").read_text()


def test_it_is_read_once(request_of: Request, tmp_path: Path) -> None:
    """The file may be a pipe, or be changed while a message is read."""
    found = setting.load(request_of)
    (tmp_path / "config.toml").unlink()
    assert setting.load(request_of) is found


def test_a_fault_is_one_line_with_the_place(request_of: Request, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("nonsense = 1\n")
    with pytest.raises(ConfigError, match=r"config\.toml:1: nonsense: "):
        setting.load(request_of)
