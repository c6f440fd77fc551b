"""The table [masquerade.users] of a big configuration file, of which a submission needs an entry or two.

Reached through one door of config.py, for files that are longer than BIG octets. Guarantees: an entry that is
looked up is read, checked and refused as config.py would; the others are not looked at, so a fault in them is
found by `sendmail-py config check`, which reads all of them. A table that is not tidy, and an entry that
takes more than its line, are left to config.py and its readers.

Where an entry stands is said by an index (index.py), which is kept in the spool; without one the table is
searched (users_text.py), with the same result.
"""

from __future__ import annotations

from sendmail_py.policy import index, schema, toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from posix import stat_result
    from typing import Any

    from sendmail_py.policy.config import Config, Layer
    from sendmail_py.policy.users_text import Searched

HEAD = b"\n[masquerade.users]\n"


def cut(octets: bytes) -> tuple[bytes, int, int]:
    """(the document without the table, its lines' begin and end), twice 0 if it is missing or there twice.

    The table begins with the line feed before its first line, and does not end with one.
    """
    head = octets.find(HEAD)
    if head < 0:
        return octets, 0, 0
    start = head + len(HEAD) - 1
    end = octets.find(b"\n[", start)
    end = len(octets) if end < 0 else end
    if octets.find(HEAD, end) >= 0:
        return octets, 0, 0
    return octets[:head] + (octets[end:] or b"\n"), start, end


class UsersTable(dict[str, list[str]]):
    """Logins and other names with their addresses; what later layers set is in the dictionary itself.

    layer: the file with the table, in `state` when it was read, with the table from `start` to `end`;
    earlier: what earlier layers had; missing: who is known to have no entry; index: b"" where there is none,
    None before it is wanted; searched: what finds entries without it.
    """

    __slots__ = ("config", "earlier", "end", "index", "layer", "missing", "searched", "start", "state")

    def __init__(self, config: Config, layer: Layer, start: int, end: int, state: stat_result | None) -> None:
        self.config = config
        self.earlier = config.masquerade.users
        self.layer = layer
        self.start = start
        self.end = end
        self.state = state
        self.missing: set[str] = set()
        self.index: bytes | None = None
        self.searched: Searched | None = None

    def __bool__(self) -> bool:
        return True

    def get(self, login: str, default: Any = ()) -> Any:
        """The addresses of a name, `default` without an entry. Raises ConfigError."""
        if login in self:
            return self[login]
        value = None if login in self.missing else self.value(login, login.encode("utf-8", "surrogateescape"))
        if value is None:
            self.missing.add(login)
            return self.earlier.get(login, default)
        self[login] = self.checked(login, value)
        return self[login]

    def value(self, login: str, key: bytes) -> object:
        """What the table says of a name, None for nothing. Raises ConfigError."""
        lines = self.lines(key)
        if lines is None:
            return self.search().value(login, key)
        for _, line in lines:
            if toml.is_of(line, key):
                return self.read(login, line)
        return None

    def read(self, login: str, line: bytes) -> object:
        """The value of a name whose statement begins on this line."""
        tree = toml.subset(line)
        return next(iter(tree.values())) if tree else self.search().document().get(login)

    def checked(self, login: str, value: object) -> list[str]:
        """The addresses of a name as config.py has them. Raises ConfigError."""
        try:
            schema.word(login)
            return schema.addresses(value)
        except ValueError:
            raise self.search().fault(login) from None

    def with_at(self, domain: bytes) -> list[str]:
        """The names with an @ that matter for addresses at a domain (in lower case), in their order.

        Others may be there, too; for b"@" those that show whether there are any.
        """
        found = []
        for key in (b"@" + domain, b"*"):
            lines = self.lines(index.MARK + key)
            if lines is None:
                found = list(enumerate(self.search().with_at()))
                break
            named = [(start, line[1:].partition(b'"')[0], line) for start, line in lines]
            found += [(start, name) for start, name, line in named if b"@" in name and toml.is_of(line, name)]
        ours = [name.decode("utf-8", "surrogateescape") for _, name in sorted(found)]
        earlier = getattr(self.earlier, "with_at", None)
        names = earlier(domain) if earlier else self.earlier
        return list(dict.fromkeys([one for one in [*names, *ours, *self] if "@" in one]))

    def lines(self, key: bytes) -> list[tuple[int, bytes]] | None:
        """The lines, each with its position, that the index has for a key; None where it is no use."""
        if self.index is None:
            self.index = self.open_index()
        slots = index.slots(self.index, key) if self.index else None
        if slots is None:
            self.index = b""
            return None
        octets = self.layer.octets
        found = [(start, index.lines(octets, start, length)) for start, length in slots]
        return [one for one in found if self.start < one[0] <= self.end]

    def open_index(self) -> bytes:
        """The index of the table, b"" for none."""
        folder = self.config.queue.directory
        if self.state is None or not folder:
            return b""
        return index.open_index(f"{folder}/users", self.layer.source, self.state, self.make_index)

    def make_index(self, path: str, head: bytes) -> bytes:
        """Index the table: a door, since that is done once for every state of the file."""
        from sendmail_py.policy import users_index  # noqa: PLC0415

        return users_index.make(path, head, self)

    def search(self) -> Searched:
        """What finds entries without an index: a door, since as a rule there is one."""
        if self.searched is None:
            from sendmail_py.policy import users_text  # noqa: PLC0415

            self.searched = users_text.Searched(self)
        return self.searched
