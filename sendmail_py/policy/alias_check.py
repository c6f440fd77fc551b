"""What newaliases says about an alias file; the grammar is that of policy.aliases.

Guarantees: nothing is changed; every bad line is reported with its number, in the order of the file; a
missing file has no problems. Faults are what makes a submission fail or mail go astray; the rest are
remarks.
"""

from __future__ import annotations

from sendmail_py.errors import ConfigError, SendmailError, TemporaryError, printable
from sendmail_py.mail import address, addresslist
from sendmail_py.policy import alias_files, alias_text, aliases, local_targets

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


def check(
    file: str, host_names: Container[bytes] = (), rules: aliases.Aliases | None = None
) -> list[Problem]:
    """The problems of an alias file, by line. Raises ConfigError, TemporaryError if it cannot be read.

    With `host_names` (identity.Host.local_names) loops by way of `user@this-host` are found too; `rules` says
    which folders and programs may be targets.
    """
    problems: list[Problem] = []
    entries = parse(alias_text.read(file), problems)
    known: dict[bytes, Entry] = {}
    for entry in entries:
        first = known.setdefault(entry.key, entry)
        if first is not entry:
            shown = printable(entry.key, SHOWN)
            text = f"{shown}: stands in line {first.line} already, and that one counts"
            problems.append(Problem(entry.line, text))
        problems += check_entry(entry, host_names, rules)
    problems += loops(known)
    return sorted(problems, key=lambda problem: problem.line)


def parse(text: bytes, problems: list[Problem]) -> list[Entry]:
    """The aliases of a text; lines that are none go to `problems`."""
    entries: list[Entry] = []
    open_entry: Entry | None = None
    for number, line in enumerate(text.replace(b"\r\n", b"\n").split(b"\n"), 1):
        if alias_text.is_void(line):
            continue
        if line[0] not in b" \t":
            open_entry = begin(number, line, problems)
            entries += [open_entry] if open_entry else []
        elif open_entry:
            open_entry.extend(number, alias_text.without_comment(line))
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
    domain = key.rpartition(b"@")[2]
    if b"@" in key and address.domain_fault(domain):
        problems.append(Problem(number, f"{printable(name, SHOWN)}: {address.domain_fault(domain)}"))
    return Entry(number, key, alias_text.without_comment(value))


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


def check_entry(entry: Entry, host_names: Container[bytes], rules: aliases.Aliases | None) -> list[Problem]:
    """The problems with the targets of an alias; remembers the local names among them."""
    pieces = aliases.pieces(entry.value)
    if not pieces:
        return [Problem(entry.line, f"{printable(entry.key, SHOWN)}: has no target")]
    problems = []
    for position, piece in pieces:
        line = entry.line_at(position)
        path = alias_files.included(piece)
        if not path and aliases.unsupported(piece) and rules is not None:
            try:
                if local_targets.forward_path(piece, rules):
                    continue
            except SendmailError as error:
                problems.append(Problem(line, str(error)))
                continue
        found = check_list(entry, path, host_names, ()) if path else check_target(entry, piece, host_names)
        problems += [Problem(line, text, fault) for text, fault in found]
    return problems


def check_target(entry: Entry, piece: bytes, host_names: Container[bytes]) -> list[tuple[str, bool]]:
    """(text, whether it is a fault) of what is wrong with one target."""
    kind = aliases.unsupported(piece)
    if kind:
        alias = printable(entry.key, SHOWN)
        shown = printable(piece, SHOWN)
        refused = f"mail to {kind} is not supported, so mail for {alias} is refused"
        return [(f"{shown}: {refused}{aliases.cure(piece)}", False)]
    try:
        entry.leads += local_names(piece, host_names)
    except address.AddressError as error:
        return [(str(error), True)]
    return []


def check_list(
    entry: Entry, path: bytes, host_names: Container[bytes], way: tuple[bytes, ...]
) -> list[tuple[str, bool]]:
    """The same for a list that an alias includes, with the lists that it includes; `way` led there."""
    shown = printable(path, SHOWN)
    if path in way:
        return [(f"list {shown} includes itself", True)]
    try:
        lines = alias_files.members(path)
    except (ConfigError, TemporaryError) as error:
        return [(str(error), True)]
    problems = [] if lines else [(f"{shown}: has no target", True)]
    for number, line in lines:
        for _, piece in aliases.pieces(line):
            inner = alias_files.included(piece)
            if inner:
                problems += check_list(entry, inner, host_names, (*way, path))
            else:
                found = check_target(entry, piece, host_names)
                problems += [(f"{shown}:{number}: {text}", fault) for text, fault in found]
    return problems


def local_names(piece: bytes, host_names: Container[bytes]) -> list[bytes]:
    """The names that the aliases are asked for, of the targets in a piece, in lower case.

    Raises AddressError if an address in it is bad.
    """
    found = []
    for mailbox in addresslist.parse_list(piece):
        local, domain = address.split(mailbox.address)
        if domain:
            address.check(mailbox.address)
        if not local or local.startswith(b"\\"):
            continue
        if domain and domain not in host_names:
            found.append(aliases.key_of(local) + b"@" + domain.lower())
        else:
            found.append(aliases.key_of(local))
    return found


def led_to(name: bytes, known: dict[bytes, Entry]) -> bytes:
    """The alias that a name leads to: its own, else that of its domain or of everybody; b"" for none."""
    other = name[name.rfind(b"@") :] if b"@" in name else aliases.OTHERS
    return name if name in known else other if other in known else b""


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
                leads = [led_to(one, known) for one in known[name].leads]
                pending += [(one, depth + 1) for one in leads if one and one != name]
        done.update(way)
    return problems
