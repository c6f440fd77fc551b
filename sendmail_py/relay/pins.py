"""Certificates and keys that are trusted for themselves: fingerprints (SHA-256) and TLSA records (RFC 6698).

Guarantee: what is not equal, in constant time, to one of the pins is a TransportFault. A record that names an
authority among the presented certificates decides only after OpenSSL has built the chain from it.
"""

from __future__ import annotations

import hashlib
import hmac

from sendmail_py.relay.faults import AnchorFault, TransportFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import SmartHost

SEQUENCE, VERSION = 0x30, 0xA0
BEFORE_KEY = 5  # serial number, signature, issuer, validity, subject (RFC 5280 4.1)
HASHES = {1: "sha256", 2: "sha512"}
DANE_TA, DANE_EE = 2, 3  # RFC 7218


class Tlsa:
    """A TLSA record: usage, selector (0: certificate, 1: key), matching (0: all, 1 and 2: a hash), data."""

    __slots__ = ("data", "matching", "selector", "usage")

    def __init__(self, usage: int, selector: int, matching: int, data: bytes) -> None:
        self.usage = usage
        self.selector = selector
        self.matching = matching
        self.data = data

    @property
    def is_usable(self) -> bool:
        """Whether it names a certificate in a way that we know; 0 and 1 are not for mail (RFC 7672 3.1)."""
        usages, matchings = (DANE_TA, DANE_EE), (0, *HASHES)
        return self.usage in usages and self.selector in (0, 1) and self.matching in matchings

    def fits(self, certificate: bytes) -> bool:
        """Whether it names this certificate (DER)."""
        octets = public_key(certificate) if self.selector else certificate
        found = hashlib.new(HASHES[self.matching], octets).digest() if self.matching else octets
        return hmac.compare_digest(found, self.data)


def are_set(setting: SmartHost, records: list[Tlsa]) -> bool:
    """Whether pins decide, and not the CAs."""
    return bool(setting.fingerprint or setting.key_fingerprint or records)


def check(setting: SmartHost, records: list[Tlsa], presented: list[bytes]) -> None:
    """TransportFault unless the server's certificate is what all kinds of pins that are set say.

    presented   the server's certificate (DER) and those that it sent with it
    """
    octets = presented[0] if presented else b""
    if setting.fingerprint:
        compare("fingerprint", octets, setting.fingerprint)
    if setting.key_fingerprint:
        compare("fingerprint of the key", public_key(octets), setting.key_fingerprint)
    if records and not any(one.usage == DANE_EE and one.fits(octets) for one in records):
        found = anchors(records, presented[1:])
        if found:
            raise AnchorFault("certificate verify failed: its authority is not verified yet", found)
        raise TransportFault("certificate verify failed: no TLSA record names it")


def anchors(records: list[Tlsa], above: list[bytes]) -> list[bytes]:
    """The authorities that TLSA records name (RFC 7671 5.2): those presented, or in the record itself."""
    naming = [one for one in records if one.usage == DANE_TA]
    found = [octets for octets in above if any(one.fits(octets) for one in naming)]
    whole = [one.data for one in naming if not one.selector and not one.matching and is_certificate(one.data)]
    return found or whole


def is_certificate(octets: bytes) -> bool:
    """Whether it looks like one."""
    try:
        return bool(public_key(octets))
    except TransportFault:
        return False


def compare(what: str, octets: bytes, wanted: str) -> None:
    """TransportFault unless the SHA-256 of `octets` is `wanted` (hexadecimal)."""
    found = hashlib.sha256(octets).hexdigest()
    if not hmac.compare_digest(found, wanted):
        raise TransportFault(f"certificate verify failed: {what} {found} is not the pinned one")


def public_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate, both DER; TransportFault when that is no certificate."""
    try:
        at = inside(certificate, inside(certificate, 0))
        if certificate[at] == VERSION:
            at = behind(certificate, at)
        for _ in range(BEFORE_KEY):
            at = behind(certificate, at)
        return certificate[at : behind(certificate, at)]
    except (IndexError, ValueError):
        raise TransportFault("certificate verify failed: not a certificate") from None


def inside(der: bytes, at: int) -> int:
    """Where the content of the sequence at `at` begins; ValueError, IndexError."""
    if der[at] != SEQUENCE:
        raise ValueError
    return bounds(der, at)[0]


def behind(der: bytes, at: int) -> int:
    """Where the element at `at` ends; ValueError, IndexError."""
    end = bounds(der, at)[1]
    if end > len(der):
        raise ValueError
    return end


def bounds(der: bytes, at: int) -> tuple[int, int]:
    """Begin and end of the content of an element (X.690 8.1.3)."""
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(der[at + 2 : begin], "big")
    return begin, begin + length
