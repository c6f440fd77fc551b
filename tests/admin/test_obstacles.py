"""What stands in the way of an installation: nothing half done, nothing lost, one line that says why."""

from __future__ import annotations

import errno
import os
import types
from pathlib import Path

import pytest
from sendmail_py.admin import layout, manifest, steps, units
from sendmail_py.admin.tree import Tree

from support.image import install, snapshot, uninstall


def read_only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A file system that cannot be written begins at this folder."""

    def statvfs(path: str) -> object:
        is_below = Path(path).is_relative_to(folder)
        return types.SimpleNamespace(f_flag=os.ST_RDONLY if is_below else 0)

    monkeypatch.setattr(os, "statvfs", statvfs)


@pytest.mark.parametrize("place", ["usr", "etc", "var", "etc/cron.d"])
def test_a_read_only_part_of_the_system_is_told_before_anything_is_done(
    image: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """As where /usr comes with the system's image (ostree), or root is read-only but for a volume."""
    read_only(monkeypatch, image / place)
    before = snapshot(image)
    for words in ([], ["--dry-run"]):
        result = install(image, "--method", "links", *words)
        assert (result.exit_code, result.stdout) == (77, "")
        assert result.stderr.startswith(f"sendmail-py: /{place}")
        assert " is read-only here; change the system's image (--root); " in result.stderr
        assert result.stderr.count("\n") == 1
    assert snapshot(image) == before


def test_what_could_not_be_undone_whole_is_not_begun_with(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else sendmail would stay, and what sends its mail would go."""
    assert install(image, "--method", "links").exit_code == 0
    before = snapshot(image)
    with monkeypatch.context() as patch:
        read_only(patch, image / "usr")
        assert uninstall(image).exit_code == 77
    assert snapshot(image) == before
    assert uninstall(image).exit_code == 0


@pytest.mark.parametrize("left", [0, 1, 10, 25, 40])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_becomes_full_and_stays_full_undoes_everything(
    image: Path, monkeypatch: pytest.MonkeyPatch, left: int, code: int
) -> None:
    """The manifest cannot be written any more either; what it has on the disk is more than is needed."""
    before, counter, write_file = snapshot(image), [left], Tree.write

    def full(tree: Tree, inside: str, octets: bytes, mode: int) -> None:
        counter[0] -= 1
        if counter[0] < 0:
            raise OSError(code, os.strerror(code))
        write_file(tree, inside, octets, mode)

    with monkeypatch.context() as patch:
        patch.setattr(Tree, "write", full)
        result = install(image, "--method", "links")
    assert (result.exit_code, result.stderr) == (74, f"sendmail-py: {os.strerror(code)}\n")
    assert snapshot(image) == before


def test_a_file_that_could_not_be_written_takes_no_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    (tmp_path / "etc").mkdir()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        Tree(str(tmp_path)).write("/etc/file", b"text", 0o644)
    assert os.listdir(tmp_path / "etc") == []


def test_a_library_that_cannot_be_compiled_costs_one_line(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Traceback (most recent call last):\n  File...\nOSError: [Errno 28] No space left on device\n"
    before = snapshot(image)
    monkeypatch.setattr(Tree, "ask", lambda tree, command: (1, said))
    result = install(image, "--method", "links")
    end = "cannot be compiled: OSError: [Errno 28] No space left on device"
    assert (result.exit_code, result.stderr) == (69, f"sendmail-py: {layout.LIBRARY} {end}\n")
    assert snapshot(image) == before


OTHERS = (layout.CRON, layout.LOGROTATE, f"{layout.UNIT_FOLDER}/sendmail-py.service", layout.SYSUSERS)


@pytest.mark.parametrize("path", OTHERS)
def test_a_file_of_the_administrator_s_under_one_of_our_names_comes_back(image: Path, path: str) -> None:
    """Meanwhile its name ends in ~, which cron, logrotate and run-parts skip."""
    (image / "etc/sendmail-py").mkdir()
    (image / "etc/sendmail-py/config.toml").write_text('[log]\nto = "/srv/log/mail"\n')
    (image / path[1:]).parent.mkdir(parents=True, exist_ok=True)
    (image / path[1:]).write_text("# mine\n")
    before = snapshot(image)
    told = install(image, "--method", "links", "--timer", "cron")
    assert told.exit_code == 0
    assert f"write {path}; what was there is kept as {path}.before-sendmail-py~\n" in told.stdout
    assert (image / f"{path[1:]}.before-sendmail-py~").read_text() == "# mine\n"
    assert uninstall(image).exit_code == 0
    assert snapshot(image) == before


@pytest.mark.parametrize("path", [layout.CRON, layout.SYSUSERS, layout.SENDMAIL])
def test_what_the_administrator_edited_is_kept_and_told(image: Path, path: str) -> None:
    assert install(image, "--method", "links").exit_code == 0
    (image / path[1:]).write_text("# edited\n")
    result = uninstall(image)
    assert result.exit_code == 0
    assert f"{path} was changed by somebody else and stays" in result.stdout
    assert (image / path[1:]).read_text() == "# edited\n"


def test_an_edited_file_is_kept_by_an_upgrade_too(image: Path) -> None:
    assert install(image, "--method", "links").exit_code == 0
    edited = image / layout.SYSUSERS[1:]
    edited.write_text("# edited\n")
    told = install(image, "--method", "links")
    assert f"what was there is kept as {layout.SYSUSERS}{steps.ASIDE}\n" in told.stdout
    assert edited.read_text() != "# edited\n"
    assert uninstall(image).exit_code == 0
    assert edited.read_text() == "# edited\n"


@pytest.mark.parametrize("text", ["*/5 * * * * root sendmail -q\n", "# not now\n", None])
def test_a_timer_that_the_administrator_edited_or_removed_stays_so_through_an_upgrade(
    image: Path, text: str | None
) -> None:
    assert install(image, "--method", "links").exit_code == 0
    cron = image / layout.CRON[1:]
    cron.unlink()
    if text is not None:
        cron.write_text(text)
    assert install(image, "--method", "links").exit_code == 0
    assert (cron.read_text() if cron.exists() else None) == text


def test_no_timer_stays_no_timer_through_an_upgrade(image: Path) -> None:
    for words in (["--timer", "none"], []):
        assert install(image, "--method", "links", *words).exit_code == 0
        assert not (image / layout.CRON[1:]).exists()


def test_a_timer_of_an_older_version_becomes_the_new_one(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(image)
    with monkeypatch.context() as patch:
        patch.setattr(units, "WATCH", "-q")
        assert install(image, "--method", "links").exit_code == 0
    assert install(image, "--method", "links").exit_code == 0
    assert units.WATCH in (image / layout.CRON[1:]).read_text()
    assert uninstall(image).exit_code == 0
    assert snapshot(image) == before


def test_a_file_that_only_has_our_timer_s_name_is_no_timer(image: Path) -> None:
    (image / layout.CRON[1:]).write_text("# sendmail-py\n0 7 * * * root /usr/local/bin/report\n")
    before = snapshot(image)
    assert install(image, "--method", "links").exit_code == 0
    assert units.WATCH in (image / layout.CRON[1:]).read_text()
    assert uninstall(image).exit_code == 0
    assert snapshot(image) == before


def test_what_a_newer_version_wrote_down_is_left_to_it(image: Path) -> None:
    assert install(image, "--method", "links").exit_code == 0
    known = manifest.load(Tree(str(image)))
    known.records[3]["kind"] = "unheard-of"
    known.save()
    before = snapshot(image)
    result = uninstall(image)
    assert (result.exit_code, "written by a newer version" in result.stderr) == (65, True)
    assert snapshot(image) == before


def test_an_upgrade_to_another_version_is_undone_to_what_was_there_first(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(image)
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "__version__", "0.0.1")
        assert install(image, "--method", "links").exit_code == 0
        (image / layout.LIBRARY[1:] / "sendmail_py/gone_since.py").write_text("")
    assert '"version": "0.0.1"' in (image / layout.MANIFEST[1:]).read_text()
    assert install(image, "--method", "links").exit_code == 0
    assert not (image / layout.LIBRARY[1:] / "sendmail_py/gone_since.py").exists()
    assert '"version": "0.0.1"' not in (image / layout.MANIFEST[1:]).read_text()
    assert uninstall(image).exit_code == 0
    assert snapshot(image) == before


@pytest.mark.parametrize("kind", ["absent", "dangling", "elsewhere"])
def test_sbin_and_bin_may_be_one_folder(image: Path, kind: str) -> None:
    """Arch, Fedora 42 and later."""
    for path in sorted((image / "usr/sbin").iterdir()):
        path.rename(image / "usr/bin" / path.name)
    (image / "usr/sbin").rmdir()
    (image / "usr/sbin").symlink_to("bin")
    (image / "usr/bin/mailq").unlink()
    if kind != "absent":
        (image / "usr/bin/sendmail").unlink()
        (image / "usr/bin/sendmail").symlink_to("gone" if kind == "dangling" else "/usr/bin/msmtp")
    before = snapshot(image)
    assert install(image, "--method", "links").exit_code == 0
    for name in ("sendmail", "mailq", "newaliases", "runq"):
        assert (image / "usr/bin" / name).is_file()
        assert not (image / "usr/bin" / name).is_symlink()
    assert (image / "usr/lib/sendmail").resolve() == image / "usr/bin/sendmail"
    assert uninstall(image).exit_code == 0
    assert snapshot(image) == before
