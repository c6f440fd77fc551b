"""Standard input as a message, through a real pipe."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sendmail_py.errors import DataError, InputError
from sendmail_py.submission.intake import Intake


def piped(octets: bytes) -> int:
    """The reading end of a pipe that a thread fills."""
    reading, writing = os.pipe()

    def fill() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(octets)

    threading.Thread(target=fill, daemon=True).start()
    return reading


def read(octets: bytes, dot: bool = True, limit: int = 1 << 30) -> tuple[list[bytes], bytes]:
    """Header fields and body of a message."""
    message = Intake(piped(octets), dot, limit)
    fields = message.header()
    body = b"".join(message.body())
    message.drain()
    return fields, body


def test_separates_header_and_body() -> None:
    """LF in, CRLF out."""
    assert read(b"To: a\nCc: b\n\nhello\n") == ([b"To: a\r\n", b"Cc: b\r\n"], b"hello\r\n")


def test_takes_php_messages_with_crlf_header_and_lf_body() -> None:
    """Line by line."""
    assert read(b"To: a\r\nSubject: x\r\n\r\nhello\nworld") == (
        [b"To: a\r\n", b"Subject: x\r\n"],
        b"hello\r\nworld\r\n",
    )


def test_an_empty_message_is_a_message() -> None:
    """All peers send it."""
    assert read(b"") == ([], b"")


def test_a_lone_dot_ends_header_or_body() -> None:
    """Unless it is told not to."""
    assert read(b"To: a\n.\nmore\n") == ([b"To: a\r\n"], b"")
    assert read(b"To: a\n\nb\n.\nmore\n") == ([b"To: a\r\n"], b"b\r\n")
    assert read(b"To: a\n\nb\n.\nmore\n", dot=False) == ([b"To: a\r\n"], b"b\r\n.\r\nmore\r\n")


def test_the_input_is_read_to_its_end_after_a_lone_dot() -> None:
    """The writer must not see EPIPE."""
    assert read(b"To: a\n\n.\n" + b"x" * 2_000_000) == ([b"To: a\r\n"], b"")


def test_a_message_over_the_limit_is_refused() -> None:
    """With the limit named."""
    with pytest.raises(DataError, match="1000"):
        read(b"To: a\n\n" + b"x" * 2000, limit=1000)


def test_an_unreadable_input_is_not_an_empty_message(tmp_path: Path) -> None:
    """EISDIR is not end of file."""
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(InputError) as fault:
        Intake(fd, True, 1000).header()
    assert fault.value.status == 74
    os.close(fd)


def test_a_non_blocking_input_is_waited_for() -> None:
    """Its octets come later."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def later(write: Callable[[int, bytes], int] = os.write) -> None:
        write(writing, b"To: a\n\nlate\n")
        os.close(writing)

    threading.Timer(0.2, later).start()
    message = Intake(reading, True, 1000)
    assert message.header() == [b"To: a\r\n"]
    assert b"".join(message.body()) == b"late\r\n"


def test_long_lines_stay_as_they_are() -> None:
    """The relay re-codes what SMTP cannot carry."""
    fields, body = read(b"X-Long: " + b"x" * 3000 + b"\n\n" + b"y" * 300_000 + b"\n")
    assert len(fields[0]) == 3010
    assert body == b"y" * 300_000 + b"\r\n"


def test_a_huge_header_takes_linear_time() -> None:
    """10 MB of fields."""
    fields, _ = read(b"X-A: b\n" * 1_500_000 + b"\n")
    assert len(fields) == 1_500_000
