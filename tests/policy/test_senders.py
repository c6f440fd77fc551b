"""Addresses as they come from cron, mailers, scripts and people: the verdict on each, and what leaves.

The rules are made as a submission makes them, from a configuration file, a host's name and its tables. Each
world is a person's usual set-up; the rows are what peers' users reported as refused, bounced or answered by
strangers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.mail import address
from sendmail_py.policy import config, identity
from sendmail_py.policy.masquerade import SenderRules

SMARTHOST = '[[smarthost]]\nhost = "smtp.isp.example"\n'

# Configuration, node name, /etc/hosts, /etc/mailname.
WORLDS: dict[str, tuple[str, bytes, str, str]] = {
    # a person with one mailbox at a provider
    "home": ('[identity]\ndomain = "isp.example"\n[masquerade.users]\n"*" = "greg@isp.example"\n',
             b"laptop", "127.0.1.1 laptop.fritz.box laptop\n", ""),
    # the same, nothing but a domain
    "domain": ('[masquerade]\ndomain = "example.net"\nalso = ["lan.example.net"]\n',
               b"nas", "127.0.1.1 nas.lan.example.net nas\n", "nas.lan.example.net\n"),
    # a rented machine with a name that DNS knows, nothing configured
    "server": ("", b"vm1.hoster.example", "", ""),
    # the same with a mail name, which the installer of Debian asks for
    "mailname": ("", b"vm1", "127.0.1.1 vm1.localdomain vm1\n", "mail.hoster.example\n"),
    # nothing configured, and nothing to be found
    "nothing": ("", b"box", "", ""),
    # a machine at home whose dynamic DNS name is its mail domain
    "dynamic": ('[identity]\ndomain = "greg.dyn.example"\nlocal_names = ["p5b0a1c2d.dip.isp.example"]\n',
                b"greg.dyn.example", "", ""),
}  # fmt: skip

HOST, DOT, PRIVATE = "a name of this host", "a name without a dot", "the suffix"
NETWORK, LITERAL, SYNTAX, NONE = "the network", "the address is not", "!", "no domain"

# World, login, address as given, reason why nobody can answer it ("" if somebody might), what leaves.
ROWS: list[tuple[str, str, str, str, str]] = [
    # --- bare names: cron, at, mdadm, smartd, logwatch
    ("home", "greg", "greg", NONE, "greg@isp.example"),
    ("home", "root", "root", NONE, "greg@isp.example"),
    ("home", "www-data", "www-data", NONE, "greg@isp.example"),
    ("home", "greg", "MAILER-DAEMON", NONE, "greg@isp.example"),
    ("home", "greg", '"greg home"', NONE, "greg@isp.example"),
    ("domain", "root", "root", NONE, "root@example.net"),
    ("domain", "www-data", "www-data", NONE, "www-data@example.net"),
    ("domain", "root", "\\root", NONE, "root@example.net"),
    ("domain", "uid54321", "uid54321", NONE, "uid54321@example.net"),
    ("domain", "root", "cron+daily", NONE, "cron+daily@example.net"),
    ("domain", "root", '"two words"', NONE, '"two words"@example.net'),
    ("domain", "jörg", "jörg", NONE, "jörg@example.net"),
    ("server", "root", "root", NONE, "root@vm1.hoster.example"),
    ("mailname", "root", "root", NONE, "root@mail.hoster.example"),
    ("nothing", "root", "root", NONE, "root@box"),
    ("dynamic", "greg", "greg", NONE, "greg@greg.dyn.example"),
    # --- this host's own names
    ("home", "greg", "greg@laptop", HOST, "greg@isp.example"),
    ("home", "greg", "greg@LAPTOP", HOST, "greg@isp.example"),
    ("home", "greg", "greg@laptop.", HOST, "greg@isp.example"),
    ("home", "root", "root@laptop.fritz.box", HOST, "greg@isp.example"),
    ("home", "root", "root@localhost", HOST, "greg@isp.example"),
    ("home", "root", "root@localhost.localdomain", HOST, "greg@isp.example"),
    ("home", "root", "root@ip6-localhost", HOST, "greg@isp.example"),
    ("domain", "root", "root@nas", HOST, "root@example.net"),
    ("domain", "root", "root@nas.lan.example.net", HOST, "root@example.net"),
    ("domain", "root", "root@Nas.Lan.Example.Net", HOST, "root@example.net"),
    ("domain", "root", "root@localhost", HOST, "root@example.net"),
    ("domain", "root", "root@localhost4.localdomain4", HOST, "root@example.net"),
    ("server", "root", "root@localhost", HOST, "root@vm1.hoster.example"),
    ("server", "root", "root@vm1", HOST, "root@vm1.hoster.example"),
    ("server", "root", "root@vm1.hoster.example", HOST, "root@vm1.hoster.example"),
    ("mailname", "root", "root@vm1.localdomain", HOST, "root@mail.hoster.example"),
    ("mailname", "root", "root@vm1", HOST, "root@mail.hoster.example"),
    ("mailname", "root", "root@mail.hoster.example", "", "root@mail.hoster.example"),
    ("nothing", "root", "root@box", HOST, "root@box"),
    ("nothing", "root", "root@localhost", HOST, "root@localhost"),
    ("dynamic", "greg", "greg@greg.dyn.example", "", "greg@greg.dyn.example"),
    ("dynamic", "greg", "greg@localhost", HOST, "greg@greg.dyn.example"),
    # --- other machines of the house, of the office, of the cluster
    ("home", "greg", "greg@nas", DOT, "greg@isp.example"),
    ("home", "greg", "greg@raspberrypi", DOT, "greg@isp.example"),
    ("home", "greg", "greg@raspberrypi.local", PRIVATE, "greg@isp.example"),
    ("home", "greg", "greg@nas.lan", PRIVATE, "greg@isp.example"),
    ("home", "greg", "greg@nas.fritz.box", NETWORK, "greg@isp.example"),
    ("home", "greg", "greg@desktop.home", PRIVATE, "greg@isp.example"),
    ("home", "greg", "greg@desktop.home.arpa", NETWORK, "greg@isp.example"),
    ("domain", "root", "root@printer", DOT, "root@example.net"),
    ("domain", "root", "root@srv.local", PRIVATE, "root@example.net"),
    ("domain", "root", "root@SRV.LOCAL", PRIVATE, "root@example.net"),
    ("domain", "root", "root@a.b.c.lan", PRIVATE, "root@example.net"),
    ("domain", "root", "root@ad.corp", PRIVATE, "root@example.net"),
    ("domain", "root", "root@hq.intranet", PRIVATE, "root@example.net"),
    ("domain", "root", "root@hq.intern", PRIVATE, "root@example.net"),
    ("domain", "root", "root@hq.intra", PRIVATE, "root@example.net"),
    ("domain", "root", "root@hq.private", PRIVATE, "root@example.net"),
    ("domain", "root", "root@vault.internal", PRIVATE, "root@example.net"),
    ("domain", "root", "root@ip-10-0-0-7.ec2.internal", PRIVATE, "root@example.net"),
    ("domain", "root", "root@db.svc.cluster.local", PRIVATE, "root@example.net"),
    ("domain", "root", "root@4f2a9c1b7d3e", DOT, "root@example.net"),
    ("domain", "root", "root@fedora.localdomain", PRIVATE, "root@example.net"),
    ("domain", "root", "root@pc.localnet", PRIVATE, "root@example.net"),
    ("domain", "root", "root@pc.workgroup", PRIVATE, "root@example.net"),
    ("domain", "root", "root@pc.dhcp", PRIVATE, "root@example.net"),
    ("domain", "root", "root@host.mail", PRIVATE, "root@example.net"),
    # what home routers call their network
    ("domain", "root", "root@fritz.box", NETWORK, "root@example.net"),
    ("domain", "root", "root@pi.speedport.ip", NETWORK, "root@example.net"),
    ("domain", "root", "root@pi.easy.box", NETWORK, "root@example.net"),
    ("domain", "root", "root@pi.attlocal.net", NETWORK, "root@example.net"),
    ("domain", "root", "root@pi.gateway.2wire.net", NETWORK, "root@example.net"),
    ("domain", "root", "root@pi.gateway", PRIVATE, "root@example.net"),
    ("domain", "root", "root@pi.router", PRIVATE, "root@example.net"),
    ("domain", "root", "root@pi.belkin", PRIVATE, "root@example.net"),
    ("domain", "root", "root@pi.station", PRIVATE, "root@example.net"),
    ("domain", "root", "root@pi.mynetworksettings.com", NETWORK, "root@example.net"),
    # --- reserved names
    ("domain", "root", "root@x.invalid", PRIVATE, "root@example.net"),
    ("domain", "root", "root@x.localhost", PRIVATE, "root@example.net"),
    ("domain", "root", "root@abcdefghij234567.onion", PRIVATE, "root@example.net"),
    ("domain", "root", "root@x.alt", PRIVATE, "root@example.net"),
    ("domain", "root", "root@home.arpa", NETWORK, "root@example.net"),
    ("domain", "root", "root@7.0.0.10.in-addr.arpa", NETWORK, "root@example.net"),
    ("domain", "root", "root@1.ip6.arpa", NETWORK, "root@example.net"),
    ("home", "greg", "noreply@invalid", DOT, "greg@isp.example"),
    # names that stand in tests and manuals are ordinary
    ("domain", "root", "root@x.test", "", "root@x.test"),
    ("domain", "root", "root@example.com", "", "root@example.com"),
    ("domain", "root", "root@mail.example.org", "", "root@mail.example.org"),
    ("domain", "root", "root@shop.example", "", "root@shop.example"),
    # a reserved word elsewhere in the name means nothing
    ("domain", "root", "root@lan.example", "", "root@lan.example"),
    ("domain", "root", "root@local.example", "", "root@local.example"),
    ("domain", "root", "root@home.example.org", "", "root@home.example.org"),
    ("domain", "root", "root@myfritz.box.example", "", "root@myfritz.box.example"),
    ("domain", "root", "root@mylocal", DOT, "root@example.net"),
    ("domain", "root", "root@x.mylocal", "", "root@x.mylocal"),
    ("domain", "root", "root@notfritz.box", "", "root@notfritz.box"),
    # --- addresses of the Internet Protocol
    ("domain", "root", "root@[127.0.0.1]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[10.1.2.3]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[172.16.0.1]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[172.31.255.254]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[192.168.178.20]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[169.254.17.1]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[100.64.0.1]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[0.0.0.0]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[224.0.0.251]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[IPv6:::1]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[IPv6:fe80::1]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[IPv6:fd12:3456::1]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[IPv6:::ffff:192.168.0.1]", LITERAL, "root@example.net"),
    ("domain", "root", "root@[300.1.1.1]", SYNTAX, "root@example.net"),
    ("domain", "root", "root@[IPv6:12345::]", SYNTAX, "root@example.net"),
    ("domain", "root", "root@[]", SYNTAX, "root@example.net"),
    ("domain", "root", "root@192.0.2.7", SYNTAX, "root@example.net"),
    ("domain", "root", "root@[192.0.2.7]", "", "root@[192.0.2.7]"),
    ("domain", "root", "root@[172.32.0.1]", "", "root@[172.32.0.1]"),
    ("domain", "root", "root@[IPv6:2001:db8::7]", "", "root@[IPv6:2001:db8::7]"),
    ("home", "greg", "greg@[192.168.178.20]", LITERAL, "greg@isp.example"),
    ("home", "greg", "greg@[192.0.2.7]", "", "greg@isp.example"),
    # --- bad syntax
    ("domain", "root", "root@a..b", SYNTAX, "root@example.net"),
    ("domain", "root", "root@.example.org", SYNTAX, "root@example.net"),
    ("domain", "root", "root@example.org..", SYNTAX, "root@example.net"),
    ("domain", "root", "root@-a.example", SYNTAX, "root@example.net"),
    ("domain", "root", "root@a-.example", SYNTAX, "root@example.net"),
    ("domain", "root", "root@" + "a" * 64 + ".example", SYNTAX, "root@example.net"),
    ("domain", "root", "root@" + "a." * 127 + "example", SYNTAX, "root@example.net"),
    ("domain", "root", "root@shop!example", SYNTAX, "root@example.net"),
    ("domain", "root", "root@(none)", SYNTAX, "root@example.net"),
    ("domain", "root", "root@$HOSTNAME", SYNTAX, "root@example.net"),
    ("domain", "root", "root@web_1.example", "", "root@web_1.example"),
    ("domain", "root", "root@example.org.", "", "root@example.org."),
    # --- international names
    ("domain", "root", "root@bücher.example", "", "root@bücher.example"),
    ("domain", "root", "root@xn--bcher-kva.example", "", "root@xn--bcher-kva.example"),
    ("domain", "root", "jörg@example.org", "", "jörg@example.org"),
    ("domain", "root", "jörg@bücher", DOT, "jörg@example.net"),
    ("domain", "root", "jörg@bücher.lan", PRIVATE, "jörg@example.net"),
    ("home", "greg", "jörg@laptop", HOST, "greg@isp.example"),
    # --- below masquerade.also
    ("domain", "root", "root@lan.example.net", "", "root@example.net"),
    ("domain", "root", "root@db.lan.example.net", "", "root@example.net"),
    ("domain", "root", "root@a.b.LAN.example.net", "", "root@example.net"),
    ("domain", "root", "root@wlan.example.net", "", "root@wlan.example.net"),
    ("domain", "root", "root@www.example.net", "", "root@www.example.net"),
    ("domain", "root", "root@example.net", "", "root@example.net"),
    ("domain", "root", "root@EXAMPLE.NET", "", "root@EXAMPLE.NET"),
    # --- names that the provider gives to lines, which nobody can answer but which look ordinary
    ("home", "greg", "greg@p5b0a1c2d.dip.isp.example", "", "greg@isp.example"),
    ("home", "greg", "greg@dyn-192-0-2-7.isp.example", "", "greg@isp.example"),
    ("home", "greg", "root@ip-192-0-2-7.hoster.example", "", "greg@isp.example"),
    ("domain", "root", "root@dyn-192-0-2-7.isp.example", "", "root@dyn-192-0-2-7.isp.example"),
    ("dynamic", "greg", "greg@p5b0a1c2d.dip.isp.example", HOST, "greg@greg.dyn.example"),
    ("dynamic", "greg", "greg@P5B0A1C2D.dip.isp.example", HOST, "greg@greg.dyn.example"),
    # --- the provider's domain with a local part that is not ours: a stranger's mailbox
    ("home", "root", "root@isp.example", "", "greg@isp.example"),
    ("home", "www-data", "www-data@isp.example", "", "greg@isp.example"),
    ("home", "greg", "gregory@isp.example", "", "greg@isp.example"),
    ("home", "greg", "greg+lists@isp.example", "", "greg@isp.example"),
    ("home", "greg", "Greg@isp.example", "", "greg@isp.example"),
    ("home", "greg", "greg@isp.example", "", "greg@isp.example"),
    ("home", "greg", "greg@ISP.example", "", "greg@ISP.example"),
    ("home", "root", "greg@isp.example", "", "greg@isp.example"),
    ("home", "greg", "ceo@bank.example", "", "greg@isp.example"),
    # --- what is valid stays, as it is written
    ("domain", "root", "ops@example.org", "", "ops@example.org"),
    ("domain", "root", "Ops.Team@Example.ORG", "", "Ops.Team@Example.ORG"),
    ("domain", "root", "bounce-ops=example.org@lists.example", "", "bounce-ops=example.org@lists.example"),
    ("domain", "root", '"odd one"@example.org', "", '"odd one"@example.org'),
    ("domain", "root", "o'brien@example.org", "", "o'brien@example.org"),
    ("server", "root", "ops@example.org", "", "ops@example.org"),
    ("nothing", "root", "ops@example.org", "", "ops@example.org"),
    ("mailname", "root", "root@x.lan", PRIVATE, "root@mail.hoster.example"),
    ("server", "root", "root@x.lan", PRIVATE, "root@vm1.hoster.example"),
    # nothing better is known: a private name is not made another private name
    ("nothing", "root", "root@x.lan", PRIVATE, "root@x.lan"),
    # --- the null reverse-path
    ("home", "greg", "", NONE, ""),
    ("domain", "root", "", NONE, ""),
    ("nothing", "root", "", NONE, ""),
]  # fmt: skip

NO_AUTHORS = ("", '"two words"', '"greg home"', "root@(none)")


def rules_of(world: str, login: str, folder: Path) -> SenderRules:
    """The rules of a world for a login."""
    text, node, hosts, mailname = WORLDS[world]
    for name, content in (("config.toml", text + SMARTHOST), ("hosts", hosts), ("mailname", mailname)):
        (folder / name).write_text(content)
    found = config.load({"HOME": str(folder)}, str(folder / "config.toml"))
    host = identity.host(found, node, str(folder / "hosts"), str(folder / "mailname"))
    return SenderRules(found, host, identity.Person(54321, login.encode(), ""))


def test_the_table_has_a_row_for_every_form() -> None:
    assert len({(world, given) for world, _, given, _, _ in ROWS}) >= 150
    assert {world for world, *_ in ROWS} == set(WORLDS)


@pytest.mark.parametrize(("world", "login", "given", "reason", "result"), ROWS)
def test_the_verdict_and_what_leaves(
    tmp_path: Path, world: str, login: str, given: str, reason: str, result: str
) -> None:
    rules = rules_of(world, login, tmp_path)
    verdict = rules.fault(address.split(given.encode())[1])
    assert bool(verdict) == bool(reason), verdict
    assert reason == SYNTAX or verdict.startswith(reason), verdict
    assert reason != SYNTAX or not verdict.startswith((HOST, DOT, PRIVATE, NETWORK, LITERAL, NONE)), verdict
    new, rule = rules.repair(given.encode())
    assert new == result.encode()
    assert bool(rule) == (given != result)


@pytest.mark.parametrize(("world", "login", "given", "reason", "result"), ROWS)
def test_a_header_sender_leaves_as_the_envelope_sender_does(
    tmp_path: Path, world: str, login: str, given: str, reason: str, result: str
) -> None:
    rules = rules_of(world, login, tmp_path)
    value = b' "A Name" <%s>\r\n' % given.encode()
    if given in NO_AUTHORS:  # see submission/authors.py
        with pytest.raises(address.AddressError):
            rules.repair_field(value)
    else:
        assert rules.repair_field(value)[0] == b' "A Name" <%s>\r\n' % result.encode()


@pytest.mark.parametrize(("world", "login", "given", "reason", "result"), ROWS)
def test_an_address_that_left_once_stays(
    tmp_path: Path, world: str, login: str, given: str, reason: str, result: str
) -> None:
    assert rules_of(world, login, tmp_path).repair(result.encode()) == (result.encode(), "")
