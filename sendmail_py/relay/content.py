"""Mail data on its way to the wire (RFC 5321 4.5.2): dot-stuffed and ended by a lone dot, or as it is. Pure.

Input is the stored wire form in chunks cut anywhere: CRLF line ends, not dot-stuffed. Output holds no bare
CR or LF (RFC 5321 2.3.8; the sender's half of SMTP smuggling): such content raises BareLineEndError before
the chunk that holds it goes out, and the final dot never follows.
"""

from __future__ import annotations

from sendmail_py.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class BareLineEndError(DataError):
    """The stored message holds a CR or LF that is not part of a CRLF."""


def whole(octets: bytes) -> bytes:
    """A message that is at hand, as `unstuffed` gives it."""
    pairs = octets.count(b"\r\n")
    if octets.count(b"\n") != pairs or octets.count(b"\r") != pairs:
        raise BareLineEndError("stored message holds a bare CR or LF")
    return octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n"


def whole_stuffed(octets: bytes) -> bytes:
    """A message that is at hand, as `stuffed` gives it."""
    dotted = b"\r\n" + whole(octets) + b".\r\n"
    if b"\r\n." in octets or octets[:1] == b".":
        dotted = dotted[:-3].replace(b"\r\n.", b"\r\n..") + b".\r\n"
    return dotted[2:]


def stuffed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks with every line's leading dot doubled, and the end-of-data line after them."""
    tail = b"\r\n"  # the last two octets so far; the content begins at the start of a line
    for chunk in chunks:
        joined = tail + chunk
        check_line_ends(joined)
        tail = joined[-2:]
        yield joined.replace(b"\r\n.", b"\r\n..")[2:]
    check_line_ends(tail + b".")
    yield b".\r\n" if tail == b"\r\n" else b"\r\n.\r\n"


def unstuffed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks as they are, for BDAT (RFC 3030), with the CRLF at the end that the last line may lack."""
    tail = b"\r\n"
    for chunk in chunks:
        joined = tail + chunk
        check_line_ends(joined)
        tail = joined[-2:]
        if chunk:
            yield chunk
    check_line_ends(tail + b".")
    if tail != b"\r\n":
        yield b"\r\n"


def unix_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks with LF in place of CRLF, for files and pipes."""
    held = b""
    for chunk in unstuffed(chunks):
        text = (held + chunk).replace(b"\r\n", b"\n")
        held = b"\r" if text.endswith(b"\r") else b""  # its LF comes with the next chunk
        yield text.removesuffix(held)


def check_line_ends(joined: bytes) -> None:
    """`joined` is two octets already checked and a chunk; a CR at its end is judged with the next one."""
    pairs = joined.count(b"\r\n")
    lone_first = joined.startswith(b"\n")  # the LF of a CRLF whose CR has left the window
    lone_last = joined.endswith(b"\r")
    if joined.count(b"\n") - lone_first != pairs or joined.count(b"\r") - lone_last != pairs:
        raise BareLineEndError("stored message holds a bare CR or LF")
