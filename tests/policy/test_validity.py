"""Claims about domains that nobody out there can answer."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.policy import validity

LOCAL = frozenset((b"nas", b"nas.home.example", b"localhost"))

ORDINARY = [
    b"example.net", b"example.com", b"EXAMPLE.org", b"example.org.", b"a.b.c.example", b"mail.test",
    b"x.invalid.example",
    b"local.example", b"lan.example.net", b"host_1.example", b"xn--bcher-kva.example",
    b"b\xc3\xbccher.example",
    b"[192.0.2.1]", b"[8.8.8.8]", b"[IPv6:2001:db8::1]", b"[IPv6:2606:4700::1111]", b"[ipv6:2001:DB8::1]",
    b"[172.32.0.1]", b"[100.128.0.1]", b"[11.0.0.1]", b"pool-1-2-3-4.dyn.isp.example", b"fritz.example",
    b"box.example",
]  # fmt: skip
AT_FAULT = [
    b"", b"nas", b"NAS", b"nas.home.example", b"Nas.Home.Example.", b"localhost", b"myhost", b"com",
    b"a.invalid", b"a.localhost", b"a.local", b"a.LOCAL", b"a.onion", b"a.alt", b"a.home.arpa", b"home.arpa",
    b"1.0.0.127.in-addr.arpa", b"a.internal", b"a.intranet", b"a.private", b"a.lan", b"a.home", b"a.corp",
    b"a.mail",
    b"a.localdomain", b"localhost.localdomain", b"a.localdomain4", b"a.intern", b"a.fritz.box", b"fritz.box",
    b"a.speedport.ip", b"a.attlocal.net", b"a.gateway", b"a.router",
    b"a..example", b".example", b"a.example..", b"-a.example", b"a-.example", b"a b.example", b"a,example",
    b"a" * 64 + b".example", b"a." * 130 + b"example", b"192.0.2.1",
    b"[127.0.0.1]", b"[10.1.2.3]", b"[172.16.0.1]", b"[172.31.255.255]", b"[192.168.1.1]", b"[169.254.1.1]",
    b"[100.64.0.1]", b"[0.0.0.0]", b"[224.0.0.1]", b"[255.255.255.255]", b"[IPv6:::1]", b"[IPv6:::]",
    b"[IPv6:fe80::1]",
    b"[IPv6:fd00::1]", b"[IPv6:ff02::1]", b"[IPv6:::ffff:10.0.0.1]", b"[]", b"[1.2.3]", b"[1.2.3.256]",
    b"[1.2.3.4",
    b"[IPv6:1:2]", b"[IPv6:1::2::3]", b"[IPv6:12345::1]", b"[2001:db8::1]", b"[IPv6:1:2:3:4:5:6:7:8:9]",
]  # fmt: skip


@pytest.mark.parametrize("domain", ORDINARY)
def test_an_ordinary_domain_has_no_fault(domain: bytes) -> None:
    assert validity.fault(domain, LOCAL) == ""


@pytest.mark.parametrize("domain", AT_FAULT)
def test_a_domain_that_cannot_be_answered_has_a_reason(domain: bytes) -> None:
    reason = validity.fault(domain, LOCAL)
    assert reason
    assert reason.isprintable()


@given(st.ip_addresses(v=6))
def test_reads_every_form_of_an_ipv6_address_as_the_standard_library_does(one: ipaddress.IPv6Address) -> None:
    assert validity.ipv6(one.compressed.encode()) == one.packed
    assert validity.ipv6(one.exploded.encode()) == one.packed


@given(st.text("0123456789abcdef:.", max_size=24))
def test_takes_no_ipv6_address_that_is_none(text: str) -> None:
    try:
        wanted = ipaddress.IPv6Address(text).packed
    except ValueError:
        wanted = b""
    assert validity.ipv6(text.encode()) == wanted


@given(st.ip_addresses(v=4))
def test_reads_ipv4_addresses(one: ipaddress.IPv4Address) -> None:
    assert validity.ipv4(str(one).encode()) == one.packed


@given(st.ip_addresses(v=4))
def test_no_private_ipv4_address_is_called_reachable(one: ipaddress.IPv4Address) -> None:
    documentation = any(
        one in ipaddress.ip_network(net)
        for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "192.0.0.0/24", "198.18.0.0/15")
    )
    if (one.is_private or one.is_multicast or one.is_loopback) and not documentation:
        assert validity.private_ipv4(one.packed)
