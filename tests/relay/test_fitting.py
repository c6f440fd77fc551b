"""Messages that need something, from the queue to servers that offer less."""

from __future__ import annotations

import email
from collections.abc import Sequence
from pathlib import Path

import pytest

from relay.flushing import World, smarthost
from support.smarthost import USUAL_EXTENSIONS, Message

LESS = tuple(word for word in USUAL_EXTENSIONS if word != "8BITMIME")
UTF8 = (*USUAL_EXTENSIONS, "SMTPUTF8")
CHUNKS = (*USUAL_EXTENSIONS, "CHUNKING")
TEXT = "Subject: x\r\n\r\nGrüße an alle Leserinnen\r\n".encode()
LONG = b"Subject: x\r\n\r\n" + b"x" * 2000 + b"\r\n"
BIG = b"Subject: x\r\n\r\n" + b"y" * 1_000_000 + b"\r\n"
SIGNED = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + b"x" * 999 + b"\r\n--b--\r\n"
NAMED = "Subject: Grüße\r\n\r\nx\r\n".encode()


def sent(
    folder: Path, content: bytes, extensions: Sequence[str], *recipients: bytes
) -> tuple[World, list[Message]]:
    """Queue and flush a message."""
    folder.mkdir(exist_ok=True)
    with smarthost(extensions=extensions) as host:
        world = World.beside(folder, host)
        world.put(*recipients or (b"b@y.example",), content=content)
        world.flush()
    assert host.violations == []
    return world, host.messages


def test_a_server_with_8bitmime_gets_the_octets(tmp_path: Path) -> None:
    _, (message,) = sent(tmp_path, TEXT, USUAL_EXTENSIONS)
    assert message.data == TEXT
    assert b"BODY=8BITMIME" in message.mail_params


def test_a_server_without_8bitmime_gets_ascii(tmp_path: Path) -> None:
    _, (message,) = sent(tmp_path, TEXT, LESS)
    assert message.data.isascii()
    assert b"SIZE=%d" % len(message.data) in message.mail_params
    assert not any(one.startswith(b"BODY") for one in message.mail_params)
    assert email.message_from_bytes(message.data).get_payload(decode=True) == TEXT.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("extensions", [USUAL_EXTENSIONS, CHUNKS, ()])
@pytest.mark.parametrize("content", [LONG, BIG])
def test_no_long_line_reaches_the_wire(tmp_path: Path, content: bytes, extensions: Sequence[str]) -> None:
    world, (message,) = sent(tmp_path, content, extensions)
    assert max(map(len, message.data.split(b"\r\n"))) <= 998
    assert (
        email.message_from_bytes(message.data).get_payload(decode=True) == content.partition(b"\r\n\r\n")[2]
    )
    assert world.files() == []


def test_a_long_line_under_a_signature_fails_with_a_clear_word(tmp_path: Path) -> None:
    world, messages = sent(tmp_path, SIGNED, USUAL_EXTENSIONS)
    assert messages == []
    assert "dsn=5.6.2, status=bounced" in world.log
    assert "signed or encrypted" in world.log


def test_the_header_is_raw_only_where_an_address_needs_it(tmp_path: Path) -> None:
    _, (message,) = sent(tmp_path / "a", NAMED, UTF8, "ü@y.example".encode())
    assert message.data == NAMED
    assert b"SMTPUTF8" in message.mail_params
    _, (message,) = sent(tmp_path / "b", NAMED, UTF8)
    assert message.data.isascii()
    assert b"SMTPUTF8" not in message.mail_params


def test_who_needs_smtputf8_fails_alone_where_it_lacks(tmp_path: Path) -> None:
    world, (message,) = sent(tmp_path, NAMED, USUAL_EXTENSIONS, "ü@y.example".encode(), b"b@y.example")
    assert [address for address, _ in message.rcpts] == [b"b@y.example"]
    assert "dsn=5.6.7, status=bounced" in world.log
    assert message.data.isascii()


def test_a_domain_beyond_ascii_needs_no_smtputf8(tmp_path: Path) -> None:
    content = "From: Jörg <joerg@bücher.example>\r\n\r\nx\r\n".encode()
    ann = "ann@bücher.example".encode()
    world, (message,) = sent(tmp_path / "a", content, USUAL_EXTENSIONS, ann, b"b@y.example")
    assert [one for one, _ in message.rcpts] == [b"ann@xn--bcher-kva.example", b"b@y.example"]
    assert message.data.startswith(b"From: =?utf-8?B?SsO2cmc=?= <joerg@xn--bcher-kva.example>\r\n")
    assert b"SMTPUTF8" not in message.mail_params
    assert world.files() == []
    _, (message,) = sent(tmp_path / "b", content, UTF8, ann)
    assert (message.rcpts[0][0], message.data) == (ann, content)
    assert b"SMTPUTF8" in message.mail_params


def test_all_recipients_get_the_same_content_made_once(tmp_path: Path) -> None:
    everybody = [b"user%d@y.example" % n for n in range(250)]
    _, messages = sent(tmp_path, LONG, USUAL_EXTENSIONS, *everybody)
    assert len(messages) == 3
    assert len({message.data for message in messages}) == 1
