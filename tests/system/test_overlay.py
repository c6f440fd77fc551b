"""Spools on an overlay, as containers have them, and on other mounts that root has made: honest mail leaves.

On an overlay whose layers are on different file systems a file has another device than its folder, and both
may change when a file of a lower layer is written to.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.script import Stall
from support.smarthost import SmartHost
from support.system import BASE, PASSWORD, System, kill, new_system

OVERLAY = """set -e
cd /opt
for name in 0 1 2; do mkdir -p layer$name; mount -t tmpfs -o mode=755,size=64m tmpfs layer$name; done
for name in 0 1 2; do mkdir layer$name/up layer$name/work; done
mount -t overlay overlay -o lowerdir=layer0/up,upperdir=layer1/up,workdir=layer1/work /var/spool
"""
NEW_UPPER = """set -e
umount /var/spool
cd /opt
mount -t overlay overlay -o lowerdir=layer1/up:layer0/up,upperdir=layer2/up,workdir=layer2/work /var/spool
"""
PERSONAL = '[queue]\ndirectory = "/var/spool/mine"\n'


@pytest.fixture
def host() -> Iterator[SmartHost]:
    with SmartHost(users={"greg": PASSWORD}) as running:
        yield running


@pytest.fixture(params=["", PERSONAL], ids=["shared", "personal"])
def system(host: SmartHost, request: pytest.FixtureRequest) -> Iterator[System]:
    with new_system() as made:
        mount(made, OVERLAY)
        made.configure(host, request.param)
        made.flush()
        yield made


def mount(system: System, script: str) -> None:
    """Mount something in the system, if this machine can."""
    done = system.run("sh", "-c", script)
    if done.returncode:
        pytest.skip(f"cannot be mounted here: {done.stderr.decode().strip()}")


def uids(system: System) -> tuple[int, ...]:
    """Who submits: in a personal spool root only."""
    return (0,) if system.at("/var/spool/mine").exists() or not system.at(BASE).exists() else (0, 2001, 2002)


def submit(system: System, name: str) -> list[bytes]:
    """A message of everybody's; for whom they are."""
    names = [f"{name}-{uid}@example.org" for uid in uids(system)]
    for uid, one in zip(uids(system), names, strict=True):
        system.submit(uid, one)
    return [one.encode() for one in names]


def left(system: System) -> bytes:
    """What is in the queues, as root's mailq says."""
    return system.run("mailq").stdout


def test_mail_leaves_an_overlay(system: System, host: SmartHost) -> None:
    wanted = submit(system, "one")
    assert b"one-0@example.org" in left(system)
    system.flush()
    assert sorted(host.recipients()) == sorted(wanted)
    assert left(system) == b"Mail queue is empty\n"
    assert "waits" not in system.log()


def test_mail_of_a_lower_layer_leaves_once_whatever_was_known_of_it(system: System, host: SmartHost) -> None:
    """A container that was stopped and committed, and begins again with a new layer on top."""
    wanted = submit(system, "new")
    host.script(b"RCPT TO:<later", b"451 4.3.0 not now")
    submit(system, "later")
    system.run("sendmail", "-qRlater")
    mount(system, NEW_UPPER)
    assert left(system).count(b"not now") == len(wanted)
    system.flush()
    assert sorted(host.recipients()) == sorted(wanted)
    host.script(b"RCPT TO:<later", None)
    system.run("sendmail", "-qRlater")
    assert len(host.recipients()) == 2 * len(wanted)
    assert left(system) == b"Mail queue is empty\n"


def test_a_flush_that_dies_loses_nothing_on_an_overlay(system: System, host: SmartHost) -> None:
    wanted = submit(system, "one")
    mount(system, NEW_UPPER)
    host.script(b".", [Stall()])
    flush = system.start("sendmail", "-q")
    while not any(one == b"DATA" for one in host.commands):
        assert flush.poll() is None
    for pid in [flush.pid, *system.processes()]:
        kill(pid)
    flush.wait()
    host.script(b".", [])
    for _ in range(2):
        system.run("sendmail", "-qR@example.org")
    assert set(host.recipients()) == set(wanted)


def test_an_owners_folder_on_a_mount_of_its_own_is_his_all_the_same(host: SmartHost) -> None:
    with new_system() as system:
        system.configure(host)
        system.flush()
        system.submit(2001, "first@example.org")
        script = f"set -e; d=$(echo {BASE}/2001.0); cp -a $d /opt/other; mount --bind /opt/other $d"
        mount(system, script)
        system.submit(2001, "second@example.org")
        system.submit(2002, "third@example.org")
        system.flush()
        assert sorted(host.recipients()) == [
            b"first@example.org",
            b"second@example.org",
            b"third@example.org",
        ]
