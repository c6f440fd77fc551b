"""Header fields on the wire: folded, never changed in what they say, and only if they must be."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.relay import fields


def unfolded(field: bytes) -> bytes:
    """RFC 5322 2.2.3."""
    return field.replace(b"\r\n", b"")


def longest(field: bytes) -> int:
    """Octets of the longest line."""
    return max(map(len, field.split(b"\r\n")))


UNTOUCHED = [
    b"Subject: x\r\n",
    b"Subject:\r\n",
    b"X-Odd :  two  blanks \t\r\n\tand more\r\n",
    b"X: " + b"x" * 995 + b"\r\n",
    b"DKIM-Signature: v=1; b=" + b"x" * 900 + b"\r\n\t" + b"y" * 900 + b"\r\n",
]


@pytest.mark.parametrize("field", UNTOUCHED)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_field_that_fits_stays(field: bytes, ascii_only: bool) -> None:
    assert fields.fit(field, ascii_only) == field


def test_raw_text_may_stay_where_it_is_welcome() -> None:
    field = "Subject: Grüße\r\n".encode()
    assert fields.fit(field, ascii_only=False) == field


KINDS = [
    ("Subject: Grüße", "Subject: =?utf-8?B?R3LDvMOfZQ==?="),
    ("X-Anything: Grüße <a@b>", "X-Anything: =?utf-8?B?R3LDvMOfZQ==?= <a@b>"),
    ("From: Jörg <a@b>", "From: =?utf-8?B?SsO2cmc=?= <a@b>"),
    ("Resent-CC: jörg@b", "Resent-CC: jörg@b"),
    ("Received: by x (Jörg)", "Received: by x (=?utf-8?B?SsO2cmc=?=)"),
    ("Message-ID: <jörg@x>", "Message-ID: <jörg@x>"),
    ("Content-Type: a/b; name=ü", "Content-Type: a/b; name*=utf-8''%C3%BC"),
    ("Content-Description: ü", "Content-Description: =?utf-8?B?w7w=?="),
]


@pytest.mark.parametrize(("field", "new"), KINDS)
def test_every_kind_of_field_has_its_way(field: str, new: str) -> None:
    assert fields.fit(f"{field}\r\n".encode(), ascii_only=True).decode() == f"{new}\r\n"


def test_lines_with_encoded_words_have_at_most_76_octets() -> None:
    field = ("Subject: " + "Grüße aus Köln und anderswo " * 30 + "\r\n").encode()
    assert longest(fields.fit(field, ascii_only=True)) <= 76


FOLDED = [
    (b"X: " + b"a" * 500 + b" " + b"b" * 600, [503, 601]),
    (b"X: " + b"a" * 2000, [2, 998, 998, 7]),
    (b"X: a" + b" " * 3000 + b"b", [998, 2]),
    (b"X: a" + b" " * 3000, [4]),
    (b"X:" + b" " * 3000 + b"b", [998, 2]),
    (b"X" * 1500 + b": b", [9, 998, 1513 - 9 - 998 + 1]),
]


@pytest.mark.parametrize(("line", "lengths"), FOLDED)
def test_folds_at_blanks_and_cuts_what_has_none(line: bytes, lengths: list[int]) -> None:
    new = fields.fit(line + b"\r\n", ascii_only=False)
    assert [len(one) for one in new.removesuffix(b"\r\n").split(b"\r\n")] == lengths
    assert new.replace(b"\r\n", b"").replace(b" ", b"").endswith(line.replace(b" ", b""))


WORDS = st.lists(
    st.tuples(st.integers(1, 30).map(lambda n: b" " * n), st.integers(1, 400).map(lambda n: b"x" * n))
)


@given(WORDS, st.sampled_from([76, 998]))
def test_unfolding_gives_the_text_back(some: list[tuple[bytes, bytes]], width: int) -> None:
    field = b"X-Y:" + b"".join([blank + word for blank, word in some]) + b"\r\n"
    new = fields.fold(field, width)
    assert unfolded(new) == unfolded(field)
    assert all(line.strip() for line in new.removesuffix(b"\r\n").split(b"\r\n"))
    assert longest(new) <= 998


@given(
    st.lists(
        st.sampled_from(
            [b" ", b"\t", b"\r\n ", b"x", b"y" * 990, b"\xc3\xbc", b"\xff", b",", b"<", b'"', b"("]
        )
    )
)
def test_no_line_is_ever_too_long_or_blank(some: list[bytes]) -> None:
    for name in (b"Subject", b"To", b"Received", b"Content-Type", b"X-Y"):
        field = name + b": z" + b"".join(some) + b"\r\n"
        for ascii_only in (False, True):
            new = fields.fit(field, ascii_only)
            lines = new.removesuffix(b"\r\n").split(b"\r\n")
            assert max(map(len, lines)) <= 998
            assert lines[0].startswith(name + b":")
            assert all(line.startswith((b" ", b"\t")) for line in lines[1:])


HOSTILE = [
    pytest.param(lambda n: b"X: " + b"x" * n, id="a-long-word"),
    pytest.param(lambda n: b"X: x" + b" " * n + b"y", id="blanks"),
    pytest.param(lambda n: b"Subject: " + b"\xff " * (n // 2), id="many-raw-words"),
    pytest.param(lambda n: b"Subject: " + b"\xc3\xbc" * (n // 2), id="one-raw-word"),
    pytest.param(lambda n: b"To: " + b"\xff <a@b>, " * (n // 9), id="many-addresses"),
    pytest.param(lambda n: b"To: (\xff" + b"(\\" * (n // 2), id="an-open-comment"),
    pytest.param(lambda n: b"To: \xff" + b'"a' * (n // 2), id="quotes"),
    pytest.param(lambda n: b"Content-Type: a/b" + b"; n=\xff" * (n // 5), id="many-parameters"),
    pytest.param(lambda n: b"X: \xff" + b"\r\n y" * (n // 4), id="many-lines"),
]


@pytest.mark.parametrize("make", HOSTILE)
def test_hostile_fields_take_linear_time(make) -> None:  # type: ignore[no-untyped-def]
    seconds = []
    for n in (250_000, 1_000_000):
        field = make(n) + b"\r\n"
        begin = time.process_time()
        new = fields.fit(field, ascii_only=True)
        seconds.append(time.process_time() - begin)
        assert longest(new) <= 998
    assert seconds[1] < 12 * seconds[0] + 0.1, seconds
