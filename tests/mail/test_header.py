"""Header fields: found, kept byte for byte, folded, completed."""

from __future__ import annotations

import time
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.mail import header

SPLITS = [
    # message (LF), fields, body
    ("To: a\n\nhello\n", ["To: a\n"], "hello\n"),
    ("hello world\nmore\n", [], "hello world\nmore\n"),
    ("Note: this is\nplain text\n", ["Note: this is\n"], "plain text\n"),
    ("\nbody\n", [], "body\n"),
    (" leading blank\nTo: a\n", [], " leading blank\nTo: a\n"),
    ("To: a\nno header\n\nx\n", ["To: a\n"], "no header\n\nx\n"),
    ("To: a\n", ["To: a\n"], ""),
    ("", [], ""),
    ("To: a,\n\tb\nCc: c\n\n", ["To: a,\n\tb\n", "Cc: c\n"], ""),
    ("From x@y Mon Jan  1 10:00:00 2024\nTo: a\n\nb\n", ["To: a\n"], "b\n"),
    (">From x\nFrom y\nTo: a\n\nFrom z\n", ["To: a\n"], "From z\n"),
    ("To: a\nFrom x\n\nb\n", ["To: a\n"], "From x\n\nb\n"),
    ("Subject : x\n\n", ["Subject : x\n"], ""),
    ("X-Empty:\n\n", ["X-Empty:\n"], ""),
    (": no name\n", [], ": no name\n"),
    ("Na me: x\n", [], "Na me: x\n"),
]


def split(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    """Fields and body when the message comes in pieces."""
    splitter = header.Splitter()
    rest = b""
    for piece in pieces:
        if splitter.done:
            rest += piece
        else:
            splitter.feed(piece)
    if not splitter.done:
        splitter.finish()
    return splitter.fields, splitter.body + rest


@pytest.mark.parametrize(("message", "fields", "body"), SPLITS)
def test_finds_the_header_as_sendmail_and_postfix_do(message: str, fields: list[str], body: str) -> None:
    """Sections 3.2 and 3.3 of the interface reference, whole and line by line."""
    octets = message.replace("\n", "\r\n").encode()
    wanted = ([f.replace("\n", "\r\n").encode() for f in fields], body.replace("\n", "\r\n").encode())
    assert split([octets]) == wanted
    assert split(octets.splitlines(keepends=True)) == wanted


def test_reads_names_and_values_in_any_spelling() -> None:
    """Names compare in lower case, blanks before the colon do not count."""
    assert header.name(b"SuBject : x\r\n") == b"subject"
    assert header.value(b"To: a,\r\n b\r\n") == b" a,\r\n b\r\n"
    assert header.unfolded(b"To: a,\r\n b\r\n") == b"a, b"
    assert header.rebuild(b"TO : old\r\n", b" new\r\n") == b"TO : new\r\n"


@pytest.mark.parametrize(
    ("zone", "wanted"),
    [
        ("UTC", b"Tue, 24 Nov 2026 07:05:09 +0000"),
        ("<+0530>-5:30", b"Tue, 24 Nov 2026 12:35:09 +0530"),
        ("<-0330>3:30", b"Tue, 24 Nov 2026 03:35:09 -0330"),
    ],
)
def test_writes_the_date_in_the_local_zone(zone: str, wanted: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5322 3.3, also for zones with half hours."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert header.date_time(1795503909.5) == wanted
    finally:
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Cron Daemon", b"Cron Daemon"),
        ("Doe, J.", b'"Doe, J."'),
        ('a "b" \\c', b'"a \\"b\\" \\\\c"'),
        ("x\nBcc: victim@example.org", b'"x Bcc: victim@example.org"'),
        ("  much   room ", b"much room"),
    ],
)
def test_writes_display_names_safely(text: str, wanted: bytes) -> None:
    """Quoted where they must be; a line break never makes a field."""
    assert header.phrase(text) == wanted


@given(st.text(min_size=1, max_size=120))
def test_encoded_names_decode_to_what_they_were(text: str) -> None:
    """RFC 2047, checked with the standard library; words within 75 characters."""
    clean = " ".join("".join([c if c.isprintable() else " " for c in text]).split())
    phrase = header.phrase(text)
    assert b"\n" not in phrase
    assert b"\r" not in phrase
    if not clean.isascii():
        assert all(len(word) <= 75 for word in phrase.split(b" "))
        assert str(make_header(decode_header(phrase.decode()))) == clean


@pytest.mark.parametrize(
    ("name", "value"),
    [("", b"a@x"), (" ", b"a@x"), ("Ann Able", b"Ann Able <a@x>"), ("Able, Ann", b'"Able, Ann" <a@x>')],
)
def test_the_author_has_a_name_if_there_is_one(name: str, value: bytes) -> None:
    assert header.author(b"a@x", name) == value
