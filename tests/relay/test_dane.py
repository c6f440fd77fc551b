"""TLSA look-ups: only what a resolver on this machine proves counts, and a look-up that fails is a fault."""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.resolver
import pytest
from sendmail_py.relay import dane
from sendmail_py.relay.faults import TransportFault

from support.dnsserver import FAILING, Server, dns_server

NAME = "_587._tcp.mail.example.net"
ONE = "3 1 1 " + "ab" * 32


def resolver(server: Server, address: str = "127.0.0.1") -> dns.resolver.Resolver:
    """One that asks that server."""
    made = dns.resolver.Resolver(configure=False)
    made.nameservers = [address]
    made.nameserver_ports = {address: server.port}
    return made


def proving(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server say that DNSSEC proves its answers."""
    make = dns.message.make_response

    def made(*words: Any, **more: Any) -> dns.message.Message:
        response = make(*words, **more)
        response.flags |= dns.flags.AD
        return response

    monkeypatch.setattr(dns.message, "make_response", made)


def found(server: Server) -> list[tuple[int, int, int, str]]:
    """The records of the server."""
    records = dane.records("mail.example.net", 587, resolver(server))
    return [(one.usage, one.selector, one.matching, one.data.hex()) for one in records]


def test_proven_records_count_as_far_as_we_can_use_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [ONE, "2 0 1 " + "cd" * 32, "3 0 2 " + "ef" * 64, "1 1 1 " + "ab" * 32, "3 1 9 ab"]
    with dns_server("\n".join(f"{NAME} TLSA {one}" for one in lines)) as server:
        proving(server, monkeypatch)
        assert sorted(found(server), reverse=True) == [(3, 1, 1, "ab" * 32), (3, 0, 2, "ef" * 64)]


def test_records_without_proof_do_not_count() -> None:
    with dns_server(f"{NAME} TLSA {ONE}") as server:
        assert found(server) == []


def test_a_resolver_elsewhere_is_not_even_asked() -> None:
    with dns_server(f"{NAME} TLSA {ONE}") as server:
        assert dane.records("mail.example.net", 587, resolver(server, "192.0.2.53")) == []
        assert server.asked == []


@pytest.mark.parametrize("records", ["mail.example.net A 192.0.2.1", "example.org A 192.0.2.1"])
def test_no_records_are_no_fault(records: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with dns_server(records) as server:
        proving(server, monkeypatch)
        assert found(server) == []


def test_a_look_up_that_fails_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dane, "LIFETIME", 1.0)
    with (
        dns_server(f"{NAME} TLSA {ONE}", {NAME: FAILING}) as server,
        pytest.raises(TransportFault, match=r"look-up of TLSA _587\._tcp\.mail\.example\.net"),
    ):
        found(server)
