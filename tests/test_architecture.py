"""The room table, executed: who may import whom, where the doors are, how big things may be.

The tables below are the ones of CONTRIBUTING.md; a test holds them equal. Every fault is told as FILE:LINE.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sendmail_py
from sendmail_py.commands import dispatch

PACKAGE = Path(sendmail_py.__file__).parent
CONTRIBUTING = Path(__file__).resolve().parent.parent / "CONTRIBUTING.md"

FLOOR = {"errors", "maillog"}
ROOMS: dict[str, set[str]] = {
    "mail": {"errors"},
    "policy": {"mail", *FLOOR},
    "spool": {"mail", *FLOOR},
    "submission": {"mail", "policy", "spool", *FLOOR},
    "relay": {"mail", "policy", "spool", *FLOOR},
    "shared": {"mail", "policy", "spool", "relay", *FLOOR},
    "commands": {"mail", "policy", "spool", "submission", *FLOOR},
    "admin": {"mail", "policy", "spool", "submission", "relay", "shared", *FLOOR},
}
LEAN = {"", "mail", "policy", "spool", "submission", "commands"}

# What a lean module may import of the standard library: all of it nearly free.
NEARLY_FREE = {"binascii", "errno", "fcntl", "gc", "grp", "os", "posix", "pwd", "stat", "sys", "syslog"}
NEARLY_FREE |= {"time"}
PURE = {"binascii", "time"}  # mail: values only; time formats given seconds
NEARLY_FREE_ONLY_IN = {
    "_imp": {"commands.preload"},  # what `import` itself is made of
    "_signal": {"commands.signals"},  # the C half of signal
    "marshal": {"commands.preload"},  # built in; is never imported as a module of ours
    "tomllib": {"policy.explain"},  # behind its door
}

# A function-level import and where it is allowed: the doors.
DOORS = {
    ("commands.queue_run", "sendmail_py.relay.flush"),  # only when a message is due
    ("commands.dispatch", "sendmail_py.commands.patience"),  # only for calls that are wrong
    ("commands.sendmail", "sendmail_py.commands.later"),  # only for messages that are to wait
    ("relay.sender_domains", "sendmail_py.relay.receiving"),  # only when DNS is asked
    ("relay.smarthost", "sendmail_py.relay.mx"),  # only when DNS is asked
    ("relay.trouble", "sendmail_py.relay.throttling"),  # only for replies that may ask for less mail
    ("relay.reporter", "sendmail_py.relay.reports"),  # only when somebody may have to be told
    ("relay.senders", "sendmail_py.relay.renewal"),  # only when the rules changed since a refusal
    ("relay.backlog", "sendmail_py.relay.coalesce"),  # only with queue.coalesce
    ("relay.backlog", "sendmail_py.relay.smarthost"),  # only for smart hosts that are for some senders
    ("shared.start", "sendmail_py.policy.users_text"),  # only for the users of a big configuration file
    ("relay.commands", "sendmail_py.relay.recode"),  # only for content that cannot be sent as it is
    ("relay.credentials", "sendmail_py.relay.password_command"),  # only with a password_command
    ("relay.flush", "sendmail_py.relay.local"),  # only where aliases may name folders or programs
    ("relay.sessions", "sendmail_py.relay.sinks"),  # only for what takes mail in place of a server
    ("relay.backlog", "sendmail_py.spool.absorb"),  # only when a flush died while it made a digest
    ("relay.opening", "sendmail_py.relay.dane"),  # only when DNS is asked about certificates
    ("commands.mailq", "sendmail_py.spool.absorb"),  # only when a flush died while it made a digest
    ("commands.mailq", "sendmail_py.shared.asking"),  # only for root, who sees everybody's queue
    ("commands.sendmail", "sendmail_py.relay.direct"),  # only where there is no queue
    ("commands.shared_run", "sendmail_py.shared.start"),  # only when an owner may have mail that is due
    ("commands.verify", "sendmail_py.relay.smarthost"),  # who knows which smart hosts are tried
    ("admin.explain", "sendmail_py.commands.options"),  # who knows sendmail's arguments
    ("policy.aliases", "sendmail_py.policy.alias_files"),  # only for included lists and ~/.forward
    ("submission.submit", "sendmail_py.spool.servers"),  # only for large messages
    ("submission.submit", "sendmail_py.submission.owners"),  # only for lists with owners, and folders
    ("submission.complete", "sendmail_py.submission.authors"),  # only for authors without an address
    ("policy.aliases", "sendmail_py.policy.local_targets"),  # only where folders or programs are allowed
    ("policy.aliases", "sendmail_py.policy.alias_index"),  # only to make an index of a big alias file
    ("policy.config", "sendmail_py.policy.users_table"),  # only for big configuration files
    ("policy.users_table", "sendmail_py.policy.users_index"),  # only to make an index of a big table
    ("policy.users_table", "sendmail_py.policy.users_text"),  # only where there is no index
    ("policy.config", "sendmail_py.policy.explain"),  # only for faults, for people, and for tomllib
}
DISPATCH = "commands.dispatch"  # the door from a name to a command, a table of module names

THIRD_PARTY = {"click", "dns", "platformdirs"}
COSTLY_ONLY_IN: dict[str, set[str]] = {
    "dns": {"relay.dane", "relay.mx", "relay.resolver"},
    "socket": {"relay.dialing", "relay.transport"},
    "_socket": {"shared.frames"},
    "ssl": {"relay.transport", "relay.tls"},
    "subprocess": {"relay.password_command", "relay.program", "shared.asking", "shared.seats", "admin"},
    "click": {"admin"},
    "platformdirs": {"admin"},
}

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
NO_NAMES = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "jobs", "tasks"}


class Import:
    """One imported module: its full name, the line, whether types only, whether inside a function."""

    def __init__(self, name: str, line: int, types_only: bool, late: bool) -> None:
        self.name = name
        self.line = line
        self.types_only = types_only
        self.late = late

    @property
    def ours(self) -> str:
        """The name inside the package ("mail.address", "" for the package itself), or "-" for others."""
        top, _, rest = self.name.partition(".")
        return rest if top == "sendmail_py" else "-"


class Module:
    """A module of the package: its name ("mail.address"), path, lines and syntax tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        self.is_package = path.name == "__init__.py"
        self.name = name.removesuffix("__init__").rstrip(".")
        self.text = path.read_text()
        self.tree = ast.parse(self.text)
        self.imports = list(self.find(self.tree, types_only=False, late=False))

    @property
    def room(self) -> str:
        """The room it is in, "" for the floor and the package itself."""
        first = self.name.partition(".")[0]
        return first if first in ROOMS else ""

    def find(self, node: ast.AST, types_only: bool, late: bool) -> Iterator[Import]:
        """All imports below a node."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, types_only, late)
            elif isinstance(child, ast.ImportFrom):
                yield from self.names_of(child, types_only, late)
            elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                yield from self.find(child, True, late)
            else:
                inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                yield from self.find(child, types_only, late or inside)

    def names_of(self, node: ast.ImportFrom, types_only: bool, late: bool) -> Iterator[Import]:
        """`from a import b`: a.b if that is a module of ours, else a."""
        base = node.module or ""
        for alias in node.names:
            name = f"{base}.{alias.name}"
            path = PACKAGE.parent / name.replace(".", "/")
            is_module = path.with_suffix(".py").exists() or (path / "__init__.py").exists()
            ours = base.startswith("sendmail_py") and is_module
            yield Import(name if ours else base, node.lineno, types_only, late)

    def at(self, line: int) -> str:
        """FILE:LINE for a fault."""
        return f"{self.path.relative_to(PACKAGE.parent)}:{line}"


MODULES = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]
BY_NAME = {module.name: module for module in MODULES}


def check(faults: list[str]) -> None:
    """Fail with all faults, one a line."""
    assert not faults, "\n" + "\n".join(faults)


def is_named(module: Module, places: set[str]) -> bool:
    """Whether a module, or its room, is one of the named places."""
    return module.name in places or module.room in places


# --- direction ----------------------------------------------------------------------------------------------


def test_every_folder_is_a_room_of_the_table() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ROOMS)


def test_the_floor_is_two_modules() -> None:
    loose = {module.name for module in MODULES if not module.room}
    assert loose - {"", "__main__"} == FLOOR


def test_imports_point_down() -> None:
    check(
        [
            f"{module.at(one.line)}: {module.room} must not import sendmail_py.{one.ours}"
            for module in MODULES
            if module.room
            for one in module.imports
            if one.ours not in ("-", "") and not may_import(module, one)
        ]
    )


def may_import(module: Module, one: Import) -> bool:
    """Whether the table, or a door, lets the module import that module of ours."""
    target = one.ours.partition(".")[0]
    door = one.late and (module.name, one.name) in DOORS
    return target == module.room or target in ROOMS[module.room] or door


def test_the_floor_imports_no_room() -> None:
    check(
        [
            f"{module.at(one.line)}: the floor must not import sendmail_py.{one.ours}"
            for module in MODULES
            if not module.room and module.name != "__main__"
            for one in module.imports
            if one.ours not in ("-", "", "errors")
        ]
    )


def test_no_two_modules_import_each_other_on_any_way() -> None:
    known = set(BY_NAME) - {""}
    ways = {
        module.name: {one.ours for one in module.imports if one.ours in known and not one.types_only}
        for module in MODULES
    }
    check([" -> ".join(cycle) for cycle in cycles(ways)])


def cycles(ways: dict[str, set[str]]) -> list[list[str]]:
    """The cycles that a walk through the imports meets."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in done:
            for target in sorted(ways[name]):
                walk(target, [*path, name])
            done.add(name)

    for name in ways:
        walk(name, [])
    return found


# --- doors --------------------------------------------------------------------------------------------------


def test_only_the_doors_import_late() -> None:
    check(
        [
            f"{module.at(one.line)}: import of {one.name} inside a function; only the doors may"
            for module in MODULES
            for one in module.imports
            if one.late and (module.name, one.name) not in DOORS
        ]
    )


def test_every_door_is_used() -> None:
    late = {(module.name, one.name) for module in MODULES for one in module.imports if one.late}
    assert late == DOORS


def test_only_dispatch_imports_by_name() -> None:
    check(
        [
            f"{module.at(node.lineno)}: imports by name"
            for module in MODULES
            if module.name != DISPATCH and module.room != "admin"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Name) and node.id in ("__import__", "importlib")
        ]
    )


def test_dispatch_leads_to_commands_only() -> None:
    assert all(target.startswith("sendmail_py.commands.") for target in dispatch.DOORS.values())
    assert all(target.removeprefix("sendmail_py.") in BY_NAME for target in dispatch.DOORS.values())


# --- what is imported from elsewhere ------------------------------------------------------------------------


def test_lean_rooms_import_only_what_is_nearly_free() -> None:
    check(
        [
            f"{module.at(one.line)}: {one.name} is not one of the nearly free modules"
            for module in MODULES
            if module.room in LEAN
            for one in module.imports
            if one.ours == "-" and not one.types_only and not is_nearly_free(module, one)
        ]
    )


def is_nearly_free(module: Module, one: Import) -> bool:
    """Whether a lean module may import this one of the standard library."""
    if one.name == "__future__" or (module.name, one.name) in DOORS:
        return True
    if one.name in NEARLY_FREE_ONLY_IN:
        return module.name in NEARLY_FREE_ONLY_IN[one.name]
    return one.name in (PURE if module.room == "mail" else NEARLY_FREE)


def test_third_party_and_costly_modules_stand_only_where_they_are_named() -> None:
    check(
        [
            f"{module.at(one.line)}: {one.name} belongs into {', '.join(sorted(places))}"
            for module in MODULES
            for one in module.imports
            for places in [COSTLY_ONLY_IN.get(one.name.partition(".")[0], set())]
            if places and not one.types_only and not is_named(module, places)
        ]
    )


def test_nothing_else_is_third_party() -> None:
    known = {*sys.stdlib_module_names, *THIRD_PARTY, "sendmail_py"}
    check(
        [
            f"{module.at(one.line)}: {one.name} is no dependency of ours"
            for module in MODULES
            for one in module.imports
            if one.name.partition(".")[0] not in known
        ]
    )


# --- shape --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_opens_with_one_docstring_and_exports_nothing(room: str) -> None:
    module = BY_NAME[room]
    assert ast.get_docstring(module.tree), f"{module.at(1)}: say what the room knows and may import"
    check([f"{module.at(node.lineno)}: nothing but the docstring" for node in module.tree.body[1:]])


def test_every_module_says_what_it_guarantees() -> None:
    check([f"{module.at(1)}: no docstring" for module in MODULES if not ast.get_docstring(module.tree)])


def test_no_module_has_a_name_that_says_nothing() -> None:
    check(
        [
            f"{module.at(1)}: find a name in the field's words"
            for module in MODULES
            for word in [module.path.stem]
            if word in NO_NAMES or (word.startswith("_") and not word.startswith("__"))
        ]
    )


def test_no_module_is_longer_than_a_few_screens() -> None:
    check(
        [
            f"{module.at(length)}: {length} lines, {LONGEST_MODULE} is the end"
            for module in MODULES
            for length in [len(module.text.splitlines())]
            if length > LONGEST_MODULE
        ]
    )


def test_no_function_is_longer_than_a_screen() -> None:
    check(
        [
            f"{module.at(node.lineno)}: {node.name} has {length(node)} lines, {LONGEST_FUNCTION} is the end"
            for module in MODULES
            for node in ast.walk(module.tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and length(node) > LONGEST_FUNCTION
        ]
    )


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def test_the_table_in_contributing_is_this_one() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", CONTRIBUTING.read_text(), re.MULTILINE)
    told = {room: set(re.findall(r"\w+", allowed)) for room, allowed in rows}
    assert {
        room: words - {"floor"} | (FLOOR if "floor" in words else set()) for room, words in told.items()
    } == ROOMS


def test_every_module_of_the_largest_room_has_one_place_in_its_table() -> None:
    """So that a newcomer who looks for a part finds its modules, all of them."""
    _, _, rest = CONTRIBUTING.read_text().partition("| in `relay` | modules |")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    there = [module.name for module in MODULES if module.room == "relay"]
    assert sorted(f"relay.{name}" for name in listed) == sorted(set(there) - {"relay"})
