"""Address lists of the everyday form, read by a few operations on the whole text.

addresslist.py looks at every token of a list, which costs as much as a start of the interpreter for each
hundred recipients. Nearly all lists need no such care: they hold elements like `local@domain`, `Name
<local@domain>` and `"Name, with commas" <local@domain>`, and nothing else.

Guarantees: an answer is what addresslist would give, octet for octet; whatever is not surely of that form,
also every error, is declined (None, False) and left to it. A property test holds both equal.
"""

from __future__ import annotations

from sendmail_py.mail.address import ATOM, PRINTABLE

# What a quoted string may hold here: no backslash, so that the next quote ends it.
QUOTABLE = PRINTABLE.replace(b"\\", b"").replace(b'"', b"")
LISTED = ATOM + b"@,"
NAMED = ATOM + b' "'
SPACED = ATOM + b'" \t\r\n'
# Makes of `local@domain,local@domain` one dotted text, in which an empty part shows as two dots.
DOTTED = bytes.maketrans(b"@,", b"..")


def addresses(text: bytes) -> list[bytes] | None:
    """The addresses of an address list (RFC 5322 3.4) in the everyday form, as they stand; else None."""
    line = one_line(text)
    if b'"' in line:
        line = without_quoted(line)
    if b"<" in line:
        line = without_names(line)
    dotted = line.translate(DOTTED)
    if b".." in dotted or dotted[:1] in (b"", b".") or dotted.endswith(b"."):
        return None
    marks = line.translate(None, ATOM)
    count = (len(marks) + 1) // 2
    return line.split(b",") if marks == b",".join([b"@"] * count) else None


def all_addresses(texts: list[bytes]) -> list[bytes] | None:
    """The addresses of several such lists, if none of them has names or blanks; else None."""
    line = b",".join(texts)
    return None if line.translate(None, LISTED) else addresses(line)


def one_line(text: bytes) -> bytes:
    """The text without the usual folding, and no blanks at its ends and after commas."""
    line = text.removesuffix(b"\r\n").replace(b",\r\n ", b",")
    if b"\r" in line or b"\t" in line:
        line = line.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").replace(b"\t", b" ")
    if b" " in line:
        while b"  " in line:
            line = line.replace(b"  ", b" ")
        line = line.replace(b", ", b",")
    return line.strip(b" ,")


def without_quoted(line: bytes) -> bytes:
    """The line with `""` for each quoted string, which only a display name can be; b"" for doubtful ones."""
    parts = line.split(b'"')
    inside = b"".join(parts[1::2])
    return b'""'.join(parts[::2]) if len(parts) % 2 and not inside.translate(None, QUOTABLE) else b""


def without_names(line: bytes) -> bytes:
    """The line with `address` for `name <address>`; b"" if the brackets are not that simple."""
    marks = line.translate(None, NAMED).replace(b"<@>", b"@")
    ends = line.count(b">,") + line.endswith(b">")
    if marks.translate(None, b"@,") or ends != line.count(b">"):
        return b""
    return b",".join([one.rpartition(b"<")[2] for one in line.split(b",")]).translate(None, b">")


def has_domains(text: bytes) -> bool:
    """Whether surely no element of an address list is a bare name: each has its @, or it is no address."""
    if b'"' in text:
        text = without_quoted(text)
    marks = text.translate(None, SPACED).replace(b"<@>", b"@")
    return marks[:1] == b"@" == marks[-1:] and b",," not in marks and not marks.translate(None, b"@,")


def domains(found: list[bytes]) -> set[bytes]:
    """The different domains of addresses in wire form; none if an address is bare, quoted or not ASCII."""
    line = b",".join(found)
    if not line.isascii() or line.translate(None, ATOM) != b",".join([b"@"] * len(found)):
        return set()
    return set(line.replace(b",", b"@").split(b"@")[1::2])
