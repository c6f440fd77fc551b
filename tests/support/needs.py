"""Programs that a test cannot do without: missing on a laptop the test is skipped, missing in CI it fails."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


def needs(program: str, package: str = "") -> str:
    """Return the program's path; without it skip, or fail where CI is set in the environment."""
    path = shutil.which(program) or shutil.which(program, path=SYSTEM_FOLDERS)
    if path is None:
        missing(f"{program} is not installed (Debian package {package or program})")
    return path


def needs_root() -> None:
    """Skip, or fail in CI, unless the test runs as root."""
    if os.geteuid() != 0:
        missing("only root can do this")


def missing(text: str) -> NoReturn:
    """Skip with the reason, or fail with it in CI."""
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)
