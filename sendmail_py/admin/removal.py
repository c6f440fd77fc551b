"""Remove a folder with all that is in it while others may still change it.

Guarantees: no link is followed, whatever takes a folder's place meanwhile; depth costs neither descriptors
nor stack (a user may make folders in folders by the ten thousand): folders below are moved up before they are
emptied; what is mounted inside is not emptied.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MOST_ROUNDS = 20  # for those who add names while we remove them


def remove(path: str) -> None:
    """Remove it; OSError when that cannot be done."""
    top = os.open(path, FOLDER)
    try:
        os.fchmod(top, 0o700)  # nobody gets in any more; who is inside cannot come back
        for _ in range(MOST_ROUNDS):
            names = os.listdir(top)
            if not names:
                break
            empty(top, names)
    finally:
        os.close(top)
    os.rmdir(path)


def empty(top: int, names: list[str]) -> None:
    """Remove these names in an open folder, and what comes to light below them."""
    count = 0
    while names:
        name = names.pop()
        try:
            folder = os.open(name, FOLDER, dir_fd=top)
        except FileNotFoundError:
            continue
        except OSError:  # no folder
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=top)
            continue
        try:
            for below in os.listdir(folder):
                if not is_folder(below, folder):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(below, dir_fd=folder)
                    continue
                count += 1
                new = f".removed.{os.getpid()}.{count}"
                with contextlib.suppress(FileNotFoundError):
                    os.rename(below, new, src_dir_fd=folder, dst_dir_fd=top)
                    names.append(new)
        finally:
            os.close(folder)
        try:
            os.rmdir(name, dir_fd=top)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):  # filled again: the next round
                raise


def is_folder(name: str, folder: int) -> bool:
    """Whether a name in an open folder is one; a link is not."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
