"""Can a domain receive mail (RFC 5321 5.1, RFC 7505)? Asked in DNS, remembered in the spool.

Guarantees: "no" only when DNS said so; the flush and the admin command are the only ones who ask; a verdict
is asked again after a week, a bad one after a day (sender_domains.py); a spool that cannot be written loses
the verdicts, nothing else.
"""

from __future__ import annotations

import os
import time

from sendmail_py.policy import verdicts
from sendmail_py.relay.resolver import FOUND, NOWHERE, UNKNOWN, Resolver
from sendmail_py.spool import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

YES, NO = "yes", "no"
MOST_EXCHANGERS = 5
MOST_KEPT = 1000


def ask_system() -> Resolver:
    """A resolver for the system's servers."""
    return Resolver()


def verdict(resolver: Resolver, domain: str) -> tuple[str, str]:
    """(YES, NO or UNKNOWN, a reason for people when it is not YES)."""
    answer = resolver.ask(domain, "MX")
    if answer.state == NOWHERE:
        if denies_everything(resolver):
            return UNKNOWN, "DNS says that nothing exists, not even the root"
        return NO, "DNS knows no such domain"
    if answer.state == UNKNOWN:
        return UNKNOWN, "DNS gave no answer"
    if answer.state == FOUND:
        exchangers = [str(one.exchange).rstrip(".") for one in answer.records]
        return exchange(resolver, [one for one in exchangers if one])
    state, _ = resolver.addresses(domain, enough=1)
    if state == UNKNOWN:
        return UNKNOWN, "DNS gave no answer"
    return (YES, "") if state == FOUND else (NO, "DNS has neither mail exchangers nor addresses for it")


def exchange(resolver: Resolver, exchangers: list[str]) -> tuple[str, str]:
    """The verdict on a domain with these mail exchangers; none of them stands for the null MX."""
    if not exchangers:
        return NO, "its null MX record says that it takes no mail"
    states = []
    for one in exchangers[:MOST_EXCHANGERS]:
        states.append(resolver.addresses(one, enough=1)[0])
        if FOUND in states:
            return YES, ""
    if len(exchangers) > MOST_EXCHANGERS:
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
    known = remembered(directory)
    found: dict[str, str] = {}
    changed = False
    for domain in domains:
        key = domain.lower().rstrip(".").encode()
        when, why = known.get(key, (0, ""))
        if not 0 <= moment - when < (verdicts.BAD_FOR if why else verdicts.GOOD_FOR):
            answer, why = verdict(resolver, domain)
            if answer == UNKNOWN:
                continue
            known[key] = (moment, why if answer == NO else "")
            changed = True
        found[domain] = known[key][1]
    if changed:
        keep(directory, known)
    return found


def learn(directory: str, domain: str, resolver: Resolver, is_late: Callable[[], bool]) -> str:
    """Ask about one domain in lower case and keep what was learnt, first of all that it was asked.

    Nothing more is kept once it `is_late`. Returns the reason if it cannot receive mail, else "".
    """
    key = domain.encode()
    known = remembered(directory)
    known[verdicts.ASKED + key] = (int(time.time()), "")
    keep(directory, known)
    answer, why = verdict(resolver, domain)
    if answer == UNKNOWN or is_late():
        return ""
    known = remembered(directory)
    known.pop(verdicts.ASKED + key, None)
    known[key] = (int(time.time()), why)
    keep(directory, known)
    return why


def denies_everything(resolver: Resolver) -> bool:
    """Whether even the root does not exist for it: a network that is shut off says so of every name."""
    return resolver.ask(".", "NS").state == NOWHERE


def remembered(directory: str) -> dict[bytes, tuple[int, str]]:
    """What the spool knows: seconds and reason by domain."""
    return {one: (when, why) for one, when, why in verdicts.lines(verdicts.read(directory))}


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
