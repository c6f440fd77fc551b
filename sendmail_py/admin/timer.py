"""sendmail-py timer: what has the queue flushed every minute, for the whole system or for one user."""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
import subprocess

import click

from sendmail_py.admin import lock, system, timers, units
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import NotPermittedError, UnavailableError, UsageError, printable
from sendmail_py.policy import homes

PATIENCE = 60.0  # seconds for crontab and systemctl
NO_CRONTAB = re.compile("no crontab for|can't open '[^']*': No such file")  # most, busybox's
SYSTEM_CRONTAB = "/etc/crontab"
ROOT_CRONTABS = [f"{folder}/root" for folder in timers.CRONTABS]
LONGEST_TABLE = 1 << 20
USER_TIMER = "sendmail-py-flush.timer"

user_option = click.option("--user", is_flag=True, help="For the calling user's own queue only.")


@click.group(short_help="What has the queue flushed every minute.")
def timer() -> None:
    """What has the queue flushed every minute: cron or systemd, for all users or, with --user, for one."""


@timer.command()
@click.option("--cron", "kind", flag_value="cron", help="An entry in /etc/cron.d, or the user's crontab.")
@click.option("--systemd", "kind", flag_value="systemd", help="A timer; for all users, mail leaves at once.")
@user_option
@click.option(
    "--sendmail", metavar="FILE", type=click.Path(), help="With --user: the command; default: of the PATH."
)
def install(kind: str | None, user: bool, sendmail: str | None) -> None:
    """Have the queue flushed every minute, by what is chosen instead of what was.

    With --systemd and for all users a message is tried as soon as it is submitted.
    """
    if not user:
        tree = live_tree()
        chosen = kind or timers.kind_for(tree)
        if chosen == "none":
            raise UnavailableError("neither cron nor systemd is here; call `sendmail -q` by other means")
        with lock.held(tree):
            system.set_timer(tree, timers.steps(tree, chosen), click.echo)
        return
    flush = user_command(sendmail)
    if (kind or user_kind()) == "cron":
        install_crontab(flush)
        remove_units()
    else:
        install_user_units(flush)
        remove_crontab()


@timer.command()
@user_option
def remove(user: bool) -> None:
    """Have nothing flush the queue; mail waits until `sendmail -q` is called."""
    if user:
        remove_user()
        click.echo("nothing flushes your queue now")
    else:
        tree = live_tree()
        with lock.held(tree):
            system.set_timer(tree, [], click.echo)


@timer.command()
@user_option
def status(user: bool) -> int:
    """Say what flushes the queue; status 69 when nothing does."""
    found = user_timers() if user else timers.installed(Tree())
    for kind in found:
        click.echo(f"{kind}: {where(kind, user)}")
    if not found:
        raise UnavailableError("nothing flushes the queue; see sendmail-py timer install")
    return 0


def where(kind: str, user: bool) -> str:
    """What stands where, for people."""
    if kind == "cron":
        return "the user's crontab" if user else timers.cron_place(Tree())
    return f"{unit_folder()}/sendmail-py-flush.timer" if user else "sendmail-py.timer, sendmail-py.socket"


def live_tree() -> Tree:
    """The running system, for root only."""
    if os.geteuid() != 0:
        raise NotPermittedError("only root can set the system's timer; for your own queue: --user")
    return Tree()


def callers(shared: bool) -> list[str]:
    """What calls the flush, as far as can be seen: our own, and lines that somebody wrote into a crontab."""
    try:
        found = timers.installed(Tree()) if shared else user_timers()
        own = [] if shared else crontab()
    except UnavailableError:  # a user who may not have a crontab
        found, own = [], []
    tables = sorted([SYSTEM_CRONTAB, *glob.glob("/etc/cron.d/*"), *ROOT_CRONTABS])
    if any(calls_flush(read(path)) for path in tables):
        found.append("cron")
    elif calls_flush(own):
        found.append("crontab")
    return list(dict.fromkeys(found))


def calls_flush(lines: list[str]) -> bool:
    """Whether a line of a crontab is a call of the flush."""
    return any(timers.FLUSHES.search(line) for line in lines if not line.lstrip().startswith("#"))


def read(path: str) -> list[str]:
    """The lines of a file, [] when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST_TABLE).splitlines()
    except OSError:
        return []


# --- a user's own -------------------------------------------------------------------------------------------


def user_command(given: str | None) -> str:
    """The user's sendmail: the one that is named, or the first in the PATH."""
    path = os.path.abspath(os.path.expanduser(given)) if given else shutil.which("sendmail")
    if not path or not os.access(path, os.X_OK):
        raise UsageError(f"{printable(path or 'sendmail')} cannot be run; name the command with --sendmail")
    if "%" in path or not path.isprintable():
        raise UsageError(f"{printable(path)}: crontab and systemd cannot hold such a path")
    return path


def user_timers() -> list[str]:
    """What is there of this user's."""
    found = ["cron"] if any(units.CRONTAB_MARK in line for line in crontab()) else []
    return found + (["systemd"] if os.path.exists(f"{unit_folder()}/sendmail-py-flush.timer") else [])


def user_kind() -> str:
    """What a user gets who does not choose: cron, like the system, where it is."""
    return "cron" if shutil.which("crontab") or not timers.has_systemd(Tree()) else "systemd"


def remove_user() -> None:
    """Take the user's entries away, if they are there."""
    remove_crontab()
    remove_units()


def remove_crontab() -> None:
    """Our line; the others stay as they are."""
    lines = crontab()
    others = [line for line in lines if units.CRONTAB_MARK not in line]
    if others != lines:
        write_crontab(others)


def remove_units() -> None:
    """Service and timer: stopped, without a trace of a failure, and gone."""
    if "systemd" in user_timers():
        systemctl("disable", "--now", USER_TIMER, needed=False)
        unlink_units()
        systemctl("daemon-reload", needed=False)
        systemctl("reset-failed", *units.user_units(), needed=False)


def unlink_units() -> None:
    """The files only."""
    for name in units.user_units():
        path = f"{unit_folder()}/{name}"
        if os.path.exists(path):
            os.unlink(path)


def install_crontab(flush: str) -> None:
    """Our line in the crontab; the others stay as they are."""
    line = units.crontab(shlex.quote(flush), timers.machine_second(Tree()))
    write_crontab([*[one for one in crontab() if units.CRONTAB_MARK not in one], line])
    click.echo(f"crontab: {line}")


def crontab() -> list[str]:
    """The lines of the user's crontab; [] without one, or without cron."""
    try:
        done = run("crontab", "-l")
    except UnavailableError:
        return []
    if done.returncode and not NO_CRONTAB.search(done.stderr):
        raise UnavailableError(f"crontab -l: {printable(done.stderr.strip())}")
    return done.stdout.splitlines() if done.returncode == 0 else []


def write_crontab(lines: list[str]) -> None:
    """The whole crontab; an empty one is removed."""
    done = run("crontab", "-", text="\n".join(lines) + "\n") if lines else run("crontab", "-r")
    if done.returncode:
        raise UnavailableError(f"crontab: {printable(done.stderr.strip())}")


def unit_folder() -> str:
    """Where a user's own units are (systemd.unit(5))."""
    environ = {name: os.environ[name] for name in ("HOME", "XDG_CONFIG_HOME") if name in os.environ}
    return homes.base_folder(environ, "XDG_CONFIG_HOME", "/.config") + "/systemd/user"


def install_user_units(flush: str) -> None:
    """Service and timer, enabled and started; nothing of them stays where that cannot be."""
    folder = unit_folder()
    is_first = "systemd" not in user_timers()
    os.makedirs(folder, exist_ok=True)
    quoted = '"' + flush.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$") + '"'
    tree = Tree()
    for name, text in units.user_units(quoted).items():
        tree.write(f"{os.path.realpath(folder)}/{name}", text.encode(), 0o644)
        click.echo(f"write {folder}/{name}")
    try:
        systemctl("daemon-reload", needed=True)
        systemctl("enable", USER_TIMER, needed=True)
        systemctl("restart", USER_TIMER, needed=True)
    except UnavailableError:
        if is_first:
            unlink_units()
        raise
    click.echo("to flush while you are not logged in: loginctl enable-linger")


def systemctl(*words: str, needed: bool) -> None:
    """Tell the user's systemd; one that is not there is a fault only when it is needed."""
    try:
        done = run("systemctl", "--user", "--quiet", *words)
    except UnavailableError:
        if needed:
            raise
        return
    if done.returncode and needed:
        raise UnavailableError(f"systemctl --user {' '.join(words)}: {printable(done.stderr.strip())}")


def run(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program with the caller's environment. UnavailableError when it cannot be run."""
    environ = {**os.environ, "LC_ALL": "C.UTF-8"}
    bus = f"/run/user/{os.geteuid()}"
    if os.path.isdir(bus):  # su(1) and cron do not set it; systemctl needs it
        environ.setdefault("XDG_RUNTIME_DIR", bus)
    try:
        return subprocess.run(  # noqa: S603
            words, input=text, capture_output=True, text=True, check=False, timeout=PATIENCE, env=environ
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"{words[0]} cannot be run: {error}") from None
