r"""Local names to addresses, by the alias files that every sendmail knows (aliases(5)).

Guarantees:

- nothing is ever run, opened or written for a target: `|program`, `/file`, `:include:file` and their like are
  recognised and refused with the alias's name (DataError, 65);
- a file is read once, when the first local name asks for it, and only the values that are needed are parsed;
- a loop, or more than 50 aliases on the way, is refused with the names on the way; no recursion without
  that limit;
- a missing file holds no aliases; one that may not be read is a ConfigError (78), any other failure
  to read a TemporaryError (75): mail must not go astray because of it.

The grammar. A line `name: target, target` names the targets of a local name; a line that begins with a
blank continues the one before; empty lines and lines whose first character but blanks is `#` are skipped,
as is what follows a blank and a `#`. Names are compared without regard to letter case; one with blanks or
colons stands in double quotes. If a name stands twice, the first counts.

| target             | meaning                                                                        |
|--------------------|--------------------------------------------------------------------------------|
| `user@domain`      | an address, with or without a display name or quotes; final                    |
| `user@this-host`   | the local name `user`                                                          |
| `user`             | a local name: another alias, else the default, else `user` at the mail domain  |
| `user` in `user:`  | `user` at the mail domain                                                      |
| `\user`            | `user` at the mail domain, whatever aliases there are                          |
"""

from __future__ import annotations

import posix

from sendmail_py.errors import ConfigError, DataError, TemporaryError, printable
from sendmail_py.mail import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sendmail_py.policy.identity import Host

DEEPEST = 50
SHOWN = 80
UNSUPPORTED = ((b"|", "a program"), (b"/", "a file"), (b":", "a list kept in a file"))


class Aliases:
    """Alias files in their order; `default` (str, "" for none) gets what no alias knows."""

    __slots__ = ("default", "files", "texts")

    def __init__(self, files: list[str], default: str) -> None:
        self.files = files
        self.default = default
        self.texts: list[AliasText] | None = None

    def resolve(self, local: bytes, host: Host) -> list[bytes]:
        """The forward-paths of a local part in wire form, each once; the caller completes the bare ones.

        Raises DataError for targets that are refused and for loops, ConfigError and TemporaryError for the
        files.
        """
        expansion = Expansion(self, host)
        expansion.walk(local, ())
        return list(expansion.found.values())

    def value(self, key: bytes) -> bytes | None:
        """The targets of a name in lower case, as written in the first file that knows it."""
        if self.texts is None:
            self.texts = [AliasText(read(file)) for file in self.files]
        for text in self.texts:
            value = text.value(key)
            if value is not None:
                return value
        return None


class Expansion:
    """One name on its way through the aliases.

    found: the final addresses by their canonical form; done: names, in lower case, not to look at again.
    """

    __slots__ = ("aliases", "done", "found", "host")

    def __init__(self, aliases: Aliases, host: Host) -> None:
        self.aliases = aliases
        self.host = host
        self.found: dict[bytes, bytes] = {}
        self.done: set[bytes] = set()

    def walk(self, local: bytes, way: tuple[bytes, ...]) -> None:
        """Add what a local part leads to; `way` holds the aliases that led here, in lower case."""
        key = key_of(local)
        if key in way or len(way) >= DEEPEST:
            raise DataError(f"alias {names((*way, key))} leads back to itself or too far: see newaliases")
        if key in self.done:
            return
        self.done.add(key)
        value = self.aliases.value(key)
        if value is None:
            self.unknown(local, (*way, key))
            return
        for one in targets(value, local):
            name = self.local_name(one)
            if name is None or key_of(name) == key:
                self.final(one.removeprefix(b"\\") if name is None else name)
            else:
                self.walk(name, (*way, key))

    def final(self, target: bytes) -> None:
        """Keep an address, or a bare name for the caller to complete."""
        self.found.setdefault(address.canonical(target), target)

    def local_name(self, target: bytes) -> bytes | None:
        """The local part of a target that aliases apply to, None if the target is final."""
        local, domain = address.split(target)
        if target.startswith(b"\\") or (domain and not self.host.is_local(domain)):
            return None
        return local

    def unknown(self, local: bytes, way: tuple[bytes, ...]) -> None:
        """Where a name goes that no alias knows. Raises DataError for what is no name of a mailbox."""
        refuse(local, local)
        if not self.aliases.default:
            self.final(local)
            return
        for mailbox in address.parse_list(self.aliases.default.encode()):
            name = self.local_name(mailbox.address)
            if name is None or self.aliases.value(key_of(name)) is None:
                self.final(mailbox.address)
            else:
                self.walk(name, way)


def load(files: list[str], default: str = "") -> Aliases:
    """The aliases of these files, not read yet; `default` is the address for names that no alias knows."""
    return Aliases(files, default)


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
        raise DataError(f"{printable(alias, SHOWN)}: mail to {kind} is not supported: {shown}")


def unsupported(target: bytes) -> str:
    """What a target is, for people, if it is no mailbox; else ""."""
    plain = target.lstrip(b'"')
    for mark, kind in UNSUPPORTED:
        if plain.startswith(mark) and (mark == b"|" or not address.split(target)[1]):
            return kind
    return ""


def targets(value: bytes, alias: bytes) -> list[bytes]:
    """The targets of an alias as addresses, bare names, or bare names after a backslash. Raises DataError."""
    found = []
    for _, piece in pieces(value):
        refuse(piece, alias)
        try:
            found += [mailbox.address for mailbox in address.parse_list(piece)]
        except address.AddressError as error:
            raise DataError(f"alias {printable(alias, SHOWN)}: {error}") from None
    if not any(found):
        raise DataError(f"alias {printable(alias, SHOWN)} has no target")
    return [one for one in found if one]


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


class AliasText:
    """The text of one alias file. Looking a name up searches for its line; no other line is parsed."""

    __slots__ = ("lower", "text")

    def __init__(self, text: bytes) -> None:
        text = text.replace(b"\r\n", b"\n") if b"\r" in text else text
        self.text = b"\n" + text + b"\n"
        self.lower = self.text.lower()

    def value(self, key: bytes) -> bytes | None:
        """The targets of a name in lower case as one line, None if the name has no line here."""
        starts = [self.line_of(b'\n"' + quoted_key(key) + b'"')]
        if key and key[0] not in b' \t"#':
            starts.append(self.line_of(b"\n" + key))
        start = min([start for start in starts if start >= 0], default=-1)
        return None if start < 0 else b" ".join(self.logical(start))

    def line_of(self, begin: bytes) -> int:
        """Where the targets start on the first line that begins so and goes on with a colon, or -1."""
        at = self.lower.find(begin)
        while at >= 0:
            end = at + len(begin)
            colon = self.lower.find(b":", end)
            if colon < 0:
                return -1
            if not self.lower[end:colon].strip(b" \t"):
                return colon + 1
            at = self.lower.find(begin, end)
        return -1

    def logical(self, start: int) -> Iterator[bytes]:
        """The lines, without comments, of the logical line whose targets begin at `start`."""
        end = self.text.find(b"\n", start)
        yield without_comment(self.text[start:end])
        while end + 1 < len(self.text):
            start, end = end + 1, self.text.find(b"\n", end + 1)
            line = self.text[start:end]
            if line[:1] not in (b" ", b"\t") and not is_void(line):
                return
            if not is_void(line):
                yield without_comment(line)


def is_void(line: bytes) -> bool:
    """Whether a line is empty or a comment."""
    return line.strip()[:1] in (b"", b"#")


def quoted_key(key: bytes) -> bytes:
    """A name as it stands between double quotes."""
    return key.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def without_comment(line: bytes) -> bytes:
    """A line up to a `#` after a blank, outside double quotes."""
    at = line.find(b"#")
    while at >= 0:
        before = line[:at]
        if (not before or before[-1] in b" \t") and before.count(b'"') % 2 == 0:
            return before
        at = line.find(b"#", at + 1)
    return line


def read(file: str) -> bytes:
    """The octets of an alias file, none if it is missing. Raises ConfigError, TemporaryError."""
    try:
        fd = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
        try:
            found = []
            while piece := posix.read(fd, 1 << 20):
                found.append(piece)
            return b"".join(found)
        finally:
            posix.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except (PermissionError, IsADirectoryError) as error:
        cure = "make it readable, or set aliases.files"
        raise ConfigError(f"{printable(file)}: {error.strerror}: {cure}") from None
    except OSError as error:
        raise TemporaryError(f"{printable(file)}: {error.strerror}; nothing was queued, try again") from None
