"""A Debian system that systemd runs, in namespaces of its own: process 1, cgroups, mounts, host name.

It lies over the system of chroot.py, with systemd and without cron. The network is this machine's, so that a
test's smart host can be reached on 127.0.0.1; /proc/sys and /sys are read-only. Nothing of this machine's
systemd is asked or told anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

import pytest

from . import chroot
from .needs import missing, needs, needs_root

PACKAGES = ("systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd")
LAYER = chroot.CACHE / "systemd"
PATIENCE = 120.0
BOOTED = ("running", "degraded")
FORBIDDEN = "Operation not permitted"
USER, UID = "greg", 1000

# Nothing is started while packages come and go: process 1 is not this system's.
PREPARE = f"""set -e
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -qq update
apt-get -qq -y --no-install-recommends install {" ".join(PACKAGES)}
apt-get -qq -y purge cron
rm /usr/sbin/policy-rc.d
for name in apt-daily.timer apt-daily-upgrade.timer systemd-timesyncd.service; do
    ln -sf /dev/null /etc/systemd/system/$name
done
useradd --create-home --uid {UID} {USER}
"""

# A cgroup of our own, whatever else is mounted here; then the new namespaces.
OUTSIDE = """set -e
mkdir -p "$1/cgroup"
mount -t cgroup2 cgroup2 "$1/cgroup"
mkdir "$1/cgroup/$3"
echo $$ >"$1/cgroup/$3/cgroup.procs"
exec unshare --pid --mount --uts --ipc --cgroup --fork --kill-child sh -c "$4" sh "$1" "$2"
"""
INSIDE = """set -e
root=$1/root
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null:1:3:666 zero:1:5:666 full:1:7:666 random:1:8:666 urandom:1:9:666 tty:5:0:666; do
    IFS=: read -r name major minor mode <<.
$node
.
    mknod -m "$mode" "$root/dev/$name" c "$major" "$minor"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/outside"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
cd "$root"
pivot_root . outside
umount -l /outside
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --make-rshared /
exec /lib/systemd/systemd systemd.unit=multi-user.target
"""
REMOVE = """mount -t cgroup2 cgroup2 "$1" && find "$1/$2" -depth -type d -exec rmdir {} +"""


class Machine(chroot.Chroot):
    """Boots on entry, is switched off without warning on exit. Commands run beside its systemd.

    Skips where systemd does not come up, with what was said: the kernel may not let it, which only the
    attempt can tell, and nothing of ours runs before.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lower = f"{layer()}:{self.base}"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.switch_off()

    def boot(self) -> None:
        """Start process 1 and wait until it has done what is to be done."""
        needs("nsenter", "util-linux"), needs("pivot_root", "util-linux")
        self.cgroup = f"sendmail-py-{os.getpid()}-{time.monotonic_ns()}"
        console = self.folder / "console"
        command = ["unshare", "--mount", "sh", "-c", OUTSIDE, "sh", str(self.folder), self.lower]
        with open(console, "wb") as out:
            self.process = subprocess.Popen(
                [*command, self.cgroup, INSIDE],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={"PATH": chroot.ENVIRONMENT["PATH"], "container": "other"},
            )
        end = time.monotonic() + PATIENCE
        state = said = ""
        while state not in BOOTED:
            is_over = self.process.poll() is not None
            if is_over or FORBIDDEN in said or time.monotonic() > end:
                self.switch_off()
                said += console.read_text(errors="replace").strip()[-500:]
                told = f"systemd cannot be booted here ({state or 'no process 1'}): {said}"
                pytest.skip(told)
            time.sleep(0.1)
            if self.first_process():
                done = self.run("systemctl", "is-system-running")
                state, said = done.stdout.decode().strip(), done.stderr.decode()

    def switch_off(self) -> None:
        """As if somebody had pulled the plug."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            place = self.folder / "cgroup"
            script = ["unshare", "--mount", "sh", "-c", REMOVE, "sh", str(place), self.cgroup]
            # Process 1 takes the others with it, which takes a moment.
            for _ in range(50 if place.exists() else 0):
                if subprocess.run(script, capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.1)
            self.process = None

    def first_process(self) -> int:
        """Process 1 as this machine counts; 0 when there is none."""
        assert self.process is not None
        outer = self.process.pid
        try:
            children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
            return int(children[0]) if Path(f"/proc/{children[0]}/comm").read_text() == "systemd\n" else 0
        except (OSError, IndexError):
            return 0

    def run(
        self, *words: str, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command as root to its end."""
        first = self.first_process()
        assert first, "the machine is off"
        into = ["nsenter", f"--target={first}", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--root"]
        return subprocess.run(
            [*into, "--wdns=/", *words],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            env={**chroot.ENVIRONMENT, **(env or {})},
        )

    def service(
        self, *properties: str, words: tuple[str, ...], stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command as a service with these properties ("User=greg")."""
        given = [f"--property={one}" for one in properties]
        return self.run("systemd-run", "--quiet", "--wait", "--pipe", *given, *words, stdin=stdin)

    def state(self, unit: str) -> str:
        """What systemd says of a unit."""
        return self.run("systemctl", "is-active", unit).stdout.decode().strip()


def layer() -> Path:
    """What systemd and its packages add to the system of chroot.py, made by the first who asks."""
    needs_root()
    place = LAYER / "upper"
    if (LAYER / "complete").exists():
        return place
    lower = chroot.base()
    shutil.rmtree(LAYER, ignore_errors=True)
    for name in ("upper", "work", "root"):
        (LAYER / name).mkdir(parents=True)
    command = ["unshare", "-m", "sh", "-c", chroot.ENTER, "sh", str(lower), str(LAYER), "sh", "-c", PREPARE]
    environ = {**chroot.ENVIRONMENT, **chroot.apt_proxy(), "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        missing(f"systemd cannot be installed in the chroot: {done.stderr[-300:]}")
    (LAYER / "complete").touch()
    return place
