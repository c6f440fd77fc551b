"""No test of this room installs into the machine that it runs on, whatever the code under test does."""

from __future__ import annotations

import functools
import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sendmail_py.admin import content, system
from sendmail_py.admin import install as install_module
from sendmail_py.admin.manifest import Manifest
from sendmail_py.admin.steps import Step
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import UnavailableError

from support.image import ACCOUNT, FOLDERS, FOREIGN, PASSWD


@pytest.fixture(autouse=True)
def sealed_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the running system fails the test before it is made."""
    apply, undo = system.apply, system.undo_records

    def guarded_apply(tree: Tree, known: Manifest, todo: list[Step], *more: object) -> None:
        assert not tree.is_live, "this test would have changed the running system"
        apply(tree, known, todo, *more)  # type: ignore[arg-type]

    def guarded_undo(known: Manifest, *more: object, **options: object) -> None:
        assert not known.tree.is_live, "this test would have changed the running system"
        undo(known, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(system, "apply", guarded_apply)
    monkeypatch.setattr(system, "undo_records", guarded_undo)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the system that were run; the account's do what they do, the others nothing."""
    commands: list[list[str]] = []

    def ask(tree: Tree, command: list[str]) -> tuple[int, str]:
        return 0, run(tree, command)

    def run(tree: Tree, command: list[str]) -> str:
        commands.append(command)
        passwd = Path(tree.path("/etc/passwd"))
        if "useradd" in " ".join(command):
            passwd.write_text(PASSWD + ACCOUNT)
        elif "userdel" in " ".join(command):
            passwd.write_text(PASSWD)
        elif command[0] == "dpkg-query":
            raise UnavailableError("no such package")
        return ""

    monkeypatch.setattr(Tree, "run", run)
    monkeypatch.setattr(Tree, "ask", ask)
    return commands


@functools.cache
def library() -> content.Files:
    """What is really installed."""
    return content.library(install_module.package_folder(), "/usr/bin/python3")


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library of three files, and a disk that is never waited for."""
    wanted = ("bin/", "man/", "sendmail_py/errors.py")
    whole = library()
    small = {path: what for path, what in whole.items() if path.startswith(wanted)}
    monkeypatch.setattr(content, "library", lambda package, interpreter: small)
    monkeypatch.setattr(gzip, "compress", functools.cache(gzip.compress))
    monkeypatch.setattr(install_module, "system_interpreter", lambda: "/usr/bin/python3")
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    monkeypatch.setattr(Tree, "sync", lambda tree, inside: None)


@pytest.fixture
def image(tmp_path: Path, ran: list[list[str]], fast: None) -> Path:
    """A small system with another mailer's program, cron, and nothing of ours."""
    root = tmp_path / "image"
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (root / "usr/sbin/cron").write_text("")
    (root / "usr/sbin/sendmail").write_bytes(FOREIGN)
    (root / "usr/sbin/sendmail").chmod(0o750)
    (root / "usr/bin/mailq").symlink_to("../sbin/sendmail")
    (root / "usr/share/man/man8/sendmail.8.gz").write_bytes(b"a page of others")
    return root


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """What the command sets for itself."""
    before = os.umask(0o022)
    yield
    os.umask(before)
