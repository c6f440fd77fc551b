"""Messages on the wire: untouched if they can be, else changed so that readers get the same."""

from __future__ import annotations

import base64
import email
import time
import tracemalloc
from collections.abc import Callable, Iterator
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.relay import recode
from sendmail_py.relay.long_lines import ConversionError
from sendmail_py.relay.transaction import Content, Wire

EIGHT, SEVEN, UTF8 = Wire(True, False), Wire(False, False), Wire(True, True)
CRLF = b"\r\n"
LONG = b"x" * 999
MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"


def stored(message: bytes, size: int = 1 << 20) -> Content:
    """The message as the spool gives it, cut every `size` octets."""
    chunks = [message[at : at + size] for at in range(0, len(message), size)]
    return Content(lambda: chunks, len(message), not message.isascii())


def sent(message: bytes, wire: Wire, size: int = 1 << 20) -> bytes:
    """What leaves; its size and its kind are what was promised, and every line fits."""
    content = recode.fit(stored(message, size), wire)
    octets = b"".join(content.chunks())
    assert content.size == len(octets)
    assert content.eight_bit == (not octets.isascii())
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert octets == b"".join(content.chunks())
    return octets


def crlf(text: str) -> bytes:
    """A message as it is stored."""
    return text.encode().replace(b"\n", b"\r\n")


NOTHING_NEEDED = [
    pytest.param(b"", SEVEN, id="empty"),
    pytest.param(b"\r\nbody\r\n", SEVEN, id="no-header"),
    pytest.param(b"Subject: x\r\n\r\n" + b"x" * 998 + b"\r\n.\r\n \r\n", SEVEN, id="plain"),
    pytest.param(crlf("Subject: x\n\nGrüße\n"), EIGHT, id="8-bit-body"),
    pytest.param(crlf("Subject: Grüße\n\nGrüße\n"), UTF8, id="utf-8-header"),
    pytest.param(
        crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nX: ü\n\nGrüße\n--b--\n"), EIGHT, id="part"
    ),
    pytest.param(b"Subject: x\r\n\r\n" + b"\xff\r\n" * 99, EIGHT, id="not-utf-8"),
]


@pytest.mark.parametrize(("message", "wire"), NOTHING_NEEDED)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_message_that_needs_nothing_is_the_stored_one(message: bytes, wire: Wire, size: int) -> None:
    content = stored(message, size)
    assert recode.fit(content, wire) is content


X = "x" * 75

# The stored message, "=>", and what leaves for a server that takes 8-bit bodies, or 7-bit ones only.
EXAMPLES = {
    "8: only the header": """\
Subject: Grüße

Grüße
=>
Subject: =?utf-8?B?R3LDvMOfZQ==?=

Grüße
""",
    "7: no MIME header": """\
Subject: x

Grüße an alle
Leserinnen und Leser
=>
Subject: x
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe an alle
Leserinnen und Leser
""",
    "7: what nobody could read in quoted-printable": """\
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

日本語
=>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

5pel5pys6KqeDQo=
""",
    "7: two encodings, of which readers know the first": """\
content-transfer-encoding: 8bit
Content-Transfer-Encoding: 7bit
Content-Type: text/plain

grün und blau
=>
content-transfer-encoding: quoted-printable
Content-Type: text/plain
MIME-Version: 1.0

gr=C3=BCn und blau
""",
    "7: parts, a message within, and text that belongs to no part": """\
Content-Type: multipart/mixed; boundary=b
Content-Transfer-Encoding: 8bit

ü
--b

plain
--b
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Subject: ü

grün und blau
--b--
ü
=>
Content-Type: multipart/mixed; boundary=b
Content-Transfer-Encoding: 7bit

=C3=BC
--b

plain
--b
Content-Type: message/rfc822
Content-Transfer-Encoding: 7bit

Subject: =?utf-8?B?w7w=?=
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

gr=C3=BCn und blau
--b--
=C3=BC
""",
    "8: a part without header has a long line": f"""\
Content-Type: multipart/mixed; boundary=b

--b
no header: {X * 14}yy
--b

Grüße
--b--
=>
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: quoted-printable

no header: {X[:64]}=
{f"{X}=%" * 13}{X[:11]}yy
--b

Grüße
--b--
""".replace("%", "\n"),
    "7: a signed part": """\
Subject: Grüße
Content-Type: multipart/signed; boundary=b

--b

Grüße
--b--
=>
Subject: =?utf-8?B?R3LDvMOfZQ==?=
Content-Type: multipart/signed; boundary=b

--b

Grüße
--b--
""",
    "7: 8-bit text in quoted-printable": """\
Content-Transfer-Encoding: quoted-printable

1=3D1 und ü
=>
Content-Transfer-Encoding: quoted-printable

1=3D1 und =C3=BC
""",
}


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_changes_what_must_change(example: str, size: int) -> None:
    message, _, expected = crlf(EXAMPLES[example]).partition(b"=>\r\n")
    assert sent(message, EIGHT if example.startswith("8") else SEVEN, size) == expected


def test_only_fields_that_are_not_utf_8_change_where_utf_8_is_welcome() -> None:
    message = "Subject: Grüße\r\nX: ".encode() + b"\xff\r\n\r\nx\r\n"
    assert sent(message, UTF8) == "Subject: Grüße\r\nX: =?iso-8859-1?B?/w==?=\r\n\r\nx\r\n".encode()


def test_an_address_beyond_ascii_stays() -> None:
    message = crlf("From: Jörg <jörg@x.example>\n\nx\n")
    assert sent(message, EIGHT) == crlf("From: =?utf-8?B?SsO2cmc=?= <jörg@x.example>\n\nx\n")


def test_a_long_line_in_a_signed_part_is_refused() -> None:
    with pytest.raises(ConversionError, match="signed or encrypted"):
        sent(
            b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + LONG + b"\r\n--b--\r\n", EIGHT
        )


def test_a_signed_part_beside_a_long_line_is_untouched() -> None:
    signed = b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nsigned \xff\r\n--s--\r\n"
    message = MIXED + signed + b"--b\r\n\r\n" + LONG + b"\r\n--b--\r\n"
    assert signed in sent(message, SEVEN)


# --- what readers get ---------------------------------------------------------------------------------------

LINES = st.lists(
    st.sampled_from(
        [b"", b" ", b"plain", b"--", b"--b", b"--no", b".", b"From x", b"x: y", b"a=3D=", "grün".encode(),
         b"\xff\xfe", LONG, b"word " * 250, "日本語".encode() * 200, b"tab\t", b"blank "]
    )
)  # fmt: skip
BODIES = LINES.map(b"\r\n".join)
TYPES = st.sampled_from([b"", b"text/plain; charset=utf-8", b"application/octet-stream", b"text/html"])
ENCODINGS = st.sampled_from([b"", b"7bit", b"8bit", b"binary", b"8-bit", b"quoted-printable", b"base64"])
Part = tuple[bytes, bytes]  # header, body


def leaf(kind: bytes, encoding: bytes, body: bytes) -> Part:
    """A part; one in base64 is one line."""
    head = b"Content-Type: %s\r\n" % kind if kind else b""
    if encoding:
        head += b"Content-Transfer-Encoding: %s\r\n" % encoding
    return head, base64.b64encode(body) if encoding == b"base64" else body


def multipart(parts: list[Part], before: bytes, after: bytes, kind: bytes) -> Part:
    """A multipart, its boundary not that of anything within."""
    boundary = sum(len(head) + len(body) for head, body in parts)
    head = b'Content-Type: multipart/%s; boundary="=_%d"\r\n' % (kind, boundary)
    mark = b"\r\n--=_%d" % boundary
    inner = b"".join([mark + CRLF + head_of_one + CRLF + body for head_of_one, body in parts])
    return head, before + inner + mark + b"--\r\n" + after


def enclosed(part: Part) -> Part:
    """A message in a message."""
    head, body = part
    return b"Content-Type: message/rfc822\r\n", b"Subject: in\r\n" + head + CRLF + body


LEAVES = st.builds(leaf, TYPES, ENCODINGS, BODIES)
KINDS = st.sampled_from([b"mixed", b"alternative"])
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(multipart, st.lists(inner, min_size=1, max_size=3), BODIES, BODIES, KINDS)
        | inner.map(enclosed)
    ),
    max_leaves=6,
)


def leaves(message: Message) -> Iterator[tuple[int, str, bytes]]:
    """Depth, type and decoded content of every leaf."""
    todo = [(0, message)]
    while todo:
        depth, one = todo.pop()
        if one.is_multipart():
            yield depth, one.get_content_type(), b""
            todo += [(depth + 1, part) for part in one.get_payload()]  # type: ignore[misc]
        else:
            content = one.get_payload(decode=True)
            assert isinstance(content, bytes)
            yield depth, one.get_content_type(), content


@given(TREES, st.integers(1, 3000), st.sampled_from([EIGHT, SEVEN]))
def test_readers_get_the_same_parts(tree: Part, size: int, wire: Wire) -> None:
    message = b"Subject: x\r\n" + tree[0] + b"\r\n" + tree[1] + b"\r\n"
    octets = sent(message, wire, size)
    assert octets == sent(message, wire)
    assert octets.isascii() or wire.eight_bit
    assert list(leaves(email.message_from_bytes(octets))) == list(leaves(email.message_from_bytes(message)))
    assert sent(octets, wire) == octets


@given(st.lists(st.binary(max_size=30) | st.just(LONG)), st.integers(1, 50), st.booleans())
def test_whatever_it_is_it_fits(some: list[bytes], size: int, eight_bit: bool) -> None:
    message = b"\r\n".join([line.replace(b"\r", b"").replace(b"\n", b"") for line in some]) + b"\r\n"
    wire = Wire(eight_bit, False)
    assert sent(message, wire, size) == sent(message, wire)


# --- memory and time ----------------------------------------------------------------------------------------


class Made:
    """A big message that is made while it is read."""

    def __init__(self, head: bytes, piece: bytes, end: bytes, size: int) -> None:
        self.head, self.piece, self.end = head, piece, end
        self.times = size // len(piece)

    def chunks(self) -> Iterator[bytes]:
        """Its chunks."""
        yield self.head
        for _ in range(self.times):
            yield self.piece
        yield self.end

    def content(self) -> Content:
        """As the spool gives it."""
        size = len(self.head) + len(self.piece) * self.times + len(self.end)
        return Content(self.chunks, size, True)


PLAIN_LINES = (b"x" * 75 + b"\r\n") * 851

BIG = [
    pytest.param(Made(b"Subject: x\r\n\r\n", PLAIN_LINES, b"", 1), EIGHT, id="nothing-to-do"),
    pytest.param(Made(b"Subject: x\r\n\r\n", b"x" * 65536, b"\r\n", 1), EIGHT, id="one-line"),
    pytest.param(Made(b"Subject: x\r\n\r\n", b"\xff\x00" * 32768, b"\r\n", 1), SEVEN, id="binary"),
    pytest.param(
        Made(MIXED + b"\r\n", ("grün und blau " * 4000).encode(), b"\r\n--b--\r\n", 1), SEVEN, id="text"
    ),
    pytest.param(
        Made(MIXED + b"Content-Transfer-Encoding: base64\r\n\r\n", b"QUJD" * 16384, b"\r\n--b--\r\n", 1),
        EIGHT,
        id="base64",
    ),
    pytest.param(Made(MIXED, b"y" * 65536, b"\r\n--b--\r\n", 1), EIGHT, id="a-line-where-a-header-should-be"),
]


@pytest.mark.parametrize(("made", "wire"), BIG)
def test_memory_does_not_grow_with_the_message(made: Made, wire: Wire) -> None:
    made.times = 4 * 1024 * 1024 // len(made.piece)
    tracemalloc.start()
    try:
        size = sum(map(len, recode.fit(made.content(), wire).chunks()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size >= made.times * len(made.piece)
    assert peak < 2_500_000


def nested(size: int) -> bytes:
    """Multiparts within multiparts."""
    head = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
    return b"".join([head % (level, level) for level in range(size // 55)])


TEXT = b"Subject: x\r\n\r\n"
HOSTILE: dict[str, Callable[[int], bytes]] = {
    "nested multiparts": nested,
    "nested messages": lambda n: b"Content-Type: message/rfc822\r\n\r\n" * (n // 32),
    "many parts": lambda n: MIXED + b"\r\n\xff\r\n--b\r\n" * (n // 12),
    "a long line": lambda n: TEXT + b"x" * n,
    "a long field": lambda n: b"Subject: " + b"x" * n,
    "lines like delimiters": lambda n: MIXED + b"\r\n" + b"--c\r\n" * (n // 5),
    "hyphens": lambda n: MIXED + b"\r\n" + b"\r\n--" * (n // 4),
    "blanks": lambda n: MIXED + b"\r\n\xff" + b" " * n,
    "equal signs": lambda n: b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * n,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_take_linear_time(name: str) -> None:
    seconds = []
    for n in (125_000, 500_000):
        message = HOSTILE[name](n) + b"\r\n" + LONG + b"\r\n"
        begin = time.process_time()
        sent(message, SEVEN, 65536)
        seconds.append(time.process_time() - begin)
    assert seconds[1] < 12 * seconds[0] + 0.2, seconds
