"""tests/support/venv.sh where it cannot help: one clear line, status 69, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("venv.sh")
TOOLS = (
    "sh",
    "id",
    "cat",
    "cksum",
    "rm",
    "head",
    "tail",
    "tr",
)  # and no apt-get, or root would install packages


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("exit 1", "no Python 3.11 or newer here"),
        (
            'case "$*" in *"-m venv"*) exit 1 ;; *print*) echo python3.12-venv ;; esac',
            "install python3.12-venv",
        ),
    ],
)
def test_says_what_to_install(tmp_path: Path, python: str, said: str) -> None:
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        os.symlink(str(shutil.which(tool)), tmp_path / "bin" / tool)
    fake = tmp_path / "bin" / "a python"
    fake.write_text(f"#!/bin/sh\n{python}\n")
    fake.chmod(0o755)
    (tmp_path / "pyproject.toml").write_text("")
    done = subprocess.run(
        [str(shutil.which("sh")), "-euc", f'. "{SCRIPT}"; make_venv "$PWD/my venv" test -e .'],
        env={"PATH": str(tmp_path / "bin"), "PYTHON": str(fake)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (69, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "home", "pyproject.toml"]
