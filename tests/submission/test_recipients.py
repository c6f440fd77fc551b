"""Claims about forward-paths: who gets a message, each once, and what is looked at one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.errors import DataError, UsageError
from sendmail_py.policy import aliases, config, identity
from sendmail_py.policy.aliases import Aliases
from sendmail_py.policy.identity import Host
from sendmail_py.submission import recipients


@pytest.fixture
def host() -> Host:
    settings = config.Config({})
    settings.identity.domain = "isp.example"
    return identity.host(settings, b"node", "/nonexistent", "/nonexistent")


@pytest.fixture
def known(tmp_path: Path) -> Aliases:
    (tmp_path / "aliases").write_text("root: ann@a.example\nbob@list.example: eve@b.example\n")
    return aliases.load([str(tmp_path / "aliases")])


def forward(given: list[bytes], host: Host, known: Aliases | None) -> list[bytes]:
    return [one.address for one in recipients.resolve(given, host, known)]


ELSEWHERE = [b"c@c.example", b"C@C.example", b"c@C.example", b"d@d.example"]


def test_addresses_elsewhere_are_final_each_once_in_their_order(host: Host, known: Aliases) -> None:
    assert recipients.final(ELSEWHERE, host, known) == [b"c@c.example", b"C@C.example", b"d@d.example"]
    assert forward(ELSEWHERE, host, known) == [b"c@c.example", b"C@C.example", b"d@d.example"]


@pytest.mark.parametrize(
    "other",
    [b"root", b"x@node", b"x@localhost", b"x@list.example", b"x@b@c", b'"x y"@c.example', b"x@-c.x", b""],
)
def test_nothing_is_final_beside_one_that_must_be_looked_at(host: Host, known: Aliases, other: bytes) -> None:
    assert recipients.final([*ELSEWHERE, other], host, known) == []


def test_local_names_go_through_the_aliases_and_others_stay(host: Host, known: Aliases) -> None:
    given = [b"root", b"c@c.example", b"Bob@List.example", b"\\root", b"tom@localhost"]
    wanted = [b"ann@a.example", b"c@c.example", b"eve@b.example", b"root@isp.example", b"tom@isp.example"]
    assert forward(given, host, known) == wanted
    assert forward([b"root"], host, None) == [b"root@isp.example"]


def test_an_address_that_smtp_cannot_carry_refuses_all(host: Host, known: Aliases) -> None:
    with pytest.raises(DataError):
        recipients.resolve([*ELSEWHERE, b"x@-c.example"], host, known)
    with pytest.raises(UsageError):
        recipients.resolve([], host, known)


def test_resent_fields_count_alone() -> None:
    fields = [b"To: a@x.example\r\n", b"CC: B <b@x.example>, c@x.example\r\n"]
    assert recipients.from_header(fields) == [b"a@x.example", b"b@x.example", b"c@x.example"]
    assert recipients.from_header([*fields, b"Resent-To: d@x.example\r\n"]) == [b"d@x.example"]
