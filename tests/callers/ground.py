"""What all machines of a test run share: launchers that every user can run, and a copy of /etc to change.

The copy has an account `caller`, homes in the folder of the machine, a host called nas.lan, and nothing of
this machine's own timetable.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sendmail_py

from support.launch import PATIENCE
from support.needs import missing, needs, needs_root

CALLER, CALLER_ID = "caller", 54321
RELAY, RELAY_ID = "_sendmail-py", 54399  # of root's flush
USERS = ("root", CALLER)
SENDMAIL = "/usr/sbin/sendmail"


@contextmanager
def ground() -> Iterator[Path]:
    """A temporary folder with `bin/sendmail`, `etc`, and room for one `machine` at a time."""
    needs_namespaces()
    with tempfile.TemporaryDirectory(prefix="callers-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        install(folder)
        subprocess.run(["cp", "-a", "/etc", folder / "etc"], check=True, timeout=PATIENCE)
        settle(folder / "etc", folder / "machine")
        yield folder


def needs_namespaces() -> None:
    """Skip, or fail in CI, where no mount namespace can be made or nothing provides sendmail."""
    needs_root()
    unshare = needs("unshare", "util-linux")
    needs("setpriv", "util-linux")
    trial = [unshare, "--mount", "--uts", "--propagation", "private", "true"]
    if subprocess.run(trial, capture_output=True, check=False, timeout=PATIENCE).returncode != 0:
        missing("no mount namespaces here")
    if not os.path.exists(SENDMAIL):
        missing(f"no {SENDMAIL} to stand in for (any Debian package that provides mail-transport-agent)")


def install(folder: Path) -> None:
    """Write launchers into `bin` for a copy of the package under test that every user can read."""
    package = Path(sendmail_py.__file__).parent
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "from sendmail_py.admin.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", code, "install", "--bindir", str(folder / "bin")],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )


def settle(etc: Path, machine: Path) -> None:
    """Change the copy of /etc: accounts, names, an empty timetable, a place for our configuration."""
    lines = [line for line in (etc / "passwd").read_text().splitlines() if not line.startswith("root:")]
    lines.insert(0, f"root:x:0:0:root:{machine}/root:/bin/sh")
    lines.append(f"{CALLER}:x:{CALLER_ID}:{CALLER_ID}:The Caller,,,:{machine}/{CALLER}:/bin/sh")
    lines.append(f"{RELAY}:x:{RELAY_ID}:{RELAY_ID}::/nonexistent:/usr/sbin/nologin")
    (etc / "passwd").write_text("\n".join(lines) + "\n")
    for name, line in (("group", f"{CALLER}:x:{CALLER_ID}:"), ("shadow", f"{CALLER}:*:19000:0:99999:7:::")):
        with open(etc / name, "a") as table:
            table.write(f"{line}\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n127.0.1.1 nas.lan nas\n")
    (etc / "hostname").write_text("nas\n")
    (etc / "mailname").write_text("nas.lan\n")
    (etc / "aliases").write_text("root: owner@isp.example\ncaller: caller@isp.example\n")
    for name in ("crontab", "anacrontab", "sudoers"):
        (etc / name).write_text("")
    for name in ("cron.d", "sudoers.d", "sendmail-py"):
        shutil.rmtree(etc / name, ignore_errors=True)
        (etc / name).mkdir()


def needs_library(package: str, *trial: str) -> None:
    """Skip, or fail in CI, unless the command that loads the library of a Debian package ends well."""
    needs(trial[0], package)
    done = subprocess.run(trial, capture_output=True, check=False, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        missing(f"{' '.join(trial)} does not work (Debian package {package})")
