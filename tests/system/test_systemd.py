"""Under a systemd that runs: who can have mail sent at once; nothing is missed, doubled or left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sendmail_py.admin import layout

from support.booted import UID, USER, Machine
from support.smarthost import SmartHost

SETUP = "/from/setup"
SERVICE = "sendmail-py.service"
UNITS = ("sendmail-py.timer", "sendmail-py.socket")
LONG = 30.0  # seconds; a flush by the timer does not count, because it is off
SUBMIT = ("/usr/sbin/sendmail", "-i", "ops@example.org")
WRITABLE = f"ReadWritePaths={layout.SPOOL}"
DROP_IN = "/run/systemd/system/sendmail-py.service.d/test.conf"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A system with systemd and without cron, booted."""
    with Machine(tmp_path_factory.mktemp("machine") / "system") as found:
        yield found


@pytest.fixture
def host() -> Iterator[SmartHost]:
    """Where its mail goes."""
    with SmartHost(login_required=False) as found:
        yield found


@pytest.fixture
def installed(machine: Machine, host: SmartHost) -> Machine:
    """The machine with sendmail_py, which only the socket unit wakes."""
    if machine.run("test", "-x", layout.ADMIN).returncode:
        machine.does(SETUP, "install")
        assert [machine.state(unit) for unit in UNITS] == ["active", "active"]
    configure(machine, host)
    machine.does("systemctl", "stop", "sendmail-py.timer")
    return machine


def configure(machine: Machine, host: SmartHost, path: str = "/etc/sendmail-py/config.toml") -> None:
    """The administrator's configuration, or a user's; no smart host rests any more."""
    text = 'delivery = "background"\n[masquerade]\ndomain = "example.net"\ndns = false\n[[smarthost]]\n'
    text += f'host = "127.0.0.1"\nport = {host.port}\ntls = "none"\n'
    machine.does("mkdir", "-p", path.rpartition("/")[0])
    machine.write(path, text)
    state = layout.STATE_FOLDER
    machine.does("rm", "-f", f"{state}/pauses", f"{layout.RELAY_STATE}/pauses")


def message(subject: str) -> bytes:
    return f"Subject: {subject}\n\nhello\n".encode()


def submit(machine: Machine, subject: str, user: int = UID) -> None:
    """A message of a user's."""
    done = machine.as_user(user, *SUBMIT, stdin=message(subject))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def until(condition: Callable[[], object]) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + LONG
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def arrived(host: SmartHost) -> list[str]:
    """The subjects of what arrived, sorted."""
    lines = [line for one in host.messages for line in one.data.split(b"\r\n")]
    return sorted(line[9:].decode() for line in lines if line.startswith(b"Subject: "))


def hold_end(machine: Machine, seconds: int) -> None:
    """Have the service stay for a while after its flush has ended."""
    machine.does("mkdir", "-p", DROP_IN.rpartition("/")[0])
    machine.write(DROP_IN, f"[Service]\nExecStopPost=/bin/sleep {seconds}\n")
    machine.does("systemctl", "daemon-reload")


SERVICES = {  # properties of services that send mail
    "root": (),
    "user": (f"User={USER}", "NoNewPrivileges=yes", "PrivateTmp=yes"),
    "dynamic": ("DynamicUser=yes", WRITABLE),
    "strict": ("ProtectSystem=strict", WRITABLE),
    "namespace": (f"User={USER}", "PrivateUsers=yes"),
    "all": (
        *("DynamicUser=yes", WRITABLE, "CapabilityBoundingSet=", "PrivateDevices=yes", "PrivateNetwork=yes"),
        *("ProtectHome=yes", "ProtectProc=invisible", "ProcSubset=pid", "ProtectKernelTunables=yes"),
        *("SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources", "UMask=0077"),
        *("MemoryDenyWriteExecute=yes", "RestrictNamespaces=yes", "RestrictAddressFamilies=AF_UNIX"),
    ),
}


def test_mail_of_every_kind_of_service_leaves_at_once(installed: Machine, host: SmartHost) -> None:
    for name, properties in SERVICES.items():
        done = installed.service(*properties, words=SUBMIT, stdin=message(name))
        assert (done.returncode, done.stderr) == (0, b""), name
        assert until(lambda name=name: name in arrived(host)), name  # type: ignore[misc]
    assert arrived(host) == sorted(SERVICES)


def test_a_service_that_may_not_write_to_the_spool_is_told_what_its_unit_lacks(
    installed: Machine, host: SmartHost
) -> None:
    for properties in (("DynamicUser=yes",), ("ProtectSystem=strict",)):
        done = installed.service(*properties, words=SUBMIT, stdin=message("nothing"))
        assert (done.returncode, b"needs ReadWritePaths=" in done.stderr) == (73, True)
    assert host.messages == []


def test_mail_that_comes_when_the_flush_has_ended_waits_for_no_timer(
    installed: Machine, host: SmartHost
) -> None:
    hold_end(installed, 3)
    submit(installed, "first")
    assert until(lambda: "stop-post" in installed.does("systemctl", "show", "-P", "SubState", SERVICE))
    submit(installed, "second")
    assert arrived(host) == ["first"]
    assert until(lambda: arrived(host) == ["first", "second"])
    installed.does("rm", DROP_IN)
    installed.does("systemctl", "daemon-reload")


def test_a_flood_of_calls_stops_nobody(installed: Machine, host: SmartHost) -> None:
    flood = ("sh", "-c", f"while :; do echo; done >{layout.FIFO}")
    installed.does("systemd-run", "--quiet", "--unit=flood", "--property=User=nobody", *flood)
    assert installed.as_user(65534, "head", "-c1", layout.FIFO).returncode != 0
    for number in range(4):
        submit(installed, str(number))
        assert until(lambda number=number: len(host.messages) == number + 1)  # type: ignore[misc]
        time.sleep(0.5)
    assert installed.state("flood.service") == "active"
    installed.does("systemctl", "stop", "flood.service")
    assert until(lambda: installed.state(SERVICE) == "inactive")
    assert installed.state("sendmail-py.socket") == "active"


def test_a_run_that_is_stopped_finishes_what_it_has_in_hand(installed: Machine) -> None:
    with SmartHost(login_required=False, delay=0.15, extensions=()) as host:
        configure(installed, host)
        subjects = [str(number) for number in range(10, 20)]
        for subject in subjects:
            submit(installed, subject)
        assert until(lambda: host.messages)
        installed.does("systemctl", "stop", "sendmail-py.socket", SERVICE)
        assert installed.state(SERVICE) == "inactive"
        sent = len(host.messages)
        assert sent < len(subjects)
        installed.does("systemctl", "start", "sendmail-py.socket", SERVICE)
        assert until(lambda: len(host.messages) >= len(subjects))
        assert arrived(host) == subjects


def test_folders_that_were_removed_come_back(installed: Machine, host: SmartHost) -> None:
    for path in (layout.RELAY_STATE, layout.STATE_FOLDER, layout.SPOOL):
        installed.does("systemctl", "stop", SERVICE)
        installed.does("rm", "-rf", path)
        installed.does("systemctl", "start", SERVICE)
        submit(installed, path)
        assert until(lambda path=path: path in arrived(host)), path  # type: ignore[misc]
    found = installed.does("stat", "-c", "%U %a", layout.RELAY_STATE, layout.SPOOL)
    assert found.splitlines() == [f"{layout.ACCOUNT} 700", "root 1733"]


def test_a_user_s_own_timer_sends_a_user_s_own_mail(installed: Machine, host: SmartHost) -> None:
    home = f"/home/{USER}"
    configure(installed, host, f"{home}/.config/sendmail-py/config.toml")
    installed.write(f"{home}/soon.conf", "[Timer]\nOnActiveSec=1s\nAccuracySec=100ms\nRandomizedDelaySec=0\n")
    script = """set -e
    printf 'Subject: own\\n\\nhello\\n' | sendmail -odq ops@example.org
    mkdir -p ~/.config/systemd/user/sendmail-py-flush.timer.d
    cp ~/soon.conf ~/.config/systemd/user/sendmail-py-flush.timer.d/
    sendmail-py timer install --user
    sendmail-py timer status --user"""
    installed.does("chown", "-R", f"{USER}:", home)
    installed.does("loginctl", "enable-linger", USER)
    assert until(lambda: installed.state(f"user@{UID}.service") == "active")
    done = installed.as_user(UID, "sh", "-c", script, env={"HOME": home, "USER": USER})
    assert done.returncode == 0, done.stderr
    assert b"sendmail-py-flush.timer" in done.stdout
    assert until(lambda: arrived(host) == ["own"])
    removed = installed.as_user(UID, "sendmail-py", "timer", "remove", "--user", env={"HOME": home})
    assert removed.returncode == 0, removed.stderr
    installed.does("rm", "-r", f"{home}/.config")


def test_an_upgrade_goes_on_listening_and_nothing_of_ours_is_left_when_it_is_removed(
    installed: Machine, host: SmartHost
) -> None:
    installed.does("systemctl", "start", "sendmail-py.timer")
    installed.does(SETUP, "install")  # the timer starts a run while the socket is started anew
    assert [installed.state(unit) for unit in UNITS] == ["active", "active"]
    installed.write("/etc/sendmail-py/config.toml", 'delivery = "sometimes"\n')
    assert installed.run("systemctl", "start", SERVICE).returncode == 1
    assert installed.state(SERVICE) == "failed"
    installed.does("sendmail-py", "uninstall")
    assert "sendmail-py" not in installed.does("systemctl", "list-units", "--all", "--no-legend", "--plain")
    assert installed.run("test", "-e", layout.FIFO).returncode == 1


def test_account_and_folders_come_back_on_an_empty_var(installed: Machine, tmp_path: Path) -> None:
    script = f"""set -e
    mount -t tmpfs -o mode=755 tmpfs /var
    for time in 1 2; do
        systemd-sysusers sendmail-py.conf
        systemd-tmpfiles --create sendmail-py.conf
    done
    stat -c '%a %U' {layout.SPOOL} {layout.WAKE_FILE} {layout.STATE_FOLDER} {layout.RELAY_STATE}"""
    found = installed.does("unshare", "--mount", "sh", "-c", script)
    assert found.splitlines() == ["1733 root", "666 root", "755 root", f"700 {layout.ACCOUNT}"]
