"""Parameters of header fields (RFC 2045 5.1, RFC 2231): read them, and write those that are not ASCII.

Linear time; a value that is too long to be sensible is not looked into.
"""

from __future__ import annotations

import re

from sendmail_py.mail import header
from sendmail_py.relay.words import characters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 10_000  # octets of a value that is read
SEGMENT = 40  # octets of a value on one line; as %XX they are 120

MEDIA_TYPE = re.compile(rb"[ \t\r\n]*+([!#$&^_.+A-Za-z0-9-]++)[ \t]*+/[ \t]*+([!#$&^_.+A-Za-z0-9-]++)")
PARAMETER = re.compile(
    rb";[ \t\r\n]*+(?P<name>[^\s=;\"]++)[ \t\r\n]*+=[ \t\r\n]*+"
    rb"(?P<value>\"(?:[^\"\\]|\\.)*\"|[^;\"\s]*(?:\s+[^;\"\s]+)*)",
    re.DOTALL,
)
QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
NOT_ATTRIBUTE_CHAR = re.compile(rb"[^!#$&+.^_`{|}~A-Za-z0-9-]")  # RFC 2231 7
NOT_ASCII = re.compile(rb"[\x80-\xff]")


def media_type(field: bytes) -> bytes:
    """`type/subtype` of a Content-Type field in lower case; b"" if it has none (RFC 2045 5.1)."""
    found = MEDIA_TYPE.match(header.value(field))
    return b"/".join(found.groups()).lower() if found else b""


def parameters(value: bytes) -> Iterator[re.Match[bytes]]:
    """The parameters of a field's value, in order; the groups are `name` and `value`."""
    return PARAMETER.finditer(value) if len(value) <= LONGEST else iter(())


def boundary(field: bytes) -> bytes:
    """The boundary of a Content-Type field, put together if it is cut (RFC 2231 3); b"" if it has none."""
    pieces: dict[bytes, bytes] = {}
    for one in parameters(header.value(field)):
        name, cut, number = one["name"].lower().partition(b"*")
        if name == b"boundary" and (number.isdigit() or not cut):
            pieces.setdefault(number.rjust(4, b"0"), unquoted(one["value"]))
    return b"".join([pieces[number] for number in sorted(pieces)]).rstrip()


def unquoted(value: bytes) -> bytes:
    """What a token or quoted string says, unfolded."""
    value = value.replace(b"\r\n", b"")
    return QUOTED_PAIR.sub(rb"\1", value[1:-1]) if value.startswith(b'"') else value


def encoded(value: bytes) -> bytes:
    """The value of a field with its non-ASCII parameters as RFC 2231 says, everything else as it is.

    A boundary stays, because the delimiters would not follow; so does what is cut already.
    """
    out, done = [], 0
    for one in parameters(value):
        name = one["name"]
        if one["value"].isascii() or not name.isascii() or name.lower().startswith(b"boundary"):
            continue
        if name.endswith(b"*"):
            new = name + b"=" + NOT_ASCII.sub(percent, one["value"])
        elif b"*" in name:
            continue
        else:
            new = extended(name, unquoted(one["value"]))
        out += [value[done : one.start("name")], new]
        done = one.end()
    return b"".join([*out, value[done:]])


def extended(name: bytes, text: bytes) -> bytes:
    """One parameter as `name*=charset''...`, or as several that are cut (RFC 2231 4.1)."""
    charset, parts = characters(text)
    segments, segment = [], b""
    for character in parts:
        if len(segment) + len(character) > SEGMENT:
            segments.append(segment)
            segment = b""
        segment += character
    octets = [NOT_ATTRIBUTE_CHAR.sub(percent, one) for one in [*segments, segment]]
    octets[0] = charset + b"''" + octets[0]
    if len(octets) == 1:
        return name + b"*=" + octets[0]
    return b";\r\n ".join([b"%s*%d*=%s" % (name, n, one) for n, one in enumerate(octets)])


def percent(found: re.Match[bytes]) -> bytes:
    """One octet as %XX."""
    return b"%%%02X" % found[0][0]
