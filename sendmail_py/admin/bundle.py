"""Link the compiled modules of each command, reader and run into one file; commands/preload.py says how."""

from __future__ import annotations

import ast
import importlib.util
import marshal
import os
import sys
from types import CodeType
from typing import Any

from sendmail_py.spool import durable

# Modules of the interpreter without a file, as a rule; their imports cost more than they do.
BUILT_IN = {
    "_signal",
    "binascii",
    "errno",
    "fcntl",
    "gc",
    "grp",
    "marshal",
    "posix",
    "pwd",
    "sys",
    "syslog",
    "time",
}
BUILT_IN &= set(sys.builtin_module_names)

START = "start"
MODULES = {
    START: "sendmail_py.commands.dispatch",
    "submit": "sendmail_py.commands.sendmail",
    "list": "sendmail_py.commands.mailq",
    "aliases": "sendmail_py.commands.newaliases",
    "flush": "sendmail_py.commands.queue_run",
    "smtp": "sendmail_py.commands.smtp",
}
# What is loaded later, and by what: a big configuration, a run of the queue, root's run of the shared spool.
CONFIG, RUN = "sendmail_py.policy.config", MODULES["flush"]
LATE = {
    "users": ("sendmail_py.policy.users_table", CONFIG),
    "relay": ("sendmail_py.relay.flush", RUN),
    "shared": ("sendmail_py.shared.start", RUN),
}
# What begins as START does, in a process of its own.
READER = "reader"
ALONE = {START: MODULES[START], READER: "sendmail_py.shared.reader"}


def path_of(package: str, command: str) -> str:
    """Where the bundle of a command (or START) is kept: beside the .pyc files, named as they are."""
    return os.path.join(package, "__pycache__", f"bundle-{command}.{sys.implementation.cache_tag}.pyc")


def write(package: str) -> None:
    """Write the bundles for interpreters of the running version. Raises OSError."""
    path = "commands/preload.py"
    preload = code(package, path, parsed(package, path))
    for name, module in ALONE.items():
        put(path_of(package, name), (preload, *link(package, order(package, module, set()))))
    for command, module in MODULES.items():
        if command != START:
            known = set(order(package, MODULES[START], set()))
            put(path_of(package, command), link(package, order(package, module, known)))
    for name, (module, door) in LATE.items():
        known = set(order(package, MODULES[START], set())) if door == RUN else set()
        order(package, door, known)
        checks, plain, modules = link(package, order(package, module, known))
        if door == CONFIG:  # which commands differ in what they have loaded: that is not read twice
            modules = [(*rest, marshal.dumps(body)) for *rest, body in modules]
        put(path_of(package, name), (checks, plain, modules))


def put(path: str, content: tuple[Any, ...]) -> None:
    """One bundle, whole or not at all, for everybody to read."""
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    fd = durable.open_folder(folder)
    try:
        octets = importlib.util.MAGIC_NUMBER + marshal.dumps(content)
        durable.replace(fd, name, octets, f".bundle.{os.getpid()}")
        os.chmod(name, 0o644, dir_fd=fd)
    finally:
        os.close(fd)


def link(package: str, modules: list[str]) -> tuple[list[object], list[str], list[tuple[Any, ...]]]:
    """The checks, the modules without a file and ours, for preload.py, in their order."""
    checks: list[object] = []
    plain: dict[str, None] = {}
    bodies: list[tuple[Any, ...]] = []
    for module in modules:
        path = file_of(package, module)
        status = os.stat(os.path.join(package, path))
        checks.append(("/" + path, status.st_mtime_ns, status.st_size))
        tree = parsed(package, path)
        names = built_in(tree)
        plain.update(dict.fromkeys(names))
        is_package = path.endswith("__init__.py")
        parent, _, last = module.rpartition(".")
        where = (module, parent, last, "/" + path, is_package)
        bodies.append((*where, names, taken_out(tree), code(package, path, tree)))
    return checks, list(plain), bodies


def parsed(package: str, path: str) -> ast.Module:
    """The syntax tree of one source file."""
    with open(os.path.join(package, path), "rb") as source:
        return ast.parse(source.read())


def built_in(tree: ast.Module) -> tuple[str, ...]:
    """The modules without a file that are imported at the top; the tree loses their imports, too."""
    nodes = [node for node in tree.body if isinstance(node, ast.Import) and not is_renamed(node)]
    nodes = [node for node in nodes if BUILT_IN.issuperset([one.name for one in node.names])]
    tree.body = [node for node in tree.body if node not in nodes]
    return tuple(one.name for node in nodes for one in node.names)


def is_renamed(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether something that is imported is called otherwise here; that is rare, and left as it is."""
    return any(one.asname for one in node.names)


def taken_out(tree: ast.Module) -> list[tuple[str, tuple[str, ...]]]:
    """The imports of our own modules at the top, which the tree loses: preload.py does them faster.

    Each is a module, and the names that the import sets.
    """
    nodes = [node for node in own_imports(tree) if not is_renamed(node)]
    tree.body = [node for node in tree.body if node not in nodes]
    return [(str(node.module), tuple(one.name for one in node.names)) for node in nodes]


def code(package: str, path: str, tree: ast.Module) -> CodeType:
    """One compiled source file, without what only readers and the type checker need.

    Docstrings, annotations and the import of `__future__` (a file) would be loaded at every start.
    """
    bare = ast.fix_missing_locations(Bare().visit(tree))
    body: CodeType = compile(bare, os.path.join(package, path), "exec", dont_inherit=True, optimize=2)
    return body


class Bare(ast.NodeTransformer):
    """Takes annotations, `if TYPE_CHECKING:` and `from __future__` out of a syntax tree."""

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt]:
        """Of `if TYPE_CHECKING:` what is done without a type checker."""
        self.generic_visit(node)
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return (node.orelse or ast.Pass()) if is_for_types else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """A function without the types of its arguments and result."""
        node.returns = None
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for argument in [*every, node.args.vararg, node.args.kwarg]:
            if argument is not None:
                argument.annotation = None
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        """`x: int = 1` is `x = 1`, `x: int` is nothing."""
        if node.value is None:
            return ast.Pass()
        return ast.Assign(targets=[node.target], value=node.value)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        """Features are for the compiler, and we use none but annotations."""
        return ast.Pass() if node.module == "__future__" else node


def file_of(package: str, module: str) -> str:
    """The source file of a module of ours, relative to the package folder."""
    parts = module.split(".")[1:]
    if os.path.isdir(os.path.join(package, *parts)):
        return "/".join([*parts, "__init__.py"])
    return "/".join(parts) + ".py"


def order(package: str, module: str, known: set[str]) -> list[str]:
    """The module and all that it imports at its top, each after those that it needs; `known` is left out."""
    if module in known:
        return []
    known.add(module)
    found = []
    parent = module.rpartition(".")[0]
    for needed in ([parent] if parent else []) + imported(package, module):
        found += order(package, needed, known)
    return [*found, module]


def imported(package: str, module: str) -> list[str]:
    """Our own modules that a module imports at its top."""
    found = []
    for node in own_imports(parsed(package, file_of(package, module))):
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            found.append(inner if is_module(package, inner) else str(node.module))
    return found


def own_imports(tree: ast.Module) -> list[ast.ImportFrom]:
    """The statements at the top of a module that import from our own package."""
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [node for node in nodes if (node.module or "").partition(".")[0] == "sendmail_py"]


def is_module(package: str, name: str) -> bool:
    """Whether a name is a module of ours."""
    return os.path.exists(os.path.join(package, file_of(package, name)))
