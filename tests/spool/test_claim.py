"""A claim: one flush has the message, what it writes down is true, the end is one step."""

from __future__ import annotations

import contextlib
import errno
import os
import posix
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.spool import draft, steering
from sendmail_py.spool.claim import Claim
from sendmail_py.spool.queue import Spool, Waiting
from sendmail_py.spool.tries import Try

NOW = 1_795_503_909_000_000_000
CONTENT = b"Subject: x\r\n\r\nbody\r\n"


def put(directory: Path, *recipients: bytes) -> str:
    new = draft.begin(str(directory), NOW)
    new.envelope(Envelope(b"me@x.example", [Recipient(one) for one in recipients or (b"a@y.example",)], 1.0))
    new.write(CONTENT)
    new.commit()
    return new.queue_id


def taken(spool: Spool) -> Claim:
    claim = spool.claim(spool.listing()[0])
    assert claim is not None
    return claim


def test_the_lock_goes_with_the_process(tmp_path: Path) -> None:
    put(tmp_path)
    child = os.fork()
    if not child:
        os._exit(Spool(str(tmp_path)).claim(Spool(str(tmp_path)).listing()[0]) is None)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    taken(Spool(str(tmp_path))).release()


def test_where_locks_do_not_work_the_queue_is_sent_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path)

    def flock(*words: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    taken(Spool(str(tmp_path))).remove()
    assert Spool(str(tmp_path)).listing() == []


def test_attempts_of_others_stay_and_the_older_file_goes(tmp_path: Path) -> None:
    queue_id = put(tmp_path, b"a@y.example", b"b@y.example")
    spool = Spool(str(tmp_path))
    claim = taken(spool)
    claim.defer({0: Try(1, 100, 50, "isp", "4.0.0", "busy")})
    claim.defer({1: Try(1, 90, 60, "isp", "4.0.0", "busy")})
    assert sorted(os.listdir(tmp_path / "queue")) == [queue_id, f"{queue_id}.0000005A"]
    claim.release()
    assert {index: one.next for index, one in taken(spool).tries.items()} == {0: 100, 1: 90}


def test_the_name_of_the_tries_is_about_those_who_wait(tmp_path: Path) -> None:
    put(tmp_path, b"a@y.example", b"b@y.example")
    claim = taken(Spool(str(tmp_path)))
    claim.defer({0: Try(1, 10, 5, "", "", ""), 1: Try(1, 99, 5, "", "", "")})
    claim.mark({0: b"D"})
    claim.defer({})
    assert claim.tries_name.endswith(".00000063")


def test_rewritten_under_the_same_id_with_states_and_claim(tmp_path: Path) -> None:
    queue_id = put(tmp_path, b"a@y.example", b"b@y.example")
    spool = Spool(str(tmp_path))
    claim = taken(spool)
    claim.mark({0: b"D"})
    envelope = claim.envelope
    envelope.reverse_path = b"new@x.example"
    claim.rewrite(envelope, iter([b"Subject: y\r\n\r\n", b"\xff\r\n"]))
    assert os.listdir(tmp_path / "queue") == [queue_id]
    assert Spool(str(tmp_path)).claim(spool.listing()[0]) is None
    claim.release()
    again = taken(spool)
    assert (again.envelope.reverse_path, again.envelope.eight_bit) == (b"new@x.example", True)
    assert [one.state for one in again.envelope.recipients] == [b"D", b"T"]
    assert b"".join(again.chunks()) == b"Subject: y\r\n\r\n\xff\r\n"


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_rewrite_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    queue_id = put(tmp_path)
    spool = Spool(str(tmp_path))
    claim = taken(spool)

    def fail(*words: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    real = getattr(posix, step)
    monkeypatch.setattr(posix, step, fail)
    with pytest.raises(OSError, match="No space"):
        claim.rewrite(claim.envelope, iter([b"x\r\n"]))
    monkeypatch.setattr(posix, step, real)
    claim.release()
    assert os.listdir(tmp_path / "queue") == [queue_id]
    assert b"".join(taken(spool).chunks()) == CONTENT


def in_children(works: list[Callable[[], None]]) -> None:
    """Do these at once, each in a process of its own; all must end well."""
    children = []
    for work in works:
        child = os.fork()
        if not child:
            status = 1
            try:
                work()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in children] == [0] * len(works)


class Ring:
    """A queue for several processes at once, and a log of what each did."""

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "spool"
        self.log = folder / "log"

    def note(self, what: str, queue_id: str) -> None:
        """One line, whoever writes beside us."""
        fd = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(fd, f"{what} {queue_id}\n".encode())
        os.close(fd)

    def noted(self, *what: str) -> Counter[str]:
        """Ids by how often that was done to them."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return Counter(queue_id for done, queue_id in lines if done in what)

    def shuffled(self, spool: Spool) -> list[Waiting]:
        """The listing in any order."""
        listing = spool.listing()
        random.shuffle(listing)
        return listing

    def flush(self) -> None:
        """Send everything."""
        spool = Spool(str(self.directory))
        for waiting in self.shuffled(spool):
            claim = None if waiting.held else spool.claim(waiting)
            if claim is not None:
                self.note("sent", claim.queue_id)
                claim.mark({0: b"D"})
                spool.finish(claim)

    def delete(self) -> None:
        """Delete everything."""
        spool = Spool(str(self.directory))
        for waiting in self.shuffled(spool):
            if spool.delete(waiting):
                self.note("deleted", waiting.queue_id)

    def hold(self) -> None:
        """Hold everything."""
        spool = Spool(str(self.directory))
        for waiting in self.shuffled(spool):
            with contextlib.suppress(steering.BusyError):
                steering.hold(spool, waiting)
                self.note("held", waiting.queue_id)

    def retry(self) -> None:
        """Make everything due."""
        spool = Spool(str(self.directory))
        for waiting in self.shuffled(spool):
            with contextlib.suppress(steering.BusyError):
                steering.retry(spool, waiting)


@pytest.mark.parametrize("rival", ["flush", "delete", "hold", "retry"])
def test_many_messages_between_two_processes(tmp_path: Path, rival: str) -> None:
    """Each is sent once, deleted once, or held; never two of these, never none."""
    ring = Ring(tmp_path)
    for _ in range(10):
        ring.log.write_text("")
        queued = {put(ring.directory) for _ in range(25)}
        in_children([ring.flush, getattr(ring, rival)])
        spool = Spool(str(ring.directory))
        if rival == "hold":
            assert {one.queue_id for one in spool.listing()} == set(ring.noted("held"))
            for waiting in spool.listing():
                steering.release(spool, waiting)
        in_children([ring.flush])
        assert spool.listing() == []
        assert ring.noted("sent", "deleted") == Counter(queued)
