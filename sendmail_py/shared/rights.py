"""Giving up root's rights, for good: what a reader and the relay do before anything else.

Guarantees: afterwards the process has one uid and gid and no group, cannot get more by any program that it
starts (no_new_privs), leaves no core file, and cannot be looked into by others of its uid. Linux; where the C
library cannot be reached from Python, the last two hold as far as the kernel sees to them by itself.
"""

from __future__ import annotations

import os
import pwd
import resource

RELAY = "_sendmail-py"  # the account of the relay
NOBODY = 65534  # the group of who has none
PR_SET_DUMPABLE = 4  # prctl(2)
PR_SET_NO_NEW_PRIVS = 38

READER_LIMITS = (
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_CPU, 600),  # seconds
    (resource.RLIMIT_AS, 1 << 30),  # octets
    (resource.RLIMIT_NOFILE, 512),
)


class Account:
    """The relay's account: uid, gid, and whether it has one of its own."""

    __slots__ = ("gid", "own", "uid")

    def __init__(self, uid: int, gid: int, own: bool) -> None:
        self.uid = uid
        self.gid = gid
        self.own = own


def relay_account() -> Account:
    """The account that the relay drops to: its own, or root's as long as nobody has made one."""
    try:
        found = pwd.getpwnam(RELAY)
    except KeyError:
        return Account(0, 0, own=False)
    return Account(found.pw_uid, found.pw_gid, own=True)


def group_of(uid: int) -> int:
    """The group that a reader runs with: the account's, or nobody's."""
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return NOBODY


def become(account: Account) -> None:
    """Be the relay's account from now on."""
    if account.own:
        os.setgroups([])
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    control(PR_SET_NO_NEW_PRIVS, 1)
    control(PR_SET_DUMPABLE, 0)


def confine() -> None:
    """The limits of a reader, in its own process, when it has its uid already."""
    for what, most in READER_LIMITS:
        hard = resource.getrlimit(what)[1]
        lower = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (lower, lower))
    control(PR_SET_NO_NEW_PRIVS, 1)


def control(option: int, value: int) -> None:
    """prctl(2), if Python can call it."""
    if libc is not None:
        libc.prctl(option, value, 0, 0, 0)


def c_library() -> ctypes.CDLL | None:
    """The C library, None where ctypes does not work."""
    try:
        return ctypes.CDLL(None, use_errno=True)
    except OSError:
        return None


try:
    import ctypes
except ImportError:
    libc = None
else:
    libc = c_library()
