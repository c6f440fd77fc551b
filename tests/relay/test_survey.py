"""What a message needs, part by part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.relay import survey
from sendmail_py.relay.long_lines import ConversionError, LongLines
from sendmail_py.relay.survey import (
    CHARSET_SHIFT,
    CODE,
    KEEP,
    SEVEN_BIT,
    TO_BASE64,
    TO_QUOTED_PRINTABLE,
    WRAP_BASE64,
    WRAP_QUOTED_PRINTABLE,
)

LONG = b"x" * 999
TEXT = b"Subject: x\r\n\r\n"
MIXED = b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
SIGNED = b"Content-Type: multipart/signed; boundary=b\r\n\r\n"
CMS = b"Content-Type: application/pkcs7-mime\r\n\r\n"
UMLAUTS = "grün und weiß, blau und rot und schwarz".encode()

# message, decisions for a server that takes 8-bit bodies, and for one that does not
DECISIONS = [
    (TEXT + b"x\r\n", [KEEP], [KEEP]),
    (TEXT + UMLAUTS + b"\r\n", [KEEP], [TO_QUOTED_PRINTABLE]),
    (TEXT + LONG + b"\r\n", [TO_QUOTED_PRINTABLE], [TO_QUOTED_PRINTABLE]),
    (TEXT + b"\xe4\xf6\xfc" + b"\r\n", [KEEP], [TO_BASE64]),
    (CMS + LONG + b"\r\n", [TO_QUOTED_PRINTABLE], [TO_QUOTED_PRINTABLE]),
    (b"Content-Transfer-Encoding: BASE64\r\n\r\n" + LONG + b"\r\n", [WRAP_BASE64], [WRAP_BASE64]),
    (
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + UMLAUTS + b"\r\n",
        [KEEP],
        [WRAP_QUOTED_PRINTABLE],
    ),
    (b"Content-Transfer-Encoding: utf-8\r\n\r\n" + UMLAUTS + b"\r\n", [KEEP], [TO_QUOTED_PRINTABLE]),
    (MIXED + b"--b\r\n\r\nx\r\n--b--\r\n", [KEEP, KEEP], [SEVEN_BIT, KEEP]),
    (
        MIXED + b"--b\r\n\r\n" + LONG + b"\r\n--b--\r\n",
        [KEEP, TO_QUOTED_PRINTABLE],
        [SEVEN_BIT, TO_QUOTED_PRINTABLE],
    ),
    (MIXED + LONG + b"\r\n", [TO_QUOTED_PRINTABLE], [TO_QUOTED_PRINTABLE]),
    (MIXED + LONG + b"\r\n--b\r\n\r\nx\r\n", [KEEP, KEEP], [SEVEN_BIT, KEEP]),
    (SIGNED + b"--b\r\n\r\n" + UMLAUTS + b"\r\n--b--\r\n", [KEEP], [KEEP]),
]


@pytest.mark.parametrize(("message", "eight", "seven"), DECISIONS)
@pytest.mark.parametrize("size", [1, 1000])
def test_decides_for_every_part(message: bytes, eight: list[int], seven: list[int], size: int) -> None:
    chunks = [message[at : at + size] for at in range(0, len(message), size)]
    assert [one & CODE for one in survey.survey(chunks, True)] == eight
    assert [one & CODE for one in survey.survey(chunks, False)] == seven


CHARSETS = [
    (TEXT + LONG, b"us-ascii"),
    (TEXT + UMLAUTS, b"utf-8"),
    (TEXT + UMLAUTS[:3], b"unknown-8bit"),
    (TEXT + b"\xff", b"unknown-8bit"),
    (CMS + UMLAUTS, b"unknown-8bit"),  # nobody will ask
]


@pytest.mark.parametrize(("message", "charset"), CHARSETS)
@pytest.mark.parametrize("size", [1, 1000])
def test_finds_out_the_charset(message: bytes, charset: bytes, size: int) -> None:
    chunks = [message[at : at + size] for at in range(0, len(message), size)]
    (decision,) = survey.survey(chunks, False)
    assert survey.CHARSETS[decision >> CHARSET_SHIFT] == charset


@pytest.mark.parametrize("head", [SIGNED, b"Content-Transfer-Encoding: x-uuencode\r\n\r\n"])
@pytest.mark.parametrize("eight_bit", [False, True])
def test_a_long_line_that_must_not_change_is_refused(head: bytes, eight_bit: bool) -> None:
    with pytest.raises(ConversionError, match="a line of over 998 octets"):
        survey.survey([head + b"--b\r\n\r\n" + LONG + b"\r\n--b--\r\n"], eight_bit)


@given(st.lists(st.integers(990, 1003) | st.integers(0, 100)), st.integers(1, 1100))
def test_finds_long_lines_wherever_they_are_cut(lengths: list[int], size: int) -> None:
    text = b"".join([b"x" * length + b"\r\n" for length in lengths])
    lines = LongLines()
    for at in range(0, len(text), size):
        lines.feed(text[at : at + size])
    assert lines.finish() == any(length > 998 for length in lengths)


@pytest.mark.parametrize(("length", "found"), [(998, False), (999, True)])
def test_a_last_line_without_end_counts(length: int, found: bool) -> None:
    lines = LongLines()
    lines.feed(b"x" * length)
    assert lines.finish() == found
