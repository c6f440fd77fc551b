"""May a host send mail for a domain? Sender Policy Framework (RFC 7208), as much as a warning needs.

Guarantees: at most ten look-ups that the record asks for, two of them without result (4.6.4), and what the
Resolver's time allows; a record that is wrong or too costly is "permerror", an answer that did not come is
"temperror", neither is ever a "fail". `ptr` (5.5, not to be used) never matches. `exp` is not evaluated.
"""

from __future__ import annotations

import ipaddress

from sendmail_py.relay.resolver import EMPTY, FOUND, NOWHERE, UNKNOWN, Resolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PASS, FAIL, SOFTFAIL, NEUTRAL = "pass", "fail", "softfail", "neutral"
NONE, TEMPERROR, PERMERROR = "none", "temperror", "permerror"
QUALIFIERS = {"+": PASS, "-": FAIL, "~": SOFTFAIL, "?": NEUTRAL}
MOST_LOOKUPS = 10
MOST_VOID = 2
MOST_EXCHANGERS = 10
VERSION = "v=spf1"


class Stop(Exception):  # noqa: N818 (it carries a result, which may be no error)
    """Ends the evaluation with a result."""

    def __init__(self, result: str) -> None:
        super().__init__(result)
        self.result = result


def check(resolver: Resolver, address: str, sender: str, helo: str = "unknown") -> tuple[str, str]:
    """(result of check_host() (2.6), the term that decided) for an IP address and a sender `local@domain`."""
    evaluation = Evaluation(resolver, ipaddress.ip_address(address), sender, helo)
    try:
        return evaluation.domain(sender.rpartition("@")[2])
    except Stop as stop:
        return stop.result, ""


class Evaluation:
    """One run of check_host(): what is asked, and what was spent."""

    def __init__(self, resolver: Resolver, address: Address, sender: str, helo: str) -> None:
        self.resolver = resolver
        self.address = address
        self.sender = sender
        self.helo = helo
        self.lookups = 0
        self.void = 0

    def domain(self, name: str) -> tuple[str, str]:
        """The result for one domain's record, and the term that decided. Raises Stop."""
        record = self.record(name)
        if record is None:
            return NONE, ""
        redirect = ""
        terms = [term for term in record.split(" ")[1:] if term]
        for term in terms:
            if is_modifier(term):
                redirect = term[9:] if term[:9].lower() == "redirect=" else redirect
                continue
            qualifier = QUALIFIERS.get(term[0], "")
            if self.matches(term[1:] if qualifier else term, name):
                return qualifier or PASS, term
        if not redirect:
            return NEUTRAL, ""
        self.spend()
        result, term = self.domain(self.expand(redirect, name))
        return (PERMERROR, "") if result == NONE else (result, term)

    def record(self, name: str) -> str | None:
        """The domain's record (3.2, 4.5), None for none."""
        answer = self.resolver.ask(name, "TXT")
        if answer.state == UNKNOWN:
            raise Stop(TEMPERROR)
        texts = [b"".join(one.strings).decode("ascii", "replace") for one in answer.records]
        found = [text for text in texts if text.lower() == VERSION or text.lower().startswith(VERSION + " ")]
        if len(found) > 1:
            raise Stop(PERMERROR)
        return found[0] if found else None

    def matches(self, mechanism: str, name: str) -> bool:
        """Whether a mechanism (5) matches the address."""
        word = mechanism.replace("/", ":", 1).partition(":")[0].lower()
        rest = mechanism[len(word) :]
        if word == "all" and not rest:
            return True
        if word in ("ip4", "ip6"):
            return self.in_network(rest.removeprefix(":"))
        if word == "ptr":
            self.spend()
            return False
        if word in ("a", "mx"):
            self.spend()
            return self.at_host(word, rest, name)
        if word in ("include", "exists") and rest[:1] == ":":
            self.spend()
            target = self.expand(rest[1:], name)
            return self.included(target) if word == "include" else bool(self.addresses(target, "A"))
        raise Stop(PERMERROR)

    def included(self, target: str) -> bool:
        """Whether another domain's record says "pass" (5.2)."""
        result, _ = self.domain(target)
        if result == NONE:
            raise Stop(PERMERROR)
        return result == PASS

    def at_host(self, word: str, rest: str, name: str) -> bool:
        """`a` and `mx` (5.3, 5.4): `rest` is `[:domain][/bits][//bits]`."""
        host, _, bits6 = rest.partition("//")
        host, _, bits4 = host.partition("/")
        four = self.address.version == 4
        bits = self.prefix(bits4, 32) if four else self.prefix(bits6, 128)
        target = self.expand(host[1:], name) if host else name
        hosts = self.exchangers(target) if word == "mx" else [target]
        kind = "A" if four else "AAAA"
        found = [one for host in hosts for one in self.addresses(host, kind)]
        return any(self.address in ipaddress.ip_network((one, bits), strict=False) for one in found)

    def prefix(self, text: str, most: int) -> int:
        """A prefix length, all bits without one."""
        if not text:
            return most
        if not text.isdigit() or int(text) > most:
            raise Stop(PERMERROR)
        return int(text)

    def exchangers(self, target: str) -> list[str]:
        """Names of the mail exchangers of a domain."""
        answer = self.resolver.ask(target, "MX")
        self.weigh(answer.state)
        if len(answer.records) > MOST_EXCHANGERS:
            raise Stop(PERMERROR)
        return [name for name in [str(one.exchange).rstrip(".") for one in answer.records] if name]

    def addresses(self, host: str, kind: str) -> list[str]:
        """Addresses of a host of the wanted kind."""
        answer = self.resolver.ask(host, kind)
        self.weigh(answer.state)
        return [one.address for one in answer.records] if answer.state == FOUND else []

    def in_network(self, text: str) -> bool:
        """`ip4` and `ip6` (5.6)."""
        try:
            return self.address in ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise Stop(PERMERROR) from None

    def spend(self) -> None:
        """Count a term that asks DNS (4.6.4)."""
        self.lookups += 1
        if self.lookups > MOST_LOOKUPS:
            raise Stop(PERMERROR)

    def weigh(self, state: str) -> None:
        """Judge the state of an answer: none is a "temperror", more than two void ones a "permerror"."""
        if state == UNKNOWN:
            raise Stop(TEMPERROR)
        self.void += state in (EMPTY, NOWHERE)
        if self.void > MOST_VOID:
            raise Stop(PERMERROR)

    def expand(self, text: str, domain: str) -> str:
        """A domain-spec with its macros (7) replaced."""
        pieces, at = [], 0
        while (start := text.find("%", at)) >= 0:
            pieces.append(text[at:start])
            plain = {"%": "%", "_": " ", "-": "%20"}.get(text[start + 1 : start + 2])
            end = start + 1 if plain else text.find("}", start)
            if plain is None and (text[start + 1 : start + 2] != "{" or end < 0):
                raise Stop(PERMERROR)
            pieces.append(self.macro(text[start + 2 : end], domain) if plain is None else plain)
            at = end + 1
        return "".join([*pieces, text[at:]])

    def macro(self, body: str, domain: str) -> str:
        """The inside of a `%{...}`: letter, number of labels from the right, `r`, delimiters."""
        local, _, at = self.sender.rpartition("@")
        values = {
            "s": self.sender, "l": local or "postmaster", "o": at, "d": domain, "h": self.helo,
            "p": "unknown",
            "i": dotted(self.address), "v": "in-addr" if self.address.version == 4 else "ip6",
        }  # fmt: skip
        value = values.get(body[:1].lower())
        if value is None:
            raise Stop(PERMERROR)
        rest = body[1:]
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        rest = rest[len(digits) :]
        reverse, delimiters = rest[:1].lower() == "r", rest.lstrip("rR") or "."
        for one in delimiters:
            value = value.replace(one, ".")
        labels = value.split(".")
        labels = labels[::-1] if reverse else labels
        return ".".join(labels[-int(digits) :] if digits and int(digits) else labels)


def is_modifier(term: str) -> bool:
    """Whether a term is `name=value` (4.6.1), known or not."""
    name, equals, _ = term.partition("=")
    return bool(equals) and name[:1].isalpha() and name.translate({45: "a", 46: "a", 95: "a"}).isalnum()


def dotted(address: Address) -> str:
    """An address for `%{i}`: an IPv6 address as nibbles between dots."""
    return str(address) if address.version == 4 else ".".join(address.exploded.replace(":", ""))
