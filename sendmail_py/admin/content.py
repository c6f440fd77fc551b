"""What a system installation consists of: the files of LIBRARY, and those that have names elsewhere.

The package is a copy of the one that runs, and so are click, platformdirs and dnspython: the virtual
environment that they come from belongs to whoever made it, may be closed to other users, changed by one, or
gone tomorrow. The mail commands need none of them (but dnspython when DNS is asked).
"""

from __future__ import annotations

import gzip
import importlib.util
import os

from sendmail_py.admin import launcher, layout, scripts, units
from sendmail_py.admin.steps import Entry
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import UnavailableError, printable

VENDORED = {"click": "click", "platformdirs": "platformdirs", "dns": "dnspython"}  # module -> distribution
OPTIONAL = ("dns",)
NOT_COPIED = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")  # about another place
SOURCES = (".py", ".typed")
PAGES: tuple[str, ...] = ("mailq.1", "newaliases.1", "sendmail-py-spool.5", "sendmail-py.7", "sendmail-py.8")
PAGES += ("sendmail-py.toml.5", "sendmail.8")

Files = dict[str, tuple[bytes, int]]  # path below LIBRARY -> content, mode

ADMIN = """\
import sys
sys.path += [{library!a}, {vendor!a}]
from sendmail_py.admin.cli import main
main()
"""

COMPILE = """\
# The compiled files of the running Python, and the mail commands' bundles. Argument: the root of an image.
import compileall, py_compile, sys
root = "".join(sys.argv[1:2])
library = root + {library!a}
sys.path.append(library)
from sendmail_py.admin import bundle
mode = py_compile.PycInvalidationMode.TIMESTAMP
done = compileall.compile_dir(library, quiet=2, optimize=0, invalidation_mode=mode, stripdir=root or None)
bundle.write(library + "/sendmail_py")
sys.exit(not done)
"""


def library(package: str, interpreter: str) -> Files:
    """The content of LIBRARY; `package` holds sendmail_py. Raises UnavailableError, OSError."""
    found: Files = {}
    for path in sources(f"{package}/sendmail_py"):
        found[f"sendmail_py/{path}"] = (read(f"{package}/sendmail_py/{path}"), 0o644)
    for module, distribution in VENDORED.items():
        found.update(vendored(module, distribution))
    for name in PAGES:
        found[f"man/{name}"] = (page(package, name), 0o644)
    for name in launcher.NAMES:
        found[f"bin/{name}"] = (command(interpreter), 0o755)
    found["bin/sendmail-py"] = (script(interpreter, ADMIN), 0o755)
    found["bin/compile"] = (script(interpreter, COMPILE), 0o755)
    return found


def command(interpreter: str) -> bytes:
    """A mail command's launcher."""
    return launcher.text(interpreter, layout.LIBRARY, [layout.VENDOR])


def script(interpreter: str, body: str) -> bytes:
    """A launcher of something else."""
    text = body.format(library=layout.LIBRARY, vendor=layout.VENDOR)
    return b"\n".join([launcher.start(interpreter), launcher.MARKER, text.encode("ascii")])


def vendored(module: str, distribution: str) -> Files:
    """A distribution that we need: its modules, and what it says about itself, its licence first."""
    spec = importlib.util.find_spec(module)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places:
        if module in OPTIONAL:
            return {}
        raise UnavailableError(f"{distribution} is not installed where sendmail-py runs")
    found: Files = {}
    for path in sources(places[0]):
        found[f"vendor/{module}/{path}"] = (read(f"{places[0]}/{path}"), 0o644)
    site = os.path.dirname(places[0])
    for name in os.listdir(site):
        if name.lower().startswith(f"{distribution}-") and name.endswith((".dist-info", ".egg-info")):
            about = f"{site}/{name}"
            for path in below(about) if os.path.isdir(about) else []:
                if path not in NOT_COPIED:
                    found[f"vendor/{name}/{path}"] = (read(f"{about}/{path}"), 0o644)
    return found


def sources(folder: str) -> list[str]:
    """The source files below a folder, relative to it."""
    return [path for path in below(folder) if path.endswith(SOURCES)]


def below(folder: str) -> list[str]:
    """All files below a folder, relative to it, compiled ones apart."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        found += [os.path.relpath(os.path.join(place, name), folder) for name in sorted(names)]
    return found


def page(package: str, name: str) -> bytes:
    """The source of a manual page: beside the package (a clone, an installation), or where a wheel has it."""
    prefix = os.path.abspath(f"{package}/../../..")  # of lib/python3.X/site-packages
    for path in (f"{package}/man/{name}", f"{prefix}/share/man/man{name[-1]}/{name}"):
        if os.path.isfile(path):
            return read(path)
    raise UnavailableError(f"the manual page {printable(name)} is missing; install the whole of sendmail-py")


def read(path: str) -> bytes:
    """A file's content."""
    with open(path, "rb") as file:
        return file.read()


class Names:
    """The names under which commands and pages are seen by others: path -> content.

    `end`: beside the usual names, with this added, where several mailers have one each (alternatives).
    """

    def __init__(self, files: Files, usual: dict[str, str] = layout.COMMANDS, end: str = "") -> None:
        self.usual = usual
        self.commands = {name: path + end for name, path in usual.items()}
        self.link = layout.SENDMAIL_LINK + end
        self.pages = {
            name: layout.page(f"{name[:-2]}{end if name in layout.SHARED_PAGES else ''}{name[-2:]}")
            for name in PAGES
        }
        self.files = files

    def entries(self, suffix: str) -> list[Entry]:
        """The steps that give the names, sendmail's last; what had one keeps it with the suffix."""
        found = []
        for name, path in self.pages.items():
            octets = gzip.compress(self.files[f"man/{name}"][0], mtime=0)
            found.append(Entry(path, octets, suffix=suffix))
        found.append(Entry(layout.ADMIN, *self.files["bin/sendmail-py"], suffix=suffix))
        sendmail = self.commands["sendmail"].removeprefix("/usr/")
        found.append(Entry(self.link, target=f"../{sendmail}", suffix=suffix))
        for name, path in reversed(self.commands.items()):
            found.append(Entry(path, *self.files[f"bin/{name}"], suffix=suffix))
        return found


def system_entries(tree: Tree, log: str, systemd: bool = True) -> list[Entry]:
    """Units, account, folders, and the hooks of the network that are called. `log`: our log file, "" none."""
    found = []
    if systemd:
        found += [
            Entry(layout.SYSUSERS, units.sysusers().encode()),
            Entry(layout.TMPFILES, units.tmpfiles().encode()),
        ]
        for name, text in units.system_units(log).items():
            found.append(Entry(f"{layout.UNIT_FOLDER}/{name}", text.encode()))
    for path, text in units.hooks().items():
        if tree.is_folder(os.path.dirname(path)):
            found.append(Entry(path, text.encode(), 0o755))
    runtime = scripts.RTUPDATE_PATH
    if tree.is_folder(os.path.dirname(runtime)):
        found.append(Entry(runtime, scripts.RTUPDATE.encode(), 0o755))
    return found
