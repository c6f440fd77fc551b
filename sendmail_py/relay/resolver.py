"""Questions to DNS with a limit on each and on all of them; four kinds of answers, and never an exception.

Guarantees: a check that shares one Resolver ends within `total` seconds, whatever the servers do; the same
question is asked once; an answer that did not come, or that cannot be read, is "unknown" and never a "no".
"""

from __future__ import annotations

import time

import dns.exception
import dns.name
import dns.resolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOUND = "found"
EMPTY = "empty"  # the name exists and has no such records
NOWHERE = "nowhere"  # the name does not exist (NXDOMAIN)
UNKNOWN = "unknown"  # no answer, a broken one, or no time left

ONE = 3.0  # seconds for one question, all servers and retries included
TOTAL = 15.0


class Answer:
    """What came: `state` (one of the four above) and `records`, as dnspython has them, only when FOUND."""

    __slots__ = ("records", "state")

    def __init__(self, state: str, records: list[Any]) -> None:
        self.state = state
        self.records = records


class Resolver:
    """The system's servers, or `servers` as (address, port), asked for at most `total` seconds in all."""

    def __init__(
        self, servers: list[tuple[str, int]] | None = None, one: float = ONE, total: float = TOTAL
    ) -> None:
        self.one = one
        self.deadline = time.monotonic() + total
        self.known: dict[tuple[str, str], Answer] = {}
        self.inner: dns.resolver.Resolver | None = None
        try:
            self.inner = dns.resolver.Resolver(configure=servers is None)
        except (dns.exception.DNSException, OSError, ValueError):
            return
        if servers is not None:
            self.inner.nameservers = [address for address, _ in servers]
            self.inner.nameserver_ports = dict(servers)

    def ask(self, name: str, kind: str) -> Answer:
        """The records of one type ("MX", "TXT", "A", ...) that a name, U-labels allowed, has."""
        key = (name.lower().rstrip("."), kind)
        if key not in self.known:
            self.known[key] = self.fresh(key[0] + ".", kind)
        return self.known[key]

    def fresh(self, name: str, kind: str) -> Answer:
        """Ask."""
        left = min(self.one, self.deadline - time.monotonic())
        if self.inner is None or left <= 0:
            return Answer(UNKNOWN, [])
        try:
            return Answer(FOUND, list(self.inner.resolve(name, kind, lifetime=left, search=False)))
        except dns.resolver.NoAnswer:
            return Answer(EMPTY, [])
        except dns.resolver.NXDOMAIN:
            return Answer(NOWHERE, [])
        except (dns.exception.DNSException, OSError, ValueError):
            return Answer(UNKNOWN, [])

    def addresses(self, name: str, enough: int = 1000) -> tuple[str, list[str]]:
        """(state, addresses) of a host: FOUND with any A or AAAA record, UNKNOWN if one of both is.

        With `enough` A records the other question is not asked.
        """
        both = [self.ask(name, "A")]
        if len(both[0].records) < enough:
            both.append(self.ask(name, "AAAA"))
        found = [one.address for answer in both for one in answer.records]
        states = {answer.state for answer in both}
        for state in (FOUND, UNKNOWN, EMPTY):
            if state in states:
                return state, found
        return NOWHERE, found
