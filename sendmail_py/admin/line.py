"""A line of ours in a file of others, as a step: root's crontab.

Guarantees: every other octet of the file stays as it is, in whatever encoding; taken away again, the file is
what it was before, mode and owner included, or what others have made of it since.
"""

from __future__ import annotations

import stat

from sendmail_py.admin.manifest import Record
from sendmail_py.admin.steps import Step
from sendmail_py.admin.tree import Tree, temporary_of


class Line(Step):
    """A line of a file that is others'; a `mark` in it tells it from theirs."""

    kind = "line"

    def __init__(self, path: str, line: str, mark: str) -> None:
        super().__init__(path, f"add a line to {path}: {line}")
        self.line = line
        self.mark = mark

    def look(self, tree: Tree) -> Record:
        """Whether the file is there, and whether its last line has an end."""
        before = lines_of(tree, self.path)
        made = tree.status(self.path) is None
        ended = not before or before[-1].endswith("\n")
        return {**super().look(tree), "mark": self.mark, "made": made, "ended": ended, "ours": []}

    def intend(self, tree: Tree, record: Record) -> None:
        """The line that comes."""
        if self.line not in record["ours"]:
            record["ours"].append(self.line)

    def do(self, tree: Tree, record: Record) -> None:
        """Our line last, once."""
        lines = [line for line in lines_of(tree, self.path) if self.mark not in line]
        end = "\n" if lines and not lines[-1].endswith("\n") else ""
        rewrite(tree, self.path, "".join([*lines, end, self.line, "\n"]))


def lines_of(tree: Tree, path: str) -> list[str]:
    """The lines of a file with their ends, [] when there is none that can be read."""
    try:
        with open(tree.path(path), encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.readlines()
    except OSError:
        return []


def marked(tree: Tree, record: Record) -> list[str]:
    """Our line as it is now."""
    return [line.rstrip("\n") for line in lines_of(tree, record["path"]) if record["mark"] in line]


def rewrite(tree: Tree, path: str, text: str) -> None:
    """A file with its mode, or a private one of root's."""
    found = tree.status(path)
    mode = stat.S_IMODE(found.st_mode) if found is not None else 0o600
    tree.write(path, text.encode("utf-8", "surrogateescape"), mode)
    if found is not None:
        tree.set_owner(path, found.st_uid, found.st_gid)


def undo_line(tree: Tree, record: Record) -> str:
    """Our line goes, and the file if it was ours and nothing else is in it."""
    path = record["path"]
    tree.remove(temporary_of(path))
    now = lines_of(tree, path)
    lines = [line for line in now if record["mark"] not in line]
    if lines == now:
        return ""
    if not lines and record["made"]:
        tree.remove(path)
        return ""
    is_last = record["mark"] in now[-1]
    text = "".join(lines)
    rewrite(tree, path, text.removesuffix("\n") if is_last and not record["ended"] else text)
    return ""
