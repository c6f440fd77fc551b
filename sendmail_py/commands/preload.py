"""The bundle: one compiled file for all modules of a mail command, so that a start costs one read.

`sendmail-py install` links the compiled modules of each command into a group (admin/bundle.py). A group
is used under the rule for .pyc files: only while the size and time of every source file are those that it was
compiled from, and only by the interpreter that wrote it. Else the modules are imported one by one, as ever.

This module is not imported: its code travels in the bundle and the launcher runs it with
`groups` (name of the group -> marshalled (checks, modules)) and `package` (folder of sendmail_py) set.
"""

from __future__ import annotations

import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    Check = tuple[str, int, int]  # path below the package, time of change (ns), size
    Module = tuple[str, str, bool, CodeType]  # name, path below the package, is it a package, compiled body

START = "sendmail_py.commands.dispatch"

groups: dict[str, bytes]
package: str


def preload(group: str) -> None:
    """Put the modules of a group into sys.modules, in an order in which each finds those that it imports."""
    if group not in groups:
        return
    checks, modules = marshal.loads(groups[group])
    if all([is_fresh(*check) for check in checks]):
        for module in modules:
            load(*module)


def is_fresh(path: str, time: int, size: int) -> bool:
    """Whether a source file is the one that was compiled."""
    try:
        status = posix.stat(package + path)
    except OSError:
        return False
    return (status.st_mtime_ns, status.st_size) == (time, size)


def load(name: str, path: str, is_package: bool, body: CodeType) -> None:
    """Make one module, unless it is there; what `import` sets and we read is set."""
    if name in sys.modules:
        return
    module = type(sys)(name)
    parent, _, last = name.rpartition(".")
    module.__file__ = package + path
    module.__package__ = name if is_package else parent
    if is_package:
        module.__path__ = [module.__file__.rpartition("/")[0]]
    sys.modules[name] = module
    exec(body, module.__dict__)  # noqa: S102 (what the import system does)
    if parent:
        setattr(sys.modules[parent], last, module)


preload("start")
if START in sys.modules:
    sys.modules[START].preload = preload  # type: ignore[attr-defined]
