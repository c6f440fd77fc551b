"""Can the Internet answer an address at this domain? Judged offline, from names alone.

Guarantees: no file, no network, no clock; the answer is "" or one reason, a short phrase for people.

A domain is at fault if it is missing or malformed (RFC 5321 4.1.2), one of this host's own names, without
a dot, below a suffix that is reserved or private, or an address literal that is not globally reachable.
`.test`, `.example` and the example and documentation names and addresses count as ordinary: they live in
tests and manuals, and DNS decides about them.
"""

from __future__ import annotations

from sendmail_py.mail import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

SUFFIXES = frozenset(
    (
        # RFC 6761, 6762, 7686, 8375, 9476; reserved by ICANN for private use (.internal)
        b"invalid", b"localhost", b"local", b"onion", b"home.arpa", b"alt", b"internal",
        # no mail domains: reverse look-ups (RFC 3172)
        b"in-addr.arpa", b"ip6.arpa",
        # RFC 6762 appendix G, and names that will not be delegated (.home, .corp, .mail)
        b"intranet", b"private", b"corp", b"home", b"lan", b"mail",
        # customs of installers and networks
        b"localdomain", b"localdomain4", b"localdomain6", b"localnet", b"intern", b"intra", b"workgroup",
        b"dhcp",
        # what home routers call their network
        b"router", b"gateway", b"modem", b"station", b"fritz.box", b"speedport.ip", b"easy.box", b"o2.box",
        b"attlocal.net", b"gateway.2wire.net", b"belkin", b"dlink", b"homestation",
        b"routerlogin.net", b"tplinkwifi.net", b"mynetworksettings.com", b"bbrouter",
    )
)  # fmt: skip

# First octets of an IPv4 network and how many bits count (RFC 6890, without the documentation networks).
PRIVATE_IPV4 = (
    ((0, 0), 8), ((10, 0), 8), ((100, 64), 10), ((127, 0), 8), ((169, 254), 16), ((172, 16), 12),
    ((192, 168), 16), ((224, 0), 3),
)  # fmt: skip
MAPPED = b"\0" * 10 + b"\xff\xff"


def fault(domain: bytes, local_names: Container[bytes]) -> str:
    """Why nobody out there can answer `domain`, "" if somebody might."""
    name = domain.lower().removesuffix(b".")
    syntax = address.domain_fault(name)
    if syntax:
        return syntax
    if name.startswith(b"["):
        return literal_fault(name)
    if name in local_names:
        return "a name of this host"
    if b"." not in name:
        return "a name without a dot"
    return suffix_fault(name)


def suffix_fault(name: bytes) -> str:
    """Why a domain, in lower case, is below a suffix that the Internet does not know; else ""."""
    last = name.rpartition(b".")[2]
    if last in SUFFIXES:
        return f"the suffix .{last.decode()} is reserved or private"
    at = 0
    while at >= 0:
        tail = name[at + 1 :] if at else name
        if tail in SUFFIXES:
            return f"the network {tail.decode()} is private"
        at = name.find(b".", at + 1)
    return ""


def literal_fault(domain: bytes) -> str:
    """Why an address literal (RFC 5321 4.1.3), in lower case, is of no use; else ""."""
    inside = domain[1:-1]
    octets = ipv6(inside[5:]) if inside.startswith(b"ipv6:") else ipv4(inside)
    if not octets:
        return "the address literal is malformed"
    if octets.startswith(MAPPED):
        octets = octets[12:]
    reachable = not private_ipv4(octets) if len(octets) == 4 else not private_ipv6(octets)
    return "" if reachable else "the address is not reachable from the Internet"


def private_ipv4(octets: bytes) -> bool:
    """Whether an IPv4 address is loopback, private, link-local, multicast or otherwise not global."""
    start = octets[0] << 8 | octets[1]
    return any(start >> (16 - bits) == (high << 8 | low) >> (16 - bits) for (high, low), bits in PRIVATE_IPV4)


def private_ipv6(octets: bytes) -> bool:
    """The same for IPv6: ::/8 (unspecified, loopback), fc00::/7, fe80::/9 (link and site local), ff00::/8."""
    first = octets[0]
    return first in (0, 0xFC, 0xFD, 0xFF) or (first == 0xFE and octets[1] >= 0x80)


def ipv4(text: bytes) -> bytes:
    """The four octets of a dotted address, b"" if it is none."""
    parts = text.split(b".")
    if len(parts) != 4 or not all(part.isdigit() and len(part) < 4 and int(part) < 256 for part in parts):
        return b""
    return bytes([int(part) for part in parts])


def ipv6(text: bytes) -> bytes:
    """The sixteen octets of an address in the form of RFC 4291 2.2, b"" if it is none."""
    head, gap, tail = text.partition(b"::")
    before, after = groups(head), groups(tail)
    missing = 16 - len(before or b"") - len(after or b"")
    if before is None or after is None or (missing < 2 if gap else missing != 0):
        return b""
    return before + b"\0" * missing + after


def groups(text: bytes) -> bytes | None:
    """The octets of groups of hexadecimal digits between colons, the last maybe a dotted IPv4 address."""
    octets = b""
    parts = text.split(b":") if text else []
    for n, part in enumerate(parts):
        dotted = ipv4(part) if n == len(parts) - 1 else b""
        if not dotted and (len(part) > 4 or not part or part.strip(b"0123456789abcdef")):
            return None
        octets += dotted or int(part, 16).to_bytes(2)
    return octets
