"""Encoded words: readers get the old text, blanks included, and what is not text for people stays."""

from __future__ import annotations

import re
from email.header import decode_header
from email.headerregistry import AddressHeader

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.relay import words

UNSTRUCTURED = [
    (" plain text\r\n", " plain text\r\n"),
    (" Grüße\r\n", " =?utf-8?B?R3LDvMOfZQ==?=\r\n"),
    (" Grüße aus Köln\r\n", " =?utf-8?B?R3LDvMOfZQ==?= aus =?utf-8?B?S8O2bG4=?=\r\n"),
    (" Größe  Köln\r\n", " =?utf-8?B?R3LDtsOfZSAgS8O2bG4=?=\r\n"),
    (" Größe\r\n Köln\r\n", " =?utf-8?B?R3LDtsOfZSBLw7Zsbg==?=\r\n"),
    (" =?utf-8?Q?a?= ü\r\n", " =?utf-8?Q?a?= =?utf-8?B?IMO8?=\r\n"),
    (" ü =?utf-8?Q?a?=\r\n", " =?utf-8?B?w7wg?= =?utf-8?Q?a?=\r\n"),
    ("ü\r\n", "=?utf-8?B?w7w=?=\r\n"),
]

STRUCTURED = [
    (' "Müller, Jörg" <a@b.example>\r\n', " =?utf-8?B?TcO8bGxlciwgSsO2cmc=?= <a@b.example>\r\n"),
    (" Jörg Müller <a@b.example>\r\n", " =?utf-8?B?SsO2cmcgTcO8bGxlcg==?= <a@b.example>\r\n"),
    (" Dr. Jörg X<a@b.example>\r\n", " Dr. =?utf-8?B?SsO2cmc=?= X<a@b.example>\r\n"),
    (
        " Jörg<a@b.example>,Jörg <c@d>\r\n",
        " =?utf-8?B?SsO2cmc=?= <a@b.example>, =?utf-8?B?SsO2cmc=?= <c@d>\r\n",
    ),
    (
        " a@b.example (Jörg \\) (Köln))\r\n",
        " a@b.example (=?utf-8?B?SsO2cmc=?= \\) (=?utf-8?B?S8O2bG4=?=))\r\n",
    ),
    (" Jörg <jörg@köln.example>\r\n", " =?utf-8?B?SsO2cmc=?= <jörg@köln.example>\r\n"),
    (" jörg@köln.example\r\n", " jörg@köln.example\r\n"),
    (" Größen: a@b.example;\r\n", " =?utf-8?B?R3LDtsOfZW4=?= : a@b.example;\r\n"),
    (' "Jörg <a@b.example>\r\n', ' "Jörg <a@b.example>\r\n'),
    (" Jörg <a@b.example\r\n", " =?utf-8?B?SsO2cmc=?= <a@b.example\r\n"),
]


@pytest.mark.parametrize(("value", "new"), UNSTRUCTURED)
def test_text_becomes_encoded_words(value: str, new: str) -> None:
    assert words.unstructured(value.encode()).decode() == new


@pytest.mark.parametrize(("value", "new"), STRUCTURED)
def test_names_and_comments_become_encoded_words(value: str, new: str) -> None:
    assert words.structured(value.encode(), names=True).decode() == new


def test_without_names_only_comments_change() -> None:
    value = " from ü by x (Jörg) id 1; Tue\r\n".encode()
    assert (
        words.structured(value, names=False) == " from ü by x (=?utf-8?B?SsO2cmc=?=) id 1; Tue\r\n".encode()
    )


def test_what_is_not_utf_8_keeps_its_octets() -> None:
    assert words.unstructured(b" Gr\xfcn\r\n") == b" =?iso-8859-1?B?R3L8bg==?=\r\n"


def test_a_long_word_is_encoded_if_wished() -> None:
    value = b" " + b"x" * 3000 + b" y\r\n"
    assert words.unstructured(value) == value
    new = words.unstructured(value, long_words=True)
    assert max(map(len, new.split())) <= 75
    assert decoded(new) == value.strip()


def decoded(value: bytes) -> bytes:
    """What the standard library reads, as octets."""
    pieces = decode_header(value.decode("ascii").replace("\r\n", ""))
    return b"".join([text.encode() if isinstance(text, str) else text for text, _ in pieces]).strip()


TEXTS = st.lists(
    st.text("ab=?ü€😀", min_size=1, max_size=40).filter(lambda word: "=?" not in word and "?=" not in word),
    min_size=1,
    max_size=8,
)


@given(TEXTS, st.sampled_from([" ", "  ", "\r\n ", "\t"]))
def test_readers_get_the_old_text(some: list[str], blank: str) -> None:
    value = (" " + blank.join(some) + "\r\n").encode()
    new = words.unstructured(value)
    assert decoded(new) == value.replace(b"\r\n", b"").strip()
    assert all(len(one) <= 75 for one in re.findall(rb"=\?\S+\?=", new))


NAMES = st.text("abü€, .", min_size=1, max_size=14).filter(lambda name: name == " ".join(name.split()))


@given(st.lists(NAMES, min_size=1, max_size=5))
def test_readers_get_the_old_names_and_addresses(some: list[str]) -> None:
    value = ", ".join(f'"{name}" <user{n}@x.example>' for n, name in enumerate(some))
    new = words.structured(f" {value}\r\n".encode(), names=True)
    assert new.isascii()
    read: dict[str, object] = {"defects": []}
    AddressHeader.parse(new.decode().strip(), read)
    found = [one for group in read["groups"] for one in group.addresses]  # type: ignore[attr-defined]
    assert [one.addr_spec for one in found] == [f"user{n}@x.example" for n in range(len(some))]
    assert [one.display_name for one in found] == some
