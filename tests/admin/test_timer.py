"""sendmail-py timer --user: one line in the crontab, or two units; nothing else of the user's is touched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sendmail_py.admin import timer as command
from sendmail_py.admin import units
from sendmail_py.admin.cli import cli

CRONTAB = """#!/bin/sh
# As crontab(1) of cron: -l, -r, -
table=$HOME/table
echo "$@" >>"$HOME/calls"
case $1 in
-l) cat "$table" 2>/dev/null || { echo "no crontab for greg" >&2; exit 1; } ;;
-r) rm "$table" ;;
-) cat >"$table" ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
echo "$@" >>"$HOME/systemctl"
"""
MINE = "# my own\n5 4 * * * /bin/true\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, with programs that only write down what they are told."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("crontab", CRONTAB), ("systemctl", SYSTEMCTL), ("sendmail", "#!/bin/sh\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return tmp_path / "home"


def timer(*words: str) -> Result:
    return CliRunner().invoke(cli, ["timer", *words])


def table(home: Path) -> str:
    return (home / "table").read_text() if (home / "table").exists() else ""


@pytest.mark.parametrize(
    "said", ["no crontab for greg", "crontab: can't open 'greg': No such file or directory"]
)
def test_without_a_crontab_one_is_made_whatever_cron_says(home: Path, tmp_path: Path, said: str) -> None:
    """Busybox's says it in its own way."""
    program = tmp_path / "programs/crontab"
    program.write_text(CRONTAB.replace("no crontab for greg", said))
    assert timer("install", "--user").exit_code == 0
    assert table(home).count("\n") == 1
    assert timer("remove", "--user").exit_code == 0
    assert table(home) == ""


def test_a_line_more_in_the_crontab_and_away_again(home: Path, tmp_path: Path) -> None:
    (home / "table").write_text(MINE)
    assert timer("install", "--user").exit_code == 0
    mine, _, line = table(home).rpartition("* * * * *")
    assert mine == MINE
    assert line.startswith("       sleep ")
    assert f"; said=$({tmp_path}/programs/sendmail -q 2>&1) || logger " in line
    assert line.endswith(f"  {units.CRONTAB_MARK}\n")
    assert timer("status", "--user").stdout == "cron: the user's crontab\n"
    assert timer("remove", "--user").exit_code == 0
    assert table(home) == MINE


def test_twice_is_once(home: Path) -> None:
    for _ in range(2):
        assert timer("install", "--cron", "--user").exit_code == 0
    assert table(home).count(units.CRONTAB_MARK) == 1


def test_an_empty_crontab_is_removed(home: Path) -> None:
    assert timer("install", "--cron", "--user").exit_code == 0
    assert timer("remove", "--user").exit_code == 0
    assert not (home / "table").exists()


def test_a_crontab_that_cannot_be_read_is_left_alone(home: Path, tmp_path: Path) -> None:
    (tmp_path / "programs/crontab").write_text('#!/bin/sh\necho "you may not use it" >&2\nexit 1\n')
    result = timer("install", "--cron", "--user")
    assert (result.exit_code, result.stderr) == (69, "sendmail-py: crontab -l: you may not use it\n")


@pytest.mark.parametrize("name", ["with blank", "it's", "$HOME", "a;b", "köln"])
def test_any_path_of_the_command_is_quoted(home: Path, tmp_path: Path, name: str) -> None:
    command = tmp_path / name
    command.write_text(f'#!/bin/sh\necho "called $@" >>"{tmp_path}/calls"\n')
    command.chmod(0o755)
    assert timer("install", "--cron", "--user", "--sendmail", str(command)).exit_code == 0
    line = table(home).split(None, 5)[5].split(";", 1)[1]
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, (tmp_path / "calls").read_text()) == ("", "", "called -q\n")


@pytest.mark.parametrize("name", ["per%cent", "line\nend"])
def test_a_path_that_cron_cannot_hold_is_refused(home: Path, tmp_path: Path, name: str) -> None:
    command = tmp_path / name
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    assert timer("install", "--user", "--sendmail", str(command)).exit_code == 64
    assert table(home) == ""


def test_a_command_that_is_not_there_is_refused(home: Path) -> None:
    assert timer("install", "--user", "--sendmail", "/nonexistent/sendmail").exit_code == 64


def test_units_of_the_user_come_and_go(home: Path, tmp_path: Path) -> None:
    folder = home / ".config/systemd/user"
    (folder).mkdir(parents=True)
    (folder / "other.service").write_text("mine\n")
    assert timer("install", "--systemd", "--user").exit_code == 0
    service = (folder / "sendmail-py-flush.service").read_text()
    assert f'ExecStart="{tmp_path}/programs/sendmail" -q' in service
    calls = (home / "systemctl").read_text().splitlines()
    wanted = ["daemon-reload", "enable sendmail-py-flush.timer", "restart sendmail-py-flush.timer"]
    assert calls == [f"--user --quiet {one}" for one in wanted]
    assert timer("status", "--user").stdout == f"systemd: {folder}/sendmail-py-flush.timer\n"
    assert timer("remove", "--user").exit_code == 0
    assert os.listdir(folder) == ["other.service"]


def test_one_takes_the_place_of_the_other(home: Path) -> None:
    assert timer("install", "--cron", "--user").exit_code == 0
    assert timer("install", "--systemd", "--user").exit_code == 0
    assert timer("status", "--user").stdout.startswith("systemd: ")
    assert units.CRONTAB_MARK not in table(home)


def test_where_systemd_is_out_of_reach_cron_goes_on(home: Path, tmp_path: Path) -> None:
    """As in a session by su(1) of a user for whom nothing runs."""
    assert timer("install", "--cron", "--user").exit_code == 0
    before = table(home)
    (tmp_path / "programs/systemctl").write_text("#!/bin/sh\necho no bus >&2\nexit 1\n")
    result = timer("install", "--systemd", "--user")
    assert (result.exit_code, "no bus" in result.stderr) == (69, True)
    assert (table(home), timer("status", "--user").stdout) == (before, "cron: the user's crontab\n")
    assert os.listdir(home / ".config/systemd/user") == []


def test_without_cron_a_user_gets_a_timer(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "programs/crontab").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    monkeypatch.setattr(command.timers, "has_systemd", lambda tree: True)
    for name in ("cat", "sh"):
        (tmp_path / "programs" / name).symlink_to(f"/bin/{name}")
    assert timer("install", "--user").exit_code == 0
    assert timer("status", "--user").stdout.startswith("systemd: ")


WRITES = [  # log.to, the drop-in's line, whether the service may write to it
    ("syslog", "", True),
    ("/var/log/mail/own.log", "", True),
    ("/srv/own.log", "", False),
    ("/var/logs/own.log", "", False),
    ("/srv/own.log", "ReadWritePaths=-/srv", True),
]


@pytest.mark.parametrize(("log", "line", "writes"), WRITES)
def test_a_log_to_which_the_service_may_not_write_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str, line: str, writes: bool
) -> None:
    monkeypatch.setattr(command.timers.layout, "UNIT_FOLDER", str(tmp_path))
    monkeypatch.setattr(command.timers, "DROP_INS", f"{tmp_path}/*.conf")
    (tmp_path / command.timers.SERVICE).write_text(units.service())
    (tmp_path / "more.conf").write_text(f"[Service]\n{line}\n")
    assert command.timers.service_writes(log) == writes


def test_nothing_is_told_with_its_cure(home: Path) -> None:
    result = timer("status", "--user")
    assert (result.exit_code, result.stdout) == (69, "")
    assert "sendmail-py timer install" in result.stderr


CALLS = [
    ("* * * * * $HOME/bin/sendmail -q", True),
    ("*/5 * * * * greg /usr/sbin/sendmail -v -q", True),
    ("* * * * * root runq", True),
    ("* * * * * sendmail-py queue flush", True),
    ("# * * * * * sendmail -q", False),
    ("0 7 * * * sendmail -t <report", False),
    ("0 7 * * * quietly sendmail ops", False),
]


@pytest.mark.parametrize(("line", "calls"), CALLS)
def test_lines_of_the_user_s_own_making_are_seen(line: str, calls: bool) -> None:
    assert command.calls_flush(["MAILTO=greg", line]) == calls


def test_what_calls_the_flush_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.glob, "glob", lambda pattern: [])
    monkeypatch.setattr(command, "SYSTEM_CRONTAB", "/nonexistent")
    assert command.callers(shared=False) == []
    (home / "table").write_text("* * * * * sendmail -q\n")
    assert command.callers(shared=False) == ["crontab"]
    assert timer("install", "--systemd", "--user").exit_code == 0
    assert command.callers(shared=False) == ["systemd", "crontab"]


def test_the_system_s_timer_is_root_s(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for words in (["install"], ["remove"]):
        result = timer(*words)
        assert (result.exit_code, "--user" in result.stderr) == (77, True)
