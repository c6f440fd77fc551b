"""Installed into a real Debian system: used by nobody, replaced and back, and gone without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sendmail_py.admin import layout, units

from support.chroot import Chroot, Snapshot
from support.smarthost import SmartHost

NOBODY = 65534
SETUP = "/from/setup"
MESSAGE = b"From: somebody@example.net\nSubject: hello\n\nhello\n"

# What others write down about what happened, and we neither can nor should take back: dpkg's and apt's own
# files, their logs, and the copies that shadow's programs make of the account files before each change.
JOURNALS = ("/var/lib/dpkg", "/var/lib/apt", "/var/lib/logrotate", "/var/log", "/var/cache", "/etc/.pwd.lock")
JOURNALS += ("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-")

HOSTILE = {
    "PYTHONHOME": "/nonexistent",
    "PYTHONPATH": "/hostile",
    "PYTHONSTARTUP": "/hostile/os.py",
    "PYTHONINSPECT": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONUSERBASE": "/hostile",
    "PYTHONVERBOSE": "1",
    "LD_LIBRARY_PATH": "/hostile",
    "LD_DEBUG_OUTPUT": "/hostile/ld",
    "IFS": "/",
    "PATH": "/hostile",
    "HOME": "/hostile",
    "LC_ALL": "xx_XX.nonsense",
}


@pytest.fixture
def system(tmp_path: Path) -> Chroot:
    """A Debian system without a mailer."""
    return Chroot(tmp_path / "system")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """What such a system consists of."""
    return Chroot(tmp_path_factory.mktemp("pristine") / "system").snapshot()


@pytest.fixture
def host() -> Iterator[SmartHost]:
    """Where its mail goes."""
    with SmartHost(login_required=False) as found:
        yield found


def configure(system: Chroot, host: SmartHost) -> None:
    """The administrator's configuration."""
    text = '[masquerade]\ndomain = "example.net"\n[log]\nto = "/var/log/sendmail-py.log"\n[[smarthost]]\n'
    text += f'host = "127.0.0.1"\nport = {host.port}\ntls = "none"\n'
    system.does("mkdir", "-p", "/etc/sendmail-py")
    system.write("/etc/sendmail-py/config.toml", text)


def differences(before: Snapshot, after: Snapshot) -> dict[str, object]:
    """What is not as before, journals apart."""
    return {
        path: (before.get(path), after.get(path))
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path) and not path.startswith(JOURNALS)
    }


def submit_as_nobody(system: Chroot) -> None:
    """A message from an account that owns nothing, in a hostile environment."""
    system.does(
        "sh",
        "-c",
        'mkdir -p /hostile; for m; do echo "raise SystemExit(99)" >/hostile/$m.py; done',
        *("sh", "os", "re", "sendmail_py", "syslog", "sitecustomize"),
    )
    done = system.as_user(NOBODY, "/usr/sbin/sendmail", "-i", "ops@example.org", stdin=MESSAGE, env=HOSTILE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


METHODS = ("deb", "divert", "alternatives", "links")


@pytest.mark.parametrize("method", METHODS)
def test_installed_used_by_nobody_and_gone_without_a_trace(
    system: Chroot, before: Snapshot, host: SmartHost, method: str
) -> None:
    system.does(SETUP, "install", "--method", method)
    assert "cron" in system.does("sendmail-py", "timer", "status")
    if method in ("deb", "links"):  # an upgrade, by the copy that is upgraded
        system.does("sendmail-py", "install", "--method", method)
    configure(system, host)
    submit_as_nobody(system)
    refused = system.run("sendmail-py", "uninstall")
    assert refused.returncode == 77
    assert b"1 message in /var/spool/sendmail-py" in refused.stderr
    system.does(layout.FLUSH, "-q")
    assert [message.rcpts[0][0] for message in host.messages] == [b"ops@example.org"]
    system.does("sendmail-py", "uninstall")
    system.does("rm", "-r", "/hostile", "/etc/sendmail-py")
    assert differences(before, system.snapshot()) == {}


CUT_OFF = """
import os, signal, subprocess, sys, time

def run(command):
    done = subprocess.run(["/from/setup", command], capture_output=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)

begin = time.monotonic()
run("install")
whole = time.monotonic() - begin
run("uninstall")
killed = 0
for part in range(1, 13):
    process = subprocess.Popen(["/from/setup", "install"], stdout=subprocess.DEVNULL, start_new_session=True)
    time.sleep(whole * part / 13)
    os.killpg(process.pid, signal.SIGKILL)
    killed += process.wait() < 0
    if os.path.exists("/var/lib/sendmail-py-install"):
        run("uninstall")
print(killed)
"""


def test_a_kill_at_any_moment_can_be_undone(system: Chroot, before: Snapshot) -> None:
    """The installing process, dpkg and its scripts: all of them end at once."""
    assert int(system.does("/usr/bin/python3", "-IS", "-c", CUT_OFF)) > 4
    assert differences(before, system.snapshot()) == {}


def test_the_alternatives_are_as_somebody_had_chosen(system: Chroot, host: SmartHost) -> None:
    """Two mailers and a choice by hand, as on Fedora."""
    script = """set -e
    for name in one two; do
        printf '#!/bin/sh\\necho %s\n' $name >/usr/sbin/sendmail.$name
        chmod 755 /usr/sbin/sendmail.$name
        update-alternatives --quiet --install /usr/sbin/sendmail mta /usr/sbin/sendmail.$name ${#name}0 \\
            --slave /usr/bin/mailq mta-mailq /usr/sbin/sendmail.$name
    done
    update-alternatives --quiet --set mta /usr/sbin/sendmail.one"""
    system.does("sh", "-c", script)
    with_choice = system.snapshot()
    chosen = system.does("update-alternatives", "--query", "mta")
    system.does(SETUP, "install", "--method", "alternatives")
    configure(system, host)
    submit_as_nobody(system)
    system.does(layout.FLUSH, "-q")
    assert len(host.messages) == 1
    system.does("sendmail-py", "uninstall")
    system.does("rm", "-r", "/hostile", "/etc/sendmail-py")
    assert system.does("update-alternatives", "--query", "mta") == chosen
    assert differences(with_choice, system.snapshot()) == {}


def test_replaced_by_another_mailer_and_back(system: Chroot, before: Snapshot, host: SmartHost) -> None:
    apt = ("apt-get", "-q", "-y", "--no-install-recommends")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    system.does(SETUP, "install")
    configure(system, host)
    submit_as_nobody(system)
    told = system.does(*apt, "install", "nullmailer", env=env)
    assert "REMOVED" in told
    assert system.does("dpkg-query", "-S", "/usr/sbin/sendmail").startswith("nullmailer:")
    assert system.run("test", "-e", layout.CRON).returncode == 1
    assert system.run("test", "-e", layout.LIBRARY).returncode == 1

    refused = system.run(SETUP, "install")
    assert (refused.returncode, b"nullmailer would be removed" in refused.stderr) == (64, True)
    system.does(SETUP, "install", "--yes")  # and back: the mail is still there
    assert system.does("dpkg-query", "-S", "/usr/sbin/sendmail").startswith("sendmail-py:")
    assert "cron" in system.does("sendmail-py", "timer", "status")
    system.does(layout.FLUSH, "-q")
    assert len(host.messages) == 1
    system.does("logrotate", "--force", layout.LOGROTATE)
    assert "status=sent" in system.does("cat", "/var/log/sendmail-py.log.1")

    system.does("dpkg", "--purge", "nullmailer")
    system.does("dpkg", "--purge", "sendmail-py")
    system.does("sh", "-c", "rm -rf /hostile /etc/sendmail-py /etc/mailname /etc/nullmailer")
    assert differences(before, system.snapshot()) == {}


def test_a_purge_by_dpkg_leaves_mail_alone(system: Chroot, host: SmartHost) -> None:
    system.does(SETUP, "install")
    configure(system, host)
    submit_as_nobody(system)
    done = system.run("dpkg", "--purge", "sendmail-py")
    assert done.returncode == 0
    assert b"1 messages stay in /var/spool/sendmail-py" in done.stderr
    system.does("ln", "-sf", "/etc/shadow", layout.WAKE_FILE)  # what a user could do, had root not been first
    system.does(SETUP, "install")
    assert system.does("stat", "-c", "%a", "/etc/shadow", layout.WAKE_FILE).split() == ["640", "666"]
    system.does(layout.FLUSH, "-q")
    assert len(host.messages) == 1


def test_mail_is_deleted_only_if_asked_for_and_agreed_to(
    system: Chroot, before: Snapshot, host: SmartHost
) -> None:
    system.does(SETUP, "install")
    configure(system, host)
    submit_as_nobody(system)
    refused = system.run("sendmail-py", "uninstall", "--purge")
    assert refused.returncode == 64
    assert b"1 message would be deleted" in refused.stderr
    system.does("sendmail-py", "uninstall", "--purge", "--yes")
    system.does("rm", "-r", "/hostile", "/etc/sendmail-py")
    assert differences(before, system.snapshot()) == {}


def test_root_s_flush_needs_no_more_than_its_unit_gives(system: Chroot, host: SmartHost) -> None:
    """The capabilities of the service unit, without systemd."""
    system.does(SETUP, "install")
    configure(system, host)
    submit_as_nobody(system)
    line = next(line for line in units.service().splitlines() if line.startswith("CapabilityBoundingSet="))
    names = line.partition("=")[2].lower().replace("cap_", "+").split()
    bound = ",".join(["-all", *names])
    system.does("setpriv", f"--bounding-set={bound}", "--inh-caps=-all", "--no-new-privs", layout.FLUSH, "-q")
    assert len(host.messages) == 1
