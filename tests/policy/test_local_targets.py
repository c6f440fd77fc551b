"""Claims about folders and programs as targets of aliases: only what is allowed, only from trusted files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sendmail_py.errors import ConfigError, DataError
from sendmail_py.mail import address
from sendmail_py.policy import alias_check, aliases

HERE: Any = SimpleNamespace(is_local=lambda domain: domain == b"localhost")
FILE = rb"""archive: maildir:/var/mail/archive
quoted: "maildir:/var/mail/two words"
both: ann@a.example, maildir:/var/mail/archive, "|/usr/bin/agent -d \"x y\", z"
agent: |/usr/bin/agent
other: |/usr/bin/other
prefix: |/usr/bin/agentx
shell: "|agent"
relative: maildir:mail
up: maildir:/var/mail/../../etc
file: /var/mail/archive
chain: archive@localhost
control: "maildir:/var/mail/a	b"
"""


@pytest.fixture
def known(tmp_path: Path) -> aliases.Aliases:
    (tmp_path / "aliases").write_bytes(FILE)
    made = aliases.load([str(tmp_path / "aliases")])
    made.maildir, made.agents = True, ["/usr/bin/agent"]
    return made


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (b"archive", [b'"maildir:/var/mail/archive"']),
        (b"quoted", [b'"maildir:/var/mail/two words"']),
        (
            b"both",
            [b"ann@a.example", b'"maildir:/var/mail/archive"', rb'"|/usr/bin/agent -d \"x y\", z"'],
        ),
        (b"agent", [b'"|/usr/bin/agent"']),
        (b"chain", [b'"maildir:/var/mail/archive"']),
    ],
)
def test_what_is_allowed_becomes_a_forward_path(
    known: aliases.Aliases, name: bytes, wanted: list[bytes]
) -> None:
    assert known.resolve(name, HERE) == wanted
    assert known.local
    for one in wanted[-1:]:
        assert address.is_local_target(one)
        with pytest.raises(address.AddressError):
            address.check(one)  # no smart host can be given it


@pytest.mark.parametrize(
    "name", [b"other", b"prefix", b"shell", b"relative", b"up", b"file", b"control", b'"|/usr/bin/agent"',
             b'"maildir:/var/mail/archive"', b"|/usr/bin/agent"]
)  # fmt: skip
def test_everything_else_is_refused(known: aliases.Aliases, name: bytes) -> None:
    with pytest.raises(DataError):
        known.resolve(name, HERE)


def test_without_the_keys_nothing_is_allowed_and_the_key_is_named(known: aliases.Aliases) -> None:
    known.maildir, known.agents = False, []
    with pytest.raises(DataError, match=r"see aliases\.maildir"):
        known.resolve(b"archive", HERE)
    with pytest.raises(DataError, match=r"see aliases\.agents"):
        known.resolve(b"agent", HERE)


def test_an_alias_file_that_others_can_write_names_no_folder(known: aliases.Aliases, tmp_path: Path) -> None:
    (tmp_path / "aliases").chmod(0o664)
    with pytest.raises(ConfigError, match="others can write it"):
        known.resolve(b"archive", HERE)


def test_a_list_that_is_included_names_no_folder(known: aliases.Aliases, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"maildir:/var/mail/archive\n")
    (tmp_path / "aliases").write_bytes(b"list: :include:%s\n" % str(tmp_path / "list").encode())
    with pytest.raises(DataError):
        known.resolve(b"list", HERE)


def test_newaliases_knows_what_is_allowed(known: aliases.Aliases) -> None:
    told = [(one.line, one.fault) for one in alias_check.check(known.files[0], (b"localhost",), known)]
    assert told == [(5, False), (6, False), (7, False), (8, False), (9, True), (10, False), (12, True)]
