"""Encoders: what a decoder gets is what went in, however it is cut, and every line fits."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.relay.encoders import (
    Base64,
    Base64Again,
    QuotedPrintable,
    QuotedPrintableAgain,
    Wrapper,
)

TEXTS = st.lists(
    st.sampled_from(
        [
            b"\r\n",
            b" ",
            b"\t",
            b"-",
            b"--",
            b".",
            b"=",
            b"=20",
            "ü".encode(),
            b"\xff",
            b"x" * 70,
            b"word ",
            b"\0",
        ]
    )
).map(b"".join)


def play(
    encoder: Base64 | Base64Again | QuotedPrintable | QuotedPrintableAgain, octets: bytes, size: int
) -> bytes:
    """Feed it cut every `size` octets."""
    pieces = [encoder.feed(octets[at : at + size]) for at in range(0, len(octets), size)]
    return b"".join([*pieces, encoder.finish()])


def lines(text: bytes) -> list[bytes]:
    """Lines without their ends."""
    return text.split(b"\r\n")


TABLE = [
    (b"", b""),
    (b"plain\r\n", b"plain\r\n"),
    (b"blank \r\ntab\t\r\n", b"blank=20\r\ntab=09\r\n"),
    (b"end ", b"end=20"),
    (b"end\r", b"end=0D"),
    (b"a\rb\nc\r\n", b"a=0Db=0Ac\r\n"),
    (b"1=2\r\n", b"1=3D2\r\n"),
    (b"--b\r\n-\r\n", b"=2D-b\r\n=2D\r\n"),
    ("grün\r\n".encode(), b"gr=C3=BCn\r\n"),
    (b"x" * 76 + b"\r\n", b"x" * 76 + b"\r\n"),
    (b"x" * 77 + b"\r\n", b"x" * 75 + b"=\r\nxx\r\n"),
    (b"x" * 74 + b"\xff" + b"y\r\n", b"x" * 74 + b"=\r\n=FFy\r\n"),
    (b"x" * 75 + b"-" * 9 + b"\r\n", b"x" * 75 + b"=\r\n=2D" + b"-" * 8 + b"\r\n"),
]


@pytest.mark.parametrize(("octets", "text"), TABLE)
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_quoted_printable(octets: bytes, text: bytes, size: int) -> None:
    assert play(QuotedPrintable(), octets, size) == text


@given(TEXTS | st.binary(), st.integers(1, 50))
def test_quoted_printable_comes_back(octets: bytes, size: int) -> None:
    text = play(QuotedPrintable(), octets, size)
    assert text == play(QuotedPrintable(), octets, 1000)
    assert quopri.decodestring(text) == octets
    assert text.isascii()
    assert all(
        len(line) <= 76 and not line.startswith(b"-") and line == line.rstrip() for line in lines(text)
    )


@given(st.binary(max_size=500), st.integers(1, 80))
def test_base64_comes_back(octets: bytes, size: int) -> None:
    text = play(Base64(), octets, size)
    assert base64.b64decode(text) == octets
    assert all(len(line) == 76 for line in lines(text)[:-1])
    assert len(lines(text)[-1]) <= 76


@given(TEXTS.filter(lambda text: b"==" not in text), st.integers(1, 50), st.booleans())
def test_quoted_printable_that_is_wrapped_again_says_the_same(
    octets: bytes, size: int, ascii_only: bool
) -> None:
    text = play(QuotedPrintableAgain(ascii_only), octets, size)
    assert text == play(QuotedPrintableAgain(ascii_only), octets, 1000)
    assert quopri.decodestring(text) == quopri.decodestring(octets)
    assert text.isascii() or not ascii_only
    assert all(len(line) <= 76 for line in lines(text))


@given(st.binary(min_size=1, max_size=3000), st.integers(1, 3000), st.integers(1, 500))
def test_base64_that_is_wrapped_again_says_the_same(octets: bytes, width: int, size: int) -> None:
    wide = base64.b64encode(octets)
    stored = b"\r\n".join([wide[at : at + width] for at in range(0, len(wide), width)]) + b"\r\n"
    text = play(Base64Again(True), stored, size)
    assert base64.b64decode(text) == octets
    assert all(len(line) <= 76 for line in lines(text))
    if width <= 76:
        assert text == stored


def test_octets_that_are_nothing_in_base64_go_when_they_must() -> None:
    assert play(Base64Again(True), b"QU\xffJD\r\n", 3) == b"QUJD\r\n"
    assert play(Base64Again(False), b"QU\xffJD\r\n", 3) == b"QU\xffJD\r\n"


@pytest.mark.parametrize("mark", [b"", b"="])
def test_lines_that_fit_stay(mark: bytes) -> None:
    text = (b"x" * 76 + b"\r\n") * 3 + b"y" * 76
    wrapper = Wrapper(76, mark)
    assert wrapper.feed(text) + wrapper.finish() == text
