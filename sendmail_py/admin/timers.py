"""What calls the flush, as steps: cron or systemd for the whole system; and what is there of a user's own."""

from __future__ import annotations

import os

from sendmail_py.admin import layout, units
from sendmail_py.admin.steps import Command, Entry, Step, with_folders
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import UnavailableError

CRON_DAEMONS = ("/usr/sbin/cron", "/usr/sbin/crond", "/usr/bin/crond", "/usr/sbin/fcron", "/usr/sbin/cronie")
RUNNING = "/run/systemd/system"  # sd_booted(3)
SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
NO_ID = (b"", b"uninitialized")  # machine-id(5), in an image
WANTED = (("timers.target", "sendmail-py.timer"), ("sockets.target", "sendmail-py.socket"))
STARTED = [name for _, name in WANTED]
# A run that is on finishes what it has in hand; and nothing of ours stays behind as a unit that failed.
STOP = [
    ["systemctl", "stop", *STARTED],
    ["sh", "-c", "systemctl stop sendmail-py.service; systemctl reset-failed sendmail-py.service; :"],
]
# One after the other: systemd does not start a socket whose service runs, and the timer may start that at once.
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
    """Whether a daemon is there that reads /etc/cron.d (the folder alone is, without one)."""
    daemon = any(tree.status(path) is not None for path in CRON_DAEMONS)
    return daemon and tree.is_folder("/etc/cron.d")


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
        if not tree.is_folder("/etc/cron.d"):
            raise UnavailableError("no /etc/cron.d here; try --systemd, or call `sendmail -q` by other means")
        return [Entry(layout.CRON, units.cron(machine_second(tree)).encode())]
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


def installed(tree: Tree) -> list[str]:
    """What is there for the whole system: "cron", "systemd"."""
    wants = [f"/etc/systemd/system/{target}.wants/{name}" for target, name in WANTED]
    found = ["cron"] if tree.status(layout.CRON) is not None else []
    return found + (["systemd"] if any(tree.status(path) is not None for path in wants) else [])


def refresh(tree: Tree) -> None:
    """After an upgrade: have a systemd that runs read our units anew, if they are on."""
    if tree.is_live and tree.is_folder(RUNNING) and "systemd" in installed(tree):
        tree.run(["sh", "-c", START])
