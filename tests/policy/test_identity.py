"""Claims about who sends and what this host is called."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sendmail_py.policy import identity
from sendmail_py.policy.identity import Host


def config(domain: str = "", masquerade: str = "", helo: str = "", local_names: tuple[str, ...] = ()) -> Any:
    """The keys that matter here, as policy.config has them."""
    return SimpleNamespace(
        identity=SimpleNamespace(domain=domain, helo=helo, local_names=list(local_names)),
        masquerade=SimpleNamespace(domain=masquerade),
    )


def host(tmp_path: Path, node: str, hosts: bytes = b"", mailname: bytes | None = None, **keys: Any) -> Host:
    (tmp_path / "hosts").write_bytes(hosts)
    if mailname is not None:
        (tmp_path / "mailname").write_bytes(mailname)
    files = {"hosts": str(tmp_path / "hosts"), "mailname": str(tmp_path / "mailname")}
    return identity.host(config(**keys), os.fsencode(node), **files)


def account(monkeypatch: pytest.MonkeyPatch, *accounts: tuple[str, int, str]) -> None:
    entries = [
        pwd.struct_passwd((name, "x", uid, uid, gecos, "/", "/bin/sh")) for name, uid, gecos in accounts
    ]

    def by_uid(uid: int) -> pwd.struct_passwd:
        return (
            next(iter([one for one in entries if one.pw_uid == uid]))
            if uid in [o.pw_uid for o in entries]
            else nothing()
        )

    def by_name(name: str) -> pwd.struct_passwd:
        return (
            next(iter([one for one in entries if one.pw_name == name]))
            if name in [o.pw_name for o in entries]
            else nothing()
        )

    monkeypatch.setattr(pwd, "getpwuid", by_uid)
    monkeypatch.setattr(pwd, "getpwnam", by_name)


def nothing() -> pwd.struct_passwd:
    raise KeyError("no such account")


@pytest.mark.parametrize(
    ("gecos", "wanted"),
    [
        ("Alice Example,Room 1,555", "Alice Example"),
        ("", ""),
        (",,,", ""),
        ("&", "Alice"),
        ("& Example,x & y", "Alice Example"),
        ("A\tB\x1b[1m  C", "A B [1m C"),
        ("J\xf6rg", "J\xf6rg"),
        (os.fsdecode(b"J\xf6rg"), "J\xf6rg"),
    ],
)
def test_the_full_name_is_the_accounts(monkeypatch: pytest.MonkeyPatch, gecos: str, wanted: str) -> None:
    account(monkeypatch, ("alice", 1000, gecos))
    person = identity.of(1000)
    assert (person.uid, person.login, person.full_name) == (1000, b"alice", wanted)


def test_a_uid_without_account_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    account(monkeypatch)
    person = identity.of(54321, "root")
    assert (person.uid, person.login, person.full_name) == (54321, b"uid54321", "")


def test_a_hint_chooses_between_logins_of_one_uid_only(monkeypatch: pytest.MonkeyPatch) -> None:
    account(monkeypatch, ("root", 0, "Root"), ("toor", 0, "Toor"), ("alice", 1000, "Alice"))
    assert identity.of(0).login == b"root"
    assert identity.of(0, "toor").login == b"toor"
    assert identity.of(0, "alice").login == b"root"
    assert identity.of(0, "nobody").login == b"root"


def test_the_running_user_has_an_identity() -> None:
    assert identity.of(os.getuid()).login


HOSTS = b"""\
127.0.0.1 localhost
# 10.0.0.9 box.commented.example box
10.0.0.1 boxer.example.org boxer
127.0.1.1\tbox.example.org box  # this host
127.0.1.2 box.second.example box
"""


@pytest.mark.parametrize(
    ("node", "hosts", "wanted"),
    [
        ("box.example.net", HOSTS, b"box.example.net"),
        ("Box.Example.NET", HOSTS, b"box.example.net"),
        ("box", HOSTS, b"box.example.org"),
        ("BOX", HOSTS, b"box.example.org"),
        ("box", b"", b"box"),
        ("box", b"127.0.0.1 localhost box\n", b"box"),
        ("box", b"127.0.0.1 other.example.org box", b"box"),
        ("box", b"127.0.0.1 box box.example.org", b"box.example.org"),
        ("box", b"127.0.0.1 box box.-bad-", b"box"),
        ("box", b"\xff\x00 box \n\nbox", b"box"),
        ("", b"", b"localhost"),
        ("(none)", b"", b"localhost"),
        ("a b", b"", b"localhost"),
    ],
)
def test_the_fqdn_comes_from_the_node_name_or_the_hosts_file(
    tmp_path: Path, node: str, hosts: bytes, wanted: bytes
) -> None:
    assert host(tmp_path, node, hosts).fqdn == wanted


@pytest.mark.parametrize(
    ("keys", "mailname", "wanted"),
    [
        ({"domain": "id.example", "masquerade": "m.example"}, b"n.example\n", b"id.example"),
        ({"masquerade": "m.example"}, b"n.example\n", b"m.example"),
        ({}, b"n.example\n", b"n.example"),
        ({}, b"n.example", b"n.example"),
        ({}, b"\n", b"box.example.org"),
        ({}, b"not a name\n", b"box.example.org"),
        ({}, None, b"box.example.org"),
    ],
)
def test_the_mail_domain_is_the_first_that_is_known(
    tmp_path: Path, keys: dict[str, str], mailname: bytes | None, wanted: bytes
) -> None:
    assert host(tmp_path, "box", HOSTS, mailname, **keys).mail_domain == wanted


def test_masquerading_does_not_change_the_own_domain(tmp_path: Path) -> None:
    assert host(tmp_path, "box", HOSTS, masquerade="m.example").own_domain == b"box.example.org"


@pytest.mark.parametrize(
    ("node", "helo", "wanted"),
    [
        ("box.example.org", "", b"box.example.org"),
        ("box.example.org", "h.example.org", b"h.example.org"),
        ("box", "", b""),
        ("localhost", "", b""),
        ("localhost.localdomain", "", b""),
        ("box.localdomain", "", b""),
        ("b\xf6x.example.org", "", b""),
        ("box", "[192.0.2.1]", b"[192.0.2.1]"),
    ],
)
def test_helo_is_fit_or_empty(tmp_path: Path, node: str, helo: str, wanted: bytes) -> None:
    assert host(tmp_path, node, helo=helo).helo == wanted


@pytest.mark.parametrize(
    ("domain", "local"),
    [
        (b"localhost", True),
        (b"LOCALHOST.", True),
        (b"localhost.localdomain", True),
        (b"ip6-localhost", True),
        (b"ip6-loopback", True),
        (b"[127.0.0.1]", True),
        (b"[IPv6:::1]", True),
        (b"[127.0.0.2]", False),
        (b"box", True),
        (b"Box.Example.Org", True),
        (b"box.example.org.", True),
        (b"nas.lan", True),
        (b"box.other.example", False),
        (b"example.org", False),
        (b"ox", False),
        (b"", False),
        (b".", False),
    ],
)
def test_knows_its_own_names(tmp_path: Path, domain: bytes, local: bool) -> None:
    here = host(tmp_path, "box", HOSTS, local_names=("NAS.lan.",))
    assert (domain in here.local_names) is local
    assert here.is_local(domain) is local
    assert (domain.lower().removesuffix(b".") in list(here.local_names)) is local


def test_a_configured_mail_domain_is_not_local_though_the_node_bears_it(tmp_path: Path) -> None:
    assert not host(tmp_path, "example.net", domain="example.net").is_local(b"example.net")
    assert not host(tmp_path, "example.net", masquerade="Example.net").is_local(b"example.net")
    assert host(tmp_path, "example.net", domain="example.net", local_names=("example.net",)).is_local(
        b"example.net"
    )
    assert host(tmp_path, "example.net").is_local(b"example.net")


def test_reads_no_file_when_everything_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> bytes:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(identity, "read", refuse)
    here = identity.host(config(domain="example.net", helo="h.example.net"), b"box")
    assert (here.mail_domain, here.helo, here.own_domain) == (
        b"example.net",
        b"h.example.net",
        b"example.net",
    )
    assert not here.is_local(b"isp.example")
    assert here.is_local(b"box")


def test_an_unreadable_file_is_an_absent_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    here = identity.host(config(), b"box", str(tmp_path / "folder"), str(tmp_path / "folder"))
    assert (here.fqdn, here.mail_domain) == (b"box", b"box")


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert identity.read(str(tmp_path / "pipe")) == b""


def test_the_running_host_has_a_name() -> None:
    assert identity.host(config()).name
