"""Giving up root's rights: afterwards there is no way back, and nobody can look into the process."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from sendmail_py.shared import rights

from support.needs import needs_root

UID, GID = 54321, 54322


def in_a_child(action: Callable[[], None]) -> dict[str, str]:
    """What /proc/self/status says in a process that has done something; "failed" when it raised."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            action()
            os.write(write, Path("/proc/self/status").read_bytes())
        except BaseException as fault:
            os.write(write, f"failed:\t{type(fault).__name__} {fault}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as said:
        text = said.read()
    os.waitpid(child, 0)
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def be_relay() -> None:
    os.setgroups([0, 1, 2])
    rights.become(rights.Account(UID, GID, own=True))


def test_the_relay_has_one_uid_one_gid_no_group_and_no_capability() -> None:
    needs_root()
    status = in_a_child(be_relay)
    assert status["Uid"].split() == [str(UID)] * 4
    assert status["Gid"].split() == [str(GID)] * 4
    assert status["Groups"].split() == []
    assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {""}
    assert status["NoNewPrivs"] == "1"


def test_the_relay_cannot_be_root_again() -> None:
    needs_root()
    for way in (lambda: os.setuid(0), lambda: os.setresuid(-1, 0, -1), lambda: os.setgroups([0])):

        def attempt(way: Callable[[], None] = way) -> None:
            be_relay()
            way()

        assert in_a_child(attempt)["failed"].startswith("PermissionError")


def test_the_relay_leaves_no_core_and_cannot_be_looked_into() -> None:
    needs_root()

    def look() -> None:
        be_relay()
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
        assert os.stat("/proc/self/environ").st_uid == 0  # root's: it is not dumpable
        with pytest.raises(PermissionError):
            os.open("/proc/self/mem", os.O_RDONLY)  # not even by itself
        os.setresgid(GID, GID, GID)

    assert "failed" not in in_a_child(look)


def test_a_reader_is_limited_and_gets_no_new_privileges() -> None:
    def look() -> None:
        rights.confine()
        for what, most in rights.READER_LIMITS:
            assert max(resource.getrlimit(what)) <= most

    assert in_a_child(look)["NoNewPrivs"] == "1"


def test_limits_are_never_raised() -> None:
    def look() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
        rights.confine()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (200, 200)

    assert "failed" not in in_a_child(look)


def test_who_has_no_account_has_nobodys_group() -> None:
    assert rights.group_of(987_654) == rights.NOBODY
    assert rights.group_of(0) == 0
