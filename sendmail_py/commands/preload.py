"""The bundle: one compiled file for all modules of a mail command, so that a start costs one read.

`sendmail-py install` links the compiled modules of each command into a group (admin/bundle.py). A group
is used under the rule for .pyc files: only while the size and time of every source file are those that it was
compiled from, and only by the interpreter that wrote it. Else the modules are imported one by one, as ever.

This module is not imported: its code travels in the bundle, and the launcher runs it and calls `begin`.
"""

from __future__ import annotations

import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

START = "start"
DISPATCH = "sendmail_py.commands.dispatch"


def begin(groups: dict[str, bytes], package: str) -> None:
    """Load what every command needs, and let dispatch load the rest of its command.

    groups   name of the group -> marshalled (checks, modules)
    package  the folder sendmail_py
    """
    bundle = Bundle(groups, package)
    bundle.preload(START)
    if DISPATCH in sys.modules:
        sys.modules[DISPATCH].preload = bundle.preload  # type: ignore[attr-defined]


class Bundle:
    """See begin."""

    __slots__ = ("groups", "package")

    def __init__(self, groups: dict[str, bytes], package: str) -> None:
        self.groups = groups
        self.package = package

    def preload(self, group: str) -> None:
        """Put the modules of a group into sys.modules, each after those that it imports."""
        if group not in self.groups:
            return
        checks, modules = marshal.loads(self.groups[group])  # noqa: S302 (trusted as the .pyc files beside it)
        for path, time, size in checks:
            if not self.is_fresh(path, time, size):
                return
        for name, path, is_package, body in modules:
            self.load(name, path, is_package, body)

    def is_fresh(self, path: str, time: int, size: int) -> bool:
        """Whether a source file (path below the package) is the one that was compiled (ns, octets)."""
        try:
            status = posix.stat(self.package + path)
        except OSError:
            return False
        return (status.st_mtime_ns, status.st_size) == (time, size)

    def load(self, name: str, path: str, is_package: bool, body: CodeType) -> None:
        """Make one module, unless it is there; what `import` sets and anybody reads is set."""
        if name in sys.modules:
            return
        module = type(sys)(name)
        parent, _, last = name.rpartition(".")
        module.__file__ = self.package + path
        module.__package__ = name if is_package else parent
        if is_package:
            module.__path__ = [module.__file__.rpartition("/")[0]]
        sys.modules[name] = module
        exec(body, module.__dict__)  # noqa: S102 (what the import system does)
        if parent:
            setattr(sys.modules[parent], last, module)
