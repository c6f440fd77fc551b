"""MX (RFC 5321 5.1) and SRV (RFC 2782, 6186, 8314) look-ups by dnspython.

Guarantees: every look-up ends within ten seconds; whatever goes wrong, even that a name does not exist, is a
TransportFault, so it defers mail and never fails it: a smart host that vanishes from DNS is not the message's
trouble. What DNSSEC proves is marked as such (dane.py).
"""

from __future__ import annotations

import random

import dns.exception
import dns.resolver

from sendmail_py.relay import dane
from sendmail_py.relay.faults import TransportFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    Found = TypeVar("Found")

LIFETIME = 10.0  # seconds for one look-up, all servers and retries included


class Proven(list):  # type: ignore[type-arg]
    """What DNSSEC proves."""


def exchangers(domain: str) -> list[str]:
    """Host names of the mail exchangers, best first; the domain itself when it has no MX records."""
    answers = look_up(domain, "MX", empty_is_fault=False)
    if not answers:
        return Proven([domain])  # the configured name, which nobody could change
    random.shuffle(answers)  # RFC 5321 5.1: among equal preferences, at random
    answers.sort(key=lambda one: one.preference)
    return like(answers, usable(domain, [str(one.exchange).rstrip(".") for one in answers]))


def services(domain: str, service: str) -> list[tuple[str, int]]:
    """Hosts and ports for `service` ("_submission" or "_submissions"), by priority and weight."""
    answers = look_up(f"{service}._tcp.{domain}", "SRV", empty_is_fault=True)
    found = by_weight([(one.priority, one.weight, str(one.target).rstrip("."), one.port) for one in answers])
    hosts = usable(domain, [host for host, _ in found])
    return like(answers, [one for one in found if one[0] in hosts])


def like(answers: list[Any], found: list[Found]) -> list[Found]:
    """What follows from the answers is proven if they are."""
    return Proven(found) if isinstance(answers, Proven) else found


def usable(domain: str, hosts: list[str]) -> list[str]:
    """Without the "." that says that the service is not offered (RFC 7505, RFC 2782)."""
    left = [host for host in hosts if host.strip(".")]
    if not left:
        raise TransportFault(f"DNS says that {domain} takes no mail")
    return left


def look_up(name: str, kind: str, *, empty_is_fault: bool) -> list[Any]:
    """The records of a name; [] for none unless that is a fault."""
    try:
        asking = dns.resolver.Resolver()
        asking.flags = dane.ASK_FOR_PROOF
        answer = asking.resolve(name, kind, lifetime=LIFETIME, search=False)
        return Proven(answer) if dane.is_proven(asking, answer) else list(answer)
    except dns.resolver.NoAnswer:
        if empty_is_fault:
            raise TransportFault(f"look-up of {kind} {name}: no such record") from None
        return []
    except dns.resolver.NXDOMAIN:
        raise TransportFault(f"look-up of {kind} {name}: no such domain") from None
    except (dns.exception.DNSException, OSError, ValueError) as error:
        raise TransportFault(f"look-up of {kind} {name}: {type(error).__name__}") from None


def by_weight(records: list[tuple[int, int, str, int]]) -> list[tuple[str, int]]:
    """Host and port of (priority, weight, host, port) records, in the order of RFC 2782.

    Lowest priority first; within one, drawn at random in proportion to the weight.
    """
    ordered = []
    for priority in sorted({one[0] for one in records}):
        group = [one for one in records if one[0] == priority]
        while group:
            chosen = random.choices(group, [one[1] + 0.01 for one in group])[0]  # noqa: S311
            group.remove(chosen)
            ordered.append(chosen[2:])
    return ordered
