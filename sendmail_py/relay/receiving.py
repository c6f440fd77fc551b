"""Can a domain receive mail (RFC 5321 5.1, RFC 7505)? Asked in DNS, remembered in the spool.

Guarantees: "no" only when DNS said so; the flush and the admin command are the only ones who ask; a verdict
is asked again after a week, a bad one after a day; a spool that cannot be written loses the verdicts, nothing
else.
"""

from __future__ import annotations

import os
import time

from sendmail_py.policy import verdicts
from sendmail_py.relay.resolver import FOUND, NOWHERE, UNKNOWN, Resolver
from sendmail_py.spool import durable

YES, NO = "yes", "no"
GOOD_FOR = 7 * 86400  # seconds that a verdict holds before DNS is asked again
BAD_FOR = 86400
MOST_EXCHANGERS = 5
MOST_KEPT = 1000


def ask_system() -> Resolver:
    """A resolver for the system's servers."""
    return Resolver()


def verdict(resolver: Resolver, domain: str) -> tuple[str, str]:
    """(YES, NO or UNKNOWN, a reason for people when it is not YES)."""
    answer = resolver.ask(domain, "MX")
    if answer.state == NOWHERE:
        return NO, "DNS knows no such domain"
    if answer.state == UNKNOWN:
        return UNKNOWN, "DNS gave no answer"
    if answer.state == FOUND:
        exchangers = [str(one.exchange).rstrip(".") for one in answer.records]
        return exchange(resolver, [one for one in exchangers if one])
    state, _ = resolver.addresses(domain)
    if state == UNKNOWN:
        return UNKNOWN, "DNS gave no answer"
    return (YES, "") if state == FOUND else (NO, "DNS has neither mail exchangers nor addresses for it")


def exchange(resolver: Resolver, exchangers: list[str]) -> tuple[str, str]:
    """The verdict on a domain with these mail exchangers; none of them stands for the null MX."""
    if not exchangers:
        return NO, "its null MX record says that it takes no mail"
    states = [resolver.addresses(one)[0] for one in exchangers[:MOST_EXCHANGERS]]
    if FOUND in states or len(exchangers) > MOST_EXCHANGERS:
        return YES, ""
    if UNKNOWN in states:
        return UNKNOWN, "DNS gave no answer"
    return NO, "none of its mail exchangers has an address"


def refresh(
    directory: str, domains: list[str], resolver: Resolver, now: float | None = None
) -> dict[str, str]:
    """Ask about the domains whose verdict is missing or old, and keep what was learnt.

    directory is the spool, now seconds since the epoch. Returns the reasons by domain, "" for one that can
    receive; domains without an answer are not in it.
    """
    moment = int(time.time() if now is None else now)
    known = {one: (when, why) for one, when, why in verdicts.lines(verdicts.read(directory))}
    found: dict[str, str] = {}
    changed = False
    for domain in domains:
        key = domain.lower().rstrip(".").encode()
        when, why = known.get(key, (0, ""))
        if not 0 <= moment - when < (BAD_FOR if why else GOOD_FOR):
            answer, why = verdict(resolver, domain)
            if answer == UNKNOWN:
                continue
            known[key] = (moment, why if answer == NO else "")
            changed = True
        found[domain] = known[key][1]
    if changed:
        keep(directory, known)
    return found


def keep(directory: str, known: dict[bytes, tuple[int, str]]) -> None:
    """Write the verdicts, the newest; a spool that is not there or cannot be written is left as it is."""
    newest = sorted(known.items(), key=lambda item: item[1][0])[-MOST_KEPT:]
    try:
        folder = durable.open_folder(directory)
    except OSError:
        return
    try:
        durable.replace(
            folder, verdicts.NAME, verdicts.encode(dict(newest)), f".{verdicts.NAME}.{os.getpid()}"
        )
    except OSError:
        return
    finally:
        os.close(folder)
