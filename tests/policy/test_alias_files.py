"""Claims about included lists and ~/.forward: read if nobody else can have written them."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sendmail_py.errors import ConfigError, DataError
from sendmail_py.policy import alias_check, alias_files, aliases

HERE: Any = SimpleNamespace(is_local=lambda domain: domain.lower() == b"localhost")


def known(folder: Path, text: str, forward: bool = False) -> aliases.Aliases:
    """The aliases of a text in which {} is the folder."""
    (folder / "aliases").write_text(text.replace("{}", str(folder)))
    return aliases.load([str(folder / "aliases")], forward=forward)


def test_a_list_is_a_line_for_each_target_or_several(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(
        "# the staff\nann@a.example\n\n  bob@b.example, Carl <carl@c.example>  # and one more\n"
        "\\dave\nroot\r\n"
    )
    found = known(tmp_path, "staff: :include:{}/list, eve@e.example\nroot: greg@isp.example\n")
    assert found.resolve(b"staff", HERE) == [
        b"ann@a.example", b"bob@b.example", b"carl@c.example", b"dave", b"greg@isp.example", b"eve@e.example",
    ]  # fmt: skip


def test_a_byte_order_mark_is_no_part_of_an_address(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("\ufeffann@a.example\n")
    assert known(tmp_path, "staff: :include:{}/list\n").resolve(b"staff", HERE) == [b"ann@a.example"]


@pytest.mark.parametrize(
    "target", [":include:{}/list", '":include:{}/list"', '":include: {}/list"', ":INCLUDE:{}/list"]
)
def test_every_form_of_an_inclusion_is_known(tmp_path: Path, target: str) -> None:
    (tmp_path / "list").write_text("ann@a.example\n")
    assert known(tmp_path, f"staff: {target}\n").resolve(b"staff", HERE) == [b"ann@a.example"]


def test_lists_include_lists_up_to_a_depth(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"list{number}").write_text(f":include:{tmp_path}/list{number + 1}\n")
    (tmp_path / "list5").write_text("ann@a.example\n")
    assert known(tmp_path, "staff: :include:{}/list0\n").resolve(b"staff", HERE) == [b"ann@a.example"]
    with pytest.raises(DataError, match="too deep"):
        known(tmp_path, "staff: :include:{}/list6\n").resolve(b"staff", HERE)


def test_a_list_that_includes_itself_is_an_error_of_newaliases_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f":include:{tmp_path}/list\n")
    found = known(tmp_path, "root: a@a.example\nstaff: b@b.example,\n :include:{}/list\n")
    with pytest.raises(DataError):
        found.resolve(b"staff", HERE)
    (problem,) = alias_check.check(found.files[0])
    assert (problem.line, problem.fault) == (3, True)


@pytest.mark.parametrize("line", ["|program", "/file", "ann able@a.example"])
def test_what_is_no_address_is_refused_in_a_list_too(tmp_path: Path, line: str) -> None:
    (tmp_path / "list").write_text(f"ann@a.example\n{line}\n")
    found = known(tmp_path, "staff: :include:{}/list\n")
    with pytest.raises(DataError):
        found.resolve(b"staff", HERE)
    (problem,) = alias_check.check(found.files[0])
    assert f"{tmp_path}/list:2: " in problem.text


def make(path: Path, kind: str) -> None:
    """A file that is not fit."""
    path.write_text("ann@a.example\n")
    if kind in ("664", "646"):
        path.chmod(int(kind, 8))
    elif kind == "fifo":
        path.unlink()
        os.mkfifo(path)
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    elif kind == "big":
        path.write_bytes(b"a@a.example\n" * 100_000)
    elif kind == "open folder":
        path.parent.chmod(0o777)
    elif kind == "missing":
        path.unlink()


@pytest.mark.parametrize("kind", ["664", "646", "fifo", "folder", "big", "open folder", "missing"])
def test_a_list_that_is_not_fit_holds_up_its_mail_and_says_why(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    make(folder / "list", kind)
    found = known(tmp_path, "staff: :include:{}/lists/list\n")
    with pytest.raises(ConfigError, match="lists/list: "):
        found.resolve(b"staff", HERE)
    (problem,) = alias_check.check(found.files[0])
    assert problem.fault


def test_ones_own_list_may_lie_in_a_sticky_folder(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    folder.chmod(0o1777)
    (folder / "list").write_text("ann@a.example\n")
    assert known(tmp_path, "s: :include:{}/lists/list\n").resolve(b"s", HERE) == [b"ann@a.example"]


def test_a_relative_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absolute"):
        known(tmp_path, "staff: :include:list\n").resolve(b"staff", HERE)


# --- ~/.forward ---------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of ann, who exists."""
    folder = tmp_path / "ann"
    folder.mkdir()

    def account(name: str) -> Any:
        if name != "ann":
            raise KeyError(name)
        return SimpleNamespace(pw_dir=str(folder), pw_uid=os.getuid())

    monkeypatch.setattr(pwd, "getpwnam", account)
    return folder


def test_a_forward_counts_only_when_it_is_configured(tmp_path: Path, home: Path) -> None:
    (home / ".forward").write_text("\\ann, ann@work.example\n# and\nbob@b.example\n")
    assert known(tmp_path, "").resolve(b"ann", HERE) == [b"ann"]
    wanted = [b"ann", b"ann@work.example", b"bob@b.example"]
    assert known(tmp_path, "", forward=True).resolve(b"ann", HERE) == wanted


def test_an_alias_comes_before_a_forward_and_may_lead_to_it(tmp_path: Path, home: Path) -> None:
    (home / ".forward").write_text("ann@work.example\n")
    found = known(tmp_path, "root: ann\n", forward=True)
    assert found.resolve(b"root", HERE) == [b"ann@work.example"]
    found = known(tmp_path, "ann: x@x.example\n", forward=True)
    assert found.resolve(b"ann", HERE) == [b"x@x.example"]


def test_a_forward_that_names_its_person_keeps_a_copy(tmp_path: Path, home: Path) -> None:
    (home / ".forward").write_text("ann, ann@work.example\n")
    assert known(tmp_path, "", forward=True).resolve(b"ann", HERE) == [b"ann", b"ann@work.example"]


@pytest.mark.parametrize("text", [None, "", "# nobody\n"])
def test_without_targets_there_is_no_forward(tmp_path: Path, home: Path, text: str | None) -> None:
    if text is not None:
        (home / ".forward").write_text(text)
    found = known(tmp_path, "", forward=True)
    assert found.resolve(b"ann", HERE) == [b"ann"]
    assert found.resolve(b"nobody-here", HERE) == [b"nobody-here"]


def test_a_forward_that_runs_a_program_is_refused(tmp_path: Path, home: Path) -> None:
    (home / ".forward").write_text('"|/usr/bin/procmail"\n')
    with pytest.raises(DataError, match="program"):
        known(tmp_path, "", forward=True).resolve(b"ann", HERE)


def test_a_forward_of_somebody_else_is_not_believed(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = SimpleNamespace(pw_dir=str(home), pw_uid=54321)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: account)
    (home / ".forward").write_text("ann@work.example\n")
    if os.getuid() == 0:
        os.chown(home / ".forward", 12345, -1)
    with pytest.raises(ConfigError, match="belongs"):
        alias_files.forward(b"ann")


def test_a_forward_that_may_not_be_read_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "open", refuse)
    assert alias_files.forward(b"ann") is None
