"""What a configuration that loads leaves to wish for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sendmail_py.admin import check
from sendmail_py.policy import config
from sendmail_py.policy.masquerade import SenderRules

Warnings = Callable[..., list[str]]

DOMAIN = '[identity]\ndomain = "example.net"\n'
HOST = '[[smarthost]]\nhost = "smtp.example.net"\nname = "isp"\n'


@pytest.fixture
def warnings(tmp_path: Path) -> Warnings:
    def of(text: str, mode: int = 0o600, **environ: str) -> list[str]:
        file = tmp_path / "config.toml"
        file.write_text(text)
        file.chmod(mode)
        found = config.load({"HOME": str(tmp_path)}, str(file))
        return list(check.warnings(found, environ))

    return of


def test_nothing_is_said_about_a_good_configuration(warnings: Warnings, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    secret.chmod(0o640)
    assert warnings(DOMAIN + HOST + f'user = "greg"\npassword_file = "{secret}"\n') == []


def test_no_smart_host_comes_first(warnings: Warnings) -> None:
    assert warnings(DOMAIN)[0].startswith("no smart host")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("missing", "No such file or directory"),
        ("folder", "is not a regular file"),
        ("empty", "is empty"),
        ("open", "can be read by everybody; run: chmod o-r "),
    ],
)
def test_a_secret_file_that_is_not_as_it_should_be(
    warnings: Warnings, tmp_path: Path, kind: str, text: str
) -> None:
    secret = tmp_path / "secret"
    if kind == "folder":
        secret.mkdir()
    elif kind != "missing":
        secret.write_text("" if kind == "empty" else "hunter2")
        secret.chmod(0o644)
    (found,) = warnings(DOMAIN + HOST + f'user = "greg"\npassword_file = "{secret}"\n')
    assert found.startswith(f"smart host isp: password_file: {secret}")
    assert text in found
    assert "hunter2" not in found


def test_a_secret_file_that_somebody_else_reads(
    warnings: Warnings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("hunter2")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (found,) = warnings(DOMAIN + HOST + f'user = "greg"\npassword_file = "{tmp_path}/secret"\n')
    assert "cannot be read by " in found


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ('user = "greg"\npassword_command = ["/nonexistent/pass", "isp"]', "is no command that can be run"),
        ('user = "greg"\npassword_env = "NOT_THERE"', "the variable NOT_THERE is not set here"),
        ('user = "greg"\npassword_credential = "isp"', "CREDENTIALS_DIRECTORY"),
        ('ca_file = "/nonexistent/ca.pem"', "ca_file: /nonexistent/ca.pem does not exist"),
        ('client_cert = "/nonexistent/c.pem"', "client_cert: /nonexistent/c.pem does not exist"),
    ],
)
def test_what_is_missing_for_a_smart_host(warnings: Warnings, setting: str, text: str) -> None:
    (found,) = warnings(DOMAIN + HOST + setting + "\n")
    assert found.startswith("smart host isp: ")
    assert text in found


def test_a_password_of_the_environment_or_of_systemd_that_is_there(
    warnings: Warnings, tmp_path: Path
) -> None:
    (tmp_path / "isp").write_text("hunter2")
    (tmp_path / "isp").chmod(0o400)
    user = DOMAIN + HOST + 'user = "greg"\n'
    assert warnings(user + 'password_env = "THERE"\n', THERE="hunter2") == []
    assert warnings(user + 'password_credential = "isp"\n', CREDENTIALS_DIRECTORY=str(tmp_path)) == []


@pytest.mark.parametrize(("mode", "count"), [(0o600, 0), (0o640, 0), (0o644, 1)])
def test_a_password_in_a_configuration_that_everybody_reads(
    warnings: Warnings, mode: int, count: int
) -> None:
    found = warnings(DOMAIN + HOST + 'user = "greg"\npassword = "hunter2"\n', mode)
    assert len(found) == count
    assert "hunter2" not in "".join(found)


def test_a_mail_domain_that_nobody_can_answer(warnings: Warnings) -> None:
    (found,) = warnings('[identity]\ndomain = "home.lan"\n' + HOST)
    assert found.startswith("mail domain home.lan: ")


def test_a_sender_that_nobody_can_answer(warnings: Warnings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SenderRules, "default", lambda self: b"greg@nas.lan")
    (found,) = warnings(DOMAIN + HOST)
    assert found.startswith("sender <greg@nas.lan>: ")
