"""Lists that aliases include (`:include:/path`) and people's ~/.forward: files that others may keep.

Reached through one door of aliases.py. Guarantees:

- read with the rights of whoever submits, opened once, judged by what was opened: a regular file of less
  than a megabyte that nobody but its owner can write, in a folder that not everybody can write (a file of
  root's or of the submitter's may lie in a sticky one);
- a list that is missing or not fit is a ConfigError (78) with the cure, because mail must not go astray; a
  failure to read is a TemporaryError (75);
- a ~/.forward that is missing or that the submitter may not read is none; it belongs to its person or root.

What they hold are targets as in an alias file, one or several a line; `#` begins a comment at the start of a
line and after a blank.
"""

from __future__ import annotations

import os
import pwd
import stat

from sendmail_py.errors import ConfigError, TemporaryError, printable
from sendmail_py.policy.alias_text import BYTE_ORDER_MARK

INCLUDE = b":include:"
LARGEST = 1 << 20  # octets
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def included(piece: bytes) -> bytes:
    """The path that a target of the form `:include:/path` names, b"" for any other target."""
    plain = piece.strip(b'"')
    return plain[len(INCLUDE) :].strip() if plain[: len(INCLUDE)].lower() == INCLUDE else b""


def members(path: bytes) -> list[tuple[int, bytes]]:
    """The lines of a list that have targets, each with its number. Raises ConfigError, TemporaryError."""
    if not path.startswith(b"/"):
        raise ConfigError(f":include:{printable(path)}: the path of a list must be absolute")
    text = read(path, -1)
    if text is None:
        raise ConfigError(f"{printable(path)}: no such file, and an alias includes it")
    return targets_in(text)


def forward(login: bytes) -> list[tuple[int, bytes]] | None:
    """The lines with targets of a login's ~/.forward, None if it has none. Raises as members does."""
    try:
        account = pwd.getpwnam(login.decode())
    except (KeyError, ValueError):
        return None
    try:
        text = read(os.fsencode(account.pw_dir) + b"/.forward", account.pw_uid)
    except PermissionError:
        return None
    return (targets_in(text) or None) if text is not None else None


def targets_in(text: bytes) -> list[tuple[int, bytes]]:
    """The lines of a list that are more than a comment, without their comments."""
    lines = enumerate(text.replace(b"\r\n", b"\n").split(b"\n"), 1)
    return [(number, one) for number, line in lines for one in [without_comment(line)] if one]


def without_comment(line: bytes) -> bytes:
    """A line up to a `#` at its start or after a blank."""
    plain = line.strip()
    at = plain.find(b"#")
    while at > 0 and plain[at - 1] not in b" \t":
        at = plain.find(b"#", at + 1)
    return plain if at < 0 else plain[:at].strip()


def read(path: bytes, owner: int) -> bytes | None:
    """The octets of a file that is fit to be believed, None if it is missing.

    owner is the uid that it must belong to (or root), -1 for anybody's. Raises PermissionError for a
    ~/.forward that may not be read, ConfigError, TemporaryError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if owner >= 0 and isinstance(error, PermissionError):
            raise
        raise failure(path, error) from None
    try:
        judge(path, os.fstat(fd), owner)
        return os.read(fd, LARGEST).removeprefix(BYTE_ORDER_MARK)
    except OSError as error:
        raise failure(path, error) from None
    finally:
        os.close(fd)


def failure(path: bytes, error: OSError) -> ConfigError | TemporaryError:
    """What a failed open or read means."""
    text = f"{printable(path)}: {error.strerror}"
    if isinstance(error, PermissionError):
        return ConfigError(f"{text}, and an alias includes it: make it readable")
    return TemporaryError(f"{text}; nothing was queued, try again")


def judge(path: bytes, status: os.stat_result, owner: int) -> None:
    """Raise ConfigError unless the open file is fit."""
    shown = printable(path)
    folder = os.stat(os.path.dirname(path))
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{shown}: no regular file")
    if status.st_size >= LARGEST:
        raise ConfigError(f"{shown}: {status.st_size} octets are too many for a list of addresses")
    if owner >= 0 and status.st_uid not in (0, owner):
        raise ConfigError(f"{shown}: belongs neither to its person nor to root; not believed")
    if status.st_mode & OTHERS_WRITE:
        raise ConfigError(f"{shown}: others can write it; run: chmod go-w {shown}")
    if folder.st_mode & stat.S_IWOTH and not (
        folder.st_mode & stat.S_ISVTX and status.st_uid in (0, os.getuid())
    ):
        raise ConfigError(f"{shown}: everybody can write the folder it is in; not believed")
