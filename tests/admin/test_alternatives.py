"""Fedora's alternatives: our name comes and goes, and every other mailer's package finds its own way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sendmail_py.admin import alternatives, layout, manifest
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import UnavailableError

from support.alternatives import Alternatives, Killed
from support.image import install, snapshot, uninstall

OURS = "/usr/sbin/sendmail.sendmail-py"


@pytest.fixture
def fedora(image: Path, monkeypatch: pytest.MonkeyPatch) -> Alternatives:
    """The image has the alternatives and no mailer."""
    for path in ("usr/sbin/sendmail", "usr/bin/mailq", "usr/share/man/man8/sendmail.8.gz"):
        (image / path).unlink()
    found = Alternatives(image)
    others = Tree.ask

    def ask(tree: Tree, command: list[str]) -> tuple[int, str]:
        is_ours = command[0] != "/bin/sh" and not command[0].startswith(tree.root)
        return found.ask(command) if is_ours else others(tree, command)

    def run(tree: Tree, command: list[str]) -> str:
        status, said = ask(tree, command)
        if status:
            raise UnavailableError(said)
        return said

    monkeypatch.setattr(Tree, "ask", ask)
    monkeypatch.setattr(Tree, "run", run)
    monkeypatch.setattr(alternatives, "PATIENCE", 0.0)
    return found


def leads(fedora: Alternatives, path: str) -> str:
    """Where a name of the image ends, by way of /etc/alternatives."""
    link = os.readlink(fedora.image / path[1:])
    assert link.startswith("/etc/alternatives/")
    return os.readlink(fedora.image / link[1:])


def nothing(fedora: Alternatives) -> None:
    """No mailer."""


def postfix(fedora: Alternatives) -> None:
    """One, whose service starts with the system."""
    fedora.register("postfix", 60)


def exim(fedora: Alternatives) -> None:
    """One that has a follower for runq."""
    fedora.register("exim", 10, more="--slave /usr/bin/runq mta-runq /usr/bin/runq.exim")


def both(fedora: Alternatives) -> None:
    """Two, and the better one is taken."""
    postfix(fedora)
    exim(fedora)


def chosen(fedora: Alternatives) -> None:
    """Two, and somebody has chosen the other one."""
    both(fedora)
    assert fedora.run(["--set", "mta", "/usr/sbin/sendmail.exim"])[0] == 0
    fedora.enabled.add("exim.service")


SYSTEMS = (nothing, postfix, exim, both, chosen)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("is_old", [False, True])
def test_our_names_come_and_go(fedora: Alternatives, system: object, is_old: bool) -> None:
    system(fedora)  # type: ignore[operator]
    fedora.is_old = is_old
    before, enabled = snapshot(fedora.image), set(fedora.enabled)
    for _ in range(2):
        result = install(fedora.image)
        assert result.exit_code == 0, result.stderr
    assert leads(fedora, "/usr/sbin/sendmail") == OURS
    assert leads(fedora, "/usr/lib/sendmail") == "/usr/lib/sendmail.sendmail-py"
    for name in ("mailq", "newaliases", "runq"):
        assert leads(fedora, f"/usr/bin/{name}") == f"/usr/bin/{name}.sendmail-py"
        assert (fedora.image / f"usr/bin/{name}.sendmail-py").exists()
    assert fedora.enabled == set()
    assert uninstall(fedora.image).exit_code == 0
    after = snapshot(fedora.image)
    if is_old:  # versions before 1.11 keep the names of followers that nobody has
        for found in (before, after):
            found.pop("var/lib/alternatives/mta", None)
    assert after == before
    assert fedora.enabled == enabled


def test_a_dry_run_tells_whose_service_will_not_start_any_more(fedora: Alternatives) -> None:
    postfix(fedora)
    before = snapshot(fedora.image)
    told = install(fedora.image, "--dry-run")
    assert told.exit_code == 0
    assert (
        f"would have the alternatives lead /usr/sbin/sendmail and its kin to {OURS}; "
        "postfix.service will not start with the system any more\n"
    ) in told.stdout
    assert (snapshot(fedora.image), fedora.enabled) == (before, {"postfix.service"})


def test_every_mailer_can_register_while_we_are_there(fedora: Alternatives) -> None:
    assert install(fedora.image).exit_code == 0
    both(fedora)
    assert leads(fedora, "/usr/sbin/sendmail") == OURS
    assert uninstall(fedora.image).exit_code == 0
    assert leads(fedora, "/usr/sbin/sendmail") == "/usr/sbin/sendmail.postfix"


def test_what_somebody_has_chosen_since_stays(fedora: Alternatives) -> None:
    both(fedora)
    assert install(fedora.image).exit_code == 0
    fedora.run(["--set", "mta", "/usr/sbin/sendmail.exim"])
    assert uninstall(fedora.image).exit_code == 0
    assert leads(fedora, "/usr/sbin/sendmail") == "/usr/sbin/sendmail.exim"
    assert fedora.enabled == set()


def test_a_mailer_that_is_gone_by_then_is_not_chosen_again(fedora: Alternatives) -> None:
    chosen(fedora)
    assert install(fedora.image).exit_code == 0
    fedora.run(["--remove", "mta", "/usr/sbin/sendmail.exim"])
    assert uninstall(fedora.image).exit_code == 0
    assert leads(fedora, "/usr/sbin/sendmail") == "/usr/sbin/sendmail.postfix"


@pytest.mark.parametrize("is_merged", [True, False])
def test_the_primary_link_is_in_usr_bin_since_fedora_42(fedora: Alternatives, is_merged: bool) -> None:
    """Postfix's package could not register later if ours was another one."""
    (fedora.image / "usr/sbin/alternatives").rename(fedora.image / "usr/bin/alternatives")
    if is_merged:
        (fedora.image / "usr/sbin/cron").rename(fedora.image / "usr/bin/cron")
        (fedora.image / "usr/sbin").rmdir()
        (fedora.image / "usr/sbin").symlink_to("bin")
    before = snapshot(fedora.image)
    for _ in range(2):
        assert install(fedora.image).exit_code == 0
    assert leads(fedora, "/usr/bin/sendmail") == "/usr/bin/sendmail.sendmail-py"
    if not is_merged:
        assert os.readlink(fedora.image / "usr/sbin/sendmail") == "../bin/sendmail"
    fedora.register("postfix", 60, "/usr/bin")
    fedora.run(["--remove", "mta", "/usr/bin/sendmail.postfix"])
    for path in fedora.image.rglob("*.postfix*"):
        path.unlink()
    (fedora.image / "etc/pam.d").rmdir()
    assert uninstall(fedora.image).exit_code == 0
    assert snapshot(fedora.image) == before


def test_a_name_or_link_that_the_group_has_is_taken_as_it_is(fedora: Alternatives) -> None:
    more = "--slave /usr/sbin/runq mta-runq /usr/sbin/runq.x --slave /usr/bin/newaliases mta-na /usr/bin/na.x"
    words = f"--install /usr/sbin/sendmail mta /usr/sbin/sendmail.x 5 {more}".split()
    assert fedora.run(words)[0] == 0
    assert install(fedora.image).exit_code == 0
    assert leads(fedora, "/usr/sbin/runq") == "/usr/bin/runq.sendmail-py"
    assert os.readlink(fedora.image / "usr/bin/newaliases") == "/etc/alternatives/mta-na"
    assert leads(fedora, "/usr/bin/newaliases") == "/usr/bin/newaliases.sendmail-py"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_not_of_the_alternatives_is_not_lost(fedora: Alternatives, kind: str) -> None:
    """They would leave the file, and say so to nobody; the link they would replace for good."""
    path = fedora.image / "usr/sbin/sendmail"
    path.write_text("") if kind == "file" else path.symlink_to("/usr/bin/msmtp")
    before = snapshot(fedora.image)
    result = install(fedora.image)
    assert result.exit_code == 77
    assert "/usr/sbin/sendmail is not a link of the alternatives" in result.stderr
    assert "--method links" in result.stderr
    assert snapshot(fedora.image) == before


def test_an_alternative_that_does_not_lead_to_us_is_undone(
    fedora: Alternatives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with 0 also when it changed nothing."""
    before = snapshot(fedora.image)
    monkeypatch.setattr(Alternatives, "run", lambda program, words: (0, ""))
    result = install(fedora.image)
    assert (result.exit_code, "does not lead to" in result.stderr) == (69, True)
    assert snapshot(fedora.image) == before


def ends(fedora: Alternatives, at: int, words: object) -> bool:
    """Whether a command was ended by the program's end at its change number `at`."""
    fedora.kill_at = at
    try:
        words(fedora.image)  # type: ignore[operator]
    except Killed:
        return True
    finally:
        fedora.kill_at = -1
    return False


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("command", [install, uninstall])
def test_it_can_be_undone_wherever_it_was_cut_off(
    fedora: Alternatives, system: object, command: object
) -> None:
    """It leaves a half-written state that it would never replace, or links that lead nowhere."""
    system(fedora)  # type: ignore[operator]
    before = snapshot(fedora.image)
    for at in range(100):
        if command is uninstall:
            assert install(fedora.image).exit_code == 0
        if not ends(fedora, at, command):
            break
        result = uninstall(fedora.image)
        assert result.exit_code == 0, f"after {at} changes: {result.stderr}"
        assert snapshot(fedora.image) == before, f"after {at} changes"
    assert at > 10


def test_a_group_that_cannot_be_left_keeps_the_file_that_it_leads_to(
    fedora: Alternatives, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert install(fedora.image).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(Alternatives, "remove", lambda program, group, target: (2, "read-only file system"))
        result = uninstall(fedora.image)
    assert (result.exit_code, "read-only file system" in result.stderr) == (69, True)
    assert (fedora.image / OURS[1:]).exists()
    assert manifest.load(Tree(str(fedora.image))).find("alternatives", "mta")
    assert uninstall(fedora.image).exit_code == 0


def test_links_of_an_image_lead_into_it(tmp_path: Path) -> None:
    """As Fedora 41's absolute one from /var/lib/alternatives."""
    tree = Tree(str(tmp_path))
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "etc/alternatives.admindir").mkdir(parents=True)
    (tmp_path / "var/lib/alternatives").symlink_to("/etc/alternatives.admindir")
    (tmp_path / "usr").symlink_to("../../../..")
    assert tree.path("/var/lib/alternatives/mta") == f"{tmp_path}/etc/alternatives.admindir/mta"
    assert tree.is_folder("/var/lib/alternatives")
    assert tree.path(layout.SENDMAIL) == f"{tmp_path}/sbin/sendmail"
    (tmp_path / "loop").symlink_to("/loop")
    with pytest.raises(OSError, match="symbolic links"):
        tree.path("/loop/file")
