"""Content on the wire: dot-stuffed once, ended once, and nothing in it can end it early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.relay.content import BareLineEndError, stuffed

STUFFED = [
    (b"", b".\r\n"),
    (b"a\r\n", b"a\r\n.\r\n"),
    (b".\r\n", b"..\r\n.\r\n"),
    (b"..\r\n", b"...\r\n.\r\n"),
    (b".a\r\n.b\r\n", b"..a\r\n..b\r\n.\r\n"),
    (b"a.\r\nb.c\r\n", b"a.\r\nb.c\r\n.\r\n"),
    (b"\r\n.\r\n\r\n", b"\r\n..\r\n\r\n.\r\n"),
    (b"no end", b"no end\r\n.\r\n"),
    (b".", b"..\r\n.\r\n"),
]

BARE = [b"a\nb\r\n", b"\n.\r\n", b"a\r\n\n", b"a\r.\r\n", b"\r\r\n", b"a\r", b"\r", b"\n", b"a\r\n.\n"]


@pytest.mark.parametrize(("content", "wire"), STUFFED)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_stuffs_wherever_the_content_is_cut(content: bytes, wire: bytes, size: int) -> None:
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    assert b"".join(stuffed(chunks)) == wire


@pytest.mark.parametrize("content", BARE)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_bare_cr_or_lf_never_gets_an_end(content: bytes, size: int) -> None:
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    sent: list[bytes] = []
    with pytest.raises(BareLineEndError):
        sent.extend(stuffed(chunks))
    assert b"\r\n.\r\n" not in b"".join(sent)


@given(st.lists(st.text("ab.\r\n", max_size=8).map(str.encode), max_size=12))
def test_what_a_server_unstuffs_is_what_was_stored(chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    if content and not content.endswith(b"\r\n"):
        chunks, content = [*chunks, b"\r\n"], content + b"\r\n"
    try:
        wire = b"\r\n" + b"".join(stuffed(chunks))
    except BareLineEndError:
        plain = content.replace(b"\r\n", b"")
        assert b"\r" in plain or b"\n" in plain
        return
    assert wire.find(b"\r\n.\r\n") == len(wire) - 5
    assert wire[:-3].replace(b"\r\n.", b"\r\n")[2:] == content
