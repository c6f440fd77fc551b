"""No test of this room installs into the machine that it runs on, whatever the code under test does."""

from __future__ import annotations

import pytest
from sendmail_py.admin import system
from sendmail_py.admin.manifest import Manifest
from sendmail_py.admin.steps import Step
from sendmail_py.admin.tree import Tree


@pytest.fixture(autouse=True)
def sealed_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the running system fails the test before it is made."""
    apply, undo = system.apply, system.undo_records

    def guarded_apply(tree: Tree, known: Manifest, todo: list[Step], *more: object) -> None:
        assert not tree.is_live, "this test would have changed the running system"
        apply(tree, known, todo, *more)  # type: ignore[arg-type]

    def guarded_undo(known: Manifest, *more: object, **options: object) -> None:
        assert not known.tree.is_live, "this test would have changed the running system"
        undo(known, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(system, "apply", guarded_apply)
    monkeypatch.setattr(system, "undo_records", guarded_undo)
