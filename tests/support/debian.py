"""Servers out of Debian packages that are not installed: unpacked to a folder, started in a mount namespace.

The packages conflict with each other and with Postfix, so none of them is ever configured on this machine.
Each server sees its own files laid over /usr, and its users in /etc/passwd; nobody else sees any of it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from .needs import missing, needs, needs_root

CACHE = Path(tempfile.gettempdir()) / f"sendmail-py-packages-{os.geteuid()}"
FIRST_UID = 64001  # of the users that a package would have made

NAMESPACE = """set -e
mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr
mount --bind "$2/passwd" /etc/passwd
mount --bind "$2/group" /etc/group
mount -t tmpfs tmpfs /run
mkdir "$2/var"
mount -t tmpfs tmpfs "$2/var"
mkdir "$2/var/upper" "$2/var/work"
mount -t overlay overlay -o "lowerdir=/var,upperdir=$2/var/upper,workdir=$2/var/work" /var
shift 2
exec "$@"
"""


def unpack(*packages: str) -> Path:
    """Download packages with apt and unpack them; returns the folder, which is made once."""
    needs_root()
    root = CACHE / packages[0]
    if (root / "complete").exists():
        return root
    needs("apt-get"), needs("dpkg"), needs("unshare", "util-linux")
    root.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["apt-get", "-qq", "download", *packages], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        missing(f"apt-get download {' '.join(packages)}: {done.stderr.strip()[:200]}")
    for file in root.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(file), str(root)], check=True)
        file.unlink()
    (root / "complete").touch()
    return root


def inside(root: Path, folder: Path, users: tuple[str, ...], command: list[str]) -> list[str]:
    """Return the command line that runs a command with the package's files and users in place."""
    for name, form in (
        ("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"),
        ("group", "{0}:x:{1}:\n"),
    ):
        lines = [form.format(user, FIRST_UID + number) for number, user in enumerate(users)]
        (folder / name).write_text(Path("/etc", name).read_text() + "".join(lines))
    return ["unshare", "-m", "sh", "-c", NAMESPACE, "sh", str(root), str(folder), *command]
