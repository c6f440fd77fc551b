"""Passwords from every source, and what happens when one cannot be had."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sendmail_py import maillog
from sendmail_py.relay import credentials, password_command
from sendmail_py.relay.faults import LoginFault

from relay.flushing import setting


def password(environ: dict[str, str] | None = None, **values: Any) -> bytes:
    login = credentials.login(setting(user="greg", **values), environ or {"PATH": os.environ["PATH"]})
    assert login is not None
    assert login.user == b"greg"
    return login.password


def fault(environ: dict[str, str] | None = None, **values: Any) -> str:
    with pytest.raises(LoginFault) as found:
        password(environ, **values)
    return str(found.value)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"top secret \n second line\n")
    path.chmod(0o600)
    return path


def test_no_user_no_login() -> None:
    assert credentials.login(setting(password="x"), {}) is None


def test_the_password_itself() -> None:
    assert password(password="pässword") == "pässword".encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"secret", b"secret"),
        (b"secret\n", b"secret"),
        (b"secret\r\n", b"secret"),
        (b" two words \nrest", b" two words "),
        (b"\xff\xfe\n", b"\xff\xfe"),
        (b"x" * 4096, b"x" * 4096),
    ],
)
def test_first_line_of_a_file(content: bytes, expected: bytes, secret: Path) -> None:
    secret.write_bytes(content)
    assert password(password_file=str(secret)) == expected


def test_a_file_may_be_reached_by_a_link(secret: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(secret)
    assert password(password_file=str(tmp_path / "link")) == b"top secret "


@pytest.mark.parametrize("content", [b"", b"\n", b"\nsecret\n", b"x" * 5000, b"a\0b"])
def test_a_file_without_a_password_is_a_fault(content: bytes, secret: Path) -> None:
    secret.write_bytes(content)
    assert "password_file" in fault(password_file=str(secret))


def test_a_missing_file_is_named() -> None:
    assert fault(password_file="/nonexistent/secret").endswith(
        "/nonexistent/secret: No such file or directory"
    )


@pytest.mark.parametrize(
    ("variable", "uid", "hidden"),
    [("INVOCATION_ID", 0, True), ("X", 0, False), ("INVOCATION_ID", 1000, False)],
)
def test_a_file_that_systemd_hides_is_no_riddle(
    monkeypatch: pytest.MonkeyPatch, variable: str, uid: int, hidden: bool
) -> None:
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    monkeypatch.setenv(variable, "0123")
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert ("ProtectHome=" in fault(password_file="/home/nonexistent/secret")) == hidden


def test_a_folder_a_pipe_or_a_device_is_no_password_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        assert "not a regular file" in fault(password_file=str(path))


def test_a_file_that_all_can_read_is_warned_about_once(secret: Path, tmp_path: Path) -> None:
    maillog.configure(str(tmp_path / "log"), "text")
    secret.chmod(0o644)
    for _ in range(3):
        password(password_file=str(secret))
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 1
    assert f"chmod o-r {secret}" in lines[0]
    assert "top secret" not in lines[0]


def test_a_command_without_a_shell_and_with_a_clean_environment(tmp_path: Path) -> None:
    program = "import os, sys; print(sys.argv[1]); print(sorted(os.environ)); print('noise', file=sys.stderr)"
    environ = {"PATH": "/bin", "HOME": "/", "SENDMAIL_PY_SMARTHOST_PASSWORD": "x", "AWS_SECRET": "y"}
    command = [sys.executable, "-c", program, "$HOME; *"]
    assert password(environ, password_command=command) == b"$HOME; *"
    program = "import os; print(*sorted(os.environ))"
    names = password(environ, password_command=[sys.executable, "-c", program]).split()
    assert b"HOME" in names
    assert b"PATH" in names
    assert b"SENDMAIL_PY_SMARTHOST_PASSWORD" not in names
    assert b"AWS_SECRET" not in names


def test_what_a_command_writes_is_for_its_owner_only(tmp_path: Path) -> None:
    """It may keep a token in a file; the umask of the mail commands lets everybody read."""
    path = tmp_path / "token"
    before = os.umask(0o022)
    try:
        assert password(password_command=["/bin/sh", "-c", f"echo t >{path}; echo hunter2"]) == b"hunter2"
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_command_gets_no_input_and_its_errors_are_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    program = "import sys; sys.stderr.write('hunter2'); print(len(sys.stdin.read()))"
    assert password(password_command=[sys.executable, "-c", program]) == b"0"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (["false"], "exit status 1"),
        (["true"], "empty"),
        (["/nonexistent/command"], "No such file"),
        (["/"], "Permission denied"),
    ],
)
def test_a_command_that_fails_is_a_fault(command: list[str], word: str) -> None:
    assert word in fault(password_command=command)


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password_command, "PATIENCE", 0.2)
    assert "did not end" in fault(password_command=["sleep", "30"])


def test_a_command_that_prints_without_end_is_ended() -> None:
    assert "prints too much" in fault(password_command=["yes"])


def test_nobody_waits_for_what_a_command_left_running() -> None:
    """An agent, for example, that still has the pipe."""
    began = time.monotonic()
    assert password(password_command=["sh", "-c", "sleep 30 2>/dev/null & echo secret"]) == b"secret"
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("printf secret", b"secret"),
        ("printf 'secret\\nsecond\\n'", b"secret"),
        ("printf 'secret\\r\\n'", b"secret"),
        ("exec >&-; sleep 0.3", None),
        ("true", None),
        ("echo; echo second", None),
    ],
)
def test_the_first_line_of_what_a_command_prints_is_the_password(program: str, said: bytes | None) -> None:
    if said is None:
        assert "empty" in fault(password_command=["sh", "-c", program])
    else:
        assert password(password_command=["sh", "-c", program]) == said


def test_what_a_failing_command_printed_is_not_shown() -> None:
    program = "import sys; print('hunter2'); sys.stderr.write('hunter2'); sys.exit(3)"
    assert "hunter2" not in fault(password_command=[sys.executable, "-c", program])


def test_a_systemd_credential(secret: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(secret.parent)}
    assert password(environ, password_credential="secret") == b"top secret "
    assert "LoadCredential" in fault({}, password_credential="secret")
    assert "No such file" in fault(environ, password_credential="other")


def test_an_environment_variable() -> None:
    assert password({"MAIL_PASSWORD": "geheim"}, password_env="MAIL_PASSWORD") == b"geheim"
    assert "MAIL_PASSWORD is not set" in fault({}, password_env="MAIL_PASSWORD")


def test_a_user_without_a_password_is_a_fault() -> None:
    assert "no password" in fault()
