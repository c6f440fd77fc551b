"""SECURITY.md promises nothing without a test: every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+::[\w:]+)`", PAGE)) - {"tests/spool/test_queue.py::test_x"})


def names_in(path: Path) -> set[str]:
    """The tests of a file: `name`, `Class::name`."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return {one for one in found if one.rpartition("::")[2].startswith("test_")}


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_shows_a_claim_exists(name: str) -> None:
    file, _, test = name.partition("::")
    assert (ROOT / file).is_file()
    assert test in names_in(ROOT / file)


def test_every_row_with_a_reason_names_a_test() -> None:
    rows = []
    for table in re.findall(r"^\|.*shown by \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        rows += table.splitlines()
    assert len(rows) > 20
    assert [row for row in rows if "`tests/" not in row] == []
