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
ASK_FOR_PROOF = dns.flags.RD | dns.flags.AD  # RFC 6840 5.7


def records(host: str, port: int, resolver: dns.resolver.Resolver | None = None) -> list[Tlsa]:
    """The proven records of a server that we can use; [] when there is none. TransportFault."""
    name = f"_{port}._tcp.{host}"
    try:
        asking = resolver or dns.resolver.Resolver()
        if not is_near(asking):
            return []
        asking.use_edns(0, dns.flags.DO, PAYLOAD)
        asking.flags = ASK_FOR_PROOF
        answer = asking.resolve(name, "TLSA", lifetime=LIFETIME, search=False)
    except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
        return []
    except (dns.exception.DNSException, OSError, ValueError) as error:
        raise TransportFault(f"look-up of TLSA {name}: {type(error).__name__}") from None
    if not is_proven(asking, answer):
        return []
    found = [Tlsa(one.usage, one.selector, one.mtype, bytes(one.cert)) for one in answer]
    return [one for one in found if one.is_usable]


def is_proven(resolver: dns.resolver.Resolver, answer: dns.resolver.Answer) -> bool:
    """Whether DNSSEC proves an answer, in the words of a resolver that we believe."""
    return bool(answer.response.flags & dns.flags.AD) and is_near(resolver)


def is_near(resolver: dns.resolver.Resolver) -> bool:
    """Whether all that it asks is on this machine."""
    return all(is_here(str(one)) for one in resolver.nameservers)


def is_here(address: str) -> bool:
    """Whether nobody can change what comes from that resolver on its way to us."""
    return address == "::1" or address.startswith("127.")
