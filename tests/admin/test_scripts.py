"""The account comes and goes by the programs that the system has, and in an image by the image's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sendmail_py.admin import layout, scripts, steps
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import UnavailableError

from support.image import install, snapshot, uninstall

FAKE = """#!/bin/sh
echo "${0##*/} $*" >>"$CALLS"
"""
SHADOW = ("useradd", "userdel", "groupdel")
BUSYBOX = ("adduser", "addgroup", "deluser", "delgroup")
PLAIN = ("sh", "grep", "sed")


def calls(folder: Path, script: str, root: str, programs: tuple[str, ...]) -> list[str]:
    """What a script has programs do, when these are all that there are."""
    bin_folder, told = folder / "bin", folder / "calls"
    bin_folder.mkdir()
    told.write_text("")
    for name in (*programs, "chroot"):
        (bin_folder / name).write_text(FAKE)
        (bin_folder / name).chmod(0o755)
    for name in PLAIN:
        (bin_folder / name).symlink_to(f"/bin/{name}")
    environ = {"PATH": str(bin_folder), "CALLS": str(told)}
    subprocess.run(["/bin/sh", "-ec", script, "sh", root], env=environ, check=True)
    return told.read_text().splitlines()


@pytest.mark.parametrize("inside", ["", "chroot {root} "])
def test_busybox_makes_group_and_user(tmp_path: Path, inside: str) -> None:
    """Without a group of its own the account would have `nogroup`, which others have, too."""
    root = tmp_path / "image" if inside else ""
    (tmp_path / "image/etc").mkdir(parents=True)
    (tmp_path / "image/etc/group").write_text("")
    told = calls(tmp_path, scripts.MAKE_ACCOUNT, str(root), BUSYBOX)
    start = inside.format(root=root)
    assert told[0] == f"{start}addgroup -S {layout.ACCOUNT}"
    assert told[1].startswith(f"{start}adduser -S -D -H -h {layout.RELAY_STATE} -s ")
    assert f" -G {layout.ACCOUNT} " in told[1]
    assert len(told) == 2


def test_the_shell_is_the_nologin_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "image/sbin").mkdir(parents=True)
    (tmp_path / "image/sbin/nologin").write_text("")
    (told,) = calls(tmp_path, scripts.MAKE_ACCOUNT, str(tmp_path / "image"), SHADOW)
    assert "--shell /sbin/nologin " in told
    assert f"--prefix {tmp_path}/image " in told


@pytest.mark.parametrize(("programs", "user"), [(SHADOW, "userdel"), (BUSYBOX, "chroot")])
def test_user_and_group_go(tmp_path: Path, programs: tuple[str, ...], user: str) -> None:
    (tmp_path / "image/etc").mkdir(parents=True)
    (tmp_path / "image/etc/group").write_text(f"{layout.ACCOUNT}:x:990:\n")
    told = calls(tmp_path, scripts.REMOVE_ACCOUNT, str(tmp_path / "image"), programs)
    assert [line.split()[0] for line in told] == [user, "groupdel" if programs == SHADOW else "chroot"]


def test_an_account_that_cannot_be_made_costs_one_line_and_undoes_everything(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "adduser: no uids left\n"
    monkeypatch.setattr(Tree, "ask", lambda tree, command: (int(command[0] == "/bin/sh"), said))
    before = snapshot(image)
    result = install(image)
    assert (result.exit_code, result.stderr) == (
        69,
        f"sendmail-py: the account {layout.ACCOUNT} cannot be made: adduser: no uids left\n",
    )
    assert snapshot(image) == before


def test_an_account_that_cannot_be_removed_stays_and_is_told(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert install(image).exit_code == 0
    monkeypatch.setattr(Tree, "ask", lambda tree, command: (8, "userdel: user is currently used\n"))
    result = uninstall(image)
    assert result.exit_code == 0
    assert f"the account {layout.ACCOUNT} stays: userdel: user is currently used\n" in result.stdout
    with pytest.raises(UnavailableError):
        steps.Account("nobody-of-this-name").do(Tree(str(image)), {})
