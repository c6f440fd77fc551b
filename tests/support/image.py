"""A small system in a folder, to install into; and a process that ends at any of its changes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sendmail_py.admin import layout
from sendmail_py.admin.cli import cli
from sendmail_py.admin.tree import Tree

FOREIGN = b'#!/bin/sh\nexec msmtp "$@"\n'
FOLDERS: tuple[str, ...] = (
    "etc/cron.d",
    "etc/logrotate.d",
    "usr/lib/systemd",
    "usr/sbin",
    "usr/bin",
    "var/lib",
    "var/spool",
)
FOLDERS += ("usr/share/man/man1", "usr/share/man/man5", "usr/share/man/man7", "usr/share/man/man8")
PASSWD = "root:x:0:0:root:/root:/bin/sh\n"
ACCOUNT = f"{layout.ACCOUNT}:x:990:990::/:/usr/sbin/nologin\n"


class Killed(BaseException):
    """The process has ended at this moment."""


def install(image: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["install", "--root", str(image), *words])


def uninstall(image: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["uninstall", "--root", str(image), *words])


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a folder: mode, and content or target."""
    found = {}
    for place, folders, names in os.walk(root):
        for name in folders + names:
            path = Path(place, name)
            status = path.lstat()
            what = b""
            if stat.S_ISLNK(status.st_mode):
                what = os.fsencode(os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                what = path.read_bytes()
            found[str(path.relative_to(root))] = (status.st_mode, what)
    return found


def waiting(image: Path, name: str = "queue", owner: str = "1000.0") -> Path:
    """A message in the shared spool."""
    folder = image / layout.SPOOL[1:] / owner / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0123456789AB").write_text("sendmail-py queue file\n")
    return folder / "0123456789AB"


CHANGES: tuple[str, ...] = (
    "write",
    "symlink",
    "keep",
    "rename",
    "remove",
    "make_folder",
    "set_mode",
    "set_owner",
)
CHANGES += ("remove_folder", "remove_all", "run", "ask")


def limit(monkeypatch: pytest.MonkeyPatch, left: int) -> list[int]:
    """Let the process end at the change that comes after `left` others, after half of it where it has two."""
    counter = [left]

    def wrap(name: str) -> None:
        real = getattr(Tree, name)

        def change(tree: Tree, *words: object) -> object:
            if counter[0] == 0:
                raise Killed
            counter[0] -= 1
            return real(tree, *words)

        monkeypatch.setattr(Tree, name, change)

    for name in CHANGES:
        wrap(name)
    return counter


def steps_of(image: Path, monkeypatch: pytest.MonkeyPatch, ends: int, words: list[str]) -> bool:
    """Run a command that ends after so many changes; whether it came to its end before."""
    with monkeypatch.context() as patch:
        limit(patch, ends)
        try:
            result = CliRunner().invoke(cli, words, standalone_mode=False)
        except Killed:
            return False
        return not isinstance(result.exception, Killed)
