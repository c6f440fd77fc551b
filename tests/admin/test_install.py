"""sendmail-py install: launchers appear whole, replace nothing of others, and start in any environment."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sendmail_py import __version__
from sendmail_py.admin import install as install_module
from sendmail_py.admin import launcher
from sendmail_py.admin.cli import cli

from support.launch import Sandbox
from support.needs import needs_root

FOREIGN = b'#!/bin/sh\nexec msmtp "$@"\n'


def install(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["install", "--bindir", str(folder), *options])


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, check=False, timeout=60, **options)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_writes_regular_executable_files_and_nothing_else(tmp_path: Path) -> None:
    os.umask(0o077)
    result = install(tmp_path / "new" / "bin")
    assert result.exit_code == 0
    assert names(tmp_path / "new" / "bin") == sorted(launcher.NAMES)
    for name in launcher.NAMES:
        status = os.lstat(tmp_path / "new" / "bin" / name)
        assert status.st_mode == 0o100755
    assert (tmp_path / "new" / "bin").stat().st_mode & 0o777 == 0o755


def test_says_in_two_lines_what_it_did(tmp_path: Path) -> None:
    first, second = install(tmp_path / "bin").stdout.splitlines()
    assert first == f"wrote {tmp_path}/bin: sendmail, mailq, newaliases, runq"
    assert second.startswith("they run /")


def test_takes_a_folder_relative_to_the_current_one(tmp_path: Path) -> None:
    assert install(Path("bin")).exit_code == 0
    assert names(tmp_path / "bin") == sorted(launcher.NAMES)


def test_dry_run_does_nothing(tmp_path: Path) -> None:
    result = install(tmp_path / "bin", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.startswith("would write ")
    assert not (tmp_path / "bin").exists()


def test_replaces_its_own_launchers(tmp_path: Path) -> None:
    assert install(tmp_path).exit_code == 0
    before = (tmp_path / "mailq").read_bytes()
    (tmp_path / "mailq").write_bytes(before + b"# more\n")
    assert install(tmp_path).exit_code == 0
    assert (tmp_path / "mailq").read_bytes() == before


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "fifo"])
def test_leaves_what_others_wrote_and_writes_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "runq"  # the last one: nothing may be written before it is seen
    if kind == "file":
        path.write_bytes(FOREIGN)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/bin/true" if kind == "link" else "/nonexistent")
    before = os.lstat(path)
    result = install(tmp_path)
    assert result.exit_code == 77
    assert result.stderr == f"sendmail-py: {path} is not ours; --force replaces it\n"
    assert [name for name in names(tmp_path) if name != "home"] == ["runq"]
    assert os.lstat(path).st_ino == before.st_ino


def test_force_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(FOREIGN)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sendmail").symlink_to(other)
    assert install(tmp_path / "bin", "--force").exit_code == 0
    assert not (tmp_path / "bin" / "sendmail").is_symlink()
    assert other.read_bytes() == FOREIGN


def test_never_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mailq").mkdir()
    result = install(tmp_path, "--force")
    assert result.exit_code == 77
    assert "is a folder" in result.stderr


def test_no_folder_can_be_made_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    result = install(tmp_path / "file" / "bin")
    assert result.exit_code == 73
    assert result.stderr == f"sendmail-py: cannot write into {tmp_path}/file/bin: Not a directory\n"


def test_a_launcher_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def watched_fsync(fd: int) -> None:
        steps.append("sync")
        fsync(fd)

    def watched_rename(*arguments: str, **folders: Any) -> None:
        steps.append("rename")
        rename(*arguments, **folders)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    install_module.write_all(str(tmp_path / "bin"), b"#!/bin/sh\n")
    assert steps == ["sync", "rename"] * 4 + ["sync"]


@pytest.mark.parametrize(("code", "status"), [(errno.ENOSPC, 73), (errno.EACCES, 77)])
def test_a_failing_disk_leaves_the_old_launchers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, status: int
) -> None:
    assert install(tmp_path / "bin").exit_code == 0
    before = os.stat(tmp_path / "bin" / "sendmail").st_ino

    def fail(fd: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    result = install(tmp_path / "bin")
    assert result.exit_code == status
    assert result.stderr.count("\n") == 1
    assert names(tmp_path / "bin") == sorted(launcher.NAMES)
    assert os.stat(tmp_path / "bin" / "sendmail").st_ino == before


def test_starts_the_real_interpreter_behind_a_virtual_environment() -> None:
    found = install_module.find_interpreter()
    assert os.path.realpath(found) == found
    assert install_module.cache_tag(found) == sys.implementation.cache_tag


def test_falls_back_when_the_base_interpreter_is_no_python_of_this_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "_base_executable", "/bin/true")
    assert install_module.find_interpreter() == sys.executable


def test_compiles_plain_files_beside_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("x = 1\n")
    assert install_module.compile_package(str(tmp_path / "package"))
    compiled = tmp_path / "package" / "__pycache__" / f"module.{sys.implementation.cache_tag}.pyc"
    assert compiled.read_bytes()[4:8] == b"\0\0\0\0"  # PEP 552: checked by time and size
    assert sys.pycache_prefix == str(tmp_path / "elsewhere")


def test_warns_when_the_package_cannot_be_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sendmail_py"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__pycache__").write_text("")
    monkeypatch.setattr(install_module, "package_folder", lambda: str(tmp_path))
    result = install(tmp_path / "bin")
    assert result.exit_code == 0
    assert "sendmail-py: warning: the package cannot be compiled" in result.stderr


@pytest.mark.parametrize(
    ("mode", "text"),
    [(0o700, "closed to other users"), (0o777, "others than root"), (0o755, ""), (0o1777, "")],
)
def test_root_is_told_of_a_folder_that_is_not_for_everybody(tmp_path: Path, mode: int, text: str) -> None:
    needs_root()
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    folder.chmod(mode)
    path = f"{folder}/below/python"
    told = [one for one in install_module.for_everybody([path, path]) if one.startswith(f"{folder} ")]
    assert len(told) == bool(text)
    assert text in "".join(told)


def test_others_install_for_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    tmp_path.chmod(0o700)
    assert install_module.for_everybody([f"{tmp_path}/python"]) == []


def hostile_environment(folder: Path) -> dict[str, str]:
    """Variables and modules that a careless caller may have around."""
    folder.mkdir()
    for module in ("sitecustomize", "usercustomize", "sendmail_py", "os", "syslog"):
        (folder / f"{module}.py").write_text("raise SystemExit(99)\n")
    return {
        "PYTHONHOME": "/nonexistent",
        "PYTHONPATH": str(folder),
        "PYTHONSTARTUP": f"{folder}/os.py",
        "PYTHONINSPECT": "1",
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "PYTHONIOENCODING": "nonsense",
        "PYTHONVERBOSE": "1",
        "PYTHONUSERBASE": str(folder),
        "LC_ALL": "xx_XX.nonsense",
    }


def test_launchers_run_in_a_hostile_environment(sandbox: Sandbox, tmp_path: Path) -> None:
    hostile = hostile_environment(tmp_path / "hostile")
    done = sandbox.run("sendmail", "--version", env={**hostile}, cwd=tmp_path / "hostile")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == f"sendmail_py {__version__}\n".encode()


def test_launchers_run_without_any_environment(sandbox: Sandbox) -> None:
    done = run([str(sandbox.path("sendmail")), "--version"], env={})
    assert (done.returncode, done.stderr) == (0, b"")


def test_launchers_run_in_a_deleted_folder(sandbox: Sandbox, tmp_path: Path) -> None:
    script = f'mkdir gone && cd gone && rmdir "$PWD" && exec {sandbox.path("sendmail")} --version'
    done = run(["/bin/sh", "-c", script], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_name_decides_what_a_launcher_does(sandbox: Sandbox) -> None:
    done = sandbox.run("mailq")
    assert (done.returncode, done.stdout) == (0, b"Mail queue is empty\n")
    done = sandbox.run("runq")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("name", ["with blanks", "long" * 40])
def test_launchers_run_whatever_the_path_of_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    interpreter = folder / "python"
    interpreter.symlink_to(install_module.find_interpreter())
    monkeypatch.setattr(install_module, "find_interpreter", lambda: str(interpreter))
    assert install(tmp_path / "a bin").exit_code == 0
    hostile = hostile_environment(tmp_path / "hostile")
    done = run([str(tmp_path / "a bin" / "sendmail"), "--version"], env=hostile)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_package_that_is_gone_is_a_temporary_failure_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "sendmail_py"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(install_module, "package_folder", lambda: str(tmp_path))
    assert install(tmp_path / "bin").exit_code == 0
    shutil.rmtree(package)
    done = run([str(tmp_path / "bin" / "sendmail"), "greg@example.net"], input=b"")
    assert done.returncode == 75
    assert done.stderr.startswith(b"sendmail_py: No module named 'sendmail_py'")
    assert done.stderr.count(b"\n") == 1


def test_modules_beside_the_package_never_come_before_the_standard_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = os.path.join(install_module.package_folder(), "sendmail_py")
    shutil.copytree(source, tmp_path / "site" / "sendmail_py")
    for module in ("socket", "enum", "re", "json", "types"):
        (tmp_path / "site" / f"{module}.py").write_text("raise SystemExit(99)\n")
    probe = "import enum, json, re, socket\ndef main():\n    print('fine')\n"
    (tmp_path / "site" / "sendmail_py" / "commands" / "dispatch.py").write_text(probe)
    monkeypatch.setattr(install_module, "package_folder", lambda: str(tmp_path / "site"))
    monkeypatch.setattr(install_module, "dns_folders", lambda: [str(tmp_path / "site")])
    assert install(tmp_path / "bin").exit_code == 0
    done = run([str(tmp_path / "bin" / "sendmail")])
    assert (done.returncode, done.stdout) == (0, b"fine\n")


def test_the_wheel_s_command_runs_in_a_process_of_its_own(sandbox: Sandbox) -> None:
    done = sandbox.run("sendmail-py", "--version")
    assert (done.returncode, done.stdout) == (0, f"sendmail_py {__version__}\n".encode())
