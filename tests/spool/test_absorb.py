"""Digests take the place of messages: by one step, whoever looks on, whoever dies."""

from __future__ import annotations

import errno
import os
import posix
from pathlib import Path

import pytest
from sendmail_py.errors import SendmailError
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.spool import absorb, draft
from sendmail_py.spool.claim import Claim
from sendmail_py.spool.draft import Draft
from sendmail_py.spool.queue import Spool

NOW = 1_795_503_909_000_000_000


def begun(directory: str, at: int = NOW) -> Draft:
    new = draft.begin(directory, at)
    new.envelope(Envelope(b"me@x.example", [Recipient(b"a@y.example")], 1.0))
    new.write(b"Subject: x\r\n\r\nbody\r\n")
    return new


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Three messages."""
    for _ in range(3):
        begun(str(tmp_path)).commit()
    return Spool(str(tmp_path))


def claims(spool: Spool) -> list[Claim]:
    found = [spool.claim(one) for one in spool.listing()]
    assert None not in found
    return [one for one in found if one is not None]


def names(spool: Spool) -> list[str]:
    return sorted(os.listdir(spool.directory + "/queue"))


def test_the_digest_is_there_and_what_it_holds_is_gone(spool: Spool) -> None:
    new = begun(spool.directory, NOW + 10**9)
    absorb.absorb(new, claims(spool))
    assert names(spool) == [new.queue_id]
    assert spool.claim(spool.listing()[0]) is not None


def stopped_at(spool: Spool, monkeypatch: pytest.MonkeyPatch, step: str, at: int) -> Draft:
    """Absorb, and die at the so manieth call of `step`: nothing is tidied up."""
    calls = 0
    real = getattr(posix, step)

    def die(*words: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls >= at:
            raise OSError(errno.EIO, "Input/output error")
        return real(*words, **more)

    new = begun(spool.directory, NOW + 10**9)
    held = claims(spool)
    monkeypatch.setattr(absorb, "put_back", lambda folder, digest_id: None)
    monkeypatch.setattr(posix, step, die)
    with pytest.raises(SendmailError):
        absorb.absorb(new, held)
    monkeypatch.undo()
    return new


@pytest.mark.parametrize(("step", "at", "made"), [
    ("fsync", 1, False), ("fsync", 2, False), ("fsync", 3, False), ("rename", 1, False), ("rename", 2, False),
    ("rename", 3, False), ("rename", 4, False), ("fsync", 4, True), ("unlink", 1, True), ("unlink", 2, True),
])  # fmt: skip
def test_the_next_flush_ends_what_was_begun(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, step: str, at: int, made: bool
) -> None:
    before = names(spool)
    new = stopped_at(spool, monkeypatch, step, at)
    spool.listing()
    spool.clean()
    absorb.recover(spool)
    spool.listing()
    spool.clean()
    assert names(spool) == ([new.queue_id] if made else before)


def test_a_flush_that_lives_is_left_alone(spool: Spool) -> None:
    new = begun(spool.directory, NOW + 10**9)
    first = spool.listing()[0].queue_id
    os.rename(f"{spool.directory}/queue/{first}", f"{spool.directory}/queue/digest-{new.queue_id}-{first}")
    other = Spool(spool.directory)
    other.listing()
    other.clean()
    assert absorb.recover(other)
    assert f"digest-{new.queue_id}-{first}" in names(spool)
    assert f".{new.queue_id}" in names(spool)
    new.close()
    other.listing()
    other.clean()
    absorb.recover(other)
    assert first in names(spool)
    assert len(names(spool)) == 3


def test_a_message_comes_back_under_another_id_when_its_own_is_taken(spool: Spool) -> None:
    new = begun(spool.directory, NOW + 10**9)
    first = spool.listing()[0].queue_id
    os.rename(f"{spool.directory}/queue/{first}", f"{spool.directory}/queue/digest-{new.queue_id}-{first}")
    new.close()
    begun(spool.directory).commit()
    spool.listing()
    absorb.recover(spool)
    assert len(names(spool)) == 4
    assert all(spool.claim(one) is not None for one in spool.listing())


def test_a_cleaner_with_an_old_listing_takes_no_digest_that_was_promised_since(spool: Spool) -> None:
    """The writer dies between the look and the cleaning."""
    new = begun(spool.directory, NOW + 10**9)
    cleaner = Spool(spool.directory)
    cleaner.listing()
    new.seal()
    first = spool.listing()[0].queue_id
    os.rename(f"{spool.directory}/queue/{first}", f"{spool.directory}/queue/digest-{new.queue_id}-{first}")
    new.close()
    cleaner.clean()
    assert f".{new.queue_id}" in names(spool)
    spool.listing()
    absorb.recover(spool)
    assert len(spool.listing()) == 3


@pytest.mark.parametrize("name", ["digest-x-y", "digest-6B0539A4E3DC", "digest-6B0539A4E3DC-x", "digest"])
def test_other_names_are_none_of_ours(spool: Spool, name: str) -> None:
    Path(spool.directory, "queue", name).touch()
    spool.listing()
    spool.clean()
    assert not absorb.recover(spool)
    assert name in names(spool)
