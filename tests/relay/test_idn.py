"""relay/idn.py: domains beyond ASCII in ASCII."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.mail import address
from sendmail_py.relay import idn, words


@pytest.mark.parametrize(
    ("mailbox", "wanted"),
    [
        ("ann@a.example", "ann@a.example"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@mail.bücher.example", "ann@mail.xn--bcher-kva.example"),
        ("ann@例え.テスト", "ann@xn--r8jz45g.xn--zckzah"),
        ('"a b"@bücher.example', '"a b"@xn--bcher-kva.example'),
        # another domain than strasse.example, which the mapping of IDNA 2003 would give
        ("ann@straße.example", "ann@xn--strae-oqa.example"),
        ("ann@βόλος.example", "ann@xn--nxasmm1c.example"),
        # no form in ASCII
        ("josé@bücher.example", "josé@bücher.example"),
        ("josé@a.example", "josé@a.example"),
        ("ann@" + "ü" * 80 + ".example", "ann@" + "ü" * 80 + ".example"),
        ("ann@" + "ü" * 1_000_000, "ann@" + "ü" * 1_000_000),
        ("ann", "ann"),
        ("jörg", "jörg"),
    ],
    ids=range(14),
)
def test_a_domain_has_the_form_that_every_server_takes(mailbox: str, wanted: str) -> None:
    assert idn.in_ascii(mailbox.encode()) == wanted.encode()


@given(st.text(max_size=12), st.text(max_size=12))
def test_what_comes_out_fits_or_is_what_came_in(local: str, domain: str) -> None:
    given_ = f"{local}@{domain}.example".encode("utf-8", "surrogatepass")
    new = idn.in_ascii(given_)
    if new != given_:
        assert new.isascii()
        assert address.domain_fault(address.split(new)[1]) == ""
        assert address.split(new)[0] == address.split(given_)[0]
        assert idn.in_ascii(new) == new


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (" Jörg <ann@bücher.example>", " =?utf-8?B?SsO2cmc=?= <ann@xn--bcher-kva.example>"),
        (" ann@bücher.example (Jörg)", " ann@xn--bcher-kva.example (=?utf-8?B?SsO2cmc=?=)"),
        (" G: a@x, ann@bücher.example;", " G: a@x, ann@xn--bcher-kva.example;"),
        (" josé@bücher.example, ann@ü.example", " josé@bücher.example, ann@xn--tda.example"),
    ],
)
def test_so_has_an_address_in_the_header(value: str, wanted: str) -> None:
    assert words.structured(value.encode(), names=True) == wanted.encode()
