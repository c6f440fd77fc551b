"""The seal around every test: a home, folders, zone and umask of its own, and no network but loopback.

Tests that run the real commands use `sandbox`: launchers made by `sendmail-py install`, an environment that
holds nothing of the developer's, and a spool, a configuration and a log of their own.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sendmail_py
from hypothesis import HealthCheck, settings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support.launch import Sandbox, install
from support.network import loopback_only

SEALED = ("SENDMAIL_PY_", "XDG_", "PYTHON", "LC_")
UNSET = ("EMAIL", "LANGUAGE", "LOGNAME", "MAIL", "MAILRC", "NAME", "REPLYTO", "USER", "CREDENTIALS_DIRECTORY")

settings.register_profile("here", database=None, deadline=None)
settings.register_profile(
    "machine", database=None, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("machine" if os.environ.get("CI") else "here")


def pytest_configure(config: pytest.Config) -> None:
    """With `tests/run --wheel` the package under test must be the wheel's, not the work tree's."""
    root = Path(__file__).resolve().parent.parent
    if os.environ.get("TEST_WHEEL") and Path(sendmail_py.__file__).resolve().is_relative_to(
        root / "sendmail_py"
    ):
        raise pytest.UsageError(
            f"the tests see {sendmail_py.__file__}, not the wheel {os.environ['TEST_WHEEL']}"
        )


def pytest_report_header(config: pytest.Config) -> str:
    """Say which package is tested."""
    return f"sendmail_py {sendmail_py.__version__} from {os.path.dirname(sendmail_py.__file__)}"


@pytest.fixture(autouse=True)
def seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the test a world of its own; put the old one back."""
    for key in list(os.environ):
        if key.startswith(SEALED) or key in UNSET:
            monkeypatch.delenv(key)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / ".local" / "state"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("SENDMAIL_PY_MASQUERADE_DNS", "false")  # but in the tests about it
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def sealed_network() -> Iterator[None]:
    """Fail the test that leaves the machine, even if the code swallows the refusal."""
    with loopback_only():
        yield


@pytest.fixture(scope="session")
def installed() -> Iterator[Path]:
    """A folder of launchers, written by the admin command as a user would have it done."""
    with tempfile.TemporaryDirectory(prefix="installed-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - some tests run them as another user
        yield install(Path(folder) / "bin")


@pytest.fixture
def sandbox(installed: Path, tmp_path: Path) -> Sandbox:
    """The installed commands as processes in a world of their own."""
    return Sandbox(installed, tmp_path / "sandbox")
