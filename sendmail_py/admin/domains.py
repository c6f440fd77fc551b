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
BAD_SPF = (spf.FAIL, spf.SOFTFAIL, spf.PERMERROR)


def remarks(config: Config, host: Host, sender: bytes, resolver: Resolver) -> list[str]:
    """One line for each thing that is wrong or unknown about sending as `sender`; [] when all is well."""
    domain = address.split(sender)[1].decode("utf-8", "replace")
    if not domain or domain.startswith("["):
        return ehlo(host, resolver)
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
    return found + ehlo(host, resolver)


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
    """Public addresses of a smart host, a few; none when they are not to be found by its name."""
    host = setting.host.removeprefix("[").removesuffix("]")
    try:
        found = [str(ipaddress.ip_address(host))]
    except ValueError:
        found = resolver.addresses(host)[1] if setting.lookup == "none" else []
    return [one for one in found if not ipaddress.ip_address(one).is_loopback][:MOST_ADDRESSES]


def ehlo(host: Host, resolver: Resolver) -> list[str]:
    """A warning if our name for EHLO is none or does not exist; many servers do not mind."""
    name = host.helo.decode("ascii", "replace")
    if not name:
        return ["this host has no name that is fit for EHLO: an address literal is used; set identity.helo"]
    if name.startswith("["):
        return []
    state, _ = resolver.addresses(name)
    if state in (EMPTY, NOWHERE):
        return [
            f"EHLO {printable(name, 255)}: DNS has no address for it; strict servers mind: set identity.helo"
        ]
    return [f"EHLO {printable(name, 255)}: no answer from DNS"] if state == UNKNOWN else []
