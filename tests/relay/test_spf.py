"""Claims about Sender Policy Framework (RFC 7208), against a real DNS server on loopback."""

from __future__ import annotations

import ipaddress

import pytest
from sendmail_py.relay import spf

from support.dnsserver import SILENT, dns_server

LONG = "\n".join(f'l{n}.example TXT "v=spf1 include:l{n + 1}.example -all"' for n in range(12))
RECORDS = f"""
plain.example TXT "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"
soft.example TXT "v=spf1 a:mail.example ~all"
mail.example A 192.0.2.1
mail.example AAAA 2001:db8::1
self.example TXT "v=spf1 a mx -all"
self.example A 198.51.100.7
self.example MX 10 mail.example.
net.example TXT "v=spf1 a:mail.example/24//64 -all"
open.example TXT "v=spf1 +all"
neutral.example TXT "v=spf1 ?all"
end.example TXT "v=spf1 ip4:203.0.113.1"
with.example TXT "v=spf1 include:plain.example include:soft.example -all"
moved.example TXT "v=spf1 redirect=plain.example"
split.example TXT "v=spf1 ip4:192." "0.2.1 -all"
other.example TXT "some=thing"
other.example TXT "v=spf1 ip4:192.0.2.1 -all"
twice.example TXT "v=spf1 -all"
twice.example TXT "v=spf1 +all"
wrong.example TXT "v=spf1 ipv4:192.0.2.1 -all"
badnet.example TXT "v=spf1 ip4:192.0.2.999 -all"
lost.example TXT "v=spf1 include:nowhere.example -all"
void.example TXT "v=spf1 a:n1.none.example a:n2.none.example a:n3.none.example -all"
none.example A 192.0.2.1
quiet.example TXT "v=spf1 a:silent.example -all"
macro.example TXT "v=spf1 exists:%{{ir}}.%{{l}}._spf.%{{d2}} -all"
1.2.0.192.greg._spf.macro.example A 127.0.0.2
UPPER.example TXT "V=SPF1 IP4:192.0.2.1 -ALL"
ptr.example TXT "v=spf1 ptr -all"
unknown.example TXT "v=spf1 x-new=thing ip4:192.0.2.1 -all"
circle.example TXT "v=spf1 include:circle.example -all"
{LONG}
"""


@pytest.mark.parametrize(
    ("domain", "address", "wanted"),
    [
        ("plain.example", "192.0.2.77", spf.PASS),
        ("plain.example", "192.0.3.1", spf.FAIL),
        ("plain.example", "2001:db8::7", spf.PASS),
        ("plain.example", "2001:db9::7", spf.FAIL),
        ("soft.example", "192.0.2.1", spf.PASS),
        ("soft.example", "2001:db8::1", spf.PASS),
        ("soft.example", "192.0.2.2", spf.SOFTFAIL),
        ("self.example", "198.51.100.7", spf.PASS),
        ("self.example", "192.0.2.1", spf.PASS),
        ("self.example", "192.0.2.2", spf.FAIL),
        ("net.example", "192.0.2.200", spf.PASS),
        ("net.example", "2001:db8::ffff", spf.PASS),
        ("net.example", "2001:db8:1::1", spf.FAIL),
        ("open.example", "203.0.113.9", spf.PASS),
        ("neutral.example", "203.0.113.9", spf.NEUTRAL),
        ("end.example", "203.0.113.9", spf.NEUTRAL),
        ("with.example", "192.0.2.9", spf.PASS),
        ("with.example", "203.0.113.9", spf.FAIL),
        ("moved.example", "192.0.2.9", spf.PASS),
        ("moved.example", "203.0.113.9", spf.FAIL),
        ("split.example", "192.0.2.1", spf.PASS),
        ("other.example", "192.0.2.1", spf.PASS),
        ("upper.example", "192.0.2.1", spf.PASS),
        ("unknown.example", "192.0.2.1", spf.PASS),
        ("ptr.example", "192.0.2.1", spf.FAIL),
        ("macro.example", "192.0.2.1", spf.PASS),
        ("macro.example", "192.0.2.2", spf.FAIL),
        ("mail.example", "192.0.2.1", spf.NONE),
        ("nowhere.example", "192.0.2.1", spf.NONE),
        ("twice.example", "192.0.2.1", spf.PERMERROR),
        ("wrong.example", "192.0.2.1", spf.PERMERROR),
        ("badnet.example", "192.0.2.1", spf.PERMERROR),
        ("lost.example", "192.0.2.1", spf.PERMERROR),
        ("void.example", "192.0.2.1", spf.PERMERROR),
        ("circle.example", "192.0.2.1", spf.PERMERROR),
        ("l0.example", "192.0.2.1", spf.PERMERROR),
        ("quiet.example", "192.0.2.1", spf.TEMPERROR),
        ("silent.example", "192.0.2.1", spf.TEMPERROR),
    ],
)
def test_the_result_is_that_of_the_standard(domain: str, address: str, wanted: str) -> None:
    with dns_server(RECORDS, {"silent.example": SILENT}) as server:
        assert spf.check(server.resolver(one=0.3), address, f"greg@{domain}")[0] == wanted


def test_names_the_term_that_decided() -> None:
    with dns_server(RECORDS) as server:
        assert spf.check(server.resolver(), "203.0.113.9", "greg@with.example") == (spf.FAIL, "-all")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l-}", "strong.bad"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("a%%b%_c%-d", "a%b c%20d"),
    ],
)
def test_macros_are_those_of_section_7_4(text: str, wanted: str) -> None:
    one = spf.Evaluation(None, ipaddress.ip_address("192.0.2.3"), "strong-bad@email.example.com", "h")  # type: ignore[arg-type]
    assert one.expand(text, "email.example.com") == wanted
