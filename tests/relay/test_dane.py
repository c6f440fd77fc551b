"""DANE: only what a resolver on this machine proves counts, also which server it is that records are for.

A look-up that fails is a fault. An authority that a record names verifies chain and name.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.resolver
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from sendmail_py.relay import dane, flush, keyring, mx, pins
from sendmail_py.relay import smarthost as settings
from sendmail_py.relay.faults import TransportFault
from sendmail_py.relay.pins import Tlsa

from relay.flushing import AUTHORITY, World, setting, smarthost
from support.dnsserver import FAILING, Server, dns_server
from support.smarthost import SmartHost

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
        assert sorted(found(server), reverse=True) == [
            (3, 1, 1, "ab" * 32),
            (3, 0, 2, "ef" * 64),
            (2, 0, 1, "cd" * 32),
        ]


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


# --- which server ------------------------------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The system's resolver, on this machine."""
    records = """
        isp.example MX 10 mx.elsewhere.example.
        _submission._tcp.isp.example SRV 10 0 1587 mx.elsewhere.example.
        alone.example A 192.0.2.1
    """
    with dns_server("\n".join(line.strip() for line in records.strip().splitlines())) as server:
        made = resolver(server)
        monkeypatch.setattr(dns.resolver, "Resolver", lambda: made)
        yield server


@pytest.mark.parametrize(("lookup", "port"), [("mx", 587), ("srv", 1587)])
def test_the_server_is_certain_when_the_answer_that_names_it_is_proven(
    lookup: str, port: int, answers: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = settings.endpoints(setting(host="isp.example", lookup=lookup))
    assert (found.host, found.port, found.name) == ("mx.elsewhere.example", port, "isp.example")
    assert not found.is_certain
    proving(answers, monkeypatch)
    (found,) = settings.endpoints(setting(host="isp.example", lookup=lookup))
    assert found.is_certain
    monkeypatch.setattr(dane, "is_here", lambda address: False)
    (found,) = settings.endpoints(setting(host="isp.example", lookup=lookup))
    assert not found.is_certain


def test_the_configured_server_is_certain(answers: Server) -> None:
    (found,) = settings.endpoints(setting(host="alone.example", lookup="mx"))
    assert (found.host, found.is_certain) == ("alone.example", True)
    assert settings.endpoints(setting(host="alone.example"))[0].is_certain


@pytest.mark.parametrize("certain", [True, False])
def test_records_of_a_server_that_anybody_could_name_do_not_count(
    certain: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain()
    records = [Tlsa(3, 0, 0, chain.der[0])]
    exchangers = mx.Proven(["127.0.0.1"]) if certain else ["127.0.0.1"]
    monkeypatch.setattr(mx, "exchangers", lambda domain: exchangers)
    with dane_server(chain, records, monkeypatch) as host:
        world = World.beside(tmp_path, host, dane=True)
        world.config.smarthosts[0].host = "isp.example"
        world.config.smarthosts[0].lookup = "mx"
        world.put(b"r@y.example")
        assert ("certificate verify failed" in world.flush().fault) != certain
    assert len(host.messages) == certain


# --- authorities -------------------------------------------------------------------------------------------


class Chain:
    """A leaf, the authority that signed it, and the root, as a server presents them (DER)."""

    def __init__(self, *names: str) -> None:
        root = trustme.CA()
        middle = root.create_child_ca()
        leaf = middle.issue_cert(*(names or ("localhost", "127.0.0.1")))
        self.key = leaf.private_key_pem.bytes()
        self.pems = [leaf.cert_chain_pems[0].bytes(), middle.cert_pem.bytes(), root.cert_pem.bytes()]
        self.der = [ssl.PEM_cert_to_DER_cert(one.decode()) for one in self.pems]

    def spki(self, n: int) -> bytes:
        """The public key of a certificate."""
        key = x509.load_der_x509_certificate(self.der[n]).public_key()
        return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def context(self, folder: Path, many: int = 3) -> ssl.SSLContext:
        """A server's, that shows so many of them."""
        file = folder / "chain.pem"
        file.write_bytes(self.key + b"".join(self.pems[:many]))
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(file)
        return made


@contextmanager
def dane_server(
    chain: Chain,
    records: list[Tlsa],
    monkeypatch: pytest.MonkeyPatch,
    many: int = 3,
    tls: str = "starttls",
    clients: str = "",
) -> Iterator[SmartHost]:
    """A server that shows a chain, with these records; it may want a certificate of an authority (PEM)."""
    monkeypatch.setattr(dane, "records", lambda host, port: records)
    with tempfile.TemporaryDirectory() as folder:
        made = chain.context(Path(folder), many)
    if clients:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(cadata=clients)
    with smarthost(tls=tls, context=made, users={"greg": "secret"}) as host:
        yield host


def told(host: SmartHost, folder: Path, **keys: Any) -> str:
    """The fault of a flush of two messages, "" if they were delivered."""
    folder.mkdir(exist_ok=True)
    world = World.beside(folder, host, dane=True, max_messages_per_session=1, **keys)
    world.put(b"r@y.example")
    world.put(b"s@y.example")
    summary = world.flush(force=True)
    assert (summary.delivered == 2) != bool(summary.fault)
    return summary.fault


@pytest.mark.parametrize("n", [1, 2], ids=["the-signer", "the-root"])
@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_an_authority_that_a_record_names_verifies_the_server(
    n: int, selector: int, tls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain()
    octets = chain.spki(n) if selector else chain.der[n]
    records = [
        Tlsa(3, 1, 1, bytes(32)),
        Tlsa(2, selector, 1, hashlib.sha256(octets).digest()),
    ]
    with dane_server(chain, records, monkeypatch, tls=tls) as host:
        assert told(host, tmp_path, ca_file="/nonexistent") == ""
    assert host.connections == 3  # the first one only finds out who is to verify it
    assert host.logins == 2


def test_an_authority_that_is_in_the_record_need_not_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain()
    with dane_server(chain, [Tlsa(2, 0, 0, chain.der[2])], monkeypatch, many=2) as host:
        assert told(host, tmp_path) == ""


def test_our_own_key_is_shown_to_it_after_the_right_to_read_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in root's flush, where the relay has no rights when DNS and the server name the authority."""
    chain, folder = Chain(), tmp_path / "keys"
    folder.mkdir()
    certificate, key = AUTHORITY.write_pair(folder, "client.example.net")
    with dane_server(chain, [Tlsa(2, 0, 0, chain.der[2])], monkeypatch, clients=AUTHORITY.pem) as host:
        world = World.beside(tmp_path, host, dane=True, client_cert=certificate, client_key=key)
        ring = keyring.preload(world.config.smarthosts)
        os.unlink(certificate)
        os.unlink(key)
        opener = flush.opener
        monkeypatch.setattr(flush, "opener", lambda *given: opener(*given, keys=ring))
        world.put(b"r@y.example")
        assert (world.flush().fault, len(host.messages)) == ("", 1)


FOREIGN = Chain()


@pytest.mark.parametrize(
    ("records", "names", "fault"),
    [
        (lambda chain: [Tlsa(2, 0, 1, hashlib.sha256(FOREIGN.der[1]).digest())], (), "no TLSA record"),
        (lambda chain: [Tlsa(2, 0, 0, FOREIGN.der[2])], (), "certificate verify failed"),
        (lambda chain: [Tlsa(2, 0, 0, b"nonsense")], (), "no TLSA record"),
        (lambda chain: [Tlsa(2, 1, 0, chain.spki(0))], (), "no TLSA record"),
        (lambda chain: [Tlsa(2, 0, 0, chain.der[1])], ("other.example.net",), "mismatch"),
    ],
    ids=["foreign", "foreign-in-the-record", "nonsense", "the-leafs-key", "another-name"],
)
def test_nobody_else_verifies_it(
    records: Any, names: tuple[str, ...], fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(*names)
    with dane_server(chain, records(chain), monkeypatch) as host:
        assert fault in told(host, tmp_path)
    assert host.auth_attempts == 0


def test_a_chain_that_only_looks_like_the_authoritys_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can show the authority's certificate beside a leaf of his own."""
    chain, forged = Chain(), Chain()
    forged.pems[1:], forged.der[1:] = chain.pems[1:], chain.der[1:]
    records = [Tlsa(2, 0, 1, hashlib.sha256(chain.der[1]).digest())]
    with dane_server(forged, records, monkeypatch) as host:
        assert "certificate verify failed" in told(host, tmp_path)
    assert host.auth_attempts == 0


def test_a_pinned_key_counts_beside_an_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    records = [Tlsa(2, 0, 0, chain.der[1])]
    pin = hashlib.sha256(chain.spki(0)).hexdigest()
    with dane_server(chain, records, monkeypatch) as host:
        assert told(host, tmp_path / "a", key_fingerprint=pin) == ""
        assert "fingerprint of the key" in told(host, tmp_path / "b", key_fingerprint="0" * 64)


@pytest.mark.parametrize("usage", [0, 1, 4])
def test_usages_that_are_not_for_mail_are_not_used(usage: int) -> None:
    assert not Tlsa(usage, 0, 1, bytes(32)).is_usable
    assert pins.Tlsa(2, 0, 1, bytes(32)).is_usable
