"""The fuzz target for header and address code: any octets in, only promises out.

`fuzz_one` takes octets and fails with an AssertionError when a promise is broken. tests/fuzz/run feeds it,
guided by coverage where atheris is installed; tests/fuzz/test_target.py plays a small corpus.
"""

from __future__ import annotations

import contextlib

from sendmail_py.errors import DataError
from sendmail_py.mail import address, addresslist, header
from sendmail_py.mail.lines import Normaliser


def fuzz_one(octets: bytes) -> None:
    """Play all of it on the same octets; the first says where the input is cut."""
    cut, text = (octets[0] + 1 if octets else 1), octets[1:]
    wire = normalised(text, cut)
    fields, body = split(wire, len(wire) or 1)
    assert split(wire, cut) == (fields, body)
    check_header(wire, fields, body)
    for field in fields:
        check_list(header.value(field))
    check_list(text)
    check_phrase(text)


def normalised(text: bytes, cut: int) -> bytes:
    """The message in wire form; it has no bare CR or LF, no NUL, and the same whole or cut."""
    wire = feed(text, cut)
    assert wire == feed(text, len(text) or 1)
    rest = wire.replace(b"\r\n", b"")
    assert b"\r" not in rest
    assert b"\n" not in rest
    assert b"\0" not in rest
    assert not wire or wire.endswith(b"\r\n")
    return wire


def feed(text: bytes, cut: int) -> bytes:
    """The text through a Normaliser in pieces of `cut` octets."""
    normaliser = Normaliser(dot=True)
    pieces = [normaliser.feed(text[at : at + cut]) for at in range(0, len(text), cut)]
    return b"".join(pieces) + normaliser.finish()


def split(wire: bytes, lines: int) -> tuple[list[bytes], bytes]:
    """Header fields and body, fed some lines at a time (a CRLF is never cut)."""
    splitter = header.Splitter()
    rest = [one + b"\n" for one in wire.split(b"\n")[:-1]]
    for at in range(0, len(rest), lines):
        piece = b"".join(rest[at : at + lines])
        if splitter.done:
            splitter.body += piece
        else:
            splitter.feed(piece)
    if not splitter.done:
        splitter.finish()
    return splitter.fields, splitter.body


def check_header(wire: bytes, fields: list[bytes], body: bytes) -> None:
    """Nothing is lost but From_ lines and one empty line; fields are whole, names are names."""
    assert wire.endswith(body)
    kept = sum(map(len, fields)) + len(body)
    dropped = len(wire) - kept
    assert dropped >= 0
    for field in fields:
        assert field in wire
        assert field.endswith(b"\r\n")
        assert header.name(field)
        assert header.rebuild(field, header.value(field)) == field


def check_list(text: bytes) -> None:
    """What is read as addresses stands where the spans say, and reading it again gives the same."""
    try:
        found = addresslist.parse_list(text)
    except DataError as fault:
        assert str(fault).isprintable()
        return
    end = 0
    for mailbox in found:
        assert end <= mailbox.start <= mailbox.end <= len(text)
        end = mailbox.end
        assert not set(mailbox.address) & set(b"\0\r\n")
        if mailbox.address and address.split(mailbox.address)[1]:
            with contextlib.suppress(DataError):
                address.check(mailbox.address)
                assert [one.address for one in addresslist.parse_list(mailbox.address)] == [mailbox.address]


def check_phrase(text: bytes) -> None:
    """A display name never makes a line of its own."""
    phrase = header.phrase(text.decode("utf-8", "surrogateescape"))
    assert not set(phrase) & set(b"\r\n\0")
