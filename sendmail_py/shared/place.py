"""Which files are on the mounts of the shared spool: only these are read by the relay.

A file system of an owner's own (FUSE) could hold the relay up for as long as he likes. The number of a device
does not tell: on an overlay, as containers have it, files have another one than folders, and in subvolumes of
btrfs too. That of a mount does; where the kernel does not say it, the device of a file of root's decides.
"""

from __future__ import annotations

import os

SAFE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
FOREIGN = (b"fuse",)  # file systems that a user can mount, by the beginning of their names


class Place:
    """The mounts of the spool `base`: that of the folder, and what root has mounted on folders in it.

    Made as root; `settle` when the process has its rights for good.
    """

    def __init__(self, base: str) -> None:
        self.folder = os.open(base, SAFE | os.O_DIRECTORY)
        self.devices = {os.fstat(self.folder).st_dev, device_of_files(base)}
        self.mounts = mounted_in(base)

    def settle(self) -> None:
        """See whether mounts can be told apart now; if not, devices have to do."""
        mount = mount_of(self.folder)
        self.mounts = self.mounts | {mount} if mount else set()
        os.close(self.folder)

    def holds(self, descriptor: int) -> bool:
        """Whether a file is on one of the mounts."""
        if self.mounts:
            return mount_of(descriptor) in self.mounts
        return os.fstat(descriptor).st_dev in self.devices


def mount_of(descriptor: int) -> int:
    """The id of the mount that a file was opened by (proc_pid_fdinfo(5)), 0 if the kernel does not say it."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return 0
    return next((int(line[7:]) for line in lines if line.startswith(b"mnt_id:")), 0)


def mounted_in(base: str) -> set[int]:
    """The ids of the mounts on names in a folder (proc_pid_mountinfo(5)), without those of users."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            rows = [line.split() for line in file]
    except OSError:
        return set()
    found = set()
    for row in rows:
        folder = row[4].rpartition(b"/")[0]
        kind = row[row.index(b"-") + 1]
        if folder == os.fsencode(base) and not kind.startswith(FOREIGN):
            found.add(int(row[0]))
    return found


def device_of_files(base: str) -> int:
    """The device of a file of root's in the spool, that of the folder where none can be made."""
    try:
        made = os.open(base, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return os.stat(base).st_dev
    try:
        return os.fstat(made).st_dev
    finally:
        os.close(made)
