"""sendmail-py install: for the whole system (see system.py), or launchers in a folder.

With --bindir the mail commands are written there, and the package is compiled where it is. Each launcher is a
regular file that appears whole or not at all: temporary name, fsync, rename, fsync of the folder. What
somebody else put under one of the names stays, unless --force is given; all names are looked at before the
first is written.
"""

from __future__ import annotations

import compileall
import contextlib
import errno
import importlib.util
import os
import py_compile
import stat
import subprocess
import sys

import click

import sendmail_py
from sendmail_py.admin import apparmor, bundle, launcher, layout, lock, setting, system, timers, units
from sendmail_py.admin.debian import Package
from sendmail_py.admin.steps import Entry, Step
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import (
    CantCreateError,
    NotPermittedError,
    SendmailError,
    UnavailableError,
    UsageError,
    printable,
)
from sendmail_py.policy import config
from sendmail_py.spool import durable

LONGEST_LAUNCHER = 65536
PATIENCE = 60.0  # seconds for an interpreter to say its version
SYSTEM_PYTHON = "/usr/bin/python3"
FORBIDDEN = (errno.EACCES, errno.EPERM)


@click.command(short_help="Install for the whole system, or write the mail commands into a folder.")
@click.option(
    "--bindir",
    metavar="DIR",
    type=click.Path(),
    help="Only write launchers into this folder, /usr/local/sbin or ~/bin, say; it is made if it is missing.",
)
@click.option(
    "--method",
    type=click.Choice(system.METHODS),
    help="How to get the name sendmail; default: deb where dpkg is, else alternatives, else links.",
)
@click.option(
    "--timer",
    type=click.Choice(("cron", "systemd", "none")),
    help="What flushes the queues every minute; default: cron, else systemd.",
)
@click.option("--root", metavar="DIR", type=click.Path(), help="Install into the image below this folder.")
@click.option(
    "--force", is_flag=True, help="With --bindir: replace files of others. Else: though a queue is not empty."
)
@click.option("--yes", is_flag=True, help="Do not ask whether another mailer's package may be removed.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def install(  # one argument for each option
    bindir: str | None,
    method: str | None,
    timer: str | None,
    root: str | None,
    force: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Install as this system's sendmail; only root can. Or, with --bindir, for yourself.

    The commands sendmail, mailq, newaliases and runq start Python isolated from the caller's
    environment. Run it again after an upgrade of Python or of sendmail_py.
    """
    os.umask(0o022)  # for everybody, whoever installs
    if bindir is None:
        install_system(root or "/", method or "", timer or "", force, yes, dry_run)
    elif method or timer or root:
        raise click.UsageError("--bindir writes launchers only, without --method, --timer and --root.")
    else:
        install_launchers(bindir, force, dry_run)


def install_launchers(bindir: str, force: bool, dry_run: bool) -> None:
    """The commands in a folder, with the package where it is."""
    folder = os.path.abspath(os.path.expanduser(bindir))
    package = package_folder()
    interpreter = find_interpreter()
    content = launcher.text(interpreter, package, dns_folders())
    refuse_foreign(folder, force)
    if not dry_run:
        write_all(folder, content)
    names = ", ".join(launcher.NAMES)
    click.echo(f"{'would write' if dry_run else 'wrote'} {printable(folder)}: {names}")
    click.echo(f"they run {printable(interpreter)} {launcher.OPTIONS} with {printable(package)}/sendmail_py")
    if not (dry_run or (compile_package(f"{package}/sendmail_py") and link(f"{package}/sendmail_py"))):
        warn("the package cannot be compiled where it is; every command will start slowly")
    for text in for_everybody([interpreter, f"{package}/sendmail_py/__init__.py"]):
        warn(text)


def install_system(root: str, method: str, timer: str, force: bool, yes: bool, dry_run: bool) -> None:
    """The whole of it: see system.py."""
    tree = Tree(os.path.abspath(root))
    refuse_ordinary_user(tree, dry_run)
    with contextlib.nullcontext() if dry_run else lock.held(tree):
        install_tree(tree, method, timer, force, yes, dry_run)


def install_tree(tree: Tree, method: str, timer: str, force: bool, yes: bool, dry_run: bool) -> None:
    """What is wanted, step by step."""
    interpreter = system_interpreter()
    wanted = system.Wanted(tree, package_folder(), interpreter)
    wanted.method = method or system.method_for(tree)
    wanted.log = log_file(tree)
    if not force:
        system.refuse_waiting(tree)
    todo = system.plan(wanted)
    if wanted.log and tree.is_folder(os.path.dirname(layout.LOGROTATE)):
        todo.append(Entry(layout.LOGROTATE, units.rotation(wanted.log).encode()))
    kind = timer or system.timer_for(tree)
    calling = timers.steps(tree, kind)
    system.refuse_read_only(tree, (step.path for step in todo + calling))
    if dry_run:
        for step in todo + calling:
            click.echo(f"would {printable(step.text)}")
        return
    if not yes:
        agree(todo)
    system.install(wanted, todo, calling, click.echo)
    if not calling:
        timers.refresh(tree)
    if kind == "none":
        warn("nothing calls `sendmail -q` here; mail waits until something does, see sendmail-py(8)")
    for text in for_everybody([interpreter]):
        warn(text)
    for text in apparmor.told(tree, interpreter, wanted.log):
        click.echo(text)


def agree(todo: list[Step]) -> None:
    """Another mailer's package goes only if somebody agrees."""
    gone = [name for step in todo if isinstance(step, Package) for name in step.displaced]
    if gone:
        if not setting.asks():
            raise UsageError(f"{', '.join(gone)} would be removed (and not purged); --yes agrees")
        click.confirm(f"Remove {', '.join(gone)} in favour of sendmail-py?", abort=True, err=True)


def refuse_ordinary_user(tree: Tree, dry_run: bool) -> None:
    """Only root installs for all; anybody may look at what would be done, or make an image of their own."""
    if tree.is_live and os.geteuid() != 0 and not dry_run:
        raise NotPermittedError("only root can install for the system; for yourself: --bindir ~/bin")


def system_interpreter() -> str:
    """The system's own Python if it is new enough, whatever runs this: all that we need is copied."""
    check = "import sys; print(sys.version_info >= (3, 11))"
    try:
        done = subprocess.run(  # noqa: S603 (root's)
            [SYSTEM_PYTHON, launcher.OPTIONS, "-c", check], capture_output=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return find_interpreter()
    return SYSTEM_PYTHON if done.stdout == b"True\n" else find_interpreter()


def log_file(tree: Tree) -> str:
    """Our log file by the system's configuration, "" when it has none or is broken."""
    try:
        to = config.load({}, tree.path(f"{layout.CONFIG_FOLDER}/config.toml")).log.to
    except SendmailError:
        return ""
    return to if to.startswith("/") else ""


def warn(text: str) -> None:
    """A line on standard error that is no failure."""
    click.echo(f"sendmail-py: warning: {printable(text)}", err=True)


def package_folder() -> str:
    """The folder that holds sendmail_py (absolute); UnavailableError for a package in a zip file."""
    package = os.path.dirname(os.path.abspath(sendmail_py.__file__ or ""))
    if not os.path.isfile(os.path.join(package, "__init__.py")):
        raise UnavailableError(f"{printable(package)}: the package must be installed as files in a folder")
    return os.path.dirname(package)


def dns_folders() -> list[str]:
    """The folder that holds dnspython's `dns`, to be searched last; [] without dnspython."""
    found = importlib.util.find_spec("dns")
    places = found.submodule_search_locations if found is not None else None
    return [os.path.dirname(os.path.abspath(place)) for place in places or ()][:1]


def find_interpreter() -> str:
    """The Python to start: the real one behind a virtual environment's link, as long as it is this version.

    A virtual environment adds nothing, because the launcher names the package's folder itself.
    """
    base = getattr(sys, "_base_executable", "") or sys.executable or ""
    for path in (os.path.realpath(base), base, sys.executable):
        if path and os.path.isabs(path) and cache_tag(path) == sys.implementation.cache_tag:
            return path
    raise UnavailableError(f"no Python of this version to start the commands with (tried {printable(base)})")


def cache_tag(interpreter: str) -> str:
    """The kind of .pyc files that an interpreter reads ("cpython-311"); "" when it does not run."""
    command = [interpreter, launcher.OPTIONS, "-c", "import sys; print(sys.implementation.cache_tag)"]
    try:
        done = subprocess.run(  # noqa: S603 (our own interpreter)
            command, capture_output=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL, cwd="/"
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("ascii", "replace").strip()


def refuse_foreign(folder: str, force: bool) -> None:
    """Raise NotPermittedError when a name is taken by something that we did not write."""
    for name in launcher.NAMES:
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            raise NotPermittedError(f"{printable(path)} is a folder; move it away")
        if not force and os.path.lexists(path) and not is_ours(path):
            raise NotPermittedError(f"{printable(path)} is not ours; --force replaces it")


def is_ours(path: str) -> bool:
    """Whether a file is a launcher that an earlier run wrote; a symbolic link is not."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return launcher.is_ours(os.read(fd, LONGEST_LAUNCHER))
    except OSError:
        return False
    finally:
        os.close(fd)


def write_all(folder: str, text: bytes) -> None:
    """Write the launchers into the folder, which is made if need be."""
    try:
        os.makedirs(folder, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in launcher.NAMES:
                write(fd, name, text)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise trouble(error, folder) from None


def write(folder: int, name: str, text: bytes) -> None:
    """One launcher, mode 0755, under its name only when it is whole and on the disk."""
    temporary = f".{name}.{os.getpid()}"
    durable.discard(folder, temporary)
    fd = os.open(temporary, durable.NEW_FILE, 0o755, dir_fd=folder)
    try:
        durable.write_all(fd, text)
        os.fchmod(fd, 0o755)
        os.fsync(fd)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        durable.discard(folder, temporary)
        raise
    finally:
        os.close(fd)


def trouble(error: OSError, folder: str) -> SendmailError:
    """What a fault of the file system means for an installation."""
    kind = NotPermittedError if error.errno in FORBIDDEN else CantCreateError
    return kind(f"cannot write into {printable(folder)}: {error.strerror}")


def compile_package(folder: str) -> bool:
    """Have a .pyc beside every module; False when some could not be written.

    Neither PYTHONPYCACHEPREFIX, PYTHONOPTIMIZE nor SOURCE_DATE_EPOCH of whoever installs may decide where
    they go and of which kind they are: the launchers look beside the sources for plain ones.
    """
    prefix, sys.pycache_prefix = sys.pycache_prefix, None
    try:
        compiled = compileall.compile_dir(
            folder,
            quiet=2,
            optimize=0,
            invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP,
        )
        return bool(compiled)
    finally:
        sys.pycache_prefix = prefix


def link(folder: str) -> bool:
    """Have the bundle of the mail commands' modules beside their .pyc; False when it could not be written."""
    try:
        bundle.write(folder)
    except OSError:
        return False
    return True


def for_everybody(paths: list[str]) -> list[str]:
    """What stands against an installation by root, which is for everybody: a line for each folder.

    Other users must be able to reach the interpreter and the package, and nobody but root to change them.
    """
    found: list[str] = []
    for path in paths if os.geteuid() == 0 else ():
        folders = path.split("/")
        for folder in ["/".join(folders[:depth]) for depth in range(2, len(folders))]:
            status = os.stat(folder)
            if not status.st_mode & stat.S_IXOTH:
                found.append(f"{folder} is closed to other users; the commands will work for root only")
            shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX
            if status.st_uid != 0 or shared:
                found.append(f"{folder} can be changed by others than root, who will run what they put there")
    return list(dict.fromkeys(found))
