"""What newaliases says about an alias file; the grammar is that of policy.aliases.

Guarantees: nothing is changed; every bad line is reported with its number, in the order of the file; a
missing file has no problems. Faults are what makes a submission fail or mail go astray; the rest are
remarks.
"""

from __future__ import annotations

from sendmail_py.errors import printable
from sendmail_py.mail import address
from sendmail_py.policy import aliases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

SHOWN = 80


class Problem:
    """line: int, counted from 1; text: str, one line; fault: bool, False for a remark."""

    __slots__ = ("fault", "line", "text")

    def __init__(self, line: int, text: str, fault: bool = True) -> None:
        self.line = line
        self.text = text
        self.fault = fault


class Entry:
    """One alias of a file.

    line: int, where it begins; key: its name in lower case; value: its targets as one text; begins: the
    positions in it at which lines begin, and these lines; leads: the local names among its targets, in
    lower case.
    """

    __slots__ = ("begins", "key", "leads", "line", "value")

    def __init__(self, line: int, key: bytes, value: bytes) -> None:
        self.line = line
        self.key = key
        self.value = value
        self.begins = [(0, line)]
        self.leads: list[bytes] = []

    def extend(self, line: int, text: bytes) -> None:
        """Take a continuation line."""
        self.value += b" "
        self.begins.append((len(self.value), line))
        self.value += text

    def line_at(self, position: int) -> int:
        """The line on which the target at a position of the value begins."""
        end = len(self.value)
        position += len(self.value[position:end]) - len(self.value[position:end].lstrip())
        return [line for begin, line in self.begins if begin <= position][-1]


def check(file: str, host_names: Container[bytes] = ()) -> list[Problem]:
    """The problems of an alias file, by line. Raises ConfigError, TemporaryError if it cannot be read.

    With `host_names` (identity.Host.local_names) loops by way of `user@this-host` are found too.
    """
    problems: list[Problem] = []
    entries = parse(aliases.read(file), problems)
    known: dict[bytes, Entry] = {}
    for entry in entries:
        first = known.setdefault(entry.key, entry)
        if first is not entry:
            shown = printable(entry.key, SHOWN)
            text = f"{shown}: stands in line {first.line} already, and that one counts"
            problems.append(Problem(entry.line, text))
        problems += check_entry(entry, host_names)
    problems += loops(known)
    return sorted(problems, key=lambda problem: problem.line)


def parse(text: bytes, problems: list[Problem]) -> list[Entry]:
    """The aliases of a text; lines that are none go to `problems`."""
    entries: list[Entry] = []
    open_entry: Entry | None = None
    for number, line in enumerate(text.replace(b"\r\n", b"\n").split(b"\n"), 1):
        if aliases.is_void(line):
            continue
        if line[0] not in b" \t":
            open_entry = begin(number, line, problems)
            entries += [open_entry] if open_entry else []
        elif open_entry:
            open_entry.extend(number, aliases.without_comment(line))
        elif not problems and not entries:
            problems.append(
                Problem(number, "begins with a blank, which continues an alias, but there is none")
            )
    return entries


def begin(number: int, line: bytes, problems: list[Problem]) -> Entry | None:
    """The alias that a line begins, None after a report if it begins none."""
    name, value = split_name(line)
    if not name:
        problems.append(Problem(number, f"{printable(line, SHOWN)}: not of the form name: target"))
        return None
    key = aliases.key_of(name)
    if name == key and len(key.split()) > 1:
        problems.append(Problem(number, f"{printable(name, SHOWN)}: a name with blanks needs double quotes"))
    if b"@" in key:
        text = f"{printable(name, SHOWN)}: aliases for names with a domain are not used"
        problems.append(Problem(number, text, fault=False))
    return Entry(number, key, aliases.without_comment(value))


def split_name(line: bytes) -> tuple[bytes, bytes]:
    """(name as written, targets) around the first colon outside quotes; (b"", b"") if malformed."""
    if not line.startswith(b'"'):
        name, _, value = line.partition(b":")
        return (name.strip(), value) if b":" in line else (b"", b"")
    for at, octet, hidden in aliases.octets(line):
        if octet == 58 and not hidden:
            name = line[:at].strip()
            return (name, line[at + 1 :]) if not address.local_fault(name) else (b"", b"")
    return b"", b""


def check_entry(entry: Entry, host_names: Container[bytes]) -> list[Problem]:
    """The problems with the targets of an alias; remembers the local names among them."""
    pieces = aliases.pieces(entry.value)
    if not pieces:
        return [Problem(entry.line, f"{printable(entry.key, SHOWN)}: has no target")]
    problems = []
    for position, piece in pieces:
        line, shown = entry.line_at(position), printable(piece, SHOWN)
        kind = aliases.unsupported(piece)
        if kind:
            alias = printable(entry.key, SHOWN)
            text = f"{shown}: mail to {kind} is not supported, so mail for {alias} is refused"
            problems.append(Problem(line, text, fault=False))
            continue
        try:
            entry.leads += local_names(piece, host_names)
        except address.AddressError as error:
            problems.append(Problem(line, str(error)))
    return problems


def local_names(piece: bytes, host_names: Container[bytes]) -> list[bytes]:
    """The local names in a target, in lower case. Raises AddressError if an address in it is bad."""
    found = []
    for mailbox in address.parse_list(piece):
        local, domain = address.split(mailbox.address)
        if domain:
            address.check(mailbox.address)
        if local and not local.startswith(b"\\") and (not domain or domain in host_names):
            found.append(aliases.key_of(local))
    return found


def loops(known: dict[bytes, Entry]) -> list[Problem]:
    """A fault for each loop, at its alias that is reached first; an alias may name itself."""
    problems = []
    done: set[bytes] = set()
    for key in known:
        way: list[bytes] = []
        pending = [(key, 0)]
        while pending:
            name, depth = pending.pop()
            done.update(way[depth:])
            del way[depth:]
            if name in way:
                loop = aliases.names((*way[way.index(name) :], name))
                problems.append(Problem(known[name].line, f"alias {loop} leads back to itself"))
            elif name not in done and name in known:
                way.append(name)
                pending += [(one, depth + 1) for one in known[name].leads if one != name]
        done.update(way)
    return problems
