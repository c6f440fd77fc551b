"""Claims about what aliases have delivered on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sendmail_py.mail.envelope import Envelope

from relay.flushing import World, received, smarthost
from support.needs import needs_root

AGENT = '#!/bin/sh\nprintf "%s|" "$@" >> "$0.out"\ncat >> "$0.out"\nexit $(cat "$0.status")\n'


def world(folder: Path, **allowed: object) -> World:
    made = World(folder)
    made.config.aliases.maildir = bool(allowed.get("maildir", True))
    made.config.aliases.agents = list(allowed.get("agents", [str(folder / "agent")]))  # type: ignore[call-overload]
    return made


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    path = tmp_path / "agent"
    path.write_text(AGENT)
    path.chmod(0o755)
    status(path, 0)
    return path


def status(agent: Path, number: int) -> None:
    Path(f"{agent}.status").write_text(str(number))


def folder_target(folder: Path) -> bytes:
    return b'"maildir:%s"' % os.fsencode(folder)


def agent_target(agent: Path, arguments: bytes = b"") -> bytes:
    return b'"|%s%s"' % (os.fsencode(agent), arguments)


def orcpt(envelope: Envelope) -> None:
    for one in envelope.recipients:
        one.orcpt = b"rfc822;archive"


def test_a_folder_gets_a_file_with_the_envelope_on_top(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.put(folder_target(tmp_path / "mail"), change=orcpt)
    assert here.flush().delivered == 1
    (file,) = (tmp_path / "mail" / "new").iterdir()
    assert file.read_bytes() == b"Return-Path: <a@x.example>\nDelivered-To: archive\nSubject: x\n\n.dot\n"
    assert "relay=local" in here.log and "status=sent" in here.log
    assert here.files() == []


def test_each_recipient_gets_a_copy_of_its_own(tmp_path: Path, agent: Path) -> None:
    here = world(tmp_path)
    here.put(folder_target(tmp_path / "one"), folder_target(tmp_path / "two"), agent_target(agent))
    assert here.flush().delivered == 3
    assert [len(os.listdir(tmp_path / name / "new")) for name in ("one", "two")] == [1, 1]
    assert Path(f"{agent}.out").read_bytes().endswith(b"\nSubject: x\n\n.dot\n")


def test_an_agent_is_run_without_a_shell(tmp_path: Path, agent: Path) -> None:
    here = world(tmp_path)
    here.put(agent_target(agent, rb" -d greg \"two words\" $(touch x) ; touch x | cat"))
    assert here.flush().delivered == 1
    words = Path(f"{agent}.out").read_bytes().partition(b"Return-Path")[0]
    assert words == b"-d|greg|two words|$(touch|x)|;|touch|x|||cat|"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("number", "wanted"),
    [(0, "delivered"), (65, "failed"), (67, "failed"), (75, "deferred"), (1, "deferred")],
)
def test_the_exit_status_decides(tmp_path: Path, agent: Path, number: int, wanted: str) -> None:
    status(agent, number)
    here = world(tmp_path)
    here.put(agent_target(agent))
    assert getattr(here.flush(), wanted) == 1
    assert not here.paused("local")


def test_a_fault_here_defers_and_says_why_and_holds_up_nobody(tmp_path: Path, agent: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    agent.chmod(0o775)
    (tmp_path / "file").write_text("")
    here = world(tmp_path)
    here.put(
        folder_target(tmp_path / "open"), folder_target(tmp_path / "no" / "where"), agent_target(agent),
        folder_target(tmp_path / "file"), agent_target(Path("/bin/sh")), folder_target(tmp_path / "good"),
    )  # fmt: skip
    summary = here.flush()
    assert (summary.delivered, summary.deferred) == (1, 5)
    for words in (
        "open: others can write it; run: chmod go-w",
        "no/where: No such file",
        "agent: others can write it, so it is not run",
        "file: no folder",
        "/bin/sh: aliases.agents does not name the program any more",
    ):
        assert words in here.log
    assert not (tmp_path / "open" / "new").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    needs_root()
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    here = world(tmp_path)
    here.put(folder_target(tmp_path / "theirs"))
    assert here.flush().deferred == 1
    assert "belongs to somebody else" in here.log


def test_nothing_local_ever_reaches_a_smart_host(tmp_path: Path, agent: Path) -> None:
    """Not even when the configuration stops to allow it, and both kinds are in one run."""
    with smarthost() as host:
        here = World.beside(tmp_path, host)
        here.put(agent_target(agent, b" x@y.example"))
        here.put(b"r@y.example")
        assert here.flush().delivered == 1
        assert "see aliases.maildir and aliases.agents" in here.log
        here.config.aliases.agents = [str(agent)]
        assert here.flush(force=True).delivered == 1
    assert received(host) == [b"r@y.example"]
    assert Path(f"{agent}.out").exists()


def test_mail_for_others_waits_where_only_folders_are_served(tmp_path: Path) -> None:
    here = world(tmp_path)
    queue_id = here.put(b"r@y.example")
    here.put(folder_target(tmp_path / "mail"))
    assert here.flush().delivered == 1
    assert list(here.queued()) == [queue_id]
