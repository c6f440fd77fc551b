r"""Local names to addresses, by the alias files that every sendmail knows (aliases(5)).

Guarantees:

- nothing is ever run or written here: `|program`, `/file`, `maildir:/folder` and their like are recognised
  and refused with the alias's name (DataError, 65), unless the configuration allows them (local_targets.py);
- a file is read once, when the first address asks for it, and only the values that are needed are parsed
  (alias_text.py);
- a loop, or more than 50 aliases on the way, is refused with the names on the way; no recursion without
  that limit;
- a missing file holds no aliases; one that may not be read is a ConfigError (78), any other failure
  to read a TemporaryError (75): mail must not go astray because of it.

The grammar. A line `name: target, target` names the targets of a local name; a line that begins with a
blank continues the one before; empty lines and lines whose first character but blanks is `#` are skipped,
as is what follows a blank and a `#`. Names are compared without regard to letter case; one with blanks or
colons stands in double quotes. If a name stands twice, the first counts.

An address is looked up as `user@domain`, then, if the domain is this host, as `user`, then as `@domain`. The
name `*` stands for all local names without a line, and comes before the default. A list's senders hear of its
bad addresses at `owner-name`: if there is such an alias, its first address is the reverse-path for those to
whom the message goes because of `name` (submission/owners.py).

| target             | meaning                                                                        |
|--------------------|--------------------------------------------------------------------------------|
| `user@domain`      | an address, with or without a display name or quotes; final                    |
| `user@this-host`   | the local name `user`                                                          |
| `user`             | a local name: another alias, else the default, else `user` at the mail domain  |
| `user` in `user:`  | `user` at the mail domain; likewise an address in the alias that names it      |
| `\user`            | `user` at the mail domain, whatever aliases there are                          |
| `:include:/path`   | the targets that the lines of a file hold, see alias_files.py                  |
"""

from __future__ import annotations

from sendmail_py.errors import ConfigError, DataError, printable
from sendmail_py.mail import address, addresslist
from sendmail_py.policy.alias_text import open_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from posix import stat_result
    from types import ModuleType

    from sendmail_py.policy.alias_text import AliasText, IndexedText
    from sendmail_py.policy.identity import Host

OTHERS = b"*"  # the name of the alias for local names without one, as in dma(8)
DEEPEST = 50
DEEPEST_LIST = 10  # lists that include lists
SHOWN = 80
UNSUPPORTED = (
    (b"|", "a program"),
    (b"/", "a file"),
    (b":", "a list kept in a file"),
    (b"maildir:", "a folder of messages"),
)


def lists() -> ModuleType:
    """The module that reads included lists and ~/.forward: a door, since few messages need it."""
    from sendmail_py.policy import alias_files  # noqa: PLC0415

    return alias_files


def make_index(place: str, head: bytes, text: bytes, state: stat_result) -> bytes:
    """Index a big alias file: a door, since that is done once for every state of it."""
    from sendmail_py.policy import alias_index  # noqa: PLC0415

    return alias_index.make(place, head, text, state)


class Aliases:
    """Alias files in their order; `default` (str, "" for none) gets what no alias knows.

    maildir, agents: whether folders, and which programs, may be targets; local: whether one was.

    forward: whether ~/.forward counts; folder: where indexes are kept, "" for nowhere; owners: for each
    address that the last `resolve` gave, the alias that is its owner, b"" for none; owned: what the caller
    keeps of that, by address.
    """

    __slots__ = (
        "agents",
        "default",
        "files",
        "folder",
        "forward",
        "local",
        "maildir",
        "owned",
        "owners",
        "texts",
    )

    def __init__(self, files: list[str], default: str, forward: bool = False, folder: str = "") -> None:
        self.files = files
        self.default = default
        self.forward = forward
        self.folder = folder
        self.maildir = self.local = False
        self.agents: list[str] = []
        self.owners: list[bytes] = []
        self.owned: dict[bytes, bytes] = {}
        self.texts: list[AliasText | IndexedText] | None = None

    def resolve(self, given: bytes, host: Host) -> list[bytes]:
        """The forward-paths of a local part or an address, each once; the caller completes the bare ones.

        Raises DataError for targets that are refused and for loops, ConfigError and TemporaryError for the
        files.
        """
        expansion = Expansion(self, host)
        expansion.walk(given, ())
        self.owners = list(expansion.owners.values())
        return list(expansion.found.values())

    def owner(self, alias: bytes, host: Host) -> bytes:
        """The first address of an alias that is an owner, maybe bare."""
        return self.resolve(alias, host)[0]

    def look_up(self, local: bytes, domain: bytes, here: bool) -> tuple[bytes, bytes | None]:
        """(name in lower case, targets) of the alias that names an address; `here`: bare or at this host.

        Without one the targets are None, and the name is what identifies the address.
        """
        key = key_of(local)
        if not domain:
            return key, self.value(key)
        at_domain = b"@" + domain.lower()
        names = [key + at_domain, key, at_domain] if here else [key + at_domain, at_domain]
        if not self.mentions(at_domain, here):
            names = [key] if here else []
        for name in names:
            value = self.value(name)
            if value is not None:
                return name, value
        return key if here else key + at_domain, None

    def mentions(self, at_domain: bytes, here: bool) -> bool:
        """Whether any file has the text; one that may not be read holds up local mail only."""
        try:
            return any(text.mentions(at_domain) for text in self.all_texts())
        except ConfigError:
            if here:
                raise
            return False

    def may_name(self, domains: set[bytes]) -> bool:
        """Whether any file can have a name at one of these domains, which are in lower case."""
        if not self.mentions(b"@", False):
            return False
        return any(self.mentions(b"@" + domain, False) for domain in domains)

    def value(self, key: bytes) -> bytes | None:
        """The targets of a name in lower case, as written in the first file that knows it."""
        for text in self.all_texts():
            value = text.value(key)
            if value is not None:
                return value
        return None

    def all_texts(self) -> list[AliasText | IndexedText]:
        """The files, read when they are first wanted. Raises ConfigError, TemporaryError."""
        if self.texts is None:
            self.texts = [open_text(file, self.folder, make_index) for file in self.files]
        return self.texts


class Expansion:
    """One address on its way through the aliases.

    found: the final addresses by their canonical form, and `owners` their owners, b"" for none; done: names,
    in lower case, not to look at again; owner: that of the list whose targets are looked at.
    """

    __slots__ = ("aliases", "done", "found", "host", "owner", "owners")

    def __init__(self, aliases: Aliases, host: Host) -> None:
        self.aliases = aliases
        self.host = host
        self.found: dict[bytes, bytes] = {}
        self.done: set[bytes] = set()
        self.owner = b""
        self.owners: dict[bytes, bytes] = {}

    def walk(self, given: bytes, way: tuple[bytes, ...]) -> None:
        """Add what an address leads to; `way` holds the aliases that led here, in lower case."""
        local, domain = address.split(given)
        here = not domain or self.host.is_local(domain)
        key, value = self.aliases.look_up(local, domain, here)
        if key in way[-1:] or way[-2:] == (key, OTHERS):
            self.final(local if here else given)
            return
        if key in way or len(way) >= DEEPEST:
            raise DataError(f"alias {names((*way, key))} leads back to itself or too far: see newaliases")
        if key in self.done:
            return
        self.done.add(key)
        if value is not None:
            self.follow(targets(value, key, self.local_target), (*way, key))
        elif here:
            self.unknown(local, (*way, key))
        else:
            self.final(given)

    def follow(self, found: list[bytes], way: tuple[bytes, ...]) -> None:
        """Go on with the targets of the last alias on the way."""
        before, owner = self.owner, b"owner-" + way[-1]
        if not way[-1].startswith(b"owner-") and self.aliases.value(owner) is not None:
            self.owner = owner
        for one in found:
            if one.startswith(b"\\"):
                self.final(one[1:])
            elif address.is_local_target(one):
                self.aliases.local = True
                self.final(one)
            else:
                self.walk(one, way)
        self.owner = before

    def local_target(self, piece: bytes) -> bytes:
        """The forward-path of a target that is a folder or program, b"" if none such is allowed."""
        if not self.aliases.maildir and not self.aliases.agents:
            return b""
        from sendmail_py.policy import local_targets  # noqa: PLC0415 (a named door: mail leaves, as a rule)

        return local_targets.forward_path(piece, self.aliases)

    def final(self, target: bytes) -> None:
        """Keep an address, or a bare name for the caller to complete."""
        key = address.canonical(target)
        self.found.setdefault(key, target)
        self.owners.setdefault(key, self.owner)

    def unknown(self, local: bytes, way: tuple[bytes, ...]) -> None:
        """Where a name goes that no alias knows. Raises DataError for what is no name of a mailbox."""
        refuse(local, local)
        forward = lists().forward(address.unquote_local(local)) if self.aliases.forward else None
        everybody = None if forward or OTHERS in way else self.aliases.look_up(OTHERS, b"", True)[1]
        if forward:
            whose = b"~%s/.forward" % local
            self.follow([one for _, line in forward for one in targets(line, whose)], way)
        elif everybody is not None:
            self.follow(targets(everybody, OTHERS, self.local_target), (*way, OTHERS))
        elif OTHERS in way or not self.aliases.default:
            self.final(local)
        else:
            self.to_default(way)

    def to_default(self, way: tuple[bytes, ...]) -> None:
        """Add what the default leads to."""
        for mailbox in addresslist.parse_list(self.aliases.default.encode()):
            local, domain = address.split(mailbox.address)
            here = not domain or self.host.is_local(domain)
            refuse(mailbox.address, b"aliases.default")
            if self.aliases.look_up(local, domain, here)[1] is None:
                self.final(mailbox.address)
            else:
                self.walk(mailbox.address, way)


def load(files: list[str], default: str = "", forward: bool = False, folder: str = "") -> Aliases:
    """The aliases of these files, not read yet; see Aliases."""
    return Aliases(files, default, forward, folder)


def names(way: tuple[bytes, ...]) -> str:
    """The aliases on a way, for people."""
    return " -> ".join([printable(one, 40) for one in (*way[:3], *way[3:][-3:])])


def key_of(local: bytes) -> bytes:
    """A local part as the key of an alias."""
    return address.unquote_local(local).lower()


def refuse(target: bytes, alias: bytes) -> None:
    """Raise DataError for a target, in wire form or as written, that names no mailbox."""
    kind = unsupported(target)
    if kind:
        shown = printable(target, SHOWN)
        raise DataError(f"{printable(alias, SHOWN)}: mail to {kind} is not supported: {shown}{cure(target)}")


def cure(target: bytes) -> str:
    """Which key allows such a target in an alias, for people."""
    plain = target.lstrip(b'"')
    if plain.startswith(b"|"):
        return "; see aliases.agents"
    return "; see aliases.maildir" if plain.startswith(b"maildir:/") else ""


def unsupported(target: bytes) -> str:
    """What a target is, for people, if it is no mailbox; else ""."""
    plain = target.lstrip(b'"')
    for mark, kind in UNSUPPORTED:
        if plain.startswith(mark) and (mark == b"|" or not address.split(target)[1]):
            return kind
    return ""


def targets(
    value: bytes, alias: bytes, local: Callable[[bytes], bytes] = lambda piece: b"", depth: int = 0
) -> list[bytes]:
    """The targets of an alias as addresses, bare names, or bare names after a backslash.

    `local` says which folders and programs are allowed. Raises DataError; ConfigError and TemporaryError for
    included lists.
    """
    found = []
    for _, piece in pieces(value):
        if piece.strip(b'"').startswith(b":") and lists().included(piece):
            found += listed(lists().included(piece), alias, depth + 1)
            continue
        if unsupported(piece):
            path = local(piece)
            if not path:
                refuse(piece, alias)
            found.append(path)
            continue
        try:
            found += [mailbox.address for mailbox in addresslist.parse_list(piece)]
        except address.AddressError as error:
            raise DataError(f"alias {printable(alias, SHOWN)}: {error}") from None
    if not any(found):
        raise DataError(f"alias {printable(alias, SHOWN)} has no target")
    return [one for one in found if one]


def listed(path: bytes, alias: bytes, depth: int) -> list[bytes]:
    """The targets in a list that an alias, or a list, includes."""
    if depth > DEEPEST_LIST:
        raise DataError(f"alias {printable(alias, SHOWN)}: lists include each other too deep")
    return [one for _, line in lists().members(path) for one in targets(line, alias, depth=depth)]


def pieces(value: bytes) -> list[tuple[int, bytes]]:
    """The targets as written, each with its position."""
    found, start = [], 0
    for end in [*commas(value), len(value)]:
        piece = value[start:end].strip()
        if piece:
            found.append((start, piece))
        start = end + 1
    return found


def commas(value: bytes) -> list[int]:
    """The positions of the commas that separate targets: those outside quotes, comments and brackets."""
    if b'"' in value or b"(" in value or b"<" in value:
        return [at for at, octet, hidden in octets(value) if octet == 44 and not hidden]
    found, at = [], value.find(b",")
    while at >= 0:
        found.append(at)
        at = value.find(b",", at + 1)
    return found


def octets(value: bytes) -> Iterator[tuple[int, int, bool]]:
    """Each position and octet, and whether it stands inside quotes, comments or angle brackets."""
    closing, escaped = 0, False
    for at, octet in enumerate(value):
        if escaped:
            escaped = False
        elif octet == 92:
            escaped = True
        elif closing:
            closing = 0 if octet == closing else closing
        else:
            closing = {34: 34, 40: 41, 60: 62}.get(octet, 0)
        yield at, octet, closing != 0
