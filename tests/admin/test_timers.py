"""The system's cron, whichever it is: our entry stands where that daemon reads; others' lines stay."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from sendmail_py.admin import layout, system, timers, units
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import UnavailableError

from support.image import install, snapshot, steps_of, uninstall

DAILY = "# do daily stuff\n*/15 * * * * run-parts /etc/periodic/15min\n"


@pytest.fixture
def alpine(image: Path) -> Path:
    """Cron is busybox's, which reads crontabs only; /etc/cron.d is there all the same."""
    (image / "usr/sbin/cron").unlink()
    (image / "bin").mkdir()
    (image / "bin/busybox").write_text("")
    (image / "usr/sbin/crond").symlink_to("/bin/busybox")
    (image / "etc/crontabs").mkdir()
    (image / "etc/crontabs/root").write_text(DAILY)
    (image / "etc/crontabs/root").chmod(0o600)
    (image / "var/spool/cron").mkdir()
    (image / "var/spool/cron/crontabs").symlink_to("/etc/crontabs")
    return image


def table(image: Path) -> Path:
    return image / "etc/crontabs/root"


def test_busybox_s_cron_has_a_line_of_root_s_crontab(alpine: Path) -> None:
    before = snapshot(alpine)
    for _ in range(2):
        assert install(alpine).exit_code == 0
    text = table(alpine).read_text()
    assert text.startswith(DAILY)
    (line,) = text.removeprefix(DAILY).splitlines()
    assert line.endswith(units.SYSTEM_MARK)
    assert table(alpine).stat().st_mode & 0o777 == 0o600
    assert not (alpine / layout.CRON[1:]).exists()
    assert timers.installed(Tree(str(alpine))) == ["cron"]
    assert timers.cron_place(Tree(str(alpine))) == "/var/spool/cron/crontabs/root"
    assert uninstall(alpine).exit_code == 0
    assert snapshot(alpine) == before


@pytest.mark.parametrize("text", ["", "no end of line", "\n", DAILY, "köln \\xff\n"])
def test_others_lines_come_back_octet_for_octet(alpine: Path, text: str) -> None:
    octets = text.encode().replace(b"\\xff", b"\xff\r")
    table(alpine).write_bytes(octets)
    for _ in range(2):
        assert install(alpine).exit_code == 0
    assert uninstall(alpine).exit_code == 0
    assert table(alpine).read_bytes() == octets


def test_a_crontab_that_was_not_there_is_private_and_goes(alpine: Path) -> None:
    table(alpine).unlink()
    assert install(alpine).exit_code == 0
    assert table(alpine).stat().st_mode & 0o777 == 0o600
    assert uninstall(alpine).exit_code == 0
    assert not table(alpine).exists()


def test_lines_that_came_since_stay(alpine: Path) -> None:
    table(alpine).unlink()
    assert install(alpine).exit_code == 0
    with table(alpine).open("a") as file:
        file.write("5 4 * * * /bin/true\n")
    assert uninstall(alpine).exit_code == 0
    assert table(alpine).read_text() == "5 4 * * * /bin/true\n"


def test_an_edited_line_stays_through_an_upgrade(alpine: Path) -> None:
    assert install(alpine).exit_code == 0
    edited = table(alpine).read_text().replace("* * * * *  ", "*/5 * * * *")
    table(alpine).write_text(edited)
    assert install(alpine).exit_code == 0
    assert table(alpine).read_text() == edited
    assert uninstall(alpine).exit_code == 0
    assert table(alpine).read_text() == DAILY


def test_root_s_own_timer_is_another_line(alpine: Path) -> None:
    """`timer install --user` by root writes into the same crontab."""
    assert units.CRONTAB_MARK not in units.system_line(5)
    assert units.SYSTEM_MARK not in units.crontab("sendmail", 5)


def test_the_line_ends_at_once_and_its_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Busybox's cron does not start a line that still runs, and a run watches for a minute."""
    program, proof = tmp_path / "sendmail", tmp_path / "proof"
    os.mkfifo(proof)
    program.write_text(f'#!/bin/sh\necho "$*" >"{proof}"\n')  # it waits until somebody reads
    program.chmod(0o755)
    monkeypatch.setattr(layout, "FLUSH", str(program))
    line = units.system_line(0).split(None, 5)[5]
    done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert proof.read_text() == f"{units.WATCH}\n"


def test_dillon_s_cron_knows_no_user_in_its_cron_d(image: Path) -> None:
    (image / "usr/sbin/cron").rename(image / "usr/sbin/crond")
    (image / "usr/sbin/crond").write_bytes(b"\x7fELF\0%s 4.5 dillon's cron daemon, started")
    tree = Tree(str(image))
    assert (timers.kind_for(tree), timers.place_for(tree)) == ("none", "")
    (image / "var/spool/cron/crontabs").mkdir(parents=True)
    assert (timers.kind_for(tree), timers.place_for(tree)) == ("cron", "/var/spool/cron/crontabs/root")


def test_another_daemon_beside_busybox_reads_cron_d(alpine: Path) -> None:
    (alpine / "usr/sbin/cron").write_text("")
    assert timers.place_for(Tree(str(alpine))) == layout.CRON


def test_without_any_place_for_cron_it_is_told(image: Path) -> None:
    (image / "usr/sbin/cron").unlink()
    (image / "etc/cron.d").rmdir()
    with pytest.raises(UnavailableError, match="no cron here"):
        timers.steps(Tree(str(image)), "cron")


def test_the_line_is_exchanged_for_another_timer(alpine: Path) -> None:
    assert install(alpine).exit_code == 0
    system.set_timer(Tree(str(alpine)), [], lambda text: None)
    assert table(alpine).read_text() == DAILY


def test_nothing_for_systemd_lies_about_where_it_is_not(alpine: Path) -> None:
    (alpine / "usr/lib/systemd").rmdir()
    assert install(alpine).exit_code == 0
    assert not (alpine / "usr/lib/systemd").exists()
    assert not (alpine / "usr/lib/sysusers.d").exists()


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_line_that_was_cut_off_anywhere_goes(
    alpine: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    table(alpine).write_text("0 7 * * * no end of line")
    before = snapshot(alpine)
    for ends in range(0, 1000, 4):
        if command == "uninstall":
            assert install(alpine).exit_code == 0
        if steps_of(alpine, monkeypatch, ends, [command, "--root", str(alpine)]):
            break
        if (alpine / layout.RECORDS[1:]).exists():
            assert uninstall(alpine).exit_code == 0, f"after {ends} changes"
        assert snapshot(alpine) == before, f"after {ends} changes"
    assert ends > 50
