"""What calls the flush, as steps: cron or systemd for the whole system; and what is there of a user's own."""

from __future__ import annotations

import glob
import os
import re

from sendmail_py.admin import layout, units
from sendmail_py.admin.line import Line, lines_of
from sendmail_py.admin.steps import Command, Entry, Step, with_folders
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import UnavailableError

CRON_DAEMONS = ("/usr/sbin/cron", "/usr/sbin/crond", "/usr/bin/crond", "/usr/bin/cronie", "/usr/sbin/cronie")
# Two daemons do not read /etc/cron.d as others do: busybox's never, Dillon's (Slackware) without the user's
# name. Root's crontab is what they read for sure; busybox's sees by the time of the folder that it changed.
DILLON = b"dillon's cron daemon"
CRON_FOLDER = "/etc/cron.d"
CRONTABS = ("/var/spool/cron/crontabs", "/etc/crontabs")
# What tells that a line of a crontab flushes, also one that a person wrote.
FLUSHES = re.compile(r"\bsendmail\S*\s(?:.*\s)?-q|\brunq\b|\bsendmail-py\s(?:.*\s)?flush\b")
LARGEST_DAEMON = 4 << 20
RUNNING = "/run/systemd/system"  # sd_booted(3)
SERVICE = "sendmail-py.service"
DROP_INS = f"/etc/systemd/system/{SERVICE}.d/*.conf"
WRITABLE = "ReadWritePaths="
SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
NO_ID = (b"", b"uninitialized")  # machine-id(5), in an image
WANTED = (("timers.target", "sendmail-py.timer"), ("sockets.target", "sendmail-py.socket"))
STARTED = [name for _, name in WANTED]
# A run that is on finishes what it has in hand; and nothing of ours stays behind as a unit that failed.
STOP = [
    ["systemctl", "stop", *STARTED],
    ["sh", "-c", "systemctl stop sendmail-py.service; systemctl reset-failed sendmail-py.service; :"],
]
# One after the other: systemd starts no socket whose service runs, and the timer may start that at once.
START = f"""\
systemctl daemon-reload
systemctl stop {" ".join(STARTED)}
systemctl stop sendmail-py.service
systemctl start sendmail-py.socket && systemctl start sendmail-py.timer
"""


def kind_for(tree: Tree) -> str:
    """What the system has: "cron", which every administrator reads; else "systemd"; else "none"."""
    if has_cron(tree):
        return "cron"
    return "systemd" if has_systemd(tree) else "none"


def has_cron(tree: Tree) -> bool:
    """Whether a daemon is there (its folder alone is, without one)."""
    return bool(place_for(tree))


def place_for(tree: Tree) -> str:
    """What the daemon that is there reads: /etc/cron.d, root's crontab, or "" when there is none."""
    there = [path for path in CRON_DAEMONS if tree.status(path) is not None]
    if not there:
        return ""
    if not all(is_simple(tree, path) for path in there):
        return layout.CRON if tree.is_folder(CRON_FOLDER) else ""
    folders = [path for path in CRONTABS if tree.is_folder(path)]
    return f"{folders[0]}/root" if folders else ""


def is_simple(tree: Tree, path: str) -> bool:
    """Whether a cron daemon is one that has crontabs only."""
    real = tree.real(path)
    if os.path.basename(real) == "busybox":
        return True
    try:
        with open(tree.root + real, "rb") as file:
            return DILLON in file.read(LARGEST_DAEMON)
    except OSError:
        return False


def has_systemd(tree: Tree) -> bool:
    """Whether the system is, or will be, run by systemd."""
    return tree.is_folder(RUNNING) if tree.is_live else any(tree.status(path) is not None for path in SYSTEMD)


def machine_second(tree: Tree) -> int:
    """The machine's second of the minute; for an image, whose machines are not known, one by chance."""
    try:
        with open(tree.path("/etc/machine-id"), "rb") as file:
            known = file.read(64).strip()
    except OSError:
        known = b""
    return units.second_of_minute(os.urandom(16) if known in NO_ID else known)


def steps(tree: Tree, kind: str) -> list[Step]:
    """What has the system's queues flushed. UnavailableError when the system has no such thing."""
    if kind == "cron":
        place = place_for(tree) or (layout.CRON if tree.is_folder(CRON_FOLDER) else "")
        if not place:
            raise UnavailableError("no cron here; try --systemd, or call `sendmail -q` by other means")
        second = machine_second(tree)
        if place == layout.CRON:
            return [Entry(place, units.cron(second).encode())]
        return [Line(place, units.system_line(second), units.SYSTEM_MARK)]
    if kind == "systemd":
        return systemd_steps(tree)
    return []


def systemd_steps(tree: Tree) -> list[Step]:
    """What `systemctl enable --now` does, in steps that can be undone."""
    if not has_systemd(tree):
        raise UnavailableError("systemd does not run here; try --cron")
    found: list[Step] = []
    runs = tree.is_live and tree.is_folder(RUNNING)
    if runs:
        reload = ["systemctl", "daemon-reload"]
        found.append(Command("systemctl daemon-reload", reload, [reload]))
    for target, name in WANTED:
        folder = f"/etc/systemd/system/{target}.wants"
        found.append(Entry(f"{folder}/{name}", target=f"{layout.UNIT_FOLDER}/{name}"))
    if runs:
        start = Command("systemctl restart", ["sh", "-c", START], STOP)
        start.text = f"start {', '.join(STARTED)}"
        found.append(start)
    return with_folders(tree, found)


def cron_place(tree: Tree) -> str:
    """Where our entry for the whole system is, "" when there is none."""
    if any(FLUSHES.search(line) for line in lines_of(tree, layout.CRON) if line[0] != "#"):
        return layout.CRON
    for folder in CRONTABS:
        if any(units.SYSTEM_MARK in line for line in lines_of(tree, f"{folder}/root")):
            return f"{folder}/root"
    return ""


def installed(tree: Tree) -> list[str]:
    """What is there for the whole system: "cron", "systemd"."""
    wants = [f"/etc/systemd/system/{target}.wants/{name}" for target, name in WANTED]
    found = ["cron"] if cron_place(tree) else []
    return found + (["systemd"] if any(tree.status(path) is not None for path in wants) else [])


def refresh(tree: Tree) -> None:
    """After an upgrade: have a systemd that runs read our units anew, if they are on."""
    if tree.is_live and tree.is_folder(RUNNING) and "systemd" in installed(tree):
        tree.run(["sh", "-c", START])


def service_writes(log: str) -> bool:
    """Whether the service may write to a log ("syslog", "stderr" or a path), by its unit and its drop-ins."""
    if not log.startswith("/"):
        return True
    places: list[str] = []
    for path in (f"{layout.UNIT_FOLDER}/{SERVICE}", *sorted(glob.glob(DROP_INS))):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except OSError:
            continue
        places += [
            one for line in lines if line.startswith(WRITABLE) for one in line[len(WRITABLE) :].split()
        ]
    return any(log.startswith(place.lstrip("-+") + "/") for place in places)
