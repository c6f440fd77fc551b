"""sendmail-py config: right or wrong, and what it comes to."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sendmail_py.admin.cli import cli

GOOD = """\
delivery = "now"

[identity]
domain = "example.net"

[[smarthost]]
host = "smtp.example.net"
user = "greg"
password = "hunter2"

[queue]
report = "owner"
"""


def config(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(cli, ["config", *arguments], env=environ)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    path.chmod(0o600)
    return str(path)


def test_check_names_the_file(file: str) -> None:
    result = config("check", "-C", file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"ok    {file}\n"


def test_check_finds_the_file_that_the_environment_names(file: str) -> None:
    assert config("check", SENDMAIL_PY_CONFIG=file).stdout.startswith(f"ok    {file}\n")


def test_check_warns_and_still_succeeds_without_any_file(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    result = config("check", "-C", str(tmp_path / "empty.toml"))
    assert result.exit_code == 0
    assert "warn  no smart host: " in result.stdout


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[queue]\nlivetime = '5d'\n", ":2: queue.livetime: unknown key; did you mean queue.lifetime?"),
        ("delivery = 'later'\n", ":1: delivery: must be "),
        ("delivery = \n", ":1: not TOML"),
    ],
)
def test_an_error_is_one_line_with_file_line_and_key(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    for command in ("check", "show"):
        result = config(command, "-C", str(tmp_path / "bad.toml"))
        assert result.exit_code == 78
        assert result.stdout == ""
        assert result.stderr.startswith(f"sendmail-py: {tmp_path}/bad.toml{fault}")
        assert result.stderr.count("\n") == 1


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    assert config("check", "-C", str(tmp_path / "none.toml")).exit_code == 78
    assert config("check", SENDMAIL_PY_CONFIG=str(tmp_path / "none.toml")).exit_code == 78


def test_show_prints_every_key_as_toml_and_no_password(file: str) -> None:
    result = config("show", "-C", file)
    assert "hunter2" not in result.stdout
    lines = result.stdout.splitlines()
    assert 'smarthost[1].password = "***"' in lines
    assert "smarthost[1].port = 587" in lines
    assert 'identity.domain = "example.net"' in lines
    for line in lines:
        tomllib.loads("value = " + line.partition(" = ")[2])


def test_show_tells_where_each_value_comes_from(file: str) -> None:
    result = config("show", "--origin", "-C", file, SENDMAIL_PY_SMARTHOST_PASSWORD="hunter3")
    origins = {
        line.split(" = ")[0]: line.rpartition("  # ")[2] for line in result.stdout.splitlines() if "#" in line
    }
    assert origins["identity.domain"] == f"{file}:4"
    assert origins["queue.lifetime"] == "default"
    assert origins["smarthost[1].password"] == "environment SENDMAIL_PY_SMARTHOST_PASSWORD"
    assert "hunter" not in result.stdout


def test_check_never_shows_a_password(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('[[smarthost]]\nhost = "h"\npassword = "hunter2\n')
    result = config("check", "-C", str(tmp_path / "bad.toml"))
    assert result.exit_code == 78
    assert "hunter2" not in result.output
