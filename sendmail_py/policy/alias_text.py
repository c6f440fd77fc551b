"""The text of alias files, and how a name is found in it; aliases.py has the grammar and the meaning.

Guarantees: of all aliases only those that are asked for are parsed. A big file is searched by an index
(index.py), which is kept in the spool and made when it is missing or older than the file; a line counts by
what it holds, and without an index everything is searched, with the same result.
"""

from __future__ import annotations

import posix

from sendmail_py.errors import ConfigError, TemporaryError, printable
from sendmail_py.policy import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Maker = Callable[[str, bytes, bytes, posix.stat_result], bytes]

LARGEST_FILE = 16 * 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # of UTF-8; editors put it before the first name
INDEXED = 8 * 1024  # octets; a smaller file is searched in no time
FIFO, KIND = 0o010000, 0o170000  # S_IFIFO, S_IFMT of inode(7); to import `stat` would cost more


class AliasText:
    """The text of one alias file, without an index."""

    __slots__ = ("lower", "text")

    def __init__(self, text: bytes) -> None:
        text = text.replace(b"\r\n", b"\n") if b"\r" in text else text
        self.text = b"\n" + text + b"\n"
        self.lower = self.text.lower()

    def value(self, key: bytes) -> bytes | None:
        """The targets of a name in lower case as one line, None if the name has no line here."""
        starts = [self.line_of(b'\n"' + quoted_key(key) + b'"')] if b'"' in self.text else []
        if may_be_bare(key):
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

    def mentions(self, at_domain: bytes) -> bool:
        """Whether any line can have a name with this domain (`@domain`, in lower case)."""
        return at_domain in self.lower


class IndexedText:
    """The text of a big alias file, with the index of its names."""

    __slots__ = ("all", "index", "text")

    def __init__(self, text: bytes, index: bytes) -> None:
        self.text = text
        self.index = index
        self.all: AliasText | None = None

    def value(self, key: bytes) -> bytes | None:
        """As AliasText.value."""
        for start, length in self.slots(key):
            found = AliasText(index.lines(self.text, start, length)).value(key)
            if found is not None:
                return found
        return None if self.all is None else self.all.value(key)

    def slots(self, key: bytes) -> list[tuple[int, int]]:
        """The lines that may be about a name; none, and `all` is set, where the index is of no use."""
        found = index.find(self.index, key) if self.all is None else None
        if found is None:
            self.all = self.all or AliasText(self.text)
        return found or []

    def mentions(self, at_domain: bytes) -> bool:
        """As AliasText.mentions."""
        return bool(self.slots(index.MARK + at_domain)) or (
            self.all is not None and self.all.mentions(at_domain)
        )


def open_text(file: str, folder: str, make: Maker) -> AliasText | IndexedText:
    """The text of an alias file, empty if it is missing. Raises ConfigError, TemporaryError.

    `folder` is where indexes are kept, "" for nowhere; `make` makes one (alias_index.make).
    """
    text, state = read_with_state(file)
    if state is None or len(text) < INDEXED or not folder:
        return AliasText(text)
    path, head = index.place_of(folder, "aliases", file), index.head_of(state)
    found = index.read(path, head) or make(path, head, text, state)
    return IndexedText(text, found) if found else AliasText(text)


def read(file: str) -> bytes:
    """The octets of an alias file, none if it is missing. Raises ConfigError, TemporaryError."""
    return read_with_state(file)[0]


def read_with_state(file: str) -> tuple[bytes, posix.stat_result | None]:
    """The octets of an alias file, and the state of a big one after they were read."""
    try:
        fd = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
        try:
            found = posix.read(fd, LARGEST_FILE + 1)
            while piece := posix.read(fd, LARGEST_FILE + 1 - len(found)):
                found += piece
            if found and len(found) < INDEXED:
                return found.removeprefix(BYTE_ORDER_MARK), None
            state = posix.fstat(fd)
            if not found and state.st_mode & KIND == FIFO:
                raise PermissionError(0, "a pipe into which nobody writes")
        finally:
            posix.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        return b"", None
    except (PermissionError, IsADirectoryError) as error:
        cure = "make it readable, or set aliases.files"
        raise ConfigError(f"{printable(file)}: {error.strerror}: {cure}") from None
    except OSError as error:
        raise TemporaryError(f"{printable(file)}: {error.strerror}; nothing was queued, try again") from None
    if len(found) > LARGEST_FILE:
        raise ConfigError(f"{printable(file)}: too long for an alias file (at most 16 MiB)")
    return found.removeprefix(BYTE_ORDER_MARK), state


def may_be_bare(key: bytes) -> bool:
    """Whether a name may stand without quotes: not one with a colon, or that looks like no name."""
    return key[:1] > b" " and key[0] not in b'"#' and key[-1] not in b" \t" and b":" not in key


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
