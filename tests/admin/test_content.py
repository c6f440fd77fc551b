"""What is copied into the system: found wherever the package that runs comes from, and whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.admin import content, launcher, layout
from sendmail_py.admin import install as install_module
from sendmail_py.errors import UnavailableError

PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def files() -> content.Files:
    """The library."""
    return content.library(install_module.package_folder(), PYTHON)


def test_the_package_is_whole(files: content.Files) -> None:
    package = Path(install_module.package_folder(), "sendmail_py")
    sources = {f"sendmail_py/{path.relative_to(package)}" for path in package.rglob("*.py")}
    assert sources <= files.keys()


def test_compiled_files_and_traces_of_another_place_are_not_copied(files: content.Files) -> None:
    names = {path.rpartition("/")[2] for path in files}
    assert not names & {"RECORD", "INSTALLER", "direct_url.json"}
    assert not [path for path in files if path.endswith(".pyc") or path.startswith("/") or ".." in path]


def test_only_the_commands_can_be_run_and_nobody_else_may_write(files: content.Files) -> None:
    assert {path for path, (_, mode) in files.items() if mode == 0o755} == {
        f"bin/{name}" for name in (*launcher.NAMES, "sendmail-py", "compile")
    }
    assert {mode for _, mode in files.values()} == {0o755, 0o644}


def test_no_command_depends_on_where_it_was_installed_from(files: content.Files) -> None:
    for path, (octets, _) in files.items():
        if path.startswith("bin/"):
            assert octets.startswith(b"#!/usr/bin/python3 -IS\n")
            assert layout.LIBRARY.encode() in octets
            assert install_module.package_folder().encode() not in octets


@pytest.mark.parametrize("place", ["man/mailq.1", "../../../share/man/man1/mailq.1"])
def test_pages_are_found_in_a_clone_and_where_a_wheel_has_them(tmp_path: Path, place: str) -> None:
    package = tmp_path / "lib/python3.11/site-packages"
    page = package / place
    package.mkdir(parents=True)
    page.parent.mkdir(parents=True)
    page.write_text("page")
    assert content.page(str(package), "mailq.1") == b"page"


def test_a_page_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"mailq\.1"):
        content.page(str(tmp_path), "mailq.1")


def test_dnspython_may_be_missing_and_click_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert content.vendored("dns", "dnspython") == {}
    with pytest.raises(UnavailableError, match="click"):
        content.vendored("click", "click")
