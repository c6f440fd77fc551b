"""The reply to EHLO: extensions are found, and nothing in there can do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.relay import ehlo
from sendmail_py.relay.reply import Reply


def test_the_first_line_is_a_greeting_and_no_extension() -> None:
    server = ehlo.from_reply(Reply(250, [b"PIPELINING", b"8BITMIME"]))
    assert not server.pipelining
    assert server.offers(b"8BITMIME")


@pytest.mark.parametrize(
    ("line", "size"),
    [
        (b"SIZE 10240000", 10240000),
        (b"size 1", 1),
        (b"SIZE", 0),
        (b"SIZE 0", 0),
        (b"SIZE " + b"9" * 5000, 0),
        (b"SIZE -1", 0),
        (b"SIZE 10M", 0),
        (b"SIZE \xb2", 0),
    ],
)
def test_size_is_a_number_or_nothing(line: bytes, size: int) -> None:
    assert ehlo.Server([line]).size == size


@pytest.mark.parametrize(
    ("lines", "mechanisms"),
    [
        ([b"AUTH PLAIN login"], [b"PLAIN", b"LOGIN"]),
        ([b"AUTH=PLAIN LOGIN"], [b"PLAIN", b"LOGIN"]),
        ([b"AUTH PLAIN", b"AUTH=LOGIN"], [b"PLAIN", b"LOGIN"]),
        ([b"AUTH"], []),
        ([], []),
    ],
)
def test_mechanisms_in_either_spelling(lines: list[bytes], mechanisms: list[bytes]) -> None:
    assert ehlo.Server(lines).mechanisms == mechanisms


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_lines_are_taken(lines: list[bytes]) -> None:
    ehlo.Server(lines)
