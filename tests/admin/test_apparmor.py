"""AppArmor: told are the profiles that stand between a confined program and us, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.admin import apparmor, layout
from sendmail_py.admin.tree import Tree

from support.image import install

PYTHON = "/usr/bin/python3"

# As packages have them: the line of the profile that counts, and whether there is anything to do.
CALLERS = [
    ("/usr/sbin/sendmail    rPx,", True),
    ("/usr/sbin/sendmail ix,", True),
    ("/usr/{bin,sbin}/sendmail Cx -> sendmail,", True),
    ("owner /usr/lib/sendmail mrix,", True),
    ("/{usr/,}sbin/sendmail rPUx,", False),
    ("/usr/sbin/sendmail Ux,", False),
    ("/usr/sbin/sendmail cux -> mail,", False),
    ("/usr/sbin/sendmail r,", False),
    ("# /usr/sbin/sendmail ix,", False),
    ("/usr/sbin/sendmail.postfix ix,", False),
    ("/etc/mail/sendmail.cf r,", False),
    ("/usr/bin/** ix,", False),
]


def profile(image: Path, name: str, text: str) -> None:
    (image / "etc/apparmor.d/disable").mkdir(parents=True, exist_ok=True)
    (image / "etc/apparmor.d" / name).write_text(f"#include <tunables/global>\n{text}\n")


def told(image: Path) -> str:
    return "\n".join(apparmor.told(Tree(str(image)), PYTHON, ""))


@pytest.mark.parametrize(("rule", "is_told"), CALLERS)
def test_a_caller_that_runs_sendmail_confined_is_told(image: Path, rule: str, is_told: bool) -> None:
    profile(image, "usr.bin.caller", f"/usr/bin/caller {{\n  {rule}\n}}")
    assert ("add to /etc/apparmor.d/usr.bin.caller" in told(image)) == is_told
    assert (told(image) == "") == (not is_told)


def test_the_rules_go_where_the_profile_looks(image: Path) -> None:
    rule = "/usr/sbin/sendmail ix,\n  #include <local/usr.bin.one>"
    profile(image, "usr.bin.one", f"/usr/bin/one {{\n  {rule}\n}}")
    profile(image, "usr.bin.two", "/usr/bin/two {\n  /usr/sbin/sendmail Cx -> sendmail,\n}")
    places = "/etc/apparmor.d/local/usr.bin.one, /etc/apparmor.d/usr.bin.two (its profile for sendmail)"
    assert f"add to {places}\n" in told(image)
    assert f"    owner {layout.SPOOL}/** rwk," in told(image)


@pytest.mark.parametrize(
    ("header", "is_told"),
    [
        ("/usr/sbin/sendmail {", True),
        ("/usr/sbin/sendmail flags=(complain) {", True),
        ("profile sendmail /{usr/,}sbin/sendmail {", True),
        ('profile mta "/usr/sbin/sendmail" flags=(attach_disconnected) {', True),
        ("/usr/sbin/sendmail.postfix {", False),
        ("profile msmtp /usr/bin/msmtp flags=(complain) {", False),
    ],
)
def test_a_profile_that_was_made_for_another_sendmail_is_told(
    image: Path, header: str, is_told: bool
) -> None:
    profile(image, "some.profile", f"{header}\n  /usr/sbin/sendmail rmix,\n}}")
    text = "AppArmor: /etc/apparmor.d/some.profile is for another sendmail and confines this one"
    assert (text in told(image)) == is_told


def test_a_profile_that_is_off_or_no_profile_is_not_told(image: Path) -> None:
    for name in ("off", "old~", ".hidden"):
        profile(image, name, "/usr/sbin/sendmail {\n}")
    (image / "etc/apparmor.d/disable/off").symlink_to("/etc/apparmor.d/off")
    (image / "etc/apparmor.d/local").mkdir()
    assert told(image) == ""


def test_an_installation_tells_with_its_own_interpreter_and_log(image: Path) -> None:
    profile(image, "usr.bin.caller", "/usr/bin/caller {\n  /usr/sbin/sendmail ix,\n}")
    (image / "etc/sendmail-py").mkdir()
    (image / "etc/sendmail-py/config.toml").write_text('[log]\nto = "/var/log/mail"\n')
    lines = install(image, "--method", "links").stdout.splitlines()
    assert f"    {PYTHON}* mrix," in lines
    assert lines[-1] == "    /var/log/mail w,"


def test_without_such_a_profile_nothing_is_said(image: Path) -> None:
    profile(image, "usr.bin.man", "/usr/bin/man {\n  /usr/bin/groff ix,\n}")
    assert "AppArmor" not in install(image, "--method", "links").stdout
