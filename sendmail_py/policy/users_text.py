"""The table [masquerade.users] of a big configuration file without an index: searched, or read as a whole.

Reached through a door of users_table.py. What counts here is the number of passes over the text.
"""

from __future__ import annotations

from sendmail_py.policy import explain, schema, toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sendmail_py.errors import ConfigError
    from sendmail_py.policy.config import Config
    from sendmail_py.policy.users_table import UsersTable

QUOTED = b'\n"'


def read_all(config: Config) -> None:
    """Read a big table as config.py does it with a small file, for people and for other processes.

    Its layer knows it then. Raises ConfigError.
    """
    users: Any = config.masquerade.users
    if is_big(users):
        config.masquerade.users = whole(users)


def is_big(users: Any) -> bool:
    """Whether users are those of a big table, and of layers before and after it."""
    return type(users) is not dict


def whole(users: UsersTable) -> dict[str, list[str]]:
    """All entries, those of earlier layers included, checked. Raises ConfigError."""
    given = users.search().document()
    users.layer.tree.setdefault("masquerade", {})["users"] = given
    earlier: Any = users.earlier
    found = whole(earlier) if is_big(earlier) else dict(earlier)
    found.update([(login, checked(users, login, value)) for login, value in given.items()])
    found.update(users)
    return found


def checked(users: UsersTable, login: str, value: object) -> list[str]:
    """The addresses of a name as config.py has them. Raises ConfigError."""
    try:
        schema.word(login)
        return schema.addresses(value)
    except ValueError:
        raise users.search().fault(login) from None


def text_of(users: UsersTable) -> bytes:
    """The lines of the table, after a line feed."""
    return users.layer.octets[users.start : users.end] + b"\n"


def is_untidy(text: bytes) -> bool:
    """Whether there are indented lines, names in single quotes, backslashes (escapes) or other line ends."""
    # One octet is looked for first: that takes a thirtieth of the time of a longer search.
    if b"\\" in text or b"\r" in text or b"\n " in text:
        return True
    return (b"\t" in text and b"\n\t" in text) or (b"'" in text and b"\n'" in text)


class Searched:
    """A table whose entries are found by a search of its text; an untidy one is read as a whole."""

    __slots__ = ("block", "given", "users")

    def __init__(self, users: UsersTable) -> None:
        text = text_of(users)
        self.users = users
        self.block = None if is_untidy(text) else Block(text)
        self.given: dict[str, object] | None = None

    def value(self, login: str, key: bytes) -> object:
        """What the table says of a name, None for nothing. Raises ConfigError."""
        if self.block is None:
            return self.document().get(login)
        line = self.block.line(key)
        tree = toml.subset(line)
        return tree.popitem()[1] if tree else self.document().get(login) if line else None

    def with_at(self) -> list[bytes]:
        """The names that hold an @, in their order."""
        if self.block is None:
            names = [name.encode("utf-8", "surrogateescape") for name in self.document()]
        else:
            names = list(self.block.quoted)
        return [name for name in names if b"@" in name]

    def document(self) -> dict[str, object]:
        """The table as TOML has it. Raises ConfigError for a document that is none."""
        if self.given is None:
            layer = self.users.layer
            tree: Any = toml.subset(layer.octets)
            if tree is None:
                tree = explain.document(layer.octets, layer.source)
            self.given = tree["masquerade"]["users"]
        return self.given

    def fault(self, login: str) -> ConfigError:
        """What is wrong with an entry."""
        return explain.wrong(self.users.layer, f"masquerade.users.{login}", "string", "entry")


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
            name = line[1:].partition(b'"')[0]
            if toml.is_of(line, name):
                self.quoted.setdefault(name, line)
            at = text.find(QUOTED, at + 1)

    def line(self, key: bytes) -> bytes:
        """The line where the statement of a name begins, b"" if there is none."""
        if not key or key.translate(None, toml.BARE):
            return self.quoted.get(key, b"")
        begin = b"\n" + key
        at = self.text.find(begin)
        while at >= 0:
            line = self.text[at + 1 : self.text.find(b"\n", at + 1)]
            if toml.is_of(line, key):
                return line
            at = self.text.find(begin, at + 1)
        return self.quoted.get(key, b"")
