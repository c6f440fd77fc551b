"""The queue's life on a real file system: promise, claim, progress, end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sendmail_py.errors import CantCreateError
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.spool import draft, reading
from sendmail_py.spool.breaker import Breaker, Pause
from sendmail_py.spool.claim import Claim
from sendmail_py.spool.queue import Spool
from sendmail_py.spool.tries import Try

NOW = 1_795_503_909_000_000_000
MESSAGE = b"Subject: x\r\n\r\nbody\r\n"


def queued(directory: Path, *recipients: bytes, message: bytes = MESSAGE, at: int = NOW) -> str:
    """Queue a message; returns its id."""
    file = draft.begin(str(directory), at)
    file.envelope(
        Envelope(b"me@example.net", [Recipient(r) for r in recipients or (b"a@example.org",)], at / 1e9)
    )
    file.write(message)
    file.commit()
    return file.queue_id


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool that does not exist yet."""
    return Spool(str(tmp_path / "state" / "spool"))


def names(spool: Spool, folder: str = "queue") -> list[str]:
    """What is in a folder of the spool."""
    return sorted(os.listdir(f"{spool.directory}/{folder}"))


def test_a_committed_message_is_listed_and_comes_back_whole(spool: Spool) -> None:
    """Octets in, octets out."""
    queue_id = queued(Path(spool.directory))
    (waiting,) = spool.listing()
    claim = spool.claim(waiting)
    assert claim is not None
    assert (claim.queue_id, claim.size, b"".join(claim.chunks())) == (queue_id, len(MESSAGE), MESSAGE)
    assert claim.envelope.reverse_path == b"me@example.net"


def test_files_and_folders_are_for_their_owner_only(spool: Spool) -> None:
    """Whatever the umask."""
    old = os.umask(0)
    try:
        queue_id = queued(Path(spool.directory))
    finally:
        os.umask(old)
    assert os.stat(spool.directory).st_mode & 0o777 == 0o700
    assert os.stat(f"{spool.directory}/queue/{queue_id}").st_mode & 0o777 == 0o600


def test_nothing_is_listed_before_the_commit_and_nothing_stays_after_discard(spool: Spool) -> None:
    """An unfinished message does not exist."""
    file = draft.begin(spool.directory, NOW)
    file.envelope(Envelope(b"", [Recipient(b"a@example.org")], 1.0))
    file.write(b"x" * 100_000)
    assert spool.listing() == []
    file.discard()
    assert names(spool) == []


def test_ids_are_in_order_of_arrival_and_never_used_twice(spool: Spool) -> None:
    """Also at the same moment, and after the clock went back."""
    ids = [queued(Path(spool.directory), at=NOW + step) for step in (0, 0, 0, 40_000_000, 0)]
    assert len(set(ids)) == 5
    assert ids[:4] == sorted(ids[:4])
    assert [one.queue_id for one in spool.listing()] == sorted(ids)
    assert all(len(i) == 12 and not i.strip("0123456789ABCDEF") for i in ids)


def test_two_flushes_never_claim_the_same_message(spool: Spool) -> None:
    """The second sees None."""
    queued(Path(spool.directory))
    (waiting,) = spool.listing()
    first = spool.claim(waiting)
    assert first is not None
    assert Spool(spool.directory).claim(waiting) is None
    first.release()
    assert Spool(spool.directory).claim(waiting) is not None


def test_a_message_that_was_delivered_between_listing_and_claim_is_gone(spool: Spool) -> None:
    """No ghost is sent."""
    queued(Path(spool.directory))
    (waiting,) = spool.listing()
    claim = spool.claim(waiting)
    assert claim is not None
    claim.mark({0: b"D"})
    assert spool.finish(claim)
    assert Spool(spool.directory).claim(waiting) is None
    assert names(spool) == []


def test_progress_is_on_disk_when_mark_returns(spool: Spool) -> None:
    """A second reader sees the states; the file is still whole."""
    queued(Path(spool.directory), b"a@example.org", b"b@example.org", b"c@example.org")
    (waiting,) = spool.listing()
    claim = spool.claim(waiting)
    assert claim is not None
    claim.mark({0: b"D", 2: b"F"})
    assert not spool.finish(claim)
    again = spool.claim(waiting)
    assert again is not None
    assert [one.state for one in again.envelope.recipients] == [b"D", b"T", b"F"]
    again.mark({1: b"D"})
    assert spool.finish(again)
    assert names(spool) == []
    assert names(spool, "failed") == [waiting.queue_id]


def test_the_listing_knows_when_the_next_try_is_due(spool: Spool) -> None:
    """From the name of the tries file alone, the earliest of the recipients that wait."""
    queued(Path(spool.directory), b"a@example.org", b"b@example.org")
    (waiting,) = spool.listing()
    claim = spool.claim(waiting)
    assert claim is not None
    claim.defer({0: Try(1, 1000, 900, "isp", "4.2.1", "busy"), 1: Try(2, 2000, 900, "isp", "4.2.1", "busy")})
    assert spool.listing()[0].next == 1000
    claim.mark({0: b"D"})
    claim.defer({1: Try(3, 3000, 950, "isp", "4.4.1", "line\nbreak\tand tab")})
    claim.release()
    (waiting,) = spool.listing()
    assert waiting.next == 3000
    listed = spool.read(waiting)
    assert listed is not None
    assert (listed.tries[1].tries, listed.tries[1].reply) == (3, "line\\nbreak\\tand tab")
    assert len(names(spool)) == 2


def test_what_another_flush_has_tried_since_the_listing_is_passed_over(spool: Spool) -> None:
    """It is not due any more."""
    queued(Path(spool.directory))
    claim = spool.claim(spool.listing()[0])
    assert claim is not None
    claim.defer({0: Try(1, 1000, 900, "isp", "4.2.1", "busy")})
    claim.release()
    stale = spool.listing()
    claim = spool.claim(stale[0])
    assert claim is not None
    claim.defer({0: Try(2, 2000, 1100, "isp", "4.2.1", "busy")})
    claim.release()
    assert spool.claim(stale[0]) is None
    assert spool.claim(spool.listing()[0]) is not None


def test_a_lost_tries_file_does_no_harm(spool: Spool) -> None:
    """The message is due at once."""
    queued(Path(spool.directory))
    claim = spool.claim(spool.listing()[0])
    assert claim is not None
    claim.defer({0: Try(1, 1000, 900, "isp", "4.2.1", "busy")})
    claim.release()
    os.unlink(f"{spool.directory}/queue/{claim.tries_name}")
    assert spool.listing()[0].next == 0


@pytest.mark.parametrize("cut", [1, 27, 60, 200])
def test_a_file_that_is_cut_off_is_set_aside_and_never_sent(spool: Spool, cut: int) -> None:
    """With the reason, and the others go on."""
    bad = queued(Path(spool.directory), message=b"x" * 100 + b"\r\n")
    good = queued(Path(spool.directory), at=NOW + 10**9)
    path = f"{spool.directory}/queue/{bad}"
    os.truncate(path, os.stat(path).st_size - cut)
    first, second = spool.listing()
    with pytest.raises(reading.DamagedError):
        spool.claim(first)
    assert spool.claim(second) is not None
    assert names(spool) == [good]
    assert names(spool, "failed") == [bad, bad + ".0"]


def test_a_file_is_damaged_wherever_it_is_cut_off(spool: Spool) -> None:
    """Also in the records, where it has our version line and not their end."""
    queue_id = queued(Path(spool.directory))
    whole = (Path(spool.directory) / "queue" / queue_id).read_bytes()
    folder = spool.queue_folder()
    for length in range(len(whole)):
        name = f"{length:012X}"
        (Path(spool.directory) / "queue" / name).write_bytes(whole[:length])
        claim = Claim.take(folder, name, "")
        assert claim is not None
        with pytest.raises(reading.DamagedError):
            claim.check()
        claim.release()


@pytest.mark.parametrize("at", [3, 30, 60, 120, 160])
def test_a_changed_octet_is_noticed(spool: Spool, at: int) -> None:
    """Anywhere but in a state."""
    queue_id = queued(Path(spool.directory), message=b"x" * 100 + b"\r\n")
    path = Path(spool.directory) / "queue" / queue_id
    octets = bytearray(path.read_bytes())
    octets[at] ^= 1
    path.write_bytes(octets)
    with pytest.raises(reading.DamagedError):
        spool.claim(spool.listing()[0])


def test_a_newer_file_stays_where_it_is(spool: Spool) -> None:
    """It belongs to a newer sendmail_py."""
    queue_id = queued(Path(spool.directory))
    path = Path(spool.directory) / "queue" / queue_id
    path.write_bytes(path.read_bytes().replace(b"file 1", b"file 9", 1))
    with pytest.raises(reading.NewerFormatError):
        spool.claim(spool.listing()[0])
    assert names(spool) == [queue_id]


def test_a_big_message_is_not_kept_in_memory(spool: Spool) -> None:
    """Pieces of 64 KiB."""
    message = b"0123456789abcdef\r\n" * 40_000
    queued(Path(spool.directory), message=message)
    claim = spool.claim(spool.listing()[0])
    assert claim is not None
    pieces = list(claim.chunks())
    assert max(map(len, pieces)) <= 65536
    assert b"".join(pieces) == message


def test_the_content_tells_whether_it_is_eight_bit(spool: Spool) -> None:
    """For BODY=8BITMIME."""
    queued(Path(spool.directory), message=b"plain\r\n")
    queued(Path(spool.directory), message="é\r\n".encode(), at=NOW + 10**9)
    claims = [spool.claim(one) for one in spool.listing()]
    assert [claim.envelope.eight_bit for claim in claims if claim] == [False, True]


def test_unfinished_files_of_killed_writers_are_removed_and_of_living_ones_not(spool: Spool) -> None:
    """The lock tells."""
    living = draft.begin(spool.directory, NOW)
    dead = draft.begin(spool.directory, NOW)
    os.close(dead.fd)
    spool.listing()
    spool.clean()
    assert names(spool) == ["." + living.queue_id]
    living.envelope(Envelope(b"", [Recipient(b"a@example.org")], 1.0))
    living.commit()
    assert names(spool) == [living.queue_id]


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """Never queue into a world-writable folder."""
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue").chmod(0o777)
    with pytest.raises(CantCreateError):
        draft.begin(str(tmp_path), NOW)


def test_a_symbolic_link_in_place_of_the_queue_is_refused(tmp_path: Path) -> None:
    """Nor through a link."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "queue").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CantCreateError):
        draft.begin(str(tmp_path), NOW)


def test_a_fifo_in_the_queue_does_not_hold_the_run(spool: Spool) -> None:
    """It is no message."""
    queued(Path(spool.directory))
    os.mkfifo(f"{spool.directory}/queue/0123456789AB")
    with pytest.raises(OSError, match="regular"):
        spool.claim(spool.listing()[0])
    assert spool.claim(spool.listing()[1]) is not None


def test_deleting_takes_the_tries_along_but_not_a_message_that_is_being_sent(spool: Spool) -> None:
    """One's own command removes; a flush is not disturbed."""
    queued(Path(spool.directory))
    claim = spool.claim(spool.listing()[0])
    assert claim is not None
    claim.defer({0: Try(1, 1000, 900, "isp", "4.2.1", "busy")})
    assert not spool.delete(spool.listing()[0])
    claim.release()
    assert spool.delete(spool.listing()[0])
    assert names(spool) == []


def test_failed_messages_keep_both_when_an_id_is_taken(spool: Spool) -> None:
    """Nothing is overwritten in failed/."""
    for _ in range(2):
        queued(Path(spool.directory))
        claim = spool.claim(spool.listing()[0])
        assert claim is not None
        claim.mark({0: b"F"})
        spool.finish(claim)
    assert len(names(spool, "failed")) == 2


def test_pauses_come_back_and_go(spool: Spool) -> None:
    """By smart host."""
    queued(Path(spool.directory))
    Breaker(spool.directory).set("isp", Pause(2000, 3, 1000, "connect: refused"))
    pause = Breaker(spool.directory).get("isp")
    assert pause is not None
    assert (pause.until, pause.count, pause.since, pause.reason) == (2000, 3, 1000, "connect: refused")
    Breaker(spool.directory).clear("isp")
    assert Breaker(spool.directory).get("isp") is None
