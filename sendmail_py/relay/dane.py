"""TLSA records of a server (RFC 6698, 7672) that DNSSEC proves, in the words of a resolver on this machine.

Guarantee: what a resolver elsewhere says about DNSSEC is not believed, because anybody on the way could have
said it; then, and without records, the certificate is verified as usual. A look-up that fails is a fault: an
attacker must not be able to make the records go away.
"""

from __future__ import annotations

import dns.exception
import dns.flags
import dns.resolver

from sendmail_py.relay.faults import TransportFault
from sendmail_py.relay.pins import Tlsa

LIFETIME = 10.0  # seconds for one look-up
PAYLOAD = 1232  # octets of an answer by UDP


def records(host: str, port: int, resolver: dns.resolver.Resolver | None = None) -> list[Tlsa]:
    """The proven records of a server that we can use; [] when there is none. TransportFault."""
    name = f"_{port}._tcp.{host}"
    try:
        asking = resolver or dns.resolver.Resolver()
        if not all(is_here(str(one)) for one in asking.nameservers):
            return []
        asking.use_edns(0, dns.flags.DO, PAYLOAD)
        asking.flags = dns.flags.RD | dns.flags.AD
        answer = asking.resolve(name, "TLSA", lifetime=LIFETIME, search=False)
    except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
        return []
    except (dns.exception.DNSException, OSError, ValueError) as error:
        raise TransportFault(f"look-up of TLSA {name}: {type(error).__name__}") from None
    if not answer.response.flags & dns.flags.AD:
        return []
    found = [Tlsa(one.usage, one.selector, one.mtype, bytes(one.cert)) for one in answer]
    return [one for one in found if one.is_usable]


def is_here(address: str) -> bool:
    """Whether nobody can change what comes from that resolver on its way to us."""
    return address == "::1" or address.startswith("127.")
