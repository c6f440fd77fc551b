"""The manifest: what an installation changed, written down before each change, so that all can be undone.

A JSON file of root's, replaced as a whole and synced. Each record says what was there before: see steps.py.
A process that ends at any moment leaves a manifest from which `sendmail-py uninstall` restores every byte.
"""

from __future__ import annotations

import errno
import json
from typing import Any

from sendmail_py import __version__
from sendmail_py.admin import layout
from sendmail_py.admin.tree import Tree, temporary_of
from sendmail_py.errors import DataError

FORMAT = 1
FULL = (errno.ENOSPC, errno.EDQUOT)

Record = dict[str, Any]


class Manifest:
    """The records of the tree's installation, oldest first, and the method that made them."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.method = ""
        self.records: list[Record] = []
        self.is_complete = False

    @property
    def exists(self) -> bool:
        """Whether there is anything to undo."""
        return bool(self.method)

    def find(self, kind: str, path: str) -> Record | None:
        """The record of a change that was made before."""
        for record in self.records:
            if (record["kind"], record["path"]) == (kind, path):
                return record
        return None

    def note(self, record: Record) -> None:
        """Have a record on the disk: afterwards the change may be made."""
        if record not in self.records:
            self.records.append(record)
        self.save()

    def forget(self, record: Record) -> None:
        """A change was undone. A full disk is no reason to end: it can be undone twice."""
        self.records.remove(record)
        try:
            self.save()
        except OSError as error:
            if error.errno not in FULL:
                raise

    def finish(self) -> None:
        """All changes were made."""
        self.is_complete = True
        self.save()

    def save(self) -> None:
        """Write it. Raises OSError."""
        if self.tree.status(layout.RECORDS) is None:
            self.tree.make_folder(layout.RECORDS, 0o700)
        content = {
            "format": FORMAT,
            "version": __version__,
            "method": self.method,
            "complete": self.is_complete,
            "records": self.records,
        }
        self.tree.write(layout.MANIFEST, (json.dumps(content, indent=1) + "\n").encode(), 0o600)

    def remove(self) -> None:
        """All is undone: no trace is left."""
        self.tree.remove(layout.MANIFEST)
        self.tree.remove(temporary_of(layout.MANIFEST))
        self.tree.remove_all(layout.RECORDS)


def load(tree: Tree) -> Manifest:
    """The manifest of a tree, an empty one when nothing was installed. DataError when it cannot be read."""
    found = Manifest(tree)
    try:
        with open(tree.path(layout.MANIFEST), "rb") as file:
            content = json.load(file)
        if content["format"] != FORMAT:
            raise DataError(f"{layout.MANIFEST}: written by another version of sendmail-py; use that one")
        found.method, found.records = content["method"], content["records"]
        found.is_complete = content["complete"]
    except (FileNotFoundError, NotADirectoryError):
        return found
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{layout.MANIFEST} is damaged: {error}") from None
    return found
