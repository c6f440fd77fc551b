"""The text of a launcher: short, plain, and right for awkward paths."""

from __future__ import annotations

import ast
import shlex
import subprocess
from pathlib import Path

import pytest
from sendmail_py.admin import launcher
from sendmail_py.errors import UnavailableError

PACKAGE = "/opt/mail"


def test_is_started_by_the_kernel_when_it_can() -> None:
    octets = launcher.text("/usr/bin/python3.11", PACKAGE, [])
    assert octets.startswith(b"#!/usr/bin/python3.11 -IS\n")


@pytest.mark.parametrize(("length", "kernel"), [(127, True), (128, False)])
def test_keeps_to_the_127_octets_of_old_kernels(length: int, kernel: bool) -> None:
    interpreter = "/" + "p" * (length - len("#!/ -IS"))
    first = launcher.start(interpreter).split(b"\n")[0]
    assert (len(first) == length and first.startswith(b"#!/p")) if kernel else first == b"#!/bin/sh"


@pytest.mark.parametrize(
    "name", ["a b", "x" * 200, "it's", "two ''quotes'' ", 'double "quotes"', "$HOME `id` $(id)", "köln"]
)
def test_hands_over_to_an_interpreter_whatever_its_path(name: str, tmp_path: Path) -> None:
    folder = tmp_path / f"{name} blank"
    folder.mkdir()
    interpreter = folder / "python"
    interpreter.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    interpreter.chmod(0o755)
    script = tmp_path / "sendmail"
    script.write_bytes(launcher.text(str(interpreter), PACKAGE, []))
    script.chmod(0o755)
    done = subprocess.run([str(script), "-f", "a b", "*"], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines() == ["-IS", str(script), "-f", "a b", "*"]
    ast.parse(script.read_bytes())


def test_start_by_sh_is_a_string_without_effect_for_python() -> None:
    first, *rest = ast.parse(launcher.text("/a b/python", PACKAGE, [])).body
    assert isinstance(first, ast.Expr)
    assert isinstance(first.value, ast.Constant)
    assert isinstance(rest[0], ast.Import)


@pytest.mark.parametrize("path", ["/a\nb/python", "/a\\b/python", "/a\tb/python", "/a\udcffb/python"])
def test_refuses_a_path_that_a_launcher_cannot_hold(path: str) -> None:
    with pytest.raises(UnavailableError):
        launcher.text(path, PACKAGE, [])


@pytest.mark.parametrize("package", ["/a b", "/köln", "/it's", "/a\\b", "/a\nb", "/\udcff", '/"""'])
def test_names_any_package_folder_in_ascii(package: str) -> None:
    octets = launcher.text("/usr/bin/python3", package, [package])
    assert octets.isascii()
    assigned = next(node for node in ast.walk(ast.parse(octets)) if isinstance(node, ast.List))
    assert ast.literal_eval(assigned) == [package]


def test_searches_the_folder_of_dnspython_last() -> None:
    octets = launcher.text("/usr/bin/python3", PACKAGE, ["/dns here"])
    assert b"sys.path = path + ['/dns here']\n" in octets


def test_knows_its_own_and_nothing_else() -> None:
    for interpreter in ("/usr/bin/python3", "/a b/python"):
        assert launcher.is_ours(launcher.text(interpreter, PACKAGE, []))
    for foreign in (b"", b"\x7fELF", b"#!/bin/sh\nexec msmtp\n", launcher.MARKER):
        assert not launcher.is_ours(foreign)


def test_quotes_for_the_shell() -> None:
    assert shlex.split(launcher.start("/it's a/python").split(b"\n")[1].decode())[1] == "/it's a/python"
