"""One of our own commands, run as the owner of a folder: how root sees a queue without touching it.

Guarantees: the command has the owner's rights, a clean environment and the limits of a reader; what it prints
is cut after a while and a size, and made printable before it is given to anybody.
"""

from __future__ import annotations

import pwd
import subprocess
import sys

from sendmail_py.errors import printable
from sendmail_py.policy.config import OPTION_FILE, SYSTEM_FILE
from sendmail_py.shared import rights
from sendmail_py.shared.seats import ENVIRONMENT, PACKAGE
from sendmail_py.spool import shared

CODE = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); sys.argv.pop(0)\n"
    "from sendmail_py.commands import dispatch; dispatch.main()"
)
PATIENCE = 20.0  # seconds
LONGEST = 8 << 20  # octets


def owners(base: str) -> list[tuple[int, str]]:
    """Uid and name of everybody who has a folder in the shared spool."""
    try:
        found = shared.owners(base)
    except FileNotFoundError:
        return []
    return [(uid, name_of(uid)) for uid in sorted(one.uid for one in found)]


def mailq(uid: int, arguments: list[str]) -> list[str]:
    """The lines of mailq as its owner, who must not be root, sees it."""
    return [printable(line, LONGEST) for line in as_owner(uid, ["mailq", *arguments])]


def name_of(uid: int) -> str:
    """The login, or the number of who has none."""
    try:
        return printable(pwd.getpwuid(uid).pw_name, 64)
    except KeyError:
        return f"uid {uid}"


def as_owner(uid: int, command: list[str]) -> list[bytes]:
    """The lines that a command prints, or one that says why there are none; root needs no such process."""
    if not uid:
        raise ValueError("root looks by itself")
    try:
        done = subprocess.run(  # noqa: S603 (our own code)
            [sys.executable, "-IS", "-c", CODE, PACKAGE, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT | {OPTION_FILE: SYSTEM_FILE},
            cwd="/",
            user=uid,
            group=rights.group_of(uid),
            extra_groups=[],
            start_new_session=True,
            preexec_fn=rights.confine,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [b"(no answer)"]
    return done.stdout[:LONGEST].split(b"\n")
