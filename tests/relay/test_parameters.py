"""Parameters: read as others read them, written as RFC 2231 says."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.relay import parameters

TYPES = [
    (b"text/plain", b"text/plain"),
    (b" Text/HTML; charset=x", b"text/html"),
    (b"\r\n multipart/mixed;\r\n boundary=x", b"multipart/mixed"),
    (b" text", b""),
    (b"", b""),
    (b" ;", b""),
]

BOUNDARIES = [
    (b"multipart/mixed; boundary=b", b"b"),
    (b"multipart/mixed;boundary = b ;x=y", b"b"),
    (b'multipart/mixed; Boundary="b c\\"d "', b'b c"d'),
    (b'multipart/mixed; x="; boundary=no"; boundary=yes', b"yes"),
    (b"multipart/mixed; boundary=one; boundary=two", b"one"),
    (b"multipart/mixed; boundary*0=on; boundary*1=e", b"one"),
    (b"multipart/mixed; boundary*=us-ascii''b", b""),
    (b"multipart/mixed; boundary", b""),
    (b'multipart/mixed; boundary=""', b""),
    (b"multipart/mixed; boundary=" + b"x" * 20_000, b""),
]

ENCODED = [
    (" a/b; name=x", " a/b; name=x"),
    (" a/b; name=Grün.pdf; size=1", " a/b; name*=utf-8''Gr%C3%BCn.pdf; size=1"),
    (' a/b; name="Grün \\"1\\".pdf"', " a/b; name*=utf-8''Gr%C3%BCn%20%221%22.pdf"),
    (" a/b; name=Grün 1.pdf ; size=1", " a/b; name*=utf-8''Gr%C3%BCn%201.pdf ; size=1"),
    (" a/b; name*=utf-8''Grün", " a/b; name*=utf-8''Gr%C3%BCn"),
    (" a/b; name*0=Grün", " a/b; name*0=Grün"),
    (" a/b; boundary=Grün", " a/b; boundary=Grün"),
]


@pytest.mark.parametrize(("value", "found"), TYPES)
def test_reads_the_media_type(value: bytes, found: bytes) -> None:
    assert parameters.media_type(b"Content-Type:" + value) == found


@pytest.mark.parametrize(("value", "found"), BOUNDARIES)
def test_reads_the_boundary(value: bytes, found: bytes) -> None:
    assert parameters.boundary(b"Content-Type: " + value + b"\r\n") == found


@pytest.mark.parametrize(("value", "new"), ENCODED)
def test_writes_what_is_not_ascii(value: str, new: str) -> None:
    assert parameters.encoded(value.encode()).decode() == new


def test_what_is_not_utf_8_keeps_its_octets() -> None:
    assert parameters.encoded(b" a/b; name=Gr\xfcn") == b" a/b; name*=iso-8859-1''Gr%FCn"


@given(st.text("abü€😀 ;='*%", min_size=1, max_size=150).filter(lambda name: not name.isascii()))
def test_readers_get_the_old_value(name: str) -> None:
    field = b"Content-Disposition:" + parameters.encoded(f' attachment; filename="{name}"; size=1'.encode())
    assert field.isascii()
    assert max(map(len, field.split(b"\r\n"))) < 200
    read = message_from_bytes(field + b"\r\n\r\n", policy=default)["content-disposition"]
    assert read.params["filename"] == name
    assert read.params["size"] == "1"
