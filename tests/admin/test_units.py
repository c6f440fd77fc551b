"""The texts that make the queue move: what systemd, cron and the hooks of the network make of them."""

from __future__ import annotations

import collections
import re
import subprocess
from pathlib import Path

import pytest
from sendmail_py.admin import layout, scripts, units

from support.needs import needs, needs_root

HOOK_CASES = [
    (layout.DISPATCHER, ["eth0", "up"], {}, True),
    (layout.DISPATCHER, ["tun0", "vpn-up"], {}, True),
    (layout.DISPATCHER, ["eth0", "down"], {}, False),
    (layout.DISPATCHER, ["none", "hostname"], {}, False),
    (layout.IF_UP, [], {"IFACE": "eth0", "MODE": "start"}, True),
    (layout.IF_UP, [], {"IFACE": "lo", "MODE": "start"}, False),
    (layout.IF_UP, [], {"IFACE": "eth0", "MODE": "stop"}, False),
]


def written(folder: Path) -> list[str]:
    """The system's units as files, with commands that exist."""
    paths = []
    for name, text in units.system_units().items():
        (folder / name).write_text(text.replace(layout.FLUSH, "/bin/true"))
        paths.append(str(folder / name))
    return paths


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    analyze = needs("systemd-analyze", "systemd")
    command = [analyze, "verify", "--man=no", *written(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "sendmail-py" in line]
    assert (done.returncode, ours) == (0, [])


def test_the_exposure_is_what_the_unit_says(tmp_path: Path) -> None:
    analyze = needs("systemd-analyze", "systemd")
    version = subprocess.run(
        [analyze, "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    service = written(tmp_path)[0]
    command = [analyze, "security", "--offline=yes", "--no-pager", service]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    figure = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert figure, done.stdout + done.stderr
    assert float(figure[1]) <= 3.0
    if version.startswith("252"):
        assert units.SCORE.split()[0] == figure[1]
        assert f"security --offline=yes: {units.SCORE}" in Path(service).read_text()


def test_mail_that_comes_in_a_bunch_is_no_fault_of_the_service() -> None:
    """Systemd gives a unit up that is started more than five times in ten seconds; mail is no crash."""
    assert "StartLimitIntervalSec=0" in units.service()


def test_seconds_are_spread_evenly_and_stay() -> None:
    count = collections.Counter(units.second_of_minute(b"%032x" % number) for number in range(6000))
    assert sorted(count) == list(range(60))
    assert max(count.values()) < 160  # 100 each; 6 deviations
    assert units.second_of_minute(b"abc\n") == units.second_of_minute(b"abc")


def test_cron_s_file_has_all_fields_and_no_percent_sign() -> None:
    (line,) = [line for line in units.cron(7).splitlines() if line[0] != "#"]
    assert line.split()[:6] == ["*", "*", "*", "*", "*", "root"]
    assert "sleep 7;" in line
    assert "%" not in line


LOGGER = '#!/bin/sh\nprintf "%s\\n" "$@" >"$LOGGED"\n'
CRON_CASES = [  # what the flush does, whether it is called, what the log gets
    ("", False, ""),
    ("exit 0", True, ""),
    ("echo fine; exit 0", True, ""),
    ('echo "no smart host" >&2; exit 78', True, "-t\nsendmail-py\n-p\nmail.err\n--\nno smart host\n"),
]


@pytest.mark.parametrize(("flush", "called", "logged"), CRON_CASES)
def test_cron_s_command_prints_nothing_that_cron_would_mail(
    tmp_path: Path, flush: str, called: bool, logged: str
) -> None:
    """A mail about mail that cannot leave could not leave either: one more every minute."""
    program, log = tmp_path / "flush", tmp_path / "logged"
    (tmp_path / "logger").write_text(LOGGER)
    (tmp_path / "logger").chmod(0o755)
    if flush:
        program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/called\n{flush}\n')
        program.chmod(0o755)
    whole = units.cron(0).splitlines()[-1].split(None, 6)[6].replace(layout.FLUSH, str(program))
    of_user = units.crontab(str(program), 0).split(None, 5)[5]
    for command in (whole, of_user) if flush else (whole,):
        environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOGGED": str(log)}
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=environ)
        assert (done.stdout, done.stderr) == ("", "")
        assert (tmp_path / "called").exists() == called
        assert (log.read_text() if log.exists() else "") == logged


@pytest.mark.parametrize(("path", "words", "environ", "flushes"), HOOK_CASES)
def test_a_hook_flushes_when_the_network_comes_up(
    tmp_path: Path, path: str, words: list[str], environ: dict[str, str], flushes: bool
) -> None:
    flush, fifo = tmp_path / "flush", tmp_path / "called"
    flush.write_text(f'#!/bin/sh\necho "$@" >{fifo}\n')
    flush.chmod(0o755)
    hook = units.hooks()[path].replace(layout.FLUSH, str(flush)) + "wait\n"
    hook = hook.replace("exit 0\nwait", "wait")
    done = subprocess.run(
        ["sh", "-c", hook, "hook", *words],
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (fifo.read_text() if fifo.exists() else "") == ("-q -v\n" if flushes else "")


def test_systemd_makes_account_spool_and_wake_up_file(tmp_path: Path) -> None:
    needs_root()
    image = tmp_path / "image"
    for path, text in ((layout.SYSUSERS, units.sysusers()), (layout.TMPFILES, units.tmpfiles())):
        (image / path[1:]).parent.mkdir(parents=True)
        (image / path[1:]).write_text(text)
    (image / "etc").mkdir()
    (image / "var/lib").mkdir(parents=True)
    (image / "var/spool").mkdir()
    for words in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
        program = needs(words[0], "systemd")
        command = [program, *words[1:], f"--root={image}", "sendmail-py.conf"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    owner = (image / layout.RELAY_STATE[1:]).stat()
    account = (image / "etc/passwd").read_text().split(":")
    assert account[0] == layout.ACCOUNT
    assert (str(owner.st_uid), owner.st_mode) == (account[2], 0o040700)
    assert (image / layout.SPOOL[1:]).stat().st_mode == 0o041733
    assert (image / layout.WAKE_FILE[1:]).stat().st_mode == 0o100666


def test_the_rights_of_the_spool_are_the_same_by_all_ways() -> None:
    lines = [line.split() for line in units.tmpfiles().splitlines() if line[0] != "#"]
    assert [layout.SPOOL, "1733", "root", "root"] in [line[1:5] for line in lines]
    assert [layout.WAKE_FILE, "0666", "root", "root"] in [line[1:5] for line in lines]
    assert [layout.RELAY_STATE, "0700", layout.ACCOUNT, layout.ACCOUNT] in [line[1:5] for line in lines]
    assert f'chmod 1733 "$root{layout.SPOOL}"' in scripts.POSTINST
    assert 'chmod 0666 "$wake"' in scripts.POSTINST
    assert f'chmod 0700 "$root{layout.RELAY_STATE}"' in scripts.POSTINST
