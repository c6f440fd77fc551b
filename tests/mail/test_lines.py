"""Line ends: whatever comes in, however it is cut, CRLF lines go out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.mail.lines import Normaliser

TABLE = [
    # input, with dot: output, ended; without dot: output
    (b"", b"", False, b""),
    (b"a\n", b"a\r\n", False, b"a\r\n"),
    (b"a", b"a\r\n", False, b"a\r\n"),
    (b"a\r\n", b"a\r\n", False, b"a\r\n"),
    (b"a\r\nb\n", b"a\r\nb\r\n", False, b"a\r\nb\r\n"),
    (b"a\rb\n", b"a b\r\n", False, b"a b\r\n"),
    (b"a\r", b"a \r\n", False, b"a \r\n"),
    (b"a\r\r\n", b"a\r\n", False, b"a\r\n"),
    (b"a\r\r\r\n", b"a \r\n", False, b"a \r\n"),
    (b"a\r\r\n\r\r\nb", b"a\r\n\r\nb\r\n", False, b"a\r\n\r\nb\r\n"),
    (b"a\n.\r\r\nb", b"a\r\n", True, b"a\r\n.\r\nb\r\n"),
    (b"a\r\r", b"a  \r\n", False, b"a  \r\n"),
    (b"a\0b\n", b"ab\r\n", False, b"ab\r\n"),
    (b"\r\0\n", b"\r\n", False, b"\r\n"),
    (b"a\n.\nb\n", b"a\r\n", True, b"a\r\n.\r\nb\r\n"),
    (b"a\r\n.\r\nb\n", b"a\r\n", True, b"a\r\n.\r\nb\r\n"),
    (b".\n", b"", True, b".\r\n"),
    (b".", b"", True, b".\r\n"),
    (b"a\n.", b"a\r\n", True, b"a\r\n.\r\n"),
    (b"a\n..\n.x\n", b"a\r\n..\r\n.x\r\n", False, b"a\r\n..\r\n.x\r\n"),
    (b"a\n. \n", b"a\r\n. \r\n", False, b"a\r\n. \r\n"),
    (b"a\n.\rb\n", b"a\r\n. b\r\n", False, b"a\r\n. b\r\n"),
    (b"a.\n.\n", b"a.\r\n", True, b"a.\r\n.\r\n"),
    (b"\n\n", b"\r\n\r\n", False, b"\r\n\r\n"),
]


def fed(pieces: list[bytes], dot: bool) -> tuple[bytes, bool]:
    """Everything that comes out when the pieces go in one after the other."""
    normaliser = Normaliser(dot)
    out = b"".join([normaliser.feed(piece) for piece in pieces]) + normaliser.finish()
    return out, normaliser.ended


@pytest.mark.parametrize(("given_", "dotted", "ended", "plain"), TABLE)
def test_turns_every_line_end_into_crlf(given_: bytes, dotted: bytes, ended: bool, plain: bytes) -> None:
    """Whole and one octet at a time, with the lone dot and without."""
    octets = [given_[i : i + 1] for i in range(len(given_))]
    assert fed([given_], dot=True) == fed(octets, dot=True) == (dotted, ended)
    assert fed([given_], dot=False) == fed(octets, dot=False) == (plain, False)


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b".", b"\0", b"x", b"\r\n", b"\n."]), max_size=40),
    st.integers(1, 9),
)
def test_output_does_not_depend_on_how_the_input_is_cut(parts: list[bytes], step: int) -> None:
    """Any cut, the same text; and no bare CR or LF in it."""
    octets = b"".join(parts)
    pieces = [octets[i : i + step] for i in range(0, len(octets), step)]
    for dot in (True, False):
        out, ended = fed(pieces, dot)
        assert (out, ended) == fed([octets], dot)
        assert b"\r" not in out.replace(b"\r\n", b"")
        assert b"\n" not in out.replace(b"\r\n", b"")
        assert out == b"" or out.endswith(b"\r\n")
