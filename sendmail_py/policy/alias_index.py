"""Finds the names in a big alias file, for its index (index.py). Reached through one door of aliases.py.

Names are in lower case; only the first alias of a name counts. A line feed and `@domain`, or `@` alone, in
place of a name say that there is a name with it.
"""

from __future__ import annotations

from sendmail_py.mail import address
from sendmail_py.policy import alias_text, index, indexing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from posix import stat_result

    from sendmail_py.policy.indexing import Name


def make(path: str, head: bytes, text: bytes, state: stat_result) -> bytes:
    """Index a text in this state; see indexing.make."""
    return b"" if b"\r" in text else indexing.make(path, head, state, lambda: listed(text))


def listed(text: bytes) -> list[Name]:
    """The names of a text as an index wants them."""
    return [(name, start, length) for name, (start, length) in names(text).items()]


def names(text: bytes) -> dict[bytes, tuple[int, int]]:
    """The names in lower case, each with the position and length of the lines of its first alias."""
    found: dict[bytes, tuple[int, int]] = {}
    begun: list[bytes] = []
    start = at = 0
    for line in [*text.split(b"\n"), b"end"]:
        if line[:1] not in (b" ", b"\t") and not alias_text.is_void(line):
            for name in begun:
                found.setdefault(name, (start, min(at, len(text)) - start))
                if b"@" in name:
                    found[index.MARK + b"@"] = found[index.MARK + domain_of(name)] = found[name]
            start, begun = at, names_of(line.lower())
        at += len(line) + 1
    return found


def domain_of(name: bytes) -> bytes:
    """The `@domain` of a name."""
    return name[name.rfind(b"@") :]


def names_of(line: bytes) -> list[bytes]:
    """The names that a line in lower case may be found under; as a rule it is one."""
    if not line.startswith(b'"'):
        name, colon, _ = line.partition(b":")
        name = name.rstrip(b" \t")
        return [name] if colon and alias_text.may_be_bare(name) else []
    found = []
    end = line.find(b'"', 1)
    while end > 0:
        name = address.unquote_local(line[: end + 1])
        if line[end + 1 :].lstrip(b" \t").startswith(b":") and alias_text.quoted_key(name) == line[1:end]:
            found.append(name)
        end = line.find(b'"', end + 1)
    return found
