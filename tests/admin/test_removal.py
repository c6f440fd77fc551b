"""A folder goes with all that is in it, and nothing else does, whatever its users have put there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from sendmail_py.admin import removal


def test_a_tree_deeper_than_any_stack_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    before = os.getcwd()
    os.chdir(top)
    try:
        for n in range(3000):
            Path(f"file{n % 3}").touch()
            os.mkdir("below")
            os.chdir("below")
    finally:
        os.chdir(before)
    open_before = len(os.listdir("/proc/self/fd"))
    removal.remove(str(top))
    assert os.listdir(tmp_path) in ([], ["home"])
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_links_lead_nowhere(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("precious")
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    for folder in (top, top / "a", top / "a" / "b"):
        (folder / "link").symlink_to(precious)
        (folder / "file").symlink_to(precious / "file")
        os.mkfifo(folder / "fifo")
        os.mkfifo(os.fsencode(folder) + b"/\xff\n")
    removal.remove(str(top))
    assert not top.exists()
    assert (precious / "file").read_text() == "precious"


def test_a_link_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "top").symlink_to("other")
    with pytest.raises(OSError, match=r"Not a directory|Too many") as fault:
        removal.remove(str(tmp_path / "top"))
    assert fault.value.errno in (errno.ENOTDIR, errno.ELOOP)
    assert (tmp_path / "other").is_dir()


def test_a_folder_that_is_filled_meanwhile_goes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "top"
    (top / "user").mkdir(parents=True)
    real, left = os.rmdir, [3]

    def rmdir(name: str, *, dir_fd: int | None = None) -> None:
        if left[0] and name == "user":
            left[0] -= 1
            (top / "user" / f"more{left[0]}").mkdir()
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", rmdir)
    removal.remove(str(top))
    assert not top.exists()
