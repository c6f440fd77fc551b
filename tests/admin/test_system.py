"""The installation in an image: what was there comes back, byte for byte, wherever it is cut off."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from sendmail_py.admin import launcher, layout, mailers, manifest, steps, system, timers
from sendmail_py.admin.cli import cli
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import NotPermittedError, UnavailableError

from support.image import ACCOUNT, FOREIGN, PASSWD, install, snapshot, steps_of, uninstall, waiting
from support.needs import needs

# --- what is installed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["links", "divert"])
def test_everything_comes_and_goes(image: Path, method: str) -> None:
    before = snapshot(image)
    result = install(image, "--method", method)
    assert result.exit_code == 0, result.stderr
    after = snapshot(image)
    for path in layout.COMMANDS.values():
        mode, octets = after[path[1:]]
        assert (mode, launcher.is_ours(octets)) == (0o100755, True)
    assert after["usr/lib/sendmail"][1] == b"../sbin/sendmail"
    assert after[layout.SPOOL[1:]][0] == 0o041733
    assert after[layout.WAKE_FILE[1:]] == (0o100666, b"")
    assert after[layout.STATE_FOLDER[1:]][0] == 0o040755
    assert after[layout.RELAY_STATE[1:]][0] == 0o040700
    assert after[layout.RECORDS[1:]][0] == 0o040700
    assert gzip.decompress(after[layout.page("mailq.1")[1:]][1]).startswith(b".Dd")
    assert uninstall(image).exit_code == 0
    assert snapshot(image) == before


def test_a_dry_run_tells_each_step_and_does_none(image: Path) -> None:
    before = snapshot(image)
    told = install(image, "--dry-run", "--method", "links")
    assert snapshot(image) == before
    lines = told.stdout.splitlines()
    assert all(line.startswith("would ") for line in lines)
    assert "would write /usr/sbin/sendmail" in lines
    assert f"would make the account {layout.ACCOUNT}" in lines
    assert lines[-1] == f"would write {layout.CRON}"


def test_a_dry_run_of_the_way_back_does_nothing(image: Path) -> None:
    assert install(image, "--method", "links").exit_code == 0
    before = snapshot(image)
    told = uninstall(image, "--dry-run")
    assert snapshot(image) == before
    assert "would undo: entry /usr/sbin/sendmail" in told.stdout


def test_sendmail_comes_last_of_all_names_and_has_no_gap(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others call it, the name leads to the old program or to the new one."""
    rename, seen = Tree.rename, []

    def watched(tree: Tree, old: str, new: str) -> None:
        assert tree.status(layout.SENDMAIL) is not None
        rename(tree, old, new)
        seen.append(new)

    monkeypatch.setattr(Tree, "rename", watched)
    assert install(image, "--method", "links").exit_code == 0
    names = [path for path in seen if path.startswith(("/usr/sbin", "/usr/bin", "/usr/lib", "/usr/share"))]
    assert names[-1] == layout.SENDMAIL


def test_a_file_system_without_hard_links_will_do(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(old: str, new: str, follow_symlinks: bool) -> None:
        raise OSError(errno.EPERM, "no hard links")

    before = snapshot(image)
    monkeypatch.setattr(os, "link", fail)
    assert install(image, "--method", "links").exit_code == 0
    assert (image / "usr/sbin/sendmail.before-sendmail-py").read_bytes() == FOREIGN
    assert uninstall(image).exit_code == 0
    assert snapshot(image) == before


def test_only_root_installs_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = CliRunner().invoke(cli, ["install"])
    assert (result.exit_code, result.stderr.count("\n")) == (77, 1)
    assert "--bindir" in result.stderr
    assert CliRunner().invoke(cli, ["uninstall"]).exit_code == 77


def test_launchers_alone_have_no_method() -> None:
    assert CliRunner().invoke(cli, ["install", "--bindir", "bin", "--method", "deb"]).exit_code == 64


def test_an_upgrade_keeps_what_was_there_before_the_first_time(image: Path) -> None:
    before = snapshot(image)
    assert install(image, "--method", "links").exit_code == 0
    (image / "usr/bin/newaliases").write_bytes(b"#!/bin/sh\n")  # damaged meanwhile
    assert install(image, "--method", "links").exit_code == 0
    assert launcher.is_ours((image / "usr/bin/newaliases").read_bytes())
    assert uninstall(image).exit_code == 0
    left = set(snapshot(image).items() - before.items())
    assert left == {("usr/bin/newaliases", (0o100755, b"#!/bin/sh\n"))}


def test_what_an_earlier_version_installed_and_this_one_does_not_goes(image: Path) -> None:
    assert install(image, "--method", "links").exit_code == 0
    tree = Tree(str(image))
    known = manifest.load(tree)
    system.apply(tree, known, [steps.Entry("/usr/bin/old-name", b"x")], system.SYSTEM, lambda text: None)
    assert install(image, "--method", "links").exit_code == 0
    assert not (image / "usr/bin/old-name").exists()


def test_another_method_is_refused_before_the_first_is_undone(image: Path) -> None:
    assert install(image, "--method", "links").exit_code == 0
    before = snapshot(image)
    result = install(image, "--method", "divert")
    assert (result.exit_code, "installed by method links" in result.stderr) == (77, True)
    assert snapshot(image) == before


def test_a_log_file_is_rotated(image: Path) -> None:
    (image / "etc/sendmail-py").mkdir()
    (image / "etc/sendmail-py/config.toml").write_text('[log]\nto = "/srv/log/mail"\n')
    assert install(image, "--method", "links").exit_code == 0
    assert "/srv/log/mail {" in (image / layout.LOGROTATE[1:]).read_text()
    unit = (image / layout.UNIT_FOLDER[1:] / "sendmail-py.service").read_text()
    assert "ReadWritePaths=-/var/spool/sendmail-py -/var/lib/sendmail-py -/var/log -/srv/log\n" in unit


def test_hooks_of_the_network_come_where_something_calls_them(image: Path) -> None:
    (image / layout.IF_UP_FOLDER[1:]).mkdir(parents=True)
    assert install(image, "--method", "links").exit_code == 0
    assert (image / layout.IF_UP[1:]).stat().st_mode & 0o777 == 0o755
    assert not (image / layout.DISPATCHER[1:]).exists()


# --- what stands against it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("var/spool/postfix/deferred/A/A1B2C3D4E5", "Postfix"),
        ("var/spool/postfix/maildrop/A1B2C3D4E5", "Postfix"),
        ("var/spool/exim4/input/1abcde-000000-00-H", "Exim"),
        ("var/spool/exim/input/a/1abcde-000000-00-H", "Exim"),
        ("var/spool/nullmailer/queue/1700000000.1234", "nullmailer"),
        ("var/spool/dma/M1a2b.3c", "dma"),
        ("var/spool/mqueue/qfA1234", "Sendmail"),
        ("var/spool/mqueue-client/qfA1234", "Sendmail"),
        ("var/spool/smtpd/queue/a1/a1b2c3d4/message/a1b2c3d4", "OpenSMTPD"),
        ("home/greg/.msmtp.queue/2026-01-01-00.00.00.mail", "msmtp"),
    ],
)
def test_mail_in_another_mailer_s_queue_is_not_left_behind(image: Path, path: str, name: str) -> None:
    (image / "etc/passwd").write_text(PASSWD + "greg:x:1000:1000::/home/greg:/bin/sh\n")
    (image / path).parent.mkdir(parents=True)
    (image / path).write_text("mail")
    before = snapshot(image)
    result = install(image, "--method", "links")
    assert result.exit_code == 77
    assert name in result.stderr
    assert "--force" in result.stderr
    assert "1 waiting in /" in result.stderr
    assert snapshot(image) == before
    assert install(image, "--method", "links", "--force").exit_code == 0


def test_empty_queues_and_other_files_in_them_are_no_mail(image: Path) -> None:
    for path in ("var/spool/postfix/deferred/A", "var/spool/exim4/input", "var/spool/nullmailer/queue"):
        (image / path).mkdir(parents=True)
    (image / "var/spool/exim4/input/hints").write_text("")
    (image / "var/spool/postfix/pid").mkdir()
    assert mailers.waiting(Tree(str(image))) == []


@pytest.mark.parametrize("path", ["usr/sbin/runq", "usr/lib/sendmail-py"])
def test_a_folder_in_the_way_undoes_everything(image: Path, path: str) -> None:
    (image / path).mkdir()
    before = snapshot(image)
    result = install(image, "--method", "links")
    assert result.exit_code == 77
    assert snapshot(image) == before


def test_a_backup_s_name_that_is_taken_undoes_everything(image: Path) -> None:
    (image / "usr/sbin/sendmail.before-sendmail-py").write_text("of somebody")
    before = snapshot(image)
    assert install(image, "--method", "links").exit_code == 77
    assert snapshot(image) == before


def test_a_program_that_fails_undoes_everything(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(tree: Tree, command: list[str]) -> str:
        if command[0] == "dpkg-divert" and "--add" in command:
            raise UnavailableError("dpkg-divert ended with 2")
        return ""

    monkeypatch.setattr(Tree, "run", fail)
    before = snapshot(image)
    assert install(image, "--method", "divert").exit_code == 69
    assert snapshot(image) == before


# --- cut off at any moment ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["links", "divert"])
def test_an_installation_that_is_cut_off_anywhere_can_be_undone(
    image: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    before = snapshot(image)
    ends = 0
    while not steps_of(image, monkeypatch, ends, ["install", "--root", str(image), "--method", method]):
        if (image / layout.RECORDS[1:]).exists():
            result = uninstall(image)
            assert result.exit_code == 0, f"after {ends} changes: {result.stderr}"
        assert snapshot(image) == before, f"after {ends} changes"
        ends += 1 if method == "links" else 3
    assert ends > 100


def test_the_way_back_that_is_cut_off_anywhere_can_be_gone_again(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(image)
    for ends in range(0, 1000, 3):
        assert install(image, "--method", "links").exit_code == 0
        if steps_of(image, monkeypatch, ends, ["uninstall", "--root", str(image)]):
            break
        if (image / layout.RECORDS[1:]).exists():
            assert uninstall(image).exit_code == 0, f"after {ends} changes"
        assert snapshot(image) == before, f"after {ends} changes"
    assert ends > 50


def test_an_installation_that_was_cut_off_can_be_finished(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(image)
    words = ["install", "--root", str(image), "--method", "links"]
    for ends in (10, 40, 90):
        assert not steps_of(image, monkeypatch, ends, words)
        assert install(image, "--method", "links").exit_code == 0
        assert json.loads((image / layout.MANIFEST[1:]).read_text())["complete"] is True
        assert uninstall(image).exit_code == 0
        assert snapshot(image) == before


# --- the way back -------------------------------------------------------------------------------------------


def test_nothing_to_undo_is_told(image: Path) -> None:
    result = uninstall(image)
    assert (result.exit_code, result.stderr) == (
        69,
        "sendmail-py: nothing is installed for the whole system\n",
    )


def test_a_manifest_that_cannot_be_read_is_left_alone(image: Path) -> None:
    (image / layout.RECORDS[1:]).mkdir()
    (image / layout.MANIFEST[1:]).write_text("{")
    result = uninstall(image)
    assert (result.exit_code, result.stderr.count("\n")) == (65, 1)
    assert (image / layout.MANIFEST[1:]).read_text() == "{"


@pytest.mark.parametrize("name", ["queue", "failed"])
def test_mail_is_never_deleted_by_the_way(image: Path, name: str) -> None:
    assert install(image, "--method", "links").exit_code == 0
    message = waiting(image, name)
    before = snapshot(image)
    result = uninstall(image)
    assert result.exit_code == 77
    assert "1 message in /var/spool/sendmail-py" in result.stderr
    assert uninstall(image, "--purge").exit_code == 64  # nobody there to ask
    assert snapshot(image) == before
    assert message.exists()


def test_mail_is_deleted_when_somebody_agrees(image: Path) -> None:
    before = snapshot(image)
    assert install(image, "--method", "links").exit_code == 0
    waiting(image)
    assert uninstall(image, "--purge", "--yes").exit_code == 0
    assert snapshot(image) == before


def test_mail_that_comes_at_the_last_moment_stays(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert install(image, "--method", "links").exit_code == 0
    monkeypatch.setattr("sendmail_py.admin.uninstall.mailers", type("None", (), {"own": lambda tree: (0, 0)}))
    message = waiting(image)
    result = uninstall(image)
    assert result.exit_code == 0
    assert "/var/spool/sendmail-py stays: 1 messages are in it" in result.stdout
    assert message.exists()


def test_links_in_the_spool_lead_nowhere(image: Path, tmp_path: Path) -> None:
    """A user's folder may hold what he likes; as root we neither count nor delete what it leads to."""
    assert install(image, "--method", "links").exit_code == 0
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "0123456789AB").write_text("keep")
    spool = image / layout.SPOOL[1:]
    (spool / "1000.0").mkdir()
    (spool / "1000.0/queue").symlink_to(precious)
    (spool / "1001.0").symlink_to(tmp_path)
    assert mailers.own(Tree(str(image))) == (0, 0)
    assert uninstall(image).exit_code == 0
    assert (precious / "0123456789AB").read_text() == "keep"


@pytest.mark.parametrize("kind", ["link", "hard link", "folder"])
def test_what_a_user_put_in_the_place_of_the_wake_up_file_is_harmless(
    image: Path, tmp_path: Path, kind: str
) -> None:
    """The spool is writable for all: root must not open or change what a name there leads to."""
    assert install(image, "--method", "links").exit_code == 0
    precious = tmp_path / "precious"
    precious.write_text("keep")
    precious.chmod(0o600)
    wake = image / layout.WAKE_FILE[1:]
    for path in (wake, wake.with_name("..wake.sendmail-py-new")):
        path.unlink(missing_ok=True)
        if kind == "link":
            path.symlink_to(precious)
        elif kind == "hard link":
            path.hardlink_to(precious)
        elif path == wake:
            path.mkdir()
    assert install(image, "--method", "links").exit_code == 0
    assert (precious.read_text(), precious.stat().st_mode & 0o777) == ("keep", 0o600)
    status = wake.lstat()
    assert (status.st_mode, status.st_size, status.st_nlink) == (0o100666, 0, 1)
    assert (image / layout.SPOOL[1:]).stat().st_mode & 0o7777 == 0o1733


def test_a_program_that_somebody_else_put_there_stays(image: Path) -> None:
    assert install(image, "--method", "links").exit_code == 0
    (image / "usr/sbin/sendmail").unlink()
    (image / "usr/sbin/sendmail").write_bytes(b"\x7fELF of another package")
    result = uninstall(image)
    assert result.exit_code == 0
    assert "/usr/sbin/sendmail was changed by somebody else and stays" in result.stdout
    assert (image / "usr/sbin/sendmail").read_bytes() == b"\x7fELF of another package"
    assert (image / "usr/sbin/sendmail.before-sendmail-py").read_bytes() == FOREIGN


def test_the_configuration_stays(image: Path) -> None:
    assert install(image, "--method", "links").exit_code == 0
    (image / "etc/sendmail-py/config.toml").write_text("# mine\n")
    result = uninstall(image)
    assert "/etc/sendmail-py is not empty and stays" in result.stdout
    assert (image / "etc/sendmail-py/config.toml").read_text() == "# mine\n"


def test_an_account_that_was_there_before_stays(image: Path) -> None:
    (image / "etc/passwd").write_text(PASSWD + ACCOUNT)
    assert install(image, "--method", "links").exit_code == 0
    assert uninstall(image).exit_code == 0
    assert (image / "etc/passwd").read_text() == PASSWD + ACCOUNT


# --- methods ------------------------------------------------------------------------------------------------


def test_diversions_are_made_before_the_files_and_taken_back_after(image: Path, ran: list[list[str]]) -> None:
    assert install(image, "--method", "divert").exit_code == 0
    added = [command[-1] for command in ran if command[0] == "dpkg-divert"]
    assert set(layout.COMMANDS.values()) <= set(added)
    assert (image / "usr/sbin/sendmail.distrib").read_bytes() == FOREIGN
    ran.clear()
    assert uninstall(image).exit_code == 0
    assert [command[-1] for command in ran if command[0] == "dpkg-divert"] == added[::-1]


def test_the_method_fits_the_system(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(str(image))
    there = {"dpkg-deb", "update-alternatives"}
    monkeypatch.setattr(Tree, "program", lambda tree, name: name if name in there else "")
    (image / "etc/alternatives").mkdir()
    assert system.method_for(tree) == "links"  # a program that no mailer of this system knows
    (image / "usr/sbin/alternatives").write_text("")
    assert system.method_for(tree) == "alternatives"
    (image / "var/lib/dpkg").mkdir()
    (image / "var/lib/dpkg/status").write_text("")
    assert system.method_for(tree) == "deb"


# --- the timer of the system --------------------------------------------------------------------------------


def test_the_second_of_the_minute_is_the_machine_s(image: Path) -> None:
    tree = Tree(str(image))
    assert timers.machine_second(tree) == timers.machine_second(tree)
    (image / "etc/machine-id").write_text("uninitialized\n")
    assert len({timers.machine_second(tree) for _ in range(50)}) > 5


def test_cron_is_taken_where_its_daemon_is(image: Path) -> None:
    tree = Tree(str(image))
    assert timers.kind_for(tree) == "cron"
    (image / "usr/sbin/cron").unlink()
    assert timers.kind_for(tree) == "none"
    (image / "usr/lib/systemd/systemd").write_text("")
    assert timers.kind_for(tree) == "systemd"


def test_without_cron_and_systemd_a_warning_is_given(image: Path) -> None:
    (image / "usr/sbin/cron").unlink()
    result = install(image, "--method", "links")
    assert result.exit_code == 0
    assert "nothing calls `sendmail -q` here" in result.stderr


def test_one_timer_takes_the_place_of_the_other(image: Path) -> None:
    before = snapshot(image)
    assert install(image, "--method", "links").exit_code == 0
    tree = Tree(str(image))
    assert timers.installed(tree) == ["cron"]
    (image / "usr/lib/systemd/systemd").write_text("")
    system.set_timer(tree, timers.steps(tree, "systemd"), lambda text: None)
    assert timers.installed(tree) == ["systemd"]
    wants = image / "etc/systemd/system/sockets.target.wants/sendmail-py.socket"
    assert os.readlink(wants) == "/usr/lib/systemd/system/sendmail-py.socket"
    for name in timers.STARTED:
        words = [needs("systemctl", "systemd"), f"--root={image}", "is-enabled", name]
        assert subprocess.run(words, capture_output=True, text=True, check=False).stdout == "enabled\n"
    assert install(image, "--method", "links").exit_code == 0
    assert timers.installed(tree) == ["systemd"]  # an upgrade does not choose again
    system.set_timer(tree, [], lambda text: None)
    assert timers.installed(tree) == []
    (image / "usr/lib/systemd/systemd").unlink()
    assert uninstall(image).exit_code == 0
    assert snapshot(image) == before


def test_a_timer_needs_an_installation(image: Path) -> None:
    with pytest.raises(UnavailableError, match="nothing is installed"):
        system.set_timer(Tree(str(image)), [], lambda text: None)


def test_a_file_that_is_no_folder_is_refused(image: Path) -> None:
    (image / "etc/sendmail-py").write_text("")
    with pytest.raises(NotPermittedError):
        steps.Folder("/etc/sendmail-py").look(Tree(str(image)))
