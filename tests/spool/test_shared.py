"""The shared spool's folders: whose they are, whatever lies there, and when there is something to do."""

from __future__ import annotations

import errno
import os
import posix
import socket
import stat
from pathlib import Path

import pytest
from sendmail_py.errors import CantCreateError, TemporaryError
from sendmail_py.spool import shared, tenants

UID = os.getuid()


@pytest.fixture
def base(tmp_path: Path) -> str:
    (tmp_path / "base").mkdir()
    return str(tmp_path / "base")


def squat(path: str, kind: str) -> None:
    """Put something that is nobody's folder under a name."""
    if kind == "file":
        open(path, "w").close()
    elif kind == "link":
        os.makedirs(path + "-target", 0o700)
        os.symlink(path + "-target", path)
    elif kind == "dangling":
        os.symlink("/nonexistent", path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path)
    elif kind == "open":
        os.mkdir(path)
        os.chmod(path, 0o777)  # noqa: S103
    elif kind == "group":
        os.mkdir(path)
        os.chmod(path, 0o750)  # noqa: S103


KINDS = ["file", "link", "dangling", "fifo", "socket", "open", "group"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_the_users_alone_is_stepped_over(base: str, kind: str) -> None:
    squat(f"{base}/{UID}.0", kind)
    assert shared.folder_of(base, UID) == shared.make(base, UID) == f"{base}/{UID}.1"
    assert [one.name for one in tenants.owners(base)] == [f"{UID}.1"]


def test_the_first_folder_that_is_ours_counts_even_behind_free_names(base: str) -> None:
    os.mkdir(f"{base}/{UID}.3", 0o700)
    os.mkdir(f"{base}/{UID}.5", 0o700)
    assert shared.make(base, UID) == f"{base}/{UID}.3"
    assert [one.name for one in tenants.owners(base)] == [f"{UID}.3"]
    assert os.listdir(base) == sorted(os.listdir(base)) or len(os.listdir(base)) == 2


def test_sixteen_squatted_names_are_an_error_that_says_so(base: str) -> None:
    for n in range(shared.MOST_NAMES):
        squat(f"{base}/{UID}.{n}", "file")
    with pytest.raises(TemporaryError, match="all names"):
        shared.make(base, UID)


def test_a_folder_is_made_with_0700_whatever_the_umask(base: str) -> None:
    old = os.umask(0o777)
    try:
        path = shared.make(base, UID)
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EACCES, CantCreateError), (errno.ENOSPC, TemporaryError), (errno.EDQUOT, TemporaryError)],
)
def test_a_folder_that_cannot_be_made_is_an_error_of_the_right_kind(
    base: str, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def fail(path: str, mode: int) -> None:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(posix, "mkdir", fail)
    with pytest.raises(kind, match="nothing was queued"):
        shared.make(base, UID)


def test_a_name_that_comes_and_goes_while_we_look_is_tried_again(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = posix.mkdir, []

    def race(path: str, mode: int) -> None:
        seen.append(path)
        if len(seen) < 4:
            raise FileExistsError(errno.EEXIST, "there", path)  # and gone again when it is looked at
        real(path, mode)

    monkeypatch.setattr(posix, "mkdir", race)
    assert shared.make(base, UID) == f"{base}/{UID}.0"


@pytest.mark.parametrize(
    "name",
    [
        f"{UID + 1}.0",
        f"0{UID}.0",
        f"{UID}.16",
        f"{UID}",
        f"{UID}.",
        f"{UID}.x",
        ".wake",
        f"{UID}.0.0",
        "\u0661.0",
    ],
)
def test_a_folder_that_is_not_called_after_its_owner_is_nobodys(base: str, name: str) -> None:
    os.mkdir(f"{base}/{name}", 0o700)
    assert tenants.owners(base) == []


def test_names_that_are_no_text_and_thousands_of_them_do_not_matter(base: str) -> None:
    for n in range(2000):
        os.mkdir(os.fsencode(base) + b"/\xff\n%d.0" % n)
    os.mkdir(f"{base}/{UID}.0", 0o700)
    assert [one.uid for one in tenants.owners(base)] == [UID]


def test_submissions_wake_the_flush_and_change_the_folder(base: str) -> None:
    path = shared.make(base, UID)
    open(f"{base}/{shared.WAKE}", "w").close()
    for one in (path, f"{base}/{shared.WAKE}"):
        os.utime(one, (1, 1))
    before = tenants.owners(base)[0].mark
    shared.announce(base, path)
    assert tenants.owners(base)[0].mark != before
    assert os.stat(f"{base}/{shared.WAKE}").st_mtime > 1


def test_a_service_that_may_not_write_is_told_what_its_unit_lacks(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(posix, "mkdir", refuse)
    with pytest.raises(CantCreateError, match=r"ReadWritePaths= for it; nothing was queued") as raised:
        shared.make(base, UID)
    assert "install" not in str(raised.value)


def test_systemd_hears_of_mail_by_a_fifo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "BELL", str(tmp_path / "bell"))
    assert not shared.ring()  # no systemd
    os.mkfifo(shared.BELL)
    assert not shared.ring()  # nobody listens
    reader = os.open(shared.BELL, os.O_RDWR | os.O_NONBLOCK)
    assert shared.ring()
    assert shared.ring()
    assert os.read(reader, 100) == b"\n\n"
    with pytest.raises(BlockingIOError):
        while True:
            os.write(reader, b"x" * 4096)
    before = len(os.listdir("/proc/self/fd"))
    assert shared.ring()  # full: it will be heard
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(reader)


def test_the_wake_up_file_is_made_before_others_can_write_to_the_folder(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chmod(base, 0o700)
    modes = []
    real = posix.open

    def look(path: str, *arguments: int) -> int:
        if path.endswith(shared.WAKE):
            modes.append(stat.S_IMODE(os.stat(base).st_mode))
        return real(path, *arguments)

    monkeypatch.setattr(posix, "open", look)
    shared.set_up(base)
    assert modes == [0o700]
    assert stat.S_IMODE(os.stat(base).st_mode) == 0o1733


def test_what_is_known_survives_and_what_is_damaged_does_not_matter(tmp_path: Path) -> None:
    path = str(tmp_path / "due")
    known = {"1000.0": ("5:123456789", 1700000000), "0.3": ("6:1", 0)}
    tenants.write_due(path, known)
    assert tenants.read_due(path) == known
    (tmp_path / "due").write_bytes(b"\xff\n1000.0 5:1 7\nx y\n1 2 -3\n1.0 2:2 12\xb2\n\n")
    assert tenants.read_due(path) == {"1000.0": ("5:1", 7)}
    assert tenants.read_due(str(tmp_path / "none")) == {}


@pytest.mark.parametrize(
    ("mark", "due", "wanted"),
    [
        ("1:1", 1100, False),
        ("1:1", 1000, True),
        ("1:1", 900, True),
        ("1:2", 1100, True),
        ("1:1", 1000 + 3602, True),  # nobody waits so long: the clock was wrong then, or is now
        ("1:1", 0, True),
    ],
)
def test_an_owner_is_looked_at_when_anything_changed_or_is_due(mark: str, due: int, wanted: bool) -> None:
    owner = tenants.Owner(7, "7.0", "1:1")
    assert (tenants.with_mail([owner], {"7.0": (mark, due)}, 1000.0, 3600.0) == [owner]) is wanted


def test_an_owner_who_is_not_known_is_looked_at() -> None:
    owner = tenants.Owner(7, "7.0", "1:1")
    assert tenants.with_mail([owner], {}, 1000.0, 3600.0) == [owner]
