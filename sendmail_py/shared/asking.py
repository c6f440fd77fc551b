"""One of our own commands, run as the owner of a folder: how root sees a queue without touching it.

Guarantees: the command has the owner's rights, a clean environment and the limits of a reader; what it prints
is cut after a while and a size, and made printable before it is given to anybody.
"""

from __future__ import annotations

import os
import pwd
import select
import subprocess
import time

from sendmail_py.errors import printable
from sendmail_py.policy.config import OPTION_FILE, SYSTEM_FILE
from sendmail_py.shared import accounts, rights, seats
from sendmail_py.spool import tenants

CODE = "sys.argv.pop(0); from sendmail_py.commands import dispatch; dispatch.main()"
PATIENCE = 20.0  # seconds
NO_ANSWER = b"(no answer)"
LONGEST = 8 << 20  # octets

spent: dict[int, float] = {}  # seconds that an account's commands took, all its subordinate uids together


def owners(base: str) -> list[tuple[int, str]]:
    """Uid and name of everybody who has a folder in the shared spool."""
    try:
        found = tenants.owners(base)
    except FileNotFoundError:
        return []
    return [(uid, name_of(uid)) for uid in sorted(one.uid for one in found)]


def mailq(uid: int, arguments: list[str]) -> list[str]:
    """The lines of mailq as its owner, who must not be root, sees it."""
    account = accounts.read().of(uid)
    if spent.get(account, 0.0) >= PATIENCE:
        return [NO_ANSWER.decode()]
    began = time.monotonic()
    lines = [printable(line, LONGEST) for line in as_owner(uid, ["mailq", *arguments])]
    spent[account] = spent.get(account, 0.0) + time.monotonic() - began
    return lines


def name_of(uid: int) -> str:
    """The login, or the number of who has none."""
    try:
        return printable(pwd.getpwuid(uid).pw_name, 64)
    except KeyError:
        return f"uid {uid}"


def as_owner(uid: int, command: list[str]) -> list[bytes]:
    """The lines that a command prints, or one that says why there are none."""
    try:
        process = subprocess.Popen(  # noqa: S603 (our own code)
            seats.as_owner(uid, seats.COMMAND_BUNDLE, CODE, *command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=seats.ENVIRONMENT | {OPTION_FILE: SYSTEM_FILE},
            cwd="/",
            start_new_session=True,
            preexec_fn=rights.confine,  # noqa: PLW1509 (no threads here)
        )
    except (OSError, subprocess.SubprocessError) as fault:
        return [f"(cannot be asked: {fault})".encode()]
    with process:
        try:
            return said_by(process).split(b"\n")
        finally:
            process.kill()  # its owner may have made it go on for ever


def said_by(process: subprocess.Popen[bytes]) -> bytes:
    """What a process prints, as far as it is not too long and does not take too long."""
    if process.stdout is None:
        return b""
    fd, octets = process.stdout.fileno(), b""
    end = time.monotonic() + PATIENCE
    while len(octets) < LONGEST and (left := end - time.monotonic()) > 0:
        if select.select([fd], [], [], left)[0]:
            piece = os.read(fd, 65536)
            if not piece:
                return octets
            octets += piece
    return octets or NO_ANSWER
