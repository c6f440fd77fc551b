"""The files of a system, below "/" or the folder of an image: the few changes that installing is made of.

Guarantees: a file or link appears under its name whole and on the disk or not at all, and whatever has the
name until then has it up to that moment; nothing is followed that is a symbolic link; each change is one
call, so that a test can end the process between any two.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess

from sendmail_py.admin import removal
from sendmail_py.errors import UnavailableError, printable
from sendmail_py.spool import durable

PATIENCE = 600.0  # seconds for a program of the system: dpkg may wait for a disk
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
LONGEST_COMMAND = 160  # that is shown
MOST_LINKS = 40  # as path_resolution(7)
FIXED_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Tree:
    """The tree below `root`; all paths given to it are absolute ones inside it.

    As root files belong to root; somebody else makes them their own (an image, a test).
    """

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")

    @property
    def is_live(self) -> bool:
        """Whether it is the running system and not an image."""
        return not self.root

    def path(self, inside: str) -> str:
        """The path of a file of the tree, as this process sees it.

        In an image the links among the folders above it lead where they would lead there, never out of it.
        """
        if self.is_live:
            return inside
        folder, _, name = inside.rpartition("/")
        return f"{self.root}{self.real(folder)}/{name}"

    def real(self, inside: str) -> str:
        """The path, still one inside the tree, without symbolic links."""
        left, done, links = inside.split("/")[::-1], "", 0
        while left:
            part = left.pop()
            if part in ("", ".", ".."):
                done = done.rpartition("/")[0] if part == ".." else done
                continue
            try:
                target = os.readlink(f"{self.root}{done}/{part}")
            except OSError:
                done += f"/{part}"
                continue
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), inside)
            done = "" if target.startswith("/") else done
            left += target.split("/")[::-1]
        return done

    # --- looking ------------------------------------------------------------------------------------------

    def status(self, inside: str) -> os.stat_result | None:
        """lstat(2), None when there is nothing."""
        try:
            return os.lstat(self.path(inside))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def is_folder(self, inside: str) -> bool:
        """Whether a folder is there; a link to one counts."""
        return os.path.isdir(self.root + self.real(inside))

    def fingerprint(self, inside: str) -> str:
        """What tells whether it is what we wrote: of a file or link, "" for anything else."""
        found = self.status(inside)
        if found is None:
            return ""
        if stat.S_ISLNK(found.st_mode):
            return link_print(os.readlink(self.path(inside)))
        if not stat.S_ISREG(found.st_mode):
            return ""
        with open(self.path(inside), "rb") as file:
            return file_print(file.read())

    def read_only(self, inside: str) -> str:
        """The folder for a file that is on a read-only file system, "" when it can be written there."""
        folder = os.path.dirname(inside)
        while not self.is_folder(folder):
            folder = os.path.dirname(folder)
        flags = os.statvfs(self.root + (self.real(folder) or "/")).f_flag
        return folder if flags & os.ST_RDONLY else ""

    def program(self, name: str) -> str:
        """Where a program of the running system is, "" when it is not there."""
        return shutil.which(name, path=FIXED_PATH) or ""

    # --- changing -----------------------------------------------------------------------------------------

    def write(self, inside: str, octets: bytes, mode: int) -> None:
        """A file, durable under its name; the temporary name is one that `temporary` tells."""
        self.remove(temporary_of(inside))
        fd = os.open(self.path(temporary_of(inside)), durable.NEW_FILE, 0o600)
        try:
            durable.write_all(fd, octets)
            os.fchmod(fd, mode)
            os.fsync(fd)
        except OSError:
            os.unlink(self.path(temporary_of(inside)))  # of a full disk it would hold the last of the space
            raise
        finally:
            os.close(fd)
        self.rename(temporary_of(inside), inside)

    def symlink(self, inside: str, target: str) -> None:
        """A symbolic link, in the place of whatever has the name."""
        self.remove(temporary_of(inside))
        os.symlink(target, self.path(temporary_of(inside)))
        self.rename(temporary_of(inside), inside)

    def keep(self, inside: str, backup: str) -> None:
        """Have a second name for what is there, so that the first can be given away without a gap.

        With a gap, where the file system has no hard links.
        """
        try:
            os.link(self.path(inside), self.path(backup), follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            os.rename(self.path(inside), self.path(backup))
        self.sync(backup)

    def rename(self, old: str, new: str) -> None:
        """Give a file its name, which may be taken."""
        os.rename(self.path(old), self.path(new))
        self.sync(new)

    def remove(self, inside: str) -> None:
        """Remove a file or link, if it is there."""
        try:
            os.unlink(self.path(inside))
        except FileNotFoundError:
            return
        self.sync(inside)

    def make_folder(self, inside: str, mode: int) -> None:
        """A folder that is not there yet."""
        os.mkdir(self.path(inside), mode)
        os.chmod(self.path(inside), mode)
        self.sync(inside)

    def set_mode(self, inside: str, mode: int) -> None:
        """The rights to a file or folder of root's."""
        os.chmod(self.path(inside), mode)

    def set_owner(self, inside: str, uid: int, gid: int) -> None:
        """The owner, if we may say so."""
        if os.geteuid() == 0:
            os.chown(self.path(inside), uid, gid, follow_symlinks=False)

    def remove_folder(self, inside: str) -> bool:
        """Remove an empty folder; False when it is not empty."""
        try:
            os.rmdir(self.path(inside))
        except FileNotFoundError:
            return True
        except OSError:
            return False
        self.sync(inside)
        return True

    def remove_all(self, inside: str) -> None:
        """Remove a folder with all that is in it, whatever others put there; never what a link leads to."""
        if self.status(inside) is not None:
            removal.remove(self.path(inside))
            self.sync(inside)

    def sync(self, inside: str) -> None:
        """Have a name on the disk, there or gone."""
        durable.sync_path(os.path.dirname(self.path(inside)))

    def run(self, command: list[str]) -> str:
        """Run a program of the running system; what it said. UnavailableError with that when it fails."""
        status, said = self.ask(command)
        if status:
            said = "; ".join(said.split("\n")).strip("; ")
            words = printable(" ".join(command), LONGEST_COMMAND)
            raise UnavailableError(f"{words} ended with {status}: {printable(said, 1500)}")
        return said

    def ask(self, command: list[str]) -> tuple[int, str]:
        """Run a program whose status is an answer: that, and what it said. UnavailableError without it."""
        environ = {"PATH": FIXED_PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/"}
        try:
            done = subprocess.run(  # noqa: S603 (its words are ours)
                command, env=environ, cwd="/", stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise UnavailableError(f"{command[0]} cannot be run: {error}") from None
        return done.returncode, done.stdout.decode("utf-8", "replace")


def temporary_of(inside: str) -> str:
    """The name under which a file is written; one for each, so that a later run finds what was left."""
    folder, _, name = inside.rpartition("/")
    return f"{folder}/.{name}.sendmail-py-new"


def file_print(octets: bytes) -> str:
    """The fingerprint of a file with this content."""
    return hashlib.sha256(b"file " + octets).hexdigest()


def link_print(target: str) -> str:
    """The fingerprint of a link to there."""
    return hashlib.sha256(b"link " + os.fsencode(target)).hexdigest()
