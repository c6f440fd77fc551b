"""Finds the names in a big [masquerade.users], for its index (index.py); a door of users_table.py leads here.

Line feed, `@domain`, line feed, number (from 0 on) in place of a name lead to the names with an @ that matter
for addresses at that domain, in lower case: the name, or one of its addresses, is there. With `*` in place of
`@domain` they lead to those that may matter anywhere, with `@@` (and 0) to one of them all. Line feed and `[`
lead to the whole table.
"""

from __future__ import annotations

from sendmail_py.mail import address
from sendmail_py.policy import index, indexing, masquerade, schema, toml, users_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.indexing import Name
    from sendmail_py.policy.users_table import UsersTable


def make(path: str, head: bytes, users: UsersTable) -> bytes:
    """Index the table, see indexing.make; an untidy one is not searched by names."""
    if users.state is None:
        return b""
    return indexing.make(path, head, users.state, lambda: names(users_text.text_of(users), users.start))


def names(text: bytes, start: int) -> list[Name] | None:
    """The names in the lines of a table, which begin after a line feed at `start`; None if it is not tidy."""
    if users_text.is_untidy(text):
        return None
    bare: dict[bytes, Name] = {}
    quoted: dict[bytes, Name] = {}
    found: list[Name] = []
    numbers: dict[bytes, int] = {}
    at = start + 1
    for line in text[1:].split(b"\n"):
        names = quoted if line[:1] == b'"' else bare
        name = line[1:].partition(b'"')[0] if names is quoted else line.partition(b"=")[0].rstrip(b" \t")
        if toml.is_of(line, name) and name not in names:
            names[name] = (name, at, len(line))
            if b"@" in name:
                for key in keys(name, line):
                    number = numbers[key] = numbers.get(key, -1) + 1
                    found.append((index.MARK + b"%s\n%d" % (key, number), at, len(line)))
        at += len(line) + 1
    some = [(index.MARK + b"@@\n0", *one[1:]) for one in found[:1]]
    whole = (index.MARK + b"[", start, len(text) - 1)
    return [*{**quoted, **bare}.values(), *found, *some, whole]


def keys(name: bytes, line: bytes) -> list[bytes]:
    """`@domain` for all domains for which a name with an @ matters, `*` among them if any may be one."""
    try:
        tree = toml.subset(line) or {}
        entry = schema.addresses(next(iter(tree.values()), None))
    except ValueError:  # more than a line, or wrong: whoever needs it sees
        return [b"*"]
    pattern = masquerade.address_pattern(name.decode("utf-8", "surrogateescape"))
    found = [pattern, *[one.encode() for one in entry]]
    domains = {address.split(one)[1].lower() for one in found}
    some = {b"@" + domain for domain in domains if domain and b"*" not in domain}
    is_anywhere = b"*" in address.split(pattern)[1] or b"" in domains
    return [*some, b"*"] if is_anywhere else [*some]
