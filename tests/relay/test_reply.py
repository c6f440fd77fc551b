"""Replies: what is one, however it is cut, and what is none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.relay.faults import ProtocolFault
from sendmail_py.relay.reply import Reply
from sendmail_py.relay.reply_reader import ReplyReader

# octets, then (code, enhanced status, lines) of each reply
GOOD: list[tuple[bytes, list[tuple[int, str, list[bytes]]]]] = [
    (b"220 mail.example.net ESMTP\r\n", [(220, "", [b"mail.example.net ESMTP"])]),
    (b"250 2.1.0 Ok\r\n", [(250, "2.1.0", [b"2.1.0 Ok"])]),
    (b"250\r\n", [(250, "", [b""])]),
    (b"250 \r\n", [(250, "", [b""])]),
    (b"250-\r\n250\r\n", [(250, "", [b"", b""])]),
    (b"250 ok\n", [(250, "", [b"ok"])]),
    (b"250-a\r\n250-b\r\n250 c\r\n", [(250, "", [b"a", b"b", b"c"])]),
    (b"250-a\n250 b\r\n", [(250, "", [b"a", b"b"])]),
    (b"550 5.1.1\r\n", [(550, "5.1.1", [b"5.1.1"])]),
    (b"550 4.1.1 class and code differ\r\n", [(550, "", [b"4.1.1 class and code differ"])]),
    (b"550 5.1.1234 no\r\n", [(550, "", [b"5.1.1234 no"])]),
    (b"550 5.1.1no\r\n", [(550, "", [b"5.1.1no"])]),
    (b"250 NUL \0 and \xff\r\n", [(250, "", [b"NUL \0 and \xff"])]),
    (b"299 odd\r\n", [(299, "", [b"odd"])]),
    (b"559 odd\r\n", [(559, "", [b"odd"])]),
    (b"354 go\r\n250 2.0.0 ok\r\n", [(354, "", [b"go"]), (250, "2.0.0", [b"2.0.0 ok"])]),
    (b"250 " + b"x" * 2000 + b"\r\n", [(250, "", [b"x" * 2000])]),
    (b"250-x\r\n" * 99 + b"250 x\r\n", [(250, "", [b"x"] * 100)]),
]

# RFC 3463 2, RFC 2034 4: at the start of the text, its class equal to the first digit of the code.
ENHANCED = re.compile(rb"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:[ \t]|$)")

BAD = [
    b"hello\r\n",
    b"\r\n",
    b"25\r\n",
    b"2500 ok\r\n",
    b"250ok\r\n",
    b"250\tok\r\n",
    b"150 ok\r\n",
    b"199 ok\r\n",
    b"560 no\r\n",
    b"599 no\r\n",
    b"600 no\r\n",
    b"999 no\r\n",
    b" 250 ok\r\n",
    b"\xb2\xb3\xb9 digits of another alphabet\r\n",
    b"250-a\r\n550 b\r\n",
    b"250-a\r\nb\r\n",
    b"250 " + b"x" * 3000 + b"\r\n",
    b"x" * 3000,
    b"250-x\r\n" * 101,
    (b"250-" + b"x" * 1500 + b"\r\n") * 50,
    b"HTTP/1.1 400 Bad Request\r\n",
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\n",
]


def replies(pieces: list[bytes]) -> list[tuple[int, str, list[bytes]]]:
    """All replies that come out of the reader, piece by piece."""
    reader, found = ReplyReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.take()) is not None:
            found.append((reply.code, reply.enhanced, reply.lines))
    assert not reader.pending
    return found


@pytest.mark.parametrize(("octets", "expected"), GOOD)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
def test_reads_replies_however_they_are_cut(
    octets: bytes, expected: list[tuple[int, str, list[bytes]]], size: int
) -> None:
    assert replies([octets[at : at + size] for at in range(0, len(octets), size)]) == expected


@pytest.mark.parametrize("octets", BAD)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_nonsense_is_a_fault_of_the_server(octets: bytes, size: int) -> None:
    reader = ReplyReader()
    with pytest.raises(ProtocolFault):
        for at in range(0, len(octets), size):
            reader.feed(octets[at : at + size])
            while reader.take() is not None:
                pass


def test_an_endless_reply_is_cut_off_within_its_limits() -> None:
    reader = ReplyReader()
    with pytest.raises(ProtocolFault, match="without end"):
        for _ in range(1000):
            reader.feed(b"250-more\r\n")
            reader.take()


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_octets_give_replies_or_a_fault_and_the_cut_does_not_matter(octets: bytes, size: int) -> None:
    def outcome(step: int) -> list[tuple[int, list[bytes]]] | str:
        reader, found = ReplyReader(), []
        try:
            for at in range(0, len(octets), step):
                reader.feed(octets[at : at + step])
                while (reply := reader.take()) is not None:
                    found.append((reply.code, reply.lines))
        except ProtocolFault:
            return f"fault after {len(found)}"
        return found

    assert outcome(size) == outcome(1)


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([b"5.1.1 No such user", b"5.1.1 Try another"], "550 5.1.1 No such user Try another"),
        ([b"no", b"really no"], "550 no really no"),
        ([b"colour \x1b[31m and bell \x07"], "550 colour \\x1b[31m and bell \\x07"),
        ([b""], "550"),
        ([b"x" * 5000], None),
    ],
)
def test_text_is_one_printable_line(lines: list[bytes], text: str | None) -> None:
    shown = Reply(550, lines).text
    assert shown.isprintable()
    assert len(shown) <= 515
    assert text is None or shown == text


@given(
    st.sampled_from([250, 450, 550]), st.from_regex(rb"[2456]?\.?[0-9]{0,4}\.?[0-9]{0,4}[ \t.x]?[^\r\n]{0,3}")
)
def test_an_enhanced_code_is_what_the_expression_says(code: int, text: bytes) -> None:
    text = text.replace(b"\n", b"")
    found = ENHANCED.match(text)
    expected = found[0].strip().decode() if found and int(found[1]) == code // 100 else ""
    assert Reply(code, [text]).enhanced == expected
