"""A Debian system in a folder, to install into: made once by debootstrap, and an overlay of it for each test.

The mirror and the release are those that apt on this machine uses. Commands run in a mount namespace of their
own with /proc and /dev, as root, in the chroot; the network is this machine's.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import sendmail_py

from .needs import missing, needs, needs_root

CACHE = Path(tempfile.gettempdir()) / f"sendmail-py-chroot-{os.geteuid()}"
PACKAGES = ("python3", "cron", "logrotate")
LATER = ("nullmailer",)  # what tests install: downloaded now, so that they need no network
PATIENCE = 300.0
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
VENDORED = {"click": "click", "platformdirs": "platformdirs", "dns": "dnspython"}

ENTER = """set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
root=$2/root
shift 2
exec chroot "$root" "$@"
"""

# Every file outside of what is mounted: kind, mode, owner, group, content or target.
SNAPSHOT = """
import hashlib, json, os, stat, sys
found = {}
for place, folders, names in os.walk("/"):
    if place == "/":
        folders[:] = [name for name in folders if name not in ("proc", "dev", "sys", "from", "tmp")]
    for name in folders + names:
        path = os.path.join(place, name)
        status = os.lstat(path)
        what = ""
        if stat.S_ISLNK(status.st_mode):
            what = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                what = hashlib.sha256(file.read()).hexdigest()
        found[path] = [oct(status.st_mode), status.st_uid, status.st_gid, what]
json.dump(found, sys.stdout)
"""

SETUP = """\
#!/usr/bin/python3 -IS
import sys
sys.path += ["/from"]
from sendmail_py.admin.cli import main
main()
"""

Snapshot = dict[str, list[Any]]


class Chroot:
    """A system of a test's own, below `folder`; its changes are in `folder`/upper."""

    def __init__(self, folder: Path) -> None:
        self.base = base()
        self.folder = folder
        for name in ("upper", "work", "root"):
            (folder / name).mkdir(parents=True)
        os.chmod(folder / "upper", 0o755)  # noqa: S103 (it is the root folder of a system)
        self.bring_package()

    def bring_package(self) -> None:
        """The package under test with what it needs, as a virtual environment would have it: in /from."""
        place = self.folder / "upper" / "from"
        package = Path(sendmail_py.__file__).parent
        no_caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package, place / "sendmail_py", ignore=no_caches)
        for folder in (package.parent / "man", Path(sys.prefix, "share", "man")):
            for page in folder.rglob("*.[1-8]") if folder.is_dir() else ():
                (place / "man").mkdir(exist_ok=True)
                shutil.copy(page, place / "man" / page.name)
        for module, distribution in VENDORED.items():
            spec = importlib.util.find_spec(module)
            assert spec is not None and spec.submodule_search_locations
            found = Path(spec.submodule_search_locations[0])
            shutil.copytree(found, place / module, ignore=no_caches)
            for about in found.parent.glob(f"{distribution}-*.dist-info"):
                shutil.copytree(about, place / about.name)
        setup = place / "setup"
        setup.write_text(SETUP)
        setup.chmod(0o755)

    def run(
        self, *words: str, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command as root to its end."""
        command = ["unshare", "-m", "sh", "-c", ENTER, "sh", str(self.base), str(self.folder), *words]
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            env={**ENVIRONMENT, **(env or {})},
        )

    def does(self, *words: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> str:
        """Run a command that must succeed; what it printed."""
        done = self.run(*words, stdin=stdin, env=env)
        assert done.returncode == 0, (
            f"{words}: {done.returncode}\n{done.stdout.decode()}\n{done.stderr.decode()}"
        )
        return done.stdout.decode()

    def as_user(
        self, uid: int, *words: str, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command as somebody else, without groups."""
        rights = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs")
        # env sets the variables behind setpriv: hostile ones are for the command only
        given = [f"{name}={value}" for name, value in (env or {}).items()]
        return self.run(*rights, "/usr/bin/env", *given, *words, stdin=stdin)

    def snapshot(self) -> Snapshot:
        """The whole tree, but for what tests bring."""
        found: Snapshot = json.loads(self.does("/usr/bin/python3", "-IS", "-c", SNAPSHOT))
        return found

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file of the administrator's; the folder is there, or a package is about to be installed."""
        self.does("/bin/sh", "-c", 'cat >"$0" && chmod "$1" "$0"', path, f"{mode:o}", stdin=text.encode())


def base() -> Path:
    """The system that the overlays lie over, made by the first who asks."""
    needs_root()
    needs("debootstrap"), needs("unshare", "util-linux"), needs("apt-get")
    place = CACHE / "base"
    if (CACHE / "complete").exists():
        return place
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.mkdir()
    mirror, release = apt_source()
    include = f"--include={','.join(PACKAGES)}"
    command = ["debootstrap", "--variant=minbase", include, release, str(place), mirror]
    environ = {**ENVIRONMENT, **apt_proxy()}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        missing(f"debootstrap {release}: {done.stdout[-300:]}")
    script = 'apt-get -qq update && apt-get -qq -y --no-install-recommends --download-only install "$@"'
    command = ["chroot", str(place), "sh", "-c", script, "sh", *LATER]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        missing(f"apt-get in the chroot: {done.stderr[-300:]}")
    (CACHE / "complete").touch()
    return place


def apt_proxy() -> dict[str, str]:
    """The proxy that apt on this machine uses, as a variable of the environment."""
    command = ["apt-config", "--format", "%v%n", "dump", "Acquire::http::Proxy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    proxy = done.stdout.strip() or os.environ.get("http_proxy", "")
    return {"http_proxy": proxy} if proxy and proxy != "DIRECT" else {}


def apt_source() -> tuple[str, str]:
    """The mirror and the release that apt on this machine takes its packages from."""
    release = ""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            release = line.partition("=")[2].strip('"')
    form = ["--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    done = subprocess.run(["apt-get", "indextargets", *form], capture_output=True, text=True, check=False)
    sources = [line.split() for line in done.stdout.splitlines()]
    sites = [site for site, suite, component in sources if (suite, component) == (release, "main")]
    if not sites:
        missing(f"apt has no source for {release or 'this system'}")
    return sites[0], release
