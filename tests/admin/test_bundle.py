"""The bundle: the same modules as without it, used only while it is fresh."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import sendmail_py
from sendmail_py.admin import bundle, launcher
from sendmail_py.commands import dispatch
from sendmail_py.shared import seats

PACKAGE = Path(sendmail_py.__file__ or "").parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package with a bundle, and a launcher for it."""
    place = tmp_path / "lib"
    shutil.copytree(PACKAGE, place / "sendmail_py", ignore=shutil.ignore_patterns("__pycache__"))
    bundle.write(str(place / "sendmail_py"))
    script = tmp_path / "sendmail"
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    script.write_bytes(launcher.text(base, str(place), []))
    script.chmod(0o755)
    return place / "sendmail_py"


def version(package: Path, *words: str) -> str:
    """What the launcher of a package says to --version (or other words)."""
    script = package.parent.parent / "sendmail"
    done = subprocess.run([script, *(words or ("--version",))], capture_output=True, check=False, text=True)
    assert done.returncode in (0, 64), done
    return done.stdout + done.stderr


def test_the_groups_are_the_doors() -> None:
    """A command that has a door has a group, but for the texts that nobody waits for."""
    texts = {"help": "sendmail_py.commands.usage", "version": "sendmail_py.commands.usage"}
    doors = {command: module for command, module in bundle.MODULES.items() if command != bundle.START}
    assert {**doors, **texts}.items() <= dispatch.DOORS.items()


def test_a_fresh_bundle_is_what_runs(copy: Path) -> None:
    """No source and no .pyc but those of the bundle's checks is opened for the modules in it."""
    path = Path(bundle.path_of(str(copy), "start"))
    octets = path.read_bytes()
    assert octets.count(b"needs a value") == 1
    path.write_bytes(octets.replace(b"needs a value", b"wants a value"))
    assert "wants a value" in version(copy, "-f")


def test_a_changed_source_is_never_hidden_by_the_bundle(copy: Path) -> None:
    """As with .pyc files: another time or size, and the modules are imported."""
    source = copy / "commands" / "options.py"
    source.write_text(source.read_text().replace("needs a value", "must have a value"))
    assert "must have a value" in version(copy, "-f")


@pytest.mark.parametrize("octets", [b"", b"junk", None])
def test_a_damaged_or_foreign_bundle_is_passed_over(copy: Path, octets: bytes | None) -> None:
    """Cut off, of another Python, or no bundle at all."""
    path = Path(bundle.path_of(str(copy), "start"))
    path.write_bytes(path.read_bytes()[:5000] if octets is None else octets)
    assert version(copy) == f"sendmail_py {sendmail_py.__version__}\n"


def test_without_a_bundle_everything_works(copy: Path) -> None:
    """It is for speed alone."""
    os.unlink(bundle.path_of(str(copy), "start"))
    assert version(copy) == f"sendmail_py {sendmail_py.__version__}\n"


LATER = {
    "relay": ["sendmail_py.commands.dispatch", "sendmail_py.commands.queue_run", "sendmail_py.relay.flush"],
    "shared": ["sendmail_py.commands.dispatch", "sendmail_py.commands.queue_run", "sendmail_py.shared.start"],
}


@pytest.mark.parametrize("name", LATER)
def test_what_a_run_loads_later_stands_on_what_is_there(name: str) -> None:
    """Together the bundles hold each module once, and after those that it imports."""
    seen: list[str] = []
    known: set[str] = set()
    for module in LATER[name]:
        seen += bundle.order(str(PACKAGE), module, known)
    assert len(seen) == len(set(seen))
    assert seen[-1] == LATER[name][-1]


def test_a_reader_takes_its_modules_from_its_bundle(copy: Path) -> None:
    """With its first words, which are no launcher's, and also when nothing is right with the bundle."""
    path = Path(bundle.path_of(str(copy), "reader"))
    words = [sys.executable, "-IS", "-c", seats.BECOME.replace("posix.setgroups([])", "")]
    words[-1] += "from sendmail_py.shared import reader; print(reader.__spec__.loader)"
    words += [str(copy.parent), str(os.getuid()), str(os.getgid()), "reader"]
    run = partial(subprocess.run, words, capture_output=True, check=True, text=True)
    assert run().stdout == "None\n"
    octets = path.read_bytes()
    path.write_bytes(octets[:9000])
    assert "SourceFileLoader" in run().stdout
    path.write_bytes(octets)
    (copy / "mail" / "address.py").touch()
    assert "SourceFileLoader" in run().stdout


def test_only_what_nobody_reads_at_run_time_is_left_out() -> None:
    """Annotations, docstrings, features."""
    source = (
        "from __future__ import annotations\nx: float = 1\ny: str\n"
        "if TYPE_CHECKING:\n    from collections import abc\nelse:\n    z = 3\n"
        "def f(a: float, *b: str, c: float = 2, **d: float) -> float:\n    return a\n"
    )
    bare = ast.unparse(ast.fix_missing_locations(bundle.Bare().visit(ast.parse(source))))
    assert "float" not in bare
    assert "str" not in bare
    assert "__future__" not in bare
    assert "TYPE_CHECKING" not in bare
    assert "x = 1" in bare
    assert "z = 3" in bare
    assert "c=2" in bare


def test_imports_of_our_own_modules_are_taken_out_and_no_others() -> None:
    """What stands inside a function is a door, which opens when it is asked for."""
    tree = ast.parse(
        "import posix\nfrom sendmail_py.mail.envelope import FAILED, TODO\nfrom time import time\n"
        "from sendmail_py.mail.address import split as s\n"
        "def door():\n    from sendmail_py.relay import direct\n"
    )
    assert bundle.taken_out(tree) == [("sendmail_py.mail.envelope", ("FAILED", "TODO"))]
    rest = ast.unparse(tree)
    assert "envelope" not in rest
    assert all(name in rest for name in ("posix", "time", "direct", "split as s"))


def test_imports_of_modules_of_the_interpreter_are_taken_out() -> None:
    """Those that have no file, and only where they stand alone."""
    rest = "import time as clock, gc\nimport posix, json\nfrom time import time"
    tree = ast.parse(f"import posix\nimport time, sys\n{rest}\n")
    assert bundle.built_in(tree) == ("posix", "time", "sys")
    assert ast.unparse(tree) == rest


LOOK = """
import sys, errno, syslog, time, json
for one in (errno, syslog, time):
    spec = one.__spec__
    loaders = f"{one.__loader__.__name__} {spec.loader.__name__}"
    said = f"{one.__name__} {one.__package__!r} {spec.name} {spec.origin} {spec.parent!r}"
    print(said, loaders, len(vars(one)) > 9)
"""


def test_modules_of_the_interpreter_are_as_import_makes_them(copy: Path) -> None:
    """What it says of itself and what is in it."""
    source = copy / "commands" / "usage.py"
    source.write_text(source.read_text() + LOOK)
    names = ("errno", "syslog", "time")
    rest = "built-in '' BuiltinImporter BuiltinImporter True"
    assert version(copy).splitlines()[:3] == [f"{one} '' {one} {rest}" for one in names]


def test_a_module_that_has_a_file_here_is_imported(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another interpreter of the same version may have one."""
    monkeypatch.setattr(bundle, "BUILT_IN", {*bundle.BUILT_IN, "json"})
    source = copy / "commands" / "options.py"
    future = "from __future__ import annotations\n"
    source.write_text(source.read_text().replace(future, f"{future}import json\n"))
    bundle.write(str(copy))
    assert version(copy) == f"sendmail_py {sendmail_py.__version__}\n"


def test_every_module_comes_after_those_that_it_imports() -> None:
    """So that running the bodies in order is enough."""
    seen: set[str] = set()
    for module in bundle.order(str(PACKAGE), "sendmail_py.commands.sendmail", set()):
        assert set(bundle.imported(str(PACKAGE), module)) <= seen | {module}, module
        seen.add(module)
    assert "sendmail_py.spool.draft" in seen
    assert not [one for one in seen if one.startswith(("sendmail_py.relay.", "sendmail_py.admin"))]
