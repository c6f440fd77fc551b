"""The Debian package: what dpkg reads of it, and that it is the same whoever builds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sendmail_py import __version__
from sendmail_py.admin import content, debian, layout, scripts
from sendmail_py.admin import install as install_module
from sendmail_py.admin.tree import Tree

from support.needs import needs

PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built package."""
    return build(tmp_path_factory.mktemp("package"))


def build(folder: Path, interpreter: str = PYTHON) -> Path:
    needs("dpkg-deb", "dpkg")
    files = content.library(install_module.package_folder(), interpreter)
    entries = [*content.Names(files).entries(""), *content.system_entries(Tree(str(folder)), "")]
    return Path(debian.build(files, entries, interpreter, str(folder)))


def told(*words: str | Path) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def listing(package: Path) -> dict[str, tuple[str, str]]:
    """Path -> mode, owner."""
    lines = [line.split(None, 5) for line in told("dpkg-deb", "--contents", package).splitlines()]
    return {words[5].partition(" -> ")[0].lstrip("."): (words[0], words[1]) for words in lines}


def test_it_owns_every_name_of_a_mailer(package: Path) -> None:
    found = listing(package)
    for path in (*layout.COMMANDS.values(), layout.ADMIN, layout.FLUSH):
        assert found[path] == ("-rwxr-xr-x", "root/root")
    assert found[layout.SENDMAIL_LINK][0] == "lrwxrwxrwx"
    assert {layout.page(name) for name in content.PAGES} <= found.keys()
    assert {f"{layout.UNIT_FOLDER}/{name}" for name in layout.UNITS} <= found.keys()
    assert f"{layout.CONFIG_FOLDER}/" in found


def test_nobody_but_root_can_write_to_anything_in_it(package: Path) -> None:
    for path, (mode, owner) in listing(package).items():
        assert owner == "root/root", path
        assert mode[0] == "l" or (mode[5], mode[8]) == ("-", "-"), path


def test_it_takes_the_place_of_another_mailer_and_lets_one_take_its_own(package: Path) -> None:
    for field in ("Provides", "Conflicts", "Replaces"):
        assert told("dpkg-deb", "--field", package, field) == "mail-transport-agent\n"


def test_it_needs_debian_s_python_only_if_that_runs_it(package: Path, tmp_path: Path) -> None:
    assert told("dpkg-deb", "--field", package, "Depends").startswith("python3 (>= 3.11)")
    assert told("dpkg-deb", "--field", build(tmp_path, "/opt/python/bin/python3"), "Depends").strip() == ""


def test_its_version_sorts_as_ours(package: Path) -> None:
    version = told("dpkg-deb", "--field", package, "Version").strip()
    assert version.startswith(__version__)
    told("dpkg", "--compare-versions", version, "gt", "0.0.1")


def test_two_builds_are_the_same_octets(package: Path, tmp_path: Path) -> None:
    os.umask(0o077)
    assert build(tmp_path).read_bytes() == package.read_bytes()


def test_its_sums_are_right(package: Path, tmp_path: Path) -> None:
    told("dpkg-deb", "--raw-extract", package, tmp_path / "x")
    done = subprocess.run(
        ["md5sum", "--quiet", "--check", "DEBIAN/md5sums"],
        cwd=tmp_path / "x",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"")


def test_what_it_vendors_comes_with_its_licence(package: Path) -> None:
    found = "\n".join(listing(package))
    for distribution in ("click", "platformdirs", "dnspython"):
        assert any(
            f"/vendor/{distribution}-" in line and "LICENSE" in line.upper() for line in found.splitlines()
        ), distribution


@pytest.mark.parametrize(
    "text",
    [
        scripts.POSTINST,
        scripts.PRERM,
        scripts.POSTRM,
        scripts.RTUPDATE,
        scripts.MAKE_ACCOUNT,
        scripts.REMOVE_ACCOUNT,
    ],
)
def test_a_shell_understands_its_scripts(text: str) -> None:
    done = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_copy_starts_by_itself(package: Path, tmp_path: Path) -> None:
    """Without site-packages, from the folder that it will be in but for the root."""
    told("dpkg-deb", "--raw-extract", package, tmp_path / "x")
    text = (tmp_path / "x" / layout.ADMIN[1:]).read_text()
    script = tmp_path / "sendmail-py"
    script.write_text(text.replace(layout.LIBRARY, f"{tmp_path}/x{layout.LIBRARY}"))
    for words, start in (
        (["--version"], f"sendmail_py {__version__}"),
        (["timer", "--help"], "Usage:"),
        (["doctor", "--help"], "Usage:"),
    ):
        done = subprocess.run(
            [sys.executable, "-IS", str(script), *words], capture_output=True, text=True, check=False, env={}
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(start)


def test_the_copy_is_compiled_without_a_trace_of_the_image(package: Path, tmp_path: Path) -> None:
    told("dpkg-deb", "--raw-extract", package, tmp_path / "x")
    library = tmp_path / "x" / layout.LIBRARY[1:]
    compiler = tmp_path / "x" / layout.COMPILE[1:]
    subprocess.run([sys.executable, "-IS", str(compiler), str(tmp_path / "x")], check=True)
    tag = sys.implementation.cache_tag
    compiled = library / "sendmail_py" / "__pycache__" / f"errors.{tag}.pyc"
    assert str(tmp_path).encode() not in compiled.read_bytes()
    assert (library / "sendmail_py" / "__pycache__" / f"bundle-submit.{tag}.pyc").exists()
    assert (library / "vendor" / "click" / "__pycache__" / f"core.{tag}.pyc").exists()
