"""newaliases, sendmail -bi: silent when all is well, one line for each bad one, and nothing is built."""

from __future__ import annotations

import os

import pytest

from support.launch import Sandbox

GOOD = "root: greg@isp.example\nteam: a@example.org, root\n"


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """Two alias files, of which one is missing."""
    names = [str(sandbox.folder / name) for name in ("aliases", "missing")]
    sandbox.configure(f"[aliases]\nfiles = {names}\n".replace("'", '"'))
    (sandbox.folder / "aliases").write_text(GOOD)
    return sandbox


@pytest.mark.parametrize(
    "words", [["newaliases"], ["sendmail", "-bi"], ["sendmail", "-I"], ["newaliases", "-v"]]
)
def test_silent_and_nothing_is_written_when_all_is_well(box: Sandbox, words: list[str]) -> None:
    before = sorted(os.listdir(box.folder))
    done = box.run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert sorted(os.listdir(box.folder)) == before


def test_each_bad_line_is_named_with_its_number(box: Sandbox) -> None:
    (box.folder / "aliases").write_text(GOOD + "no colon here\ncommand: |/bin/true\n")
    done = box.run("newaliases")
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (65, b"", 2)
    assert lines[0].startswith(f"newaliases: {box.folder}/aliases:3: ")
    assert lines[1].startswith(f"newaliases: {box.folder}/aliases:4: ")


def test_a_bad_configuration_is_78(box: Sandbox) -> None:
    box.configure("nonsense = 1\n")
    assert box.run("newaliases").returncode == 78
