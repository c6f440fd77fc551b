"""TLS: whom we trust, what the environment cannot change, and faults in words."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from sendmail_py.relay import dane, pins, tls
from sendmail_py.relay.faults import TransportFault

from relay.flushing import AUTHORITY, World, setting, smarthost
from support.certificates import Authority
from support.needs import needs
from support.smarthost import SmartHost


def delivers(world: World, host: SmartHost, **keys: object) -> str:
    """Flush one message with these keys of the smart host; the fault, "" if it was delivered."""
    for key, value in keys.items():
        setattr(world.config.smarthosts[0], key, value)
    world.put(b"r@y.example")
    summary = world.flush(force=True)
    assert bool(summary.delivered) != bool(summary.fault)
    return summary.fault


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
def test_a_good_certificate_of_our_ca(kind: str, tmp_path: Path) -> None:
    with smarthost(tls=kind) as host:
        assert delivers(World.beside(tmp_path, host), host) == ""
        assert host.messages[0].tls


def test_a_folder_of_hash_links_as_ca(tmp_path: Path) -> None:
    needs("openssl")
    folder = tmp_path / "authorities"
    folder.mkdir()
    AUTHORITY.write(folder / "ca.pem")
    subprocess.run(["openssl", "rehash", str(folder)], check=True)
    assert tls.has_hash_links(str(folder))
    with smarthost(tls="starttls") as host:
        assert delivers(World.beside(tmp_path, host), host, ca_file="", ca_path=str(folder)) == ""


def test_the_system_does_not_trust_our_ca(tmp_path: Path) -> None:
    with smarthost(tls="starttls") as host:
        assert "certificate verify failed" in delivers(World.beside(tmp_path, host), host, ca_file="")


def test_a_pinned_certificate_needs_no_ca_and_no_name(tmp_path: Path) -> None:
    leaf = AUTHORITY.issue("other.example.net", expired=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    pin = AUTHORITY.fingerprint(leaf).replace(":", "").lower()
    with smarthost(tls="starttls", context=context) as host:
        world = World.beside(tmp_path, host)
        assert delivers(world, host, ca_file="", fingerprint=pin) == ""
        fault = delivers(world, host, fingerprint="0" * 64)
        assert pin in fault
        assert "not the pinned one" in fault


def test_another_name_to_verify(tmp_path: Path) -> None:
    context = AUTHORITY.server_context("mail.isp.example")
    with smarthost(tls="starttls", context=context) as host:
        world = World.beside(tmp_path, host)
        assert "IP address mismatch" in delivers(world, host)
        assert delivers(World.beside(tmp_path, host), host, verify_name="mail.isp.example") == ""


def test_a_client_certificate(tmp_path: Path) -> None:
    context = AUTHORITY.server_context(clients=AUTHORITY)
    certificate, key = AUTHORITY.write_pair(tmp_path, "client.example.net")
    with smarthost(tls="implicit", context=context) as host:
        world = World.beside(tmp_path, host)
        assert delivers(world, host)
        assert delivers(World.beside(tmp_path, host), host, client_cert=certificate, client_key=key) == ""


def test_an_old_tls_version_is_refused(tmp_path: Path) -> None:
    context = AUTHORITY.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with smarthost(tls="starttls", context=context) as host:
        world = World.beside(tmp_path, host)
        assert "TLS" in delivers(world, host, min_tls="1.3")
        assert delivers(World.beside(tmp_path, host), host, min_tls="1.2") == ""


@pytest.mark.parametrize(
    "keys",
    [
        {"ca_file": "/nonexistent/ca.pem"},
        {"ca_file": "/etc/passwd"},
        {"client_cert": "/nonexistent/cert.pem"},
    ],
    ids=str,
)
def test_files_that_are_of_no_use_are_a_fault_before_the_password(
    keys: dict[str, str], tmp_path: Path
) -> None:
    with smarthost(tls="starttls", users={"greg": "secret"}) as host:
        assert "certificate files of smart host isp" in delivers(World.beside(tmp_path, host), host, **keys)
        assert host.auth_attempts == 0


def test_an_encrypted_key_asks_nobody(tmp_path: Path) -> None:
    needs("openssl")
    certificate, key = AUTHORITY.write_pair(tmp_path, "client.example.net")
    locked = str(tmp_path / "locked.pem")
    command = ["openssl", "pkcs8", "-topk8", "-in", key, "-out", locked, "-passout", "pass:hunter2"]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(TransportFault, match="certificate files"):
        tls.context(setting(client_cert=certificate, client_key=locked), False)


def test_the_environment_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = Authority()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    monkeypatch.setenv("SSL_CERT_FILE", foreign.write(tmp_path / "foreign.pem"))
    with smarthost(tls="starttls", context=foreign.server_context()) as host:
        assert "certificate verify failed" in delivers(World.beside(tmp_path, host), host, ca_file="")
    with smarthost(tls="implicit") as host:
        assert delivers(World.beside(tmp_path, host), host) == ""
    assert not os.path.exists(tmp_path / "keys")


def test_no_authorities_at_all_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere:
        openssl_capath = "/nonexistent"
        openssl_cafile = "/nonexistent"

    monkeypatch.setattr(tls, "CA_FOLDERS", ())
    monkeypatch.setattr(tls, "CA_FILES", ())
    monkeypatch.setattr(ssl, "get_default_verify_paths", Nowhere)
    with pytest.raises(TransportFault, match="install ca-certificates or set ca_file"):
        tls.context(setting(), False)


@pytest.mark.parametrize(
    ("name", "is_link"),
    [
        ("002c0b4f.0", True),
        ("002c0b4f.10", True),
        ("ca.pem", False),
        ("002c0b4f.r0", False),
        ("002C0B4F.0", False),
        ("002c0b4f.", False),
        ("", False),
    ],
)
def test_hash_links(name: str, is_link: bool) -> None:
    assert tls.is_hash_link(name) == is_link


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:992)"),
            "TLS: handshake failed",
        ),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (FileNotFoundError(2, "No such file or directory", "/a"), "/a: No such file or directory"),
        (ValueError("odd"), "odd"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_words(error: Any, words: str) -> None:
    assert tls.words(error) == words


# --- pinned keys and TLSA records ---------------------------------------------------------------------------


def server_with_key() -> tuple[ssl.SSLContext, bytes, bytes]:
    """A server's context with a certificate that nobody would trust, its DER form, its key's."""
    leaf = AUTHORITY.issue("other.example.net", expired=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    pem = leaf.cert_chain_pems[0].bytes()
    key = x509.load_pem_x509_certificate(pem).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return context, ssl.PEM_cert_to_DER_cert(pem.decode()), spki


def test_a_pinned_key_needs_no_ca_and_no_name(tmp_path: Path) -> None:
    context, _, spki = server_with_key()
    with smarthost(tls="starttls", context=context) as host:
        world = World.beside(tmp_path, host)
        wrong = hashlib.sha256(b"x").hexdigest()
        assert "fingerprint of the key" in delivers(world, host, key_fingerprint=wrong)
        assert delivers(world, host, key_fingerprint=hashlib.sha256(spki).hexdigest()) == ""


def test_the_key_is_found_in_the_certificate() -> None:
    _, certificate, spki = server_with_key()
    assert pins.public_key(certificate) == spki


@pytest.mark.parametrize(
    "octets", [b"", b"0", b"\x30\x80", b"\x30\x05abc", b"\x30\x84\xff\xff\xff\xff0", bytes(40)]
)
def test_what_is_no_certificate_has_no_key(octets: bytes) -> None:
    with pytest.raises(TransportFault, match="not a certificate"):
        pins.public_key(octets)


@pytest.mark.parametrize("at", range(0, 200, 7))
def test_a_certificate_that_is_cut_off_has_no_key(at: int) -> None:
    _, certificate, _ = server_with_key()
    with pytest.raises(TransportFault, match="not a certificate"):
        pins.public_key(certificate[:at])


@pytest.mark.parametrize(("selector", "matching"), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)])
def test_a_tlsa_record_names_certificate_or_key(
    selector: int, matching: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate, spki = server_with_key()
    octets = spki if selector else certificate
    data = {0: octets, 1: hashlib.sha256(octets).digest(), 2: hashlib.sha512(octets).digest()}[matching]
    found = [pins.Tlsa(3, selector, matching, b"x" * len(data))]
    monkeypatch.setattr(dane, "records", lambda host, port: found)
    with smarthost(tls="starttls", context=context) as host:
        world = World.beside(tmp_path, host)
        assert "no TLSA record" in delivers(world, host, dane=True)
        found.append(pins.Tlsa(3, selector, matching, data))
        assert delivers(world, host, dane=True) == ""


def test_without_usable_records_the_ca_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, _, _ = server_with_key()
    monkeypatch.setattr(dane, "records", lambda host, port: [])
    with smarthost(tls="starttls", context=context) as host:
        assert "certificate verify failed" in delivers(World.beside(tmp_path, host), host, dane=True)
