"""What DNS says about a sender's domain, the smart host and our EHLO name: remarks, never refusals.

Guarantees: an answer that did not come yields no bad word; verdicts on the sender's domain are kept in the
spool, where submissions believe them (policy.verdicts).
"""

from __future__ import annotations

import ipaddress

from sendmail_py.errors import printable
from sendmail_py.mail import address
from sendmail_py.policy.config import Config, SmartHost
from sendmail_py.policy.identity import Host
from sendmail_py.relay import receiving, smarthost, spf
from sendmail_py.relay.resolver import EMPTY, NOWHERE, UNKNOWN, Resolver

MOST_ADDRESSES = 4
MOST_SERVERS = 3
# Loopback, RFC 1918, 3927, 6598, 4193, 4291.
PRIVATE = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"]
PRIVATE += ["::1/128", "fc00::/7", "fe80::/10"]
BAD_SPF = (spf.FAIL, spf.SOFTFAIL, spf.PERMERROR)


def remarks(config: Config, host: Host, sender: bytes, resolver: Resolver) -> list[str]:
    """One line for each thing that is wrong or unknown about sending as `sender`; [] when all is well."""
    domain = address.split(sender)[1].decode("utf-8", "replace")
    if not domain or domain.startswith("["):
        return ehlo(config, host, resolver)
    known = receiving.refresh(config.queue.directory, [domain], resolver)
    reason = known.get(domain)
    shown = printable(domain, 255)
    found = []
    if reason is None:
        found.append(f"{shown}: no answer; whether it can receive mail is unknown")
    elif reason:
        found.append(f"{shown}: {reason}; nobody can answer: set masquerade.domain or [masquerade.users]")
    for one in config.smarthosts:
        if smarthost.serves(one, sender):
            found += policy(one, sender.decode("utf-8", "replace"), resolver)
    return found + ehlo(config, host, resolver)


def policy(setting: SmartHost, sender: str, resolver: Resolver) -> list[str]:
    """A warning if the sender's SPF record does not let the smart host's own addresses send."""
    found = []
    for one in addresses(setting, resolver):
        result, term = spf.check(resolver, one, sender)
        if result not in BAD_SPF:
            continue
        domain = printable(sender.rpartition("@")[2], 255)
        why = f" ({printable(term, 80)})" if term else ""
        name = printable(setting.name, 64)
        found.append(
            f"SPF of {domain}: {result}{why} for {one} of smart host {name};"
            " unless it sends from other addresses, receivers may refuse the mail"
        )
    return found


def addresses(setting: SmartHost, resolver: Resolver) -> list[str]:
    """Public addresses of a smart host, a few; none when DNS does not say."""
    host = setting.host.removeprefix("[").removesuffix("]")
    try:
        found = [str(ipaddress.ip_address(host))]
    except ValueError:
        names = servers(setting, host, resolver)[:MOST_SERVERS]
        found = [one for name in names for one in resolver.addresses(name)[1]]
    return [one for one in found if not ipaddress.ip_address(one).is_loopback][:MOST_ADDRESSES]


def servers(setting: SmartHost, host: str, resolver: Resolver) -> list[str]:
    """The names of a smart host's servers, as `lookup` says, the preferred ones first."""
    if not host or setting.lookup == "none":
        return [host] if host else []
    if setting.lookup == "mx":
        answer = resolver.ask(host, "MX")
        records = sorted(answer.records, key=lambda one: one.preference)
        names = [str(one.exchange) for one in records] if answer.state != EMPTY else [host]
    else:
        service = "_submissions" if setting.tls == "implicit" else "_submission"
        records = sorted(resolver.ask(f"{service}._tcp.{host}", "SRV").records, key=lambda one: one.priority)
        names = [str(one.target) for one in records]
    return [one.rstrip(".") for one in names if one.strip(".")]


def ehlo(config: Config, host: Host, resolver: Resolver) -> list[str]:
    """Hints if our name for EHLO is none or does not exist; many servers do not mind."""
    name = host.helo.decode("ascii", "replace")
    if not name:
        return ["this host has no name that is fit for EHLO: an address literal is used; set identity.helo"]
    if name.startswith("["):
        return []
    shown = printable(name, 255)
    state, found = resolver.addresses(name)
    if state in (EMPTY, NOWHERE):
        return [f"EHLO {shown}: DNS has no address for it; strict servers mind: set identity.helo"]
    if state == UNKNOWN:
        return [f"EHLO {shown}: no answer from DNS"]
    if not any(is_strict(one) for one in config.smarthosts):
        return []
    return [text for one in found[:MOST_ADDRESSES] for text in backwards(shown, one, resolver)]


def is_strict(setting: SmartHost) -> bool:
    """Whether a smart host has nothing but our address and name to know us by."""
    return bool(setting.host) and not setting.user and not setting.client_cert


def backwards(name: str, found: str, resolver: Resolver) -> list[str]:
    """A hint if the address of our name for EHLO does not lead back to a name that has it (RFC 1912 2.1)."""
    own = ipaddress.ip_address(found)
    if any(own in ipaddress.ip_network(one) for one in PRIVATE):
        return [f"EHLO {name}: {found} is no address of the Internet; other networks cannot check the name"]
    answer = resolver.ask(own.reverse_pointer, "PTR")
    if answer.state == UNKNOWN:
        return []
    back = [str(one.target).rstrip(".") for one in answer.records][:MOST_ADDRESSES]
    if any(found in resolver.addresses(one)[1] for one in back):
        return []
    names = printable(", ".join(back), 255)
    why = f"the PTR record of {found} is {names}" if back else f"{found} has no PTR record"
    return [f"EHLO {name}: {why}; servers without a login may mind: have it set by whoever gave the address"]
