"""The table [masquerade.users] of a big configuration file, of which a submission needs an entry or two.

Reached through one door of config.py, for files that are longer than BIG octets. Guarantees: an entry that is
looked up is read, checked and refused as config.py would; the others are not looked at, so a fault in them is
found by `sendmail-py config check`, which reads all of them. Anything but a tidy table is left to config.py.
"""

from __future__ import annotations

from sendmail_py.policy import schema, toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from sendmail_py.policy.config import Layer

HEAD = b"\n[masquerade.users]\n"
# What makes a table untidy: indented lines, escapes, strings over several lines, other line ends.
UNTIDY = (b"\n ", b"\n\t", b"\\", b'"""', b"'''", b"\r")
MOST_LINES = 1000  # of one entry
BARE = b"-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def cut(octets: bytes) -> tuple[bytes, bytes]:
    """(the document without the table, the table after a line feed); (document, b"") if it is untidy."""
    head = octets.find(HEAD)
    if head < 0 or octets.find(HEAD, head + 1) >= 0:
        return octets, b""
    start = head + len(HEAD) - 1
    end = octets.find(b"\n[", start)
    block = octets[start : end if end >= 0 else len(octets)]
    rest = octets[:head] + (octets[end:] if end >= 0 else b"\n")
    strings = b'"""' in octets or b"'''" in octets
    return (octets, b"") if strings or any(one in block for one in UNTIDY) else (rest, block + b"\n")


class UsersTable(dict[str, list[str]]):
    """Logins and other names with their addresses; what later layers set is in the dictionary itself.

    block: the table's lines; earlier: what earlier layers had; explain: the door to the words for errors.
    """

    __slots__ = ("block", "earlier", "explain", "layer", "missing")

    def __init__(
        self,
        block: bytes,
        earlier: dict[str, list[str]],
        layer: Layer,
        explain: Callable[[], ModuleType],
    ) -> None:
        self.block = block
        self.earlier = earlier
        self.layer = layer
        self.explain = explain
        self.missing: set[str] = set()

    def __bool__(self) -> bool:
        return True

    def get(self, login: str, default: Any = ()) -> Any:
        """The addresses of a name, `default` without an entry. Raises ConfigError."""
        if login in self:
            return self[login]
        at = -1 if login in self.missing else self.line_of(login.encode("utf-8", "surrogateescape"))
        if at < 0:
            self.missing.add(login)
            return self.earlier.get(login, default)
        self[login] = self.addresses(login, at)
        return self[login]

    def line_of(self, key: bytes) -> int:
        """Where the statement of a key begins, -1 if there is none."""
        begins = [b'\n"' + key + b'"', b"\n'" + key + b"'"]
        if not key.translate(None, BARE):
            begins.append(b"\n" + key)
        for begin in begins:
            at = self.block.find(begin)
            while at >= 0:
                if self.block[at + len(begin) : at + len(begin) + 16].lstrip(b" \t")[:1] == b"=":
                    return at + 1
                at = self.block.find(begin, at + 1)
        return -1

    def addresses(self, login: str, at: int) -> list[str]:
        """The addresses of the statement that begins there: as many lines as it takes."""
        end = at
        for _ in range(MOST_LINES):
            end = self.block.find(b"\n", end) + 1
            if not end:
                break
            tree = toml.subset(self.block[at:end])
            if tree:
                return self.checked(login, next(iter(tree.values())))
        return self.checked(login, None)

    def checked(self, login: str, value: object) -> list[str]:
        """The addresses of a name as config.py has them. Raises ConfigError."""
        try:
            schema.word(login)
            return schema.addresses(value)
        except ValueError:
            label = f"masquerade.users.{login}"
            raise self.explain().wrong(self.layer, label, "string", "entry") from None

    def whole(self) -> dict[str, list[str]]:
        """Everything, read and checked as config.py does it with a small file; its layer knows it then."""
        tree: Any = toml.subset(HEAD + self.block)
        if tree is None:
            tree = self.explain().document(self.layer.octets, self.layer.source)
        given = tree["masquerade"]["users"]
        self.layer.tree.setdefault("masquerade", {})["users"] = given
        found = self.earlier.whole() if isinstance(self.earlier, UsersTable) else dict(self.earlier)
        found.update([(login, self.checked(login, value)) for login, value in given.items()])
        found.update(self)
        return found

    def with_at(self) -> list[str]:
        """The names that hold an @, in their order."""
        found = [one for one in getattr(self.earlier, "with_at", self.earlier.keys)() if "@" in one]
        for quote in (b'\n"', b"\n'"):
            at = self.block.find(quote)
            while at >= 0:
                name, closing, rest = self.block[at + 2 : self.block.find(b"\n", at + 2)].partition(quote[1:])
                if closing and b"@" in name and rest.lstrip(b" \t")[:1] == b"=":
                    found.append(name.decode("utf-8", "surrogateescape"))
                at = self.block.find(quote, at + 1)
        return list(dict.fromkeys([*found, *[one for one in self if "@" in one]]))
