"""The queue file's records, both ways, and what is no queue file."""

from __future__ import annotations

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.errors import DataError, SendmailError
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.spool import entry, reading

WORD = st.binary(min_size=1, max_size=20).filter(lambda b: not set(b) & set(b"\n \0"))
ADDRESS = st.binary(min_size=1, max_size=30).filter(lambda b: b"\n" not in b)


def sample() -> Envelope:
    """An envelope that uses every record."""
    envelope = Envelope(
        b"me@example.net",
        [Recipient(b"a@example.org", b"NEVER", b"rfc822;a"), Recipient(b'"a b"@example.org')],
        1795503909.25,
    )
    envelope.uid, envelope.login = 1000, b"alice"
    envelope.original, envelope.rule = b"alice@nas", b"users"
    envelope.changes = [(b"from", b"users", b'"a\tb"@nas', b"me@example.net")]
    envelope.body, envelope.ret, envelope.envid = b"8BITMIME", b"HDRS", b"id-1"
    return envelope


RECORDS = (
    b"sendmail-py queue file 1\n"
    b"C 1795503909.250000\n"
    b"U 1000 alice\n"
    b"S me@example.net\n"
    b"O users alice@nas\n"
    b'X from\tusers\t"a b"@nas\tme@example.net\n'
    b"B 8BITMIME\n"
    b"T HDRS\n"
    b"V id-1\n"
    b"RT NEVER rfc822;a a@example.org\n"
    b'RT - - "a b"@example.org\n'
    b"\n"
)


def test_writes_the_records_as_the_manual_page_says() -> None:
    """The format is frozen: version 1 must stay readable."""
    assert entry.encode(sample()) == RECORDS


def test_reads_what_it_wrote() -> None:
    """Every field comes back."""
    found = reading.decode(RECORDS)
    assert entry.encode(found.envelope) == RECORDS
    assert found.offset == len(RECORDS)
    assert [RECORDS[at : at + 1] for at in found.states] == [b"T", b"T"]


@given(
    st.lists(st.tuples(ADDRESS, st.sampled_from([b"T", b"D", b"F", b"R"])), min_size=1, max_size=5), ADDRESS
)
def test_any_address_and_state_survives(rows: list[tuple[bytes, bytes]], sender: bytes) -> None:
    """Octets in, the same octets out."""
    envelope = Envelope(sender, [Recipient(a, state=s) for a, s in rows], 1.5)
    found = reading.decode(entry.encode(envelope)).envelope
    assert found.reverse_path == sender
    assert [(one.address, one.state) for one in found.recipients] == rows


def test_the_null_reverse_path_stays_null() -> None:
    """An empty S record."""
    found = reading.decode(entry.encode(Envelope(b"", [Recipient(b"a@b.example")], 1.0)))
    assert found.envelope.reverse_path == b""


def test_states_do_not_change_the_checksum() -> None:
    """Progress in place leaves the file whole."""
    fresh = reading.decode(RECORDS)
    done = reading.decode(RECORDS.replace(b"RT NEVER", b"RD NEVER"))
    assert fresh.checksum() == done.checksum() == binascii.crc32(RECORDS)


def test_a_line_break_in_the_envelope_never_reaches_the_disk() -> None:
    """The last of several walls."""
    with pytest.raises(SendmailError, match="line break"):
        entry.encode(Envelope(b"a\nRT - - victim@example.org", [Recipient(b"a@b.example")], 1.0))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"From: someone\n\n",
        b"sendmail-py queue file x\n\n",
        RECORDS.replace(b"RT NEVER", b"RX NEVER"),
        RECORDS.replace(b"C 1795503909.250000", b"C soon"),
        RECORDS.replace(b"U 1000 alice", b"U alice"),
        RECORDS.replace(b"B 8BITMIME", b"Z 8BITMIME"),
        RECORDS.replace(b"RT - - ", b"RT "),
        b"sendmail-py queue file 1\nC 1.0\nS a@b\n\n",
        RECORDS.replace(b"C 1795503909.250000\n", b""),
    ],
)
def test_what_is_no_whole_envelope_is_damaged(octets: bytes) -> None:
    """Never guessed at, never sent."""
    with pytest.raises(reading.DamagedError):
        reading.decode(octets)


def test_a_newer_format_is_left_alone() -> None:
    """It is not damaged: somebody else can read it."""
    with pytest.raises(reading.NewerFormatError, match="format 2"):
        reading.decode(RECORDS.replace(b"file 1", b"file 2"))


def test_the_trailer_has_a_fixed_length() -> None:
    """So that it can be found from the end."""
    assert len(entry.trailer(0, 0, False)) == entry.TRAILER_OCTETS
    assert len(entry.trailer(999_999_999_999, 0xFFFFFFFF, True)) == entry.TRAILER_OCTETS


def test_records_that_could_not_be_read_again_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "LARGEST_RECORDS", 4096)
    many = [Recipient(b"r%d@example.org" % number) for number in range(200)]
    entry.encode(Envelope(b"me@example.net", many[:100]))
    with pytest.raises(DataError, match="too many recipients"):
        entry.encode(Envelope(b"me@example.net", many))
