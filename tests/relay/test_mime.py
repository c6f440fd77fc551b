"""The structure of messages: every octet comes out again, parts are found as readers find them."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.relay import mime

KINDS = ("start", "field", "blank", "body", "between", "delimiter", "mbox")
MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
NESTED = b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n" + MIXED


def events(message: bytes, size: int = 1 << 20) -> list[tuple[str, bytes]]:
    """What the parser makes of a message that is cut every `size` octets; neighbouring pieces are joined."""
    return joined(message[at : at + size] for at in range(0, len(message), size))


def joined(chunks: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """Events with neighbouring pieces of a body in one."""
    found: list[tuple[str, bytes]] = []
    for kind, octets in mime.Parser(chunks).events():
        name = KINDS[kind]
        if name in ("body", "between") and found and found[-1][0] == name:
            found[-1] = (name, found[-1][1] + octets)
        elif octets or name in ("start", "blank"):
            found.append((name, octets))
    return [one for one in found if one != ("body", b"")]


def bodies(message: bytes) -> list[bytes]:
    """The bodies of the leaves."""
    return [octets for kind, octets in events(message) if kind == "body"]


STRUCTURES = [
    pytest.param(b"Subject: x\r\n\r\nbody\r\n", [b"body\r\n"], id="no-mime"),
    pytest.param(MIXED + b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n", [b"one", b"two"], id="two-parts"),
    pytest.param(MIXED + b"--b\r\n\r\none\r\n\r\n--b--\r\n", [b"one\r\n"], id="an-empty-line-at-the-end"),
    pytest.param(MIXED + b"--b \t\r\n\r\none\r\n--b-- \r\n", [b"one"], id="blanks-behind-delimiters"),
    pytest.param(
        MIXED + b"--b\r\n\r\none\r\n--bb\r\n--b--\r\n", [b"one\r\n--bb"], id="only-whole-lines-delimit"
    ),
    pytest.param(MIXED + b"--b\r\n\r\none\r\n", [b"one\r\n"], id="no-end"),
    pytest.param(MIXED + b"--b\r\n--b\r\n\r\n--b--\r\n", [], id="empty-parts"),
    pytest.param(MIXED + b"--b\r\nno header\r\n--b--\r\n", [b"no header"], id="no-empty-line"),
    pytest.param(MIXED + b"--b\r\nX: 1\r\nno field\r\n--b--\r\n", [b"no field"], id="header-without-end"),
    pytest.param(
        NESTED + b"--b\r\n\r\n1\r\n--o\r\n\r\n2\r\n--o--\r\n", [b"1", b"2"], id="ends-with-the-outer-one"
    ),
    pytest.param(NESTED + b"--b\r\n\r\n1\r\n--b--\r\n--o--\r\n", [b"1"], id="two-ends"),
    pytest.param(
        MIXED + b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nin\r\n--b--\r\n",
        [b"in"],
        id="a-message-within",
    ),
    pytest.param(
        MIXED + b"--b\r\nContent-Type: message/rfc822\r\n\r\nFrom a@b today\r\nX: y\r\n\r\nin\r\n--b--\r\n",
        [b"in"],
        id="a-message-from-a-mailbox-file",
    ),
    pytest.param(
        b"Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: y\r\n\r\nin\r\n--d--\r\n",
        [b"in"],
        id="digest",
    ),
    pytest.param(
        b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\n1\r\n", [b"--b\r\n\r\n1\r\n"], id="no-boundary"
    ),
    pytest.param(
        b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n1\r\n--b--\r\n",
        [b"--b\r\n\r\n1\r\n--b--\r\n"],
        id="signed",
    ),
    pytest.param(
        MIXED.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: Base64\r\n\r\n") + b"--b\r\n\r\n1\r\n",
        [b"--b\r\n\r\n1\r\n"],
        id="encoded-although-it-must-not-be",
    ),
    pytest.param(
        b'Content-Type: multipart/mixed;\r\n x="; boundary=no";\r\n BOUNDARY="a\\b c"\r\n\r\n'
        b"--ab c\r\n\r\n1\r\n--ab c--",
        [b"1"],
        id="a-quoted-boundary",
    ),
    pytest.param(
        b"Content-Type: multipart/mixed; boundary*1=2; boundary*0=1\r\n\r\n--12\r\n\r\n1\r\n--12--",
        [b"1"],
        id="a-boundary-in-pieces",
    ),
]


@pytest.mark.parametrize(("message", "found"), STRUCTURES)
def test_finds_the_bodies(message: bytes, found: list[bytes]) -> None:
    assert bodies(message) == found


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64])
@pytest.mark.parametrize(("message", "found"), STRUCTURES)
def test_events_do_not_depend_on_cuts(message: bytes, found: list[bytes], size: int) -> None:
    assert events(message, size) == events(message)


LINES = (
    b"--b", b"--b--", b"--o", b"--o--", b"-", b"--", b"", b" ", b"text", b"From a@b", b"X: y", b" folded",
    b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: multipart/digest; boundary=o",
    b"Content-Type: message/rfc822", b"Content-Transfer-Encoding: base64", b"--b" + b" " * 999, b"y" * 1005,
)  # fmt: skip


@given(st.lists(st.sampled_from(LINES)), st.integers(1, 40))
def test_every_octet_comes_out_again(lines: list[bytes], size: int) -> None:
    message = b"".join([line + b"\r\n" for line in lines])
    found = events(message, size)
    assert b"".join([octets for _, octets in found]) == message
    assert found == events(message)


@given(st.binary(), st.integers(1, 9))
def test_whatever_it_is_comes_out_again(message: bytes, size: int) -> None:
    assert b"".join([octets for _, octets in events(message, size)]) == message


def test_a_line_without_end_is_not_gathered() -> None:
    chunks = [MIXED + b"--b\r\n", *[b"y" * 65536] * 64]
    assert max(len(octets) for _, octets in mime.Parser(chunks).events()) < 300_000


def nested(levels: int) -> bytes:
    """Multiparts within multiparts."""
    opened = [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(levels)]
    return b"".join(opened) + b"\r\n\r\n"


HOSTILE = [
    pytest.param(nested, 10_000, id="nested-multiparts"),
    pytest.param(lambda n: b"Content-Type: message/rfc822\r\n\r\n" * n, 10_000, id="nested-messages"),
    pytest.param(lambda n: MIXED + b"--b\r\n\r\n" * n, 20_000, id="many-parts"),
    pytest.param(lambda n: MIXED + b"--c\r\n" * n, 100_000, id="many-lines-like-delimiters"),
    pytest.param(lambda n: MIXED + b"--b\r\n" + b"x" * n, 5_000_000, id="a-line-where-a-header-should-be"),
    pytest.param(lambda n: MIXED + b"--b\r\nX: " + b"x" * n, 5_000_000, id="a-field-without-end"),
    pytest.param(
        lambda n: b"Content-Type: multipart/mixed" + b"; a" * n + b"\r\n\r\n", 300_000, id="parameters"
    ),
    pytest.param(lambda n: b"X: 1\r\n" * n, 100_000, id="many-fields"),
    pytest.param(lambda n: b"X: 1\r\n" + b" y\r\n" * n, 300_000, id="many-continuation-lines"),
]


@pytest.mark.parametrize(("make", "n"), HOSTILE)
def test_hostile_structures_take_linear_time(make, n: int) -> None:  # type: ignore[no-untyped-def]
    seconds = []
    for message in (make(n), make(4 * n)):
        chunks = [message[at : at + 65536] for at in range(0, len(message), 65536)]
        begin = time.process_time()
        for _ in mime.Parser(chunks).events():
            pass
        seconds.append(time.process_time() - begin)
    assert seconds[1] < 12 * seconds[0] + 0.1, seconds
