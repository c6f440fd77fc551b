"""The machine that the callers run on is what they need, and only for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from callers.machine import Machine


@pytest.mark.parametrize("path", ["/usr/sbin/sendmail", "/usr/lib/sendmail"])
@pytest.mark.parametrize("user", ["root", "caller"])
def test_every_path_of_sendmail_is_ours(caller_world: Machine, path: str, user: str) -> None:
    before = os.stat("/usr/sbin/sendmail")
    caller_world.sends(path, "-i", "a@example.org", stdin=b"Subject: x\n\n.\n", user=user)
    message = caller_world.only()
    sender = {"root": b"owner@isp.example", "caller": b"caller@example.net"}[user]
    assert (message.sender, message.recipients) == (sender, [b"a@example.org"])
    assert message.body == b".\r\n"
    assert os.stat("/usr/sbin/sendmail") == before
    assert not Path("/etc/sendmail-py").exists()


def test_mailq_and_newaliases_are_ours(caller_world: Machine) -> None:
    caller_world.sends("/usr/sbin/sendmail", "a@example.org", stdin=b"\n\n")
    assert b"a@example.org" in caller_world.run("mailq").stdout
    assert caller_world.run("newaliases").returncode == 0
    assert len(caller_world.arrived()) == 1
    assert b"mpty" in caller_world.run("mailq").stdout
