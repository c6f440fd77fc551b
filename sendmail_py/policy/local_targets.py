"""Alias targets that are delivered on this machine: `maildir:/folder` and `|/program arguments`.

Reached through one door of aliases.py. Guarantees: only what `aliases.maildir` and `aliases.agents` allow,
only from alias files that nobody but root or whoever submits can write, never from an included list or a
~/.forward; a program is run without a shell, by its whole path. Nothing is run or written here: what comes
out is the forward-path of a queue file, the target in double quotes, which no smart host can be given because
it has no domain. The flush delivers it (relay/local.py).
"""

from __future__ import annotations

import posix

from sendmail_py.errors import ConfigError, DataError, printable
from sendmail_py.mail import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.aliases import Aliases

OTHERS_WRITE = 0o022
MAILDIR = b"maildir:"


def forward_path(piece: bytes, known: Aliases) -> bytes:
    """A target as written, as a forward-path; b"" if none such is allowed. Raises ConfigError, DataError."""
    plain = address.unquote_local(piece) if piece.startswith(b'"') and piece.endswith(b'"') else piece
    is_folder = known.maildir and plain.startswith(MAILDIR + b"/")
    if not is_folder and not is_agent(plain, known.agents):
        return b""
    shown = printable(plain, 80)
    if plain.translate(None, address.PRINTABLE) or b"\t" in plain:
        raise DataError(f"{shown}: a character that no folder or command for mail should have")
    if is_folder and b".." in plain.split(b"/"):
        raise DataError(f"{shown}: the path of a folder must not lead up")
    for file in known.files:
        trust(file)
    return b'"' + plain.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def is_agent(plain: bytes, agents: list[str]) -> bool:
    """Whether it is a command whose program is one of the agents."""
    program = plain[1:].split(b" ")[0] if plain.startswith(b"|") else b""
    return bool(program) and program.decode("utf-8", "surrogateescape") in agents


def trust(file: str) -> None:
    """Raise ConfigError unless only root and whoever submits can write an alias file."""
    try:
        status = posix.stat(file)
    except OSError:
        return  # what cannot be read says nothing
    if status.st_uid not in (0, posix.geteuid()) or status.st_mode & OTHERS_WRITE:
        shown = printable(file)
        raise ConfigError(f"{shown}: others can write it, so it may name no folder and no program")
