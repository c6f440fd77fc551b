"""Reads the usual subset of TOML 1.0 in a fraction of the time that importing tomllib takes.

The subset: tables, dotted table names, arrays of tables, bare and quoted keys, basic strings
without escapes, literal strings, string arrays (over several lines, too), whole numbers, booleans,
comments. At the first doubt the reader declines and the caller asks tomllib (explain.document), so
the answer is always tomllib's and only tomllib says what is wrong. A property test holds it equal.
"""

from __future__ import annotations

import errno
import posix

from sendmail_py.errors import ConfigError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BLANKS = " \t"
BARE = b"-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
# Control characters that TOML forbids; a carriage return is allowed before a line feed, but rare.
CONTROL = bytes([*range(9), *range(11, 32), 127])
MOST_DIGITS = 18
HIDDEN = "; everybody who sends must be able to (chmod 644; a password belongs in a password_file)"
LARGEST_FILE = 1 << 20
FIFO, KIND = 0o010000, 0o170000  # S_IFIFO, S_IFMT of inode(7); to import `stat` would cost more


def read_if_there(
    path: str, hidden_is_missing: bool = False
) -> tuple[bytes | None, posix.stat_result | None]:
    """See read; twice None when there is no such file.

    A folder that may not be searched may hide a system file that matters, which is an error. A user's
    file that cannot even be looked at counts as missing: HOME may be another user's (su, sudo).
    """
    try:
        posix.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None, None
    except OSError as problem:
        if hidden_is_missing and isinstance(problem, PermissionError):
            return None, None
    return read(path)


def contents(path: str) -> bytes:
    """See read: the octets."""
    return read(path)[0]


def read(path: str) -> tuple[bytes, posix.stat_result]:
    """A file's octets, and its state after they were read; ConfigError when it cannot be read.

    A pipe is read to its end (a shell's `<(...)`), but nobody is waited for who might open it one day.
    """
    octets = b""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
        try:
            while chunk := some(fd):
                octets += chunk
                if len(octets) > LARGEST_FILE:
                    raise ConfigError(f"{printable(path)}: too long for a configuration (at most 1 MiB)")
            state = posix.fstat(fd)
            if not octets and state.st_mode & KIND == FIFO:
                raise ConfigError(f"{printable(path)}: cannot read it: a pipe into which nobody writes")
        finally:
            posix.close(fd)
    except OSError as problem:
        hint = HIDDEN if problem.errno == errno.EACCES and path.startswith("/etc/") else ""
        raise ConfigError(f"{printable(path)}: cannot read it: {problem.strerror}{hint}") from None
    return octets, state


def some(fd: int) -> bytes:
    """The next octets, b"" at the end; who has opened a pipe to write is waited for."""
    try:
        return posix.read(fd, 65536)
    except BlockingIOError:
        posix.set_blocking(fd, True)
        return posix.read(fd, 65536)


def subset(octets: bytes) -> dict[str, object] | None:
    """The document as nested dictionaries, None when it holds anything that is not surely in the subset."""
    if len(octets.translate(None, CONTROL)) != len(octets):
        return None
    try:
        return statements(octets.decode())
    except ValueError:  # declined, or not UTF-8
        return None


def statements(text: str) -> dict[str, object]:
    """Line by line; raises ValueError (without text) to decline."""
    root: dict[str, object] = {}
    table = root
    lines = iter(text.split("\n"))
    for whole in lines:
        line = whole.strip(BLANKS)
        if not line or line[0] == "#":
            continue
        if line[0] == "[":
            table = header(line, root)
            continue
        parts = line.split('"')
        if len(parts) == 3 and plain(parts, table):
            continue
        if line[0] in "\"'":
            key, rest = quoted(line)
            rest = rest.lstrip(BLANKS)
            if rest[:1] != "=":
                raise ValueError
            rest = rest[1:]
        else:
            key, _, rest = line.partition("=")
            key = bare(key.rstrip(BLANKS))
        if key in table:
            raise ValueError
        table[key] = value(rest.lstrip(BLANKS), lines)
    return root


def plain(parts: list[str], table: dict[str, object]) -> bool:
    """Take a line of the most usual form, `key = "text"`, split at its two quotes; False if it is another.

    Decides nothing that the long way would decide otherwise; it takes a third of the time.
    """
    before, inner, after = parts
    key = before[:-3]
    if not (before.endswith(" = ") and key.isidentifier() and key.isascii()) or key in table:
        return False
    if "\\" in inner or (after and after.lstrip(BLANKS)[0] != "#"):
        return False
    table[key] = inner
    return True


def header(line: str, root: dict[str, object]) -> dict[str, object]:
    """The new table that `[name]`, `[name.name]` or `[[name]]` begins."""
    closing = "]]" if line.startswith("[[") else "]"
    name, found, rest = line[len(closing) :].partition(closing)
    if not found:
        raise ValueError
    end(rest)
    if closing == "]]":
        return element(bare(name.strip(BLANKS)), root)
    parts = [bare(part.strip(BLANKS)) for part in name.split(".")]
    table = root
    for part in parts[:-1]:
        below = table.setdefault(part, {})
        if not isinstance(below, dict):
            raise ValueError
        table = below
    if parts[-1] in table:  # perhaps made by a longer name before, which is legal: tomllib knows
        raise ValueError
    new: dict[str, object] = {}
    table[parts[-1]] = new
    return new


def element(name: str, root: dict[str, object]) -> dict[str, object]:
    """One more table in the array of tables `name`."""
    new: dict[str, object] = {}
    if name not in root:
        root[name] = [new]
        return new
    array = root[name]
    if not isinstance(array, list) or not array or not isinstance(array[0], dict):
        raise ValueError
    array.append(new)
    return new


def bare(key: str) -> str:
    """The key, when it is a bare one."""
    if key.isascii() and key.replace("-", "a").replace("_", "a").isalnum():
        return key
    raise ValueError


def quoted(text: str) -> tuple[str, str]:
    """The string that `text` begins with, and what follows it."""
    close = text.find(text[0], 1)
    inner = text[1:close]
    if close < 0 or (text[0] == '"' and "\\" in inner):
        raise ValueError
    return inner, text[close + 1 :]


def is_of(line: bytes, key: bytes) -> bool:
    """Whether a statement of the subset for a key, not in single quotes, begins with a line."""
    quoted = b'"%s"' % key
    if line.startswith(quoted):
        rest = line[len(quoted) :]
    elif key and line.startswith(key) and not key.translate(None, BARE):
        rest = line[len(key) :]
    else:
        return False
    return rest.lstrip(b" \t")[:1] == b"="  # else a part of an array


def end(rest: str) -> None:
    """Nothing but a comment may follow; this declines multi-line strings, too."""
    rest = rest.lstrip(BLANKS)
    if rest and rest[0] != "#":
        raise ValueError


def value(text: str, lines: Iterator[str]) -> object:
    """The value that `text` begins with; an array may take more `lines`."""
    first = text[:1]
    if first == '"' or first == "'":
        inner, rest = quoted(text)
        end(rest)
        return inner
    if first == "[":
        return array(text[1:], lines)
    word = text.partition("#")[0].rstrip(BLANKS)
    if word == "true" or word == "false":
        return word == "true"
    if word.isascii() and word.isdigit() and len(word) <= MOST_DIGITS and (word[0] != "0" or word == "0"):
        return int(word)
    raise ValueError


def array(rest: str, lines: Iterator[str]) -> list[str]:
    """The strings up to the closing bracket; `rest` is what follows the opening one."""
    items: list[str] = []
    separated = True
    while True:
        rest = rest.lstrip(BLANKS)
        if not rest or rest[0] == "#":
            following = next(lines, None)
            if following is None:
                raise ValueError
            rest = following
        elif rest[0] == "]":
            end(rest[1:])
            return items
        elif separated and rest[0] in "\"'":
            item, rest = quoted(rest)
            items.append(item)
            separated = False
        elif rest[0] == "," and not separated:
            separated, rest = True, rest[1:]
        else:
            raise ValueError
