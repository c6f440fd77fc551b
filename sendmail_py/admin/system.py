"""A system installation: its steps by each method, made one after the other, and all undone again.

Guarantees: nothing is changed before the manifest on the disk tells how to undo it; a fault in the middle of
a first installation undoes it; whatever ends the process, `uninstall` restores every byte, and mail that
waits is never deleted on the way.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable

from sendmail_py.admin import alternatives, content, debian, layout, line, mailers, manifest, steps, timers
from sendmail_py.admin.manifest import Manifest, Record
from sendmail_py.admin.steps import Account, Command, Folder, Library, Own, Step
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import DataError, NotPermittedError, SendmailError, UnavailableError

METHODS = ("deb", "divert", "alternatives", "links")
SYSTEMD = ("/usr/lib/systemd", "/lib/systemd")  # else its files would lie about for nobody
DISTRIB = ".distrib"  # as dpkg-divert(1) does
TIMER, SYSTEM = "timer", "system"  # the two groups of records

Tell = Callable[[str], None]

UNDO: dict[str, Callable[[Tree, Record], str]] = {
    "entry": steps.undo_entry,
    "line": line.undo_line,
    "folder": steps.undo_folder,
    "own": steps.undo_own,
    "library": steps.undo_library,
    "account": steps.undo_account,
    "command": steps.undo_command,
    "alternatives": alternatives.undo_choice,
    "package": debian.undo_package,
}


class Wanted:
    """What is to be installed: see the options of `sendmail-py install`."""

    def __init__(self, tree: Tree, package: str, interpreter: str) -> None:
        self.tree = tree
        self.package = package
        self.interpreter = interpreter
        self.method = ""
        self.log = ""


def method_for(tree: Tree) -> str:
    """The method that fits the system."""
    if tree.status("/var/lib/dpkg/status") is not None and tree.program("dpkg-deb"):
        return "deb"
    return "alternatives" if alternatives.fits(tree) else "links"


# --- the steps ----------------------------------------------------------------------------------------------


def plan(wanted: Wanted) -> list[Step]:
    """All steps but the timer's, in order: the names that others call come last. Changes nothing."""
    tree = wanted.tree
    files = content.library(wanted.package, wanted.interpreter)
    units = wanted.method == "deb" or any(tree.is_folder(path) for path in SYSTEMD)
    others = content.system_entries(tree, wanted.log, units)
    names = alternatives.names(tree, files) if wanted.method == "alternatives" else content.Names(files)
    if wanted.method == "deb":
        entries = names.entries("") + others
        build = functools.partial(debian.build, files, entries, wanted.interpreter)
        return [debian.Package(debian.NAME, build, displaced(tree))]
    found: list[Step] = [Library(files), *others, Account(layout.ACCOUNT)]
    found.append(Own(layout.STATE_FOLDER, 0o755))
    found.append(Own(layout.RELAY_STATE, 0o700, account=layout.ACCOUNT))
    found.append(Own(layout.SPOOL, 0o1733, wake=layout.WAKE_FILE))
    found.append(Folder(layout.CONFIG_FOLDER))
    if wanted.method == "divert":
        for entry in names.entries(DISTRIB):
            found += [diversion(tree, entry.path), entry]
    else:
        found += names.entries(steps.BACKUP)
    if wanted.method == "alternatives":
        found += alternatives.steps(tree, names)
    return steps.with_folders(tree, found)


def diversion(tree: Tree, path: str) -> Command:
    """Have dpkg put other packages' files of this name beside it."""
    root = [] if tree.is_live else ["--root", tree.root]
    words = ["dpkg-divert", *root, "--local", "--no-rename", "--divert", path + DISTRIB]
    return Command(f"diversion of {path}", [*words, "--add", path], [[*words, "--remove", path]])


def displaced(tree: Tree) -> list[str]:
    """The packages that provide a mailer now, and that dpkg removes in favour of ours."""
    found = []
    try:
        with open(tree.path("/var/lib/dpkg/status"), encoding="utf-8", errors="replace") as file:
            stanzas = file.read().split("\n\n")
    except OSError:
        return []
    for stanza in stanzas:
        fields = dict(line.partition(": ")[::2] for line in stanza.split("\n") if line[:1] not in (" ", ""))
        provides = [word.strip().partition(" ")[0] for word in fields.get("Provides", "").split(",")]
        is_there = fields.get("Status", "").endswith(" installed")
        if is_there and "mail-transport-agent" in provides and fields.get("Package") != debian.NAME:
            found.append(fields["Package"])
    return found


def refuse_waiting(tree: Tree) -> None:
    """NotPermittedError while another mailer has mail, which nobody would send."""
    found = [
        f"{number} waiting in {place} ({mailer.name}: {mailer.cure})"
        for mailer, place, number in mailers.waiting(tree)
    ]
    if found:
        raise NotPermittedError(f"{'; '.join(found)}. Send it first; --force goes on without")


def refuse_read_only(tree: Tree, paths: Iterable[str]) -> None:
    """NotPermittedError before the first change, if a later one could not be made or undone."""
    every = [layout.MANIFEST, layout.LIBRARY, *filter(os.path.isabs, paths)]
    folder = next(filter(None, map(tree.read_only, every)), "")
    if folder:
        text = "change the system's image (--root); for yourself: install --bindir ~/bin"
        raise NotPermittedError(f"{folder} is read-only here; {text}")


# --- doing and undoing --------------------------------------------------------------------------------------


def apply(tree: Tree, record_of: Manifest, todo: Iterable[Step], group: str, tell: Tell) -> None:
    """Make the steps; a record is on the disk before each. Raises OSError, SendmailError."""
    for step in todo:
        record = record_of.find(step.kind, step.path)
        if record is None:
            record = {**step.look(tree), "group": group}
        step.intend(tree, record)
        record_of.note(record)
        step.do(tree, record)
        tell(step.text)


def install(wanted: Wanted, todo: list[Step], timer: list[Step], tell: Tell) -> None:
    """Make everything. A fault undoes a first installation, and leaves an earlier one to try again."""
    tree = wanted.tree
    known = manifest.load(tree)
    if known.exists and known.method != wanted.method:
        raise NotPermittedError(f"installed by method {known.method}; run `sendmail-py uninstall` first")
    is_first = not known.exists
    known.method, known.is_complete = wanted.method, False
    try:
        apply(tree, known, todo, SYSTEM, tell)
        apply(tree, known, timer, TIMER, tell)
    except (OSError, SendmailError):
        if is_first:
            undo_all(known, tell, purge=False)
        raise
    drop_stale(known, todo, tell)
    known.finish()


def drop_stale(known: Manifest, todo: list[Step], tell: Tell) -> None:
    """Take files away that an earlier version had and this one has not."""
    wanted = {step.path for step in todo}
    stale = [
        one
        for one in known.records
        if (one["group"], one["kind"]) == (SYSTEM, "entry") and one["path"] not in wanted
    ]
    undo_records(known, stale, tell, purge=False)


def timer_for(tree: Tree) -> str:
    """What an installation sets if it is not told; an upgrade nothing that is off or was edited."""
    known = manifest.load(tree)
    if not known.is_complete or tree.status(layout.LIBRARY) is None:  # dpkg may have removed it
        return "" if timers.installed(tree) else timers.kind_for(tree)
    for record in known.records:
        if record["group"] == TIMER and record["path"] == timers.cron_place(tree):
            is_line = record["kind"] == "line"
            now = line.marked(tree, record) if is_line else [tree.fingerprint(record["path"])]
            return "cron" if now and set(now) <= set(record["ours"]) else ""
    return ""


def set_timer(tree: Tree, todo: list[Step], tell: Tell) -> None:
    """Another timer in the place of the one that is there; no steps: none."""
    known = manifest.load(tree)
    if not known.exists:
        raise UnavailableError("nothing is installed for the whole system; see sendmail-py install")
    undo_records(known, [one for one in known.records if one["group"] == TIMER], tell, purge=False)
    apply(tree, known, todo, TIMER, tell)


def undo_records(known: Manifest, records: list[Record], tell: Tell, purge: bool) -> None:
    """Undo records, the newest first."""
    tree = known.tree
    if any(record["kind"] not in UNDO for record in records):
        raise DataError(f"{layout.MANIFEST}: written by a newer version of sendmail-py; use that one")
    for record in reversed(records):
        stays = "" if purge else mail_in(tree, record)
        stays = stays or UNDO[record["kind"]](tree, record)
        known.forget(record)
        tell(stays or f"undone: {record['kind']} {record['path']}")


def mail_in(tree: Tree, record: Record) -> str:
    """Why the spool must stay, "" for anything else and for an empty one."""
    if (record["kind"], record["path"]) != ("own", layout.SPOOL):
        return ""
    queued, failed = mailers.own(tree)
    return f"{layout.SPOOL} stays: {queued + failed} messages are in it" if queued + failed else ""


def undo_all(known: Manifest, tell: Tell, purge: bool) -> None:
    """Undo everything, the manifest last."""
    if purge:
        known.tree.remove_all(layout.SPOOL)
    undo_records(known, list(known.records), tell, purge)
    known.remove()


def refuse_needed(tree: Tree, known: Manifest) -> None:
    """Before anything is undone: whether dpkg would let the package go. UnavailableError with its reason."""
    for record in known.records:
        if record["kind"] == "package" and debian.is_known_package(tree, record["path"]):
            try:
                tree.run(debian.purge(tree, record["path"], "--dry-run"))
            except UnavailableError as error:
                text = "other packages need a mailer: install another one with apt, which replaces this one"
                raise UnavailableError(f"{text} ({error})") from None
