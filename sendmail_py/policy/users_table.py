"""The table [masquerade.users] of a big configuration file, of which a submission needs an entry or two.

Reached through one door of config.py, for files that are longer than BIG octets. Guarantees: an entry that is
looked up is read, checked and refused as config.py would; the others are not looked at, so a fault in them is
found by `sendmail-py config check`, which reads all of them. A table that is not tidy, and an entry that
takes more than its line, are left to config.py and its readers.

What counts here is the number of passes over the text: one of a thousand users costs as much as a module.
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
BARE = b"-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
BLANKS = b" \t"
QUOTED = b'\n"'


def cut(octets: bytes) -> tuple[bytes, Block | None]:
    """(the document without the table, the table); (document, None) if the table is missing or untidy."""
    head = octets.find(HEAD)
    if head < 0:
        return octets, None
    start = head + len(HEAD) - 1
    end = octets.find(b"\n[", start)
    end = len(octets) if end < 0 else end
    text, rest = octets[start:end] + b"\n", octets[:head] + (octets[end:] or b"\n")
    return (octets, None) if HEAD in rest or is_untidy(text) else (rest, Block(text))


def is_untidy(text: bytes) -> bool:
    """Whether there are indented lines, names in single quotes, backslashes (escapes) or other line ends."""
    # One octet is looked for first: that takes a thirtieth of the time of a longer search.
    if b"\\" in text or b"\r" in text or b"\n " in text:
        return True
    return (b"\t" in text and b"\n\t" in text) or (b"'" in text and b"\n'" in text)


class Block:
    """The statements of a tidy table.

    text: its lines, after a line feed; quoted: the lines where statements with a name in quotes begin.
    """

    __slots__ = ("quoted", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.quoted: dict[bytes, bytes] = {}
        at = text.find(QUOTED)
        while at >= 0:
            line = text[at + 1 : text.find(b"\n", at + 1)]
            name, _, rest = line[1:].partition(b'"')
            if rest.lstrip(BLANKS)[:1] == b"=":  # else a part of an array
                self.quoted.setdefault(name, line)
            at = text.find(QUOTED, at + 1)

    def line(self, key: bytes) -> bytes:
        """The line where the statement of a name begins, b"" if there is none."""
        if not key or key.translate(None, BARE):
            return self.quoted.get(key, b"")
        begin = b"\n" + key
        at = self.text.find(begin)
        while at >= 0:
            line = self.text[at + 1 : self.text.find(b"\n", at + 1)]
            if line[len(key) :].lstrip(BLANKS)[:1] == b"=":
                return line
            at = self.text.find(begin, at + 1)
        return self.quoted.get(key, b"")


class UsersTable(dict[str, list[str]]):
    """Logins and other names with their addresses; what later layers set is in the dictionary itself.

    block: the table; earlier: what earlier layers had; explain: the door to the words for errors.
    """

    __slots__ = ("block", "earlier", "explain", "layer", "missing")

    def __init__(
        self,
        block: Block,
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
        line = b"" if login in self.missing else self.block.line(login.encode("utf-8", "surrogateescape"))
        if not line:
            self.missing.add(login)
            return self.earlier.get(login, default)
        tree = toml.subset(line)
        value = next(iter(tree.values())) if tree else self.document()[login]
        self[login] = self.checked(login, value)
        return self[login]

    def checked(self, login: str, value: object) -> list[str]:
        """The addresses of a name as config.py has them. Raises ConfigError."""
        try:
            schema.word(login)
            return schema.addresses(value)
        except ValueError:
            label = f"masquerade.users.{login}"
            raise self.explain().wrong(self.layer, label, "string", "entry") from None

    def document(self) -> dict[str, object]:
        """The table as TOML has it. Raises ConfigError for a document that is none."""
        tree: Any = toml.subset(self.layer.octets)
        if tree is None:
            tree = self.explain().document(self.layer.octets, self.layer.source)
        given: dict[str, object] = tree["masquerade"]["users"]
        return given

    def whole(self) -> dict[str, list[str]]:
        """Everything, read and checked as config.py does it with a small file; its layer knows it then."""
        given = self.document()
        self.layer.tree.setdefault("masquerade", {})["users"] = given
        found = self.earlier.whole() if isinstance(self.earlier, UsersTable) else dict(self.earlier)
        found.update([(login, self.checked(login, value)) for login, value in given.items()])
        found.update(self)
        return found

    def with_at(self) -> list[str]:
        """The names that hold an @, in their order."""
        earlier = getattr(self.earlier, "with_at", self.earlier.keys)()
        ours = [name.decode("utf-8", "surrogateescape") for name in self.block.quoted if b"@" in name]
        return list(dict.fromkeys([one for one in [*earlier, *ours, *self] if "@" in one]))
