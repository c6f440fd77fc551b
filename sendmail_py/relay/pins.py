"""Certificates and keys that are trusted for themselves: fingerprints (SHA-256) and TLSA records (RFC 6698).

Guarantee: what is not equal, in constant time, to one of the pins is a TransportFault.
"""

from __future__ import annotations

import hashlib
import hmac

from sendmail_py.relay.faults import TransportFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import SmartHost

SEQUENCE, VERSION = 0x30, 0xA0
BEFORE_KEY = 5  # serial number, signature, issuer, validity, subject (RFC 5280 4.1)
HASHES = {1: "sha256", 2: "sha512"}
DANE_EE = 3


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
        """Whether it names the server's own certificate in a way that we know.

        Usage 2 would need the whole chain, which Python's ssl does not give before 3.13; 0 and 1 are not for
        mail (RFC 7672 3.1).
        """
        return self.usage == DANE_EE and self.selector in (0, 1) and self.matching in (0, *HASHES)

    def fits(self, certificate: bytes) -> bool:
        """Whether it names this certificate (DER)."""
        octets = public_key(certificate) if self.selector else certificate
        found = hashlib.new(HASHES[self.matching], octets).digest() if self.matching else octets
        return hmac.compare_digest(found, self.data)


def are_set(setting: SmartHost, records: list[Tlsa]) -> bool:
    """Whether pins decide, and not the CAs."""
    return bool(setting.fingerprint or setting.key_fingerprint or records)


def check(setting: SmartHost, records: list[Tlsa], certificate: bytes | None) -> None:
    """TransportFault unless the server's certificate (DER) is what all kinds of pins that are set say."""
    octets = certificate or b""
    if setting.fingerprint:
        compare("fingerprint", octets, setting.fingerprint)
    if setting.key_fingerprint:
        compare("fingerprint of the key", public_key(octets), setting.key_fingerprint)
    if records and not any(one.fits(octets) for one in records):
        raise TransportFault("certificate verify failed: no TLSA record names it")


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
