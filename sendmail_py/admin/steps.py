"""The steps that an installation is made of, each with its way back.

A step first says what is there (its record, which the manifest has on the disk before anything changes), then
changes it. `undo_KIND` needs the record only, may be called at any moment, also twice, and touches nothing
that somebody else has changed since: it says what stays instead.

Records: kind, path, and
    entry     backup: where what had the name is, "" for nothing; ours: fingerprints of what we wrote
    line      (line.py) mark: what tells our line; ours: such lines; made: there was no file; ended: see there
    folder    made: whether we made it; else mode, uid, gid before
    own       made; a folder that is ours with all in it
    library   nothing else: the folder is ours, and so are two temporary names beside it
    account   made
    command   undo: the words of the command that takes it back
    package   (debian.py) displaced: packages that were removed in its favour; dpkg takes it back
    alternatives  (alternatives.py) ours: our program; before: the group's file; chosen: the program that was,
              by_hand: by somebody; services: of other mailers -> whether they start with the system;
              complete: whether we were chosen
"""

from __future__ import annotations

import os
import stat

from sendmail_py.admin import layout, scripts
from sendmail_py.admin.manifest import Record
from sendmail_py.admin.tree import Tree, file_print, link_print, temporary_of
from sendmail_py.errors import NotPermittedError, SendmailError, UnavailableError

BACKUP = ".before-sendmail-py"
# In folders whose files all count (cron.d, logrotate.d, dispatcher.d) the end that their readers skip.
ASIDE = f"{BACKUP}~"


class Step:
    """A change, not made yet: its kind and path, and a line for people."""

    kind = ""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text

    def look(self, tree: Tree) -> Record:
        """The record: what is there before the first time. NotPermittedError if it must not be done."""
        return {"kind": self.kind, "path": self.path}

    def intend(self, tree: Tree, record: Record) -> None:
        """Add to the record what this time will change."""

    def do(self, tree: Tree, record: Record) -> None:
        """Make the change; it may have been made before."""
        raise NotImplementedError


class Entry(Step):
    """A file, or a symbolic link if there is a `target`; what has the name keeps it as NAME + `suffix`."""

    kind = "entry"

    def __init__(
        self, path: str, octets: bytes = b"", mode: int = 0o644, target: str = "", suffix: str = ASIDE
    ) -> None:
        super().__init__(path, f"link {path} to {target}" if target else f"write {path}")
        self.octets = octets
        self.mode = mode
        self.target = target
        self.suffix = suffix

    @property
    def print(self) -> str:
        """The fingerprint of what will be there."""
        return link_print(self.target) if self.target else file_print(self.octets)

    def look(self, tree: Tree) -> Record:
        """Nothing is there, or a file or link that can be kept."""
        return {**super().look(tree), "backup": "", "ours": []}

    def intend(self, tree: Tree, record: Record) -> None:
        """A backup for what is not ours, and the fingerprint of what comes."""
        found = tree.status(self.path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise NotPermittedError(f"{self.path} is a folder; move it away")
        if found is not None and not record["backup"] and tree.fingerprint(self.path) not in record["ours"]:
            if tree.status(self.path + self.suffix) is not None:
                raise NotPermittedError(f"{self.path + self.suffix} is in the way; move it away")
            record["backup"] = self.path + self.suffix
            self.text += f"; what was there is kept as {record['backup']}"
        if self.print not in record["ours"]:
            record["ours"].append(self.print)

    def do(self, tree: Tree, record: Record) -> None:
        """Keep what was there under its second name, then give the name away."""
        backup = record["backup"]
        if backup and tree.status(backup) is None and tree.status(self.path) is not None:
            tree.keep(self.path, backup)
        if self.target:
            tree.symlink(self.path, self.target)
        else:
            tree.write(self.path, self.octets, self.mode)


def undo_entry(tree: Tree, record: Record) -> str:
    """What had the name gets it again, unless somebody else has it by now."""
    path, backup = record["path"], record["backup"]
    tree.remove(temporary_of(path))
    now = tree.status(path)
    kept = tree.status(backup) if backup else None
    is_ours = now is None or tree.fingerprint(path) in record["ours"]
    if kept is not None and now is not None and (kept.st_ino, kept.st_dev) == (now.st_ino, now.st_dev):
        tree.remove(backup)  # it was kept, and not replaced yet; rename(2) would do nothing
        return ""
    if not is_ours:
        before = f"; what was there before is {backup}" if kept is not None else ""
        return f"{path} was changed by somebody else and stays{before}" if record["ours"] else ""
    if kept is not None:
        tree.rename(backup, path)
    elif now is not None and not backup:
        tree.remove(path)
    return ""


class Folder(Step):
    """A folder; with a mode it gets that and root as its owner even if it was there."""

    kind = "folder"

    def __init__(self, path: str, mode: int | None = None) -> None:
        super().__init__(path, f"make the folder {path}" + (f", mode {mode:o}" if mode is not None else ""))
        self.mode = mode

    def look(self, tree: Tree) -> Record:
        """Whether it is there, and whose it is."""
        found = tree.status(self.path)
        record = {**super().look(tree), "made": found is None}
        if found is not None:
            if not tree.is_folder(self.path):
                raise NotPermittedError(f"{self.path} is no folder; move it away")
            record |= {"mode": stat.S_IMODE(found.st_mode), "uid": found.st_uid, "gid": found.st_gid}
        return record

    def do(self, tree: Tree, record: Record) -> None:
        """Make it, or set its mode."""
        if tree.status(self.path) is None:
            tree.make_folder(self.path, 0o755 if self.mode is None else self.mode)
        elif self.mode is not None:
            tree.set_owner(self.path, 0, 0)
            tree.set_mode(self.path, self.mode)


def undo_folder(tree: Tree, record: Record) -> str:
    """Remove it if we made it and nobody has put anything there; give its mode and owner back if not."""
    path = record["path"]
    if record["made"]:
        return "" if tree.remove_folder(path) else f"{path} is not empty and stays"
    if tree.status(path) is not None and tree.is_folder(path):
        tree.set_owner(path, record["uid"], record["gid"])
        tree.set_mode(path, record["mode"])
    return ""


class Own(Folder):
    """A folder that is ours with all that will be in it: the spool, with its wake-up file, or the state."""

    kind = "own"

    def __init__(self, path: str, mode: int, account: str = "", wake: str = "") -> None:
        super().__init__(path, mode)
        self.account = account
        self.wake = wake

    def do(self, tree: Tree, record: Record) -> None:
        """Mode, owner, wake-up file."""
        if self.wake and tree.status(self.path) is not None:
            tree.set_mode(self.path, 0o711)  # nobody puts another file under its name meanwhile
            self.make_wake(tree)
        super().do(tree, record)
        if self.account and (owner := account_of(tree, self.account)):
            tree.set_owner(self.path, *owner)
        if self.wake:
            self.make_wake(tree)

    def make_wake(self, tree: Tree) -> None:
        """The wake-up file, in the place of whatever somebody else may have put there."""
        found = tree.status(self.wake)
        mine = found is not None and stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if found is None or not mine or found.st_nlink != 1:
            if found is not None and stat.S_ISDIR(found.st_mode):
                tree.remove_all(self.wake)
            tree.write(self.wake, b"", 0o666)


def undo_own(tree: Tree, record: Record) -> str:
    """Away with it. The caller has made sure that no mail is in it."""
    if record["made"]:
        tree.remove_all(record["path"])
        return ""
    return undo_folder(tree, record)


class Library(Step):
    """The folder LIBRARY with the files of `content`: path below it -> (octets, mode)."""

    kind = "library"

    def __init__(self, content: dict[str, tuple[bytes, int]]) -> None:
        super().__init__(layout.LIBRARY, f"copy {len(content)} files to {layout.LIBRARY} and compile them")
        self.content = content

    def look(self, tree: Tree) -> Record:
        """The name must be free."""
        if tree.status(self.path) is not None:
            raise NotPermittedError(f"{self.path} is not ours; move it away")
        return super().look(tree)

    def do(self, tree: Tree, record: Record) -> None:
        """All files beside it, synced; then the name in two renames; then the compiled files."""
        fresh, old = self.path + ".new", self.path + ".old"
        tree.remove_all(fresh)
        for inside, (octets, mode) in self.content.items():
            put(tree.path(f"{fresh}/{inside}"), octets, mode)
        os.sync()
        tree.remove_all(old)
        if tree.status(self.path) is not None:
            tree.rename(self.path, old)
        tree.rename(fresh, self.path)
        tree.remove_all(old)
        status, said = tree.ask([tree.path(layout.COMPILE), tree.root])
        if status:
            raise UnavailableError(f"{self.path} cannot be compiled: {said.strip().rpartition(chr(10))[2]}")


def put(path: str, octets: bytes, mode: int) -> None:
    """A file and the folders above it, not synced."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(path, "wb") as file:
        file.write(octets)
    os.chmod(path, mode)


def undo_library(tree: Tree, record: Record) -> str:
    """Away with it and what a run left that was cut off."""
    for suffix in (".new", ".old", ""):
        tree.remove_all(record["path"] + suffix)
    return ""


class Account(Step):
    """The account of the relay, made by systemd-sysusers, useradd or adduser, whichever there is."""

    kind = "account"

    def __init__(self, name: str) -> None:
        super().__init__(name, f"make the account {name}")

    def look(self, tree: Tree) -> Record:
        """Whether it is there already."""
        return {**super().look(tree), "made": account_of(tree, self.path) is None}

    def do(self, tree: Tree, record: Record) -> None:
        """Make it, unless it is there."""
        if account_of(tree, self.path) is None:
            status, said = tree.ask(["/bin/sh", "-c", scripts.MAKE_ACCOUNT, "sh", tree.root])
            if status:
                raise UnavailableError(f"the account {self.path} cannot be made: {' '.join(said.split())}")


def undo_account(tree: Tree, record: Record) -> str:
    """Remove it if we made it."""
    if record["made"] and account_of(tree, record["path"]) is not None:
        status, said = tree.ask(["/bin/sh", "-c", scripts.REMOVE_ACCOUNT, "sh", tree.root])
        if status:
            return f"the account {record['path']} stays: {' '.join(said.split())}"
    return ""


def account_of(tree: Tree, name: str) -> tuple[int, int] | None:
    """User and group id of an account of the tree (passwd(5)), None if it has none."""
    try:
        with open(tree.path("/etc/passwd"), encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                words = line.split(":")
                if words[0] == name and len(words) > 3:
                    return int(words[2]), int(words[3])
    except (OSError, ValueError):
        return None
    return None


class Command(Step):
    """A program of the system that keeps a record of its own, and the command that takes it back."""

    kind = "command"

    def __init__(self, label: str, do: list[str], undo: list[list[str]]) -> None:
        super().__init__(label, "run " + " ".join(do))
        self.words = do
        self.back = undo

    def look(self, tree: Tree) -> Record:
        """Only the way back: whoever makes the step knows what was there."""
        return {**super().look(tree), "undo": self.back}

    def do(self, tree: Tree, record: Record) -> None:
        """Run it."""
        tree.run(self.words)


def undo_command(tree: Tree, record: Record) -> str:
    """Run the commands that take it back; a failure is told and is no reason to keep the rest."""
    for words in record["undo"]:
        try:
            tree.run(words)
        except SendmailError as error:
            return str(error)
    return ""


def with_folders(tree: Tree, found: list[Step]) -> list[Step]:
    """The steps, each after the folders that it needs and that are not there."""
    known: set[str] = {step.path for step in found if isinstance(step, Folder)}
    result: list[Step] = []
    for step in found:
        missing = []
        parent = os.path.dirname(step.path) if isinstance(step, (Entry, Library, Folder)) else "/"
        while parent != "/" and parent not in known and not tree.is_folder(parent):
            missing.append(parent)
            parent = os.path.dirname(parent)
        known.update(missing)
        result += [*(Folder(path, 0o755) for path in reversed(missing)), step]
    return result
