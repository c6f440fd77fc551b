"""The bundles: one compiled file for all modules of a mail command, so that a start costs two reads.

`sendmail-py install` links the compiled modules that every command needs, those of each command, of a run of
the queue and of a reader of the shared spool, each into a bundle (admin/bundle.py). A bundle is used under
the rule for .pyc files: only while the size and time of every source file are those that it was compiled
from, and only by the interpreter that wrote it. Else the modules are imported one by one, as ever.

This module is not imported: its code travels in the first bundle, and the launcher, or the first words of a
reader (shared/seats.py), runs it and calls `begin`.
"""

from __future__ import annotations

import _imp
import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    Check = tuple[str, int, int]  # path below the package, time of change (ns), size
    Imports = list[tuple[str, tuple[str, ...]]]  # a module of ours, and names in it
    # Name, parent and last part of it, path below the package, is it one, modules without a file, ...
    Module = tuple[str, str, str, str, bool, tuple[str, ...], Imports, CodeType | bytes]

# What asks for bundles: `preload`.
DOORS = {"sendmail_py.commands.dispatch", "sendmail_py.policy.config"}
DOORS |= {"sendmail_py.commands.queue_run", "sendmail_py.commands.shared_run"}
ModuleType, ModuleSpec, BUILT_IN = type(sys), type(sys.__spec__), sys.__spec__.loader
# One for all: the name in it, which nobody reads, would be a tenth of what it takes to make a module.
# Without the attribute every `import` of a module raises an AttributeError that nobody sees.
SPEC = ModuleSpec("sendmail_py", None)
SPEC._initializing = False  # type: ignore[attr-defined]
UNUSABLE = (OSError, EOFError, TypeError, ValueError)  # what reading a damaged bundle may raise


def begin(
    magic: bytes, name: str, package: str, checks: list[Check], built_in: list[str], modules: list[Module]
) -> None:
    """Load what every command needs, and let dispatch load the rest of its command, and so on.

    magic    the first octets of a bundle for this interpreter
    name     path of the bundles, `%s` in the place of the command
    package  the folder sendmail_py
    """
    bundles = Bundles(magic, name, package)
    bundles.load_all(checks, built_in, modules)


class Bundles:
    """See begin."""

    __slots__ = ("magic", "name", "package")

    def __init__(self, magic: bytes, name: str, package: str) -> None:
        self.magic = magic
        self.name = name
        self.package = package

    def preload(self, command: str) -> None:
        """Load the bundle of a command, or another, if there is one."""
        try:
            with open(self.name % command, "rb") as file:
                octets = file.read()
            if octets.startswith(self.magic):
                self.load_all(*marshal.loads(octets[len(self.magic) :]))  # noqa: S302 (trusted as .pyc files)
        except UNUSABLE:
            return

    def load_all(self, checks: list[Check], built_in: list[str], modules: list[Module]) -> None:
        """Put modules into sys.modules, each after those that it imports, if all of them are fresh.

        That is, if each source file is the one that was compiled. Raises OSError when one is not there.
        """
        for path, time, size in checks:
            status = posix.stat(self.package + path)
            if status.st_mtime_ns != time or status.st_size != size:
                return
        for name in built_in:
            if name not in sys.modules and not make_built_in(name):
                return
        for module in modules:
            self.load(*module)

    def load(
        self,
        name: str,
        parent: str,
        last: str,
        path: str,
        is_package: bool,
        plain: tuple[str, ...],
        imports: Imports,
        body: CodeType | bytes,
    ) -> None:
        """Make one module, unless it is there; what `import` sets and anybody reads is set."""
        modules = sys.modules
        if name in modules:
            return
        module = modules[name] = ModuleType(name)
        own = module.__dict__
        own["__file__"] = self.package + path
        own["__package__"] = name if is_package else parent
        own["__spec__"] = SPEC
        if is_package:
            own["__path__"] = [own["__file__"].rpartition("/")[0]]
        for one in plain:
            own[one] = modules[one]
        for source, names in imports:
            found = modules[source].__dict__
            for one in names:
                own[one] = found[one]
        code = marshal.loads(body) if isinstance(body, bytes) else body  # noqa: S302 (as above)
        exec(code, own)  # noqa: S102 (what the import system does)
        if name in DOORS:
            own["preload"] = self.preload
        if parent:
            setattr(modules[parent], last, module)


def make_built_in(name: str) -> bool:
    """Put a module of the interpreter into sys.modules as `import` does, in half the time.

    False if it has a file: it has none for the interpreter that wrote the bundle.
    """
    if not _imp.is_builtin(name):
        return False
    spec = ModuleSpec(name, BUILT_IN, origin="built-in")
    spec._initializing = False  # type: ignore[attr-defined]
    module = sys.modules[name] = _imp.create_builtin(spec)
    module.__spec__, module.__loader__, module.__package__ = spec, BUILT_IN, ""
    _imp.exec_builtin(module)
    return True
