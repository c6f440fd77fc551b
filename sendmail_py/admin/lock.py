"""One change of a system's installation at a time: install, uninstall, timer.

Guarantees: who comes second is told whom to wait for, and has changed nothing; what is held ends with its
process, however that ends, and leaves no file. It is flock(2) on the root folder: that is there before the
first installation and after the last, and nobody else has a use for it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sendmail_py.admin.tree import Tree
from sendmail_py.errors import TemporaryError, printable

LOCKS = "/proc/locks"  # proc(5): id: FLOCK ADVISORY WRITE pid major:minor:inode start end


@contextmanager
def held(tree: Tree) -> Iterator[None]:
    """Nobody else changes the installation meanwhile. TemporaryError when somebody does."""
    fd = os.open(tree.root or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = f"the installation below {tree.root}" if tree.root else "the installation"
            text = f"{holder(os.fstat(fd).st_ino)} is changing {what}; try again when it has ended"
            raise TemporaryError(text) from None
        except OSError:
            pass  # NFS locks no folders; nobody installs twice at once into one
        yield
    finally:
        os.close(fd)


def holder(inode: int) -> str:
    """Who holds the lock, for people."""
    try:
        with open(LOCKS, encoding="ascii", errors="replace") as file:
            rows = [line.split() for line in file]
        (pid,) = {
            row[4] for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5].endswith(f":{inode}")
        }
        with open(f"/proc/{pid}/cmdline", "rb") as words:
            command = [os.path.basename(word) for word in words.read().split(b"\0")]
    except (OSError, ValueError):  # not to be seen from a container, or just gone
        return "another process"
    shown = [word for word in command if word and word[:1] != b"-" and not word.startswith(b"python")]
    return f"process {pid} ({printable(b' '.join(shown), 80)})"
