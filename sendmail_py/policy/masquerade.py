"""The sender rules: what is invalid is repaired, what this user may not use is replaced, the rest stays.

Guarantees: the null reverse-path stays null; an address that the Internet can answer and that the user may
use comes back octet for octet; repairing twice gives what repairing once gave; no network, and no file but
that of the verdicts (policy.verdicts), if there is one.

*target* is masquerade.domain, else the mail domain. *The user's entry* is that of the login in
[masquerade.users], else that of `uidN`, else "*" unless the login is one of the exceptions. *Default* is the
first address of the user's entry; without one `login@target`, for an exception `login@own domain`
(identity.domain, else /etc/mailname, else the FQDN).

Names with an @ in [masquerade.users] are no logins: they map addresses (`root@nas.lan`) and domains
(`*@nas.lan`, `*@*.lan`), the exact ones first, then in their order. A `*` before the @ of what it becomes is
the local part. What such a name gives is not mapped again. An exception with an @ keeps addresses likewise.

An address is judged in two steps, each at most once. First, can it be answered?

| address                                                     | becomes               | rule              |
|-------------------------------------------------------------|-----------------------|-------------------|
| null                                                        | itself, the end       |                   |
| one that the user's entry names, not by a `*` in the domain | itself, the end       |                   |
| what a name with an @ gives, or an exception with an @      | itself                |                   |
| one that a name with an @ names, before or after the rest   | the name's first      | address           |
| at the target, or answerable and not at or below `also`     | itself                |                   |
| to repair, local part = the login, the user has an entry    | the default           | users             |
| to repair, local part has an entry of its own               | the entry's first     | users             |
| to repair, local part is an exception, not bare             | itself                |                   |
| to repair, local part is an exception, bare                 | `name@own domain`     | exception         |
| to repair, at or below a name in `also`                     | `name@target`         | also              |
| to repair, at this host or an unanswerable domain           | `name@target`         | domain            |
| to repair, bare, masquerade.domain is set                   | `name@target`         | domain            |
| to repair, bare, masquerade.domain is not set               | `name@target`         | completed         |
| to repair, bare, the target is unanswerable itself          | `name@target`         | completed-invalid |
| to repair, not bare, the target so and nobody's choice      | itself                |                   |

To repair are bare names, names of this host, domains that validity.fault refuses, domains that an earlier
check in DNS found unable to receive, and domains at or below `also` (below only: `*.domain`).

Second, may this user use the result? Without an entry: yes. An entry's addresses may hold `*` for anything;
the local part counts letter by letter, the domain in any case.

An exception with an @ is for everybody.

| masquerade.override | an address that the user's entry does not name                    |
|---------------------|-------------------------------------------------------------------|
| allow               | stays                                                             |
| fix                 | becomes the default, rule override                                |
| refuse              | NotPermittedError (77), naming the address and the permitted ones |
"""

from __future__ import annotations

from sendmail_py.errors import NotPermittedError, printable
from sendmail_py.mail import address, addresslist, everyday
from sendmail_py.policy import validity, verdicts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import Config
    from sendmail_py.policy.identity import Host, Person

    Change = tuple[bytes, bytes, str]  # old address, new address, rule
    # Each name's domain, b"" if that holds a `*`, its pattern and its entry; results by their domains.
    Mapped = tuple[list[tuple[bytes, bytes, list[bytes]]], dict[bytes, list[bytes]]]

SHOWN = 5  # permitted addresses named in an error


class SenderRules:
    """The rules of one configuration for one user on one host; see the tables above.

    target: bytes, the domain that repaired addresses get; local: bytes, the login as a local part; entry:
    list[bytes], the user's entry, [] for none. An entry that gives no default permits `login@target` too.
    with_at: finds the names with an @ in a big table; mapped: whether there are any; at_domain: what those do
    that matter at a domain, or at b"" what all do.
    """

    __slots__ = (
        "at_domain",
        "config",
        "entry",
        "host",
        "local",
        "mapped",
        "person",
        "target",
        "verdicts",
        "with_at",
    )

    def __init__(self, config: Config, host: Host, person: Person) -> None:
        self.config = config
        self.host = host
        self.person = person
        self.target = config.masquerade.domain.encode() or host.mail_domain
        self.local = address.quote_local(person.login)
        self.verdicts: dict[bytes, str] | None = None
        self.at_domain: dict[bytes, Mapped] = {}
        self.with_at: Callable[[bytes], list[str]] | None = getattr(config.masquerade.users, "with_at", None)
        self.mapped = bool(self.names_with_at(b"@"))
        self.entry = self.entry_of(text(person.login)) or self.entry_for_everybody()
        if self.entry and not first(self.entry, self.local):
            self.entry.append(self.local + b"@" + self.target)

    def names_with_at(self, domain: bytes) -> list[str]:
        """The names with an @ in their order, of a big table those that matter at a domain (in lower case).

        For b"@" none only if there are none.
        """
        users = self.config.masquerade.users
        return self.with_at(domain) if self.with_at else [name for name in users if "@" in name]

    def mapped_at(self, domain: bytes) -> Mapped:
        """What the names with an @ do, at least at a domain (in lower case). Raises ConfigError."""
        known = domain if self.with_at else b""
        if known not in self.at_domain:
            mapped: list[tuple[bytes, bytes, list[bytes]]] = []
            results: dict[bytes, list[bytes]] = {}
            for name in self.names_with_at(domain):
                pattern, entry = address_pattern(name), self.entry_of(name)
                at = address.split(pattern)[1].lower()
                mapped.append((b"" if b"*" in at else at, pattern, entry))
                for result in [one for one in entry if b"*" not in address.split(one)[1]][:1]:
                    results.setdefault(address.split(result)[1].lower(), []).append(result)
            self.at_domain[known] = mapped, results
        return self.at_domain[known]

    def entry_of(self, login: str) -> list[bytes]:
        """The addresses and patterns of a login's own entry, complete with a domain."""
        return [self.completed(one) for one in self.config.masquerade.users.get(login, ())]

    def entry_for_everybody(self) -> list[bytes]:
        """The entry of the uid, else "*", which does not reach logins that are named as exceptions."""
        if not self.config.masquerade.users:
            return []
        number = f"uid{self.person.uid}"
        if text(self.person.login) in self.config.masquerade.exceptions:
            return self.entry_of(number)
        return self.entry_of(number) or self.entry_of("*")

    def completed(self, configured: str) -> bytes:
        """A configured address or pattern with a domain."""
        octets = configured.encode()
        return octets if b"@" in octets else octets + b"@" + self.target

    def default(self) -> bytes:
        """The reverse-path when the caller names none."""
        return self.default_with_rule()[0]

    def default_with_rule(self) -> tuple[bytes, str]:
        """The reverse-path when the caller names none, and the rule that chose it."""
        chosen = first(self.entry, self.local)
        return (chosen, "users") if chosen else self.answerable(self.local)

    def repair(self, given: bytes, author: bool = True) -> tuple[bytes, str]:
        """(address to use, name of the rule or "" if nothing changed) for an address that somebody gave.

        `author` False leaves the second step out: answers may be wanted by anybody. Raises NotPermittedError.
        """
        if not given or self.names(given, fixed=True):
            return given, ""
        new, rule = self.answerable(given.removeprefix(b"\\"))
        if author and self.entry and not self.names(new) and not self.is_kept(new):
            new, rule = self.overridden(new, rule)
        return new, rule if new != given else ""

    def names(self, given: bytes, fixed: bool = False) -> bool:
        """Whether the user's entry names this address; if `fixed`, not by a `*` in the domain."""
        entry = [one for one in self.entry if not fixed or b"*" not in address.split(one)[1]]
        return any(matches(one, given) for one in entry)

    def answerable(self, given: bytes) -> tuple[bytes, str]:
        """The first step: an address that the Internet can answer."""
        if not self.mapped:
            return self.repaired(given)
        if self.is_mapped_to(given) or self.is_kept(given):
            return given, ""
        new, rule = self.mapping(given), "address"
        if not new:
            new, rule = self.repaired(given)
            then = b"" if self.is_mapped_to(new) or self.is_kept(new) else self.mapping(new)
            new, rule = (then, "address") if then else (new, rule)
        return new, rule if new != given else ""

    def mapping(self, given: bytes) -> bytes:
        """What the names with an @ make of an address, b"" if none of them names it."""
        exact = self.entry_of(text(address.canonical(given)))
        if exact and b"@" in given:
            return first(exact, address.split(given)[0])
        local, domain = address.split(given)
        domain = domain.lower()
        for name_domain, pattern, entry in self.mapped_at(domain)[0]:
            if name_domain in (b"", domain) and matches(pattern, given):
                return first(entry, local)
        return b""

    def is_mapped_to(self, given: bytes) -> bool:
        """Whether an address is what a name with an @ gives."""
        domain = address.split(given)[1].lower()
        return any(matches(result, given) for result in self.mapped_at(domain)[1].get(domain, ()))

    def is_kept(self, given: bytes) -> bool:
        """Whether an exception with an @ names an address."""
        kept = [one for one in self.config.masquerade.exceptions if "@" in one]
        return bool(kept) and any(matches(address_pattern(one), given) for one in kept)

    def repaired(self, given: bytes) -> tuple[bytes, str]:
        """The first step, apart from names with an @."""
        local, domain = address.split(given)
        if not self.wants_repair(domain) or self.is_kept(given):
            return given, ""
        chosen = self.from_table(local)
        if chosen:
            return chosen, "users"
        if text(address.unquote_local(local)) in self.config.masquerade.exceptions:
            return (given, "") if domain else (local + b"@" + self.host.own_domain, "exception")
        return self.at_target(given, local, domain)

    def wants_repair(self, domain: bytes) -> bool:
        """Whether a domain must not leave the host; the target itself always may."""
        if domain.lower() == self.target.lower():
            return False
        return bool(self.fault(domain)) or self.in_also(domain)

    def fault(self, domain: bytes) -> str:
        """Why nobody out there can answer a domain, "" if somebody might: by its name, or by DNS before."""
        reason = validity.fault(domain, self.host.local_names)
        if not reason:
            if self.verdicts is None:
                self.verdicts = verdicts.load(self.config.queue.directory)
            reason = self.verdicts.get(domain.lower().removesuffix(b"."), "") if self.verdicts else ""
        return reason

    def in_also(self, domain: bytes) -> bool:
        """Whether the domain is one of masquerade.also or below one."""
        names = self.config.masquerade.also
        if not names:
            return False
        dotted = b"." + domain.lower()
        for name in names:
            octets = name.encode().lower()
            tail = b"." + octets.removeprefix(b"*").lstrip(b".")
            if dotted.endswith(tail) and (dotted != tail or octets[:1] != b"*"):
                return True
        return False

    def from_table(self, local: bytes) -> bytes:
        """The first address of the entry that belongs to a local part, b"" if there is none."""
        if local == self.local and self.entry:
            return first(self.entry, local)
        chosen = first(self.entry_of(text(address.unquote_local(local))), local)
        # Another login's entry is no licence for this user to leave with an unanswerable address.
        unfit = chosen and self.wants_repair(address.split(chosen)[1])
        return address.split(chosen)[0] + b"@" + self.target if unfit else chosen

    def at_target(self, given: bytes, local: bytes, domain: bytes) -> tuple[bytes, str]:
        """The local part at the target domain, as far as that helps."""
        new = local + b"@" + self.target
        unanswerable = bool(validity.fault(self.target, ()))
        if not domain and unanswerable:
            return new, "completed-invalid"
        if not domain:
            return new, "domain" if self.config.masquerade.domain else "completed"
        if unanswerable and not self.configured:
            return given, ""
        return new, "also" if self.in_also(domain) else "domain"

    @property
    def configured(self) -> bool:
        """Whether a person chose the target: then it is used even if only a private network knows it."""
        return bool(self.config.masquerade.domain or self.config.identity.domain)

    def overridden(self, new: bytes, rule: str) -> tuple[bytes, str]:
        """The second step for an address that the user's entry does not name."""
        override = self.config.masquerade.override
        if override == "allow":
            return new, rule
        if override == "refuse":
            permitted = ", ".join([printable(one, 80) for one in self.entry[:SHOWN]])
            more = ", ..." if len(self.entry) > SHOWN else ""
            who = printable(self.person.login, 40)
            raise NotPermittedError(f"{printable(new, 80)}: {who} may only send as {permitted}{more}")
        return first(self.entry, self.local), "override"

    def repair_field(self, value: bytes, author: bool = True) -> tuple[bytes, list[Change]]:
        """A header field's value (From, Sender, Reply-To ...) with its addresses repaired, and the changes.

        Only the octets of changed addresses are replaced. For Reply-To and its like `author` is False, see
        repair. Raises NotPermittedError, and AddressError for a value that is no address list, or an author
        without an address.
        """
        return edited(value, lambda given: self.repair(named(given) if author else given, author))


def complete_field(value: bytes, domain: bytes) -> bytes:
    """A recipient field's value (To, Cc, ...) with `@domain` behind bare names; the rest stays.

    So does a value that is no address list.
    """
    if everyday.has_domains(value):
        return value
    try:
        return edited(value, lambda given: completed_with(given, domain))[0]
    except address.AddressError:
        return value


def named(given: bytes) -> bytes:
    """An author's address, which neither `<>` nor a bare `"Some Name"` is. Raises AddressError."""
    if not given or (given[:1] == given[-1:] == b'"' and (b" " in given or len(given) < 3)):
        raise address.AddressError(f"{address.shown(given) or '<>'}: an author has an address")
    return given


def completed_with(given: bytes, domain: bytes) -> tuple[bytes, str]:
    """See complete_field; `<>` stays."""
    if not given or address.split(given)[1]:
        return given, ""
    return given.removeprefix(b"\\") + b"@" + domain, "completed"


def edited(value: bytes, rule_for: Callable[[bytes], tuple[bytes, str]]) -> tuple[bytes, list[Change]]:
    """The value with the addresses replaced for which `rule_for` gives another one, and the changes.

    Raises AddressError for a value that is no address list.
    """
    pieces, changes, kept = [], [], 0
    for mailbox in addresslist.parse_list(value):
        new, rule = rule_for(mailbox.address)
        if new != mailbox.address:
            pieces += [value[kept : mailbox.start], new]
            changes.append((mailbox.address, new, rule))
            kept = mailbox.end
    return (b"".join([*pieces, value[kept:]]) if changes else value), changes


def first(entry: list[bytes], local: bytes) -> bytes:
    """The first address of an entry, a `*` before the @ being the local part; b"" if there is none."""
    for one in entry:
        name, domain = address.split(one)
        if b"*" not in domain:
            return put_in(name, local) + b"@" + domain if b"*" in name else one
    return b""


def address_pattern(name: str) -> bytes:
    """A configured name with an @ as a pattern: `@domain` is `*@domain`."""
    octets = name.encode("utf-8", "surrogateescape")
    return b"*" + octets if octets[:1] == b"@" else octets


def put_in(pattern: bytes, local: bytes) -> bytes:
    """A local part for each `*` of a pattern, in wire form."""
    return address.quote_local(address.unquote_local(pattern).replace(b"*", address.unquote_local(local)))


def matches(pattern: bytes, given: bytes) -> bool:
    """Whether a pattern, in which `*` stands for any octets but the @ in the middle, names an address."""
    pattern_local, pattern_domain = address.split(pattern)
    local, domain = address.split(given)
    fits = glob(pattern_domain.lower(), domain.lower())
    return fits and glob(address.unquote_local(pattern_local), address.unquote_local(local))


def glob(pattern: bytes, octets: bytes) -> bool:
    """Match `*` only; from left to right, which is enough when there is no other wildcard."""
    if b"*" not in pattern:
        return pattern == octets
    head, *rest = pattern.split(b"*")
    tail = rest.pop()
    if len(octets) < len(head) + len(tail) or not (octets.startswith(head) and octets.endswith(tail)):
        return False
    at, end = len(head), len(octets) - len(tail)
    for piece in rest:
        at = octets.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def text(login: bytes) -> str:
    """A login as the configuration writes it."""
    return login.decode("utf-8", "surrogateescape")
