"""The table [masquerade.users] of a big configuration file, of which a submission needs an entry or two.

Reached through one door of config.py, for files that are longer than BIG octets. Guarantees: an entry that is
looked up is read, checked and refused as config.py would; the others are not looked at, so a fault in them is
found by `sendmail-py config check`, which reads all of them. A table that is not tidy, and an entry that
takes more than its line, are left to config.py and its readers.

Where an entry stands is said by an index (index.py), which is kept in the spool; without one the table is
searched (users_text.py), with the same result.
"""

from __future__ import annotations

import posix

from sendmail_py.policy import homes, index, schema, toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from posix import stat_result
    from typing import Any

    from sendmail_py.policy.config import Config, Layer
    from sendmail_py.policy.users_text import Searched

    Table = dict[str, list[str]]
else:
    Table = dict

HEAD = b"\n[masquerade.users]\n"


def cut(octets: bytes, of_file: bytes = b"") -> tuple[bytes, int, int]:
    """(the document without the table, its lines' begin and end), twice 0 if it is missing or there twice.

    The table begins with the line feed before its first line, and does not end with one. An index spares the
    search for the end.
    """
    head = octets.find(HEAD)
    if head < 0:
        return octets, 0, 0
    start = head + len(HEAD) - 1
    end = end_of(octets, of_file, start) or octets.find(b"\n[", start)
    end = len(octets) if end < 0 else end
    if octets.find(HEAD, end) >= 0:
        return octets, 0, 0
    return octets[:head] + (octets[end:] or b"\n"), start, end


def end_of(octets: bytes, of_file: bytes, start: int) -> int:
    """Where the table that begins at `start` ends by its index, 0 if that does not say."""
    for begin, length in index.find(of_file, index.MARK + b"[") or ():
        end = begin + length
        if begin == start and (end == len(octets) or octets[end : end + 2] == b"\n["):
            return end
    return 0


def early(environ: Mapping[str, str], file: str, is_system: bool, state: stat_result | None) -> bytes:
    """The index of a file from where it is as a rule, before it is known where the spool is; b"" for none."""
    if is_system:
        folder = f"{homes.SHARED_SPOOL}/{posix.geteuid()}.0"
    else:
        folder = homes.base_folder(environ, "XDG_STATE_HOME", "/.local/state") + "/sendmail-py/spool"
    return index.read(index.place_of(folder, "users", file), index.head_of(state)) if state else b""


class UsersTable(Table):
    """Logins and other names with their addresses; what later layers set is in the dictionary itself.

    layer: the file with the table, in `state` when it was read, with the table from `start` to `end`;
    earlier: what earlier layers had; missing: who is known to have no entry; index: b"" where there is none,
    None before it is wanted; searched: what finds entries without it.
    """

    __slots__ = (
        "anywhere",
        "config",
        "earlier",
        "end",
        "index",
        "layer",
        "missing",
        "searched",
        "start",
        "state",
    )

    def __init__(
        self, config: Config, layer: Layer, start: int, end: int, state: stat_result | None, known: bytes
    ) -> None:
        self.config = config
        self.earlier = config.masquerade.users
        self.layer = layer
        self.start = start
        self.end = end
        self.state = state
        self.missing: set[str] = set()
        self.index: bytes | None = known or None
        self.anywhere: dict[int, bytes] | None = None
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
        try:
            schema.word(login)
            self[login] = schema.addresses(value)
        except ValueError:
            raise self.search().fault(login) from None
        return self[login]

    def value(self, login: str, key: bytes) -> object:
        """What the table says of a name, None for nothing. Raises ConfigError."""
        lines = self.lines(key)
        if lines is None:
            return self.search().value(login, key)
        for line in lines.values():
            if toml.is_of(line, key):
                tree = toml.subset(line)
                return tree.popitem()[1] if tree else self.search().document().get(login)
        return None

    def with_at(self, domain: bytes) -> list[str]:
        """The names with an @ that matter for addresses at a domain (in lower case), in their order.

        Others may be there, too; for b"@" those that show whether there are any.
        """
        if self.anywhere is None:
            self.anywhere = self.marked(b"*")
        here = self.marked(b"@" + domain)
        if here is None or self.anywhere is None:
            ours = b"\n".join(self.search().with_at())
        else:
            here.update(self.anywhere)
            ours = b"\n".join([here[at] for at in sorted(here)])
        earlier = getattr(self.earlier, "with_at", None)
        names = earlier(domain) if earlier else self.earlier
        names = [*names, *ours.decode("utf-8", "surrogateescape").split("\n"), *self]
        return list(dict.fromkeys([one for one in names if "@" in one]))

    def marked(self, key: bytes) -> dict[int, bytes] | None:
        """The names with an @, by their positions, to which the index leads (users_index.py)."""
        found: dict[int, bytes] = {}
        number = 0
        while lines := self.lines(index.MARK + b"%s\n%d" % (key, number)):
            number += 1
            for start, line in lines.items():
                name = line[1:].partition(b'"')[0]
                if b"@" in name and toml.is_of(line, name):
                    found[start] = name
        return None if lines is None else found

    def lines(self, key: bytes) -> dict[int, bytes] | None:
        """The lines, by their positions, that the index has for a key; None where it is no use."""
        if self.index is None:
            self.index = self.open_index()
        slots = index.find(self.index, key)
        if slots is None:
            return None
        found = {}
        for start, length in slots:
            if self.start < start <= self.end:
                found[start] = index.lines(self.layer.octets, start, length)
        return found

    def open_index(self) -> bytes:
        """The index of the table, b"" for none; to make one is a door: that is done once for every state."""
        folder = self.config.queue.directory
        if self.state is None or not folder:
            return b""
        path, head = index.place_of(folder, "users", self.layer.source), index.head_of(self.state)
        found = index.read(path, head)
        if not found:
            from sendmail_py.policy import users_index  # noqa: PLC0415

            found = users_index.make(path, head, self)
        return found

    def search(self) -> Searched:
        """What finds entries without an index: a door, since as a rule there is one."""
        if self.searched is None:
            from sendmail_py.policy import users_text  # noqa: PLC0415

            self.searched = users_text.Searched(self)
        return self.searched
