"""What would become of a message: each address before and after the rules, with the rule and its reason.

Pure: configuration, person and header fields in, lines out; nothing is queued, sent or asked. The rules are
those that a submission applies (submission.submit, policy.masquerade, policy.aliases); only what they say of
themselves is added.
"""

from __future__ import annotations

from sendmail_py.errors import NotPermittedError, SendmailError, printable
from sendmail_py.mail import address, addresslist, header
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.policy import masquerade
from sendmail_py.policy.aliases import Aliases
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.relay import smarthost
from sendmail_py.submission import authors, complete, owners, recipients, submit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sendmail_py.submission.submit import Wish

SHOWN = 320
SENDER_FIELDS = (*complete.AUTHORS, *complete.ANSWERS)

REASONS = {
    "users": "{fault}; {whose} entry in [masquerade.users] names the address",
    "address": "[masquerade.users] has a name with an @ that is meant for it",
    "override": "{login} may not use it (masquerade.override, [masquerade.users])",
    "domain": "{fault}; the domain for senders is {target}",
    "also": "the domain is one of masquerade.also, or below one",
    "exception": "{fault}; {local} is one of masquerade.exceptions",
    "completed": "{fault}; completed with the mail domain",
    "completed-invalid": "{fault}; but nobody can answer {target} either: set identity.domain",
    "owner": "for {whose}: of an alias that has an owner",
    authors.MISSING: "no address; the one of whoever sends is put in",
    authors.MALFORMED: "no address list; written anew, with the address in it or the one of whoever sends",
}


class Line:
    """One address: what it is (`envelope sender`, `From`, `To`, ...), before, after, rule, reason.

    rule is "" when the address stays, "refused" when the message would not be accepted because of it.
    """

    __slots__ = ("after", "before", "reason", "rule", "what")

    def __init__(self, what: str, before: bytes, after: bytes, rule: str, reason: str) -> None:
        self.what = what
        self.before = printable(before, SHOWN)
        self.after = printable(after, SHOWN)
        self.rule = rule
        self.reason = reason

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {name: getattr(self, name) for name in ("what", "before", "after", "rule", "reason")}


class Explanation:
    """sender, header and recipients: Line lists; smarthosts: names; status: the submission's exit status.

    reverse_path: the envelope sender that would leave, None if the message would be refused.
    """

    def __init__(self, rules: SenderRules) -> None:
        self.rules = rules
        self.sender: list[Line] = []
        self.header: list[Line] = []
        self.recipients: list[Line] = []
        self.smarthosts: list[str] = []
        self.reverse_path: bytes | None = None
        self.status = 0

    def refused(self, what: str, before: bytes, fault: SendmailError) -> Line:
        """A line for what a submission refuses."""
        self.status = self.status or fault.status
        return Line(what, before, b"", "refused", str(fault))

    def of_sender(self, what: str, before: bytes, author: bool = True) -> Line:
        """A line for a sender's address."""
        try:
            after, rule = self.rules.repair(before, author)
        except NotPermittedError as fault:
            return self.refused(what, before, fault)
        return Line(what, before, after, rule, self.reason(before, rule))

    def of_answer(self, what: str, before: bytes) -> Line:
        """A line for an address that answers go to."""
        return self.of_sender(what, before, author=False)

    def reason(self, before: bytes, rule: str) -> str:
        """Why a rule applied, or why none did."""
        rules = self.rules
        local, domain = address.split(before)
        fault = rules.fault(domain)
        login = printable(rules.person.login, SHOWN)
        whose = "the user's" if local == rules.local else f"{printable(local, SHOWN)}'s"
        if rule:
            words = {
                "fault": fault or "valid",
                "login": login,
                "whose": whose,
                "local": printable(local, SHOWN),
            }
            return REASONS.get(rule, rule).format(target=printable(rules.target, SHOWN), **words)
        if not before:
            return "the null reverse-path stays null"
        if rules.names(before):
            return "the user's entry in [masquerade.users] names it"
        if rules.is_kept(before) or rules.is_mapped_to(before):
            return "the configuration names it"
        if fault and domain.lower() != rules.target.lower():
            return f"{fault}; but nothing better is known: set identity.domain or masquerade.domain"
        return "the Internet may answer it" if not fault else f"{fault}; but it is the domain for senders"


class TracedAliases(Aliases):
    """Aliases that remember in `steps` which names had targets: `name -> targets as written`."""

    def __init__(self, files: list[str], default: str, forward: bool) -> None:
        super().__init__(files, default, forward)
        self.steps: list[str] = []

    def look_up(self, local: bytes, domain: bytes, here: bool) -> tuple[bytes, bytes | None]:
        """See Aliases."""
        key, value = super().look_up(local, domain, here)
        if value is not None:
            step = f"{printable(key, SHOWN)}: {printable(value.strip(), SHOWN)}"
            if step not in self.steps:
                self.steps.append(step)
        return key, value


def explain(wish: Wish, fields: list[bytes], rules: SenderRules) -> Explanation:
    """What a submission of these header fields by the person of the rules would come to.

    Raises UsageError for what cannot be read as arguments.
    """
    found = Explanation(rules)
    settings = rules.config.aliases
    known = TracedAliases(settings.files, settings.default, settings.forward) if wish.aliases else None
    if known is not None and rules.config.queue.directory and not rules.config.queue.shared:
        known.maildir, known.agents = settings.maildir, settings.agents
    envelope = Envelope(b"", [])
    of_envelope_sender(found, envelope, wish)
    found.recipients += list(of_recipients(found, envelope, wish, fields, known))
    of_owners(found, envelope, known)
    own = submit.sender_of(envelope, rules)
    found.header += list(of_header(found, fields, own))
    if not any(header.name(field) == b"from" and header.unfolded(field) for field in fields):
        found.header.append(Line("From", b"", own, "added", "the message has none"))
    if found.reverse_path is not None:
        hosts = rules.config.smarthosts
        found.smarthosts = [one.name for one in hosts if smarthost.serves(one, found.reverse_path)]
    return found


def of_envelope_sender(found: Explanation, envelope: Envelope, wish: Wish) -> None:
    """The line of the envelope sender, with or without -f."""
    rules = found.rules
    given = None if wish.sender is None else submit.sender_address(wish.sender)
    before = rules.local if given is None else given
    try:
        submit.address_envelope(envelope, rules, given)
    except NotPermittedError as fault:
        found.sender.append(found.refused("envelope sender", before, fault))
        return
    after, rule = envelope.reverse_path, envelope.rule.decode()
    found.reverse_path = after
    found.sender.append(Line("envelope sender", before, after, rule, found.reason(before, rule)))


def of_owners(found: Explanation, envelope: Envelope, known: TracedAliases | None) -> None:
    """A line more for each owner of a list who is to hear of its bad addresses."""
    if found.status or known is None or not (known.local or any(known.owned.values())):
        return
    before = envelope.reverse_path
    envelopes = owners.split(envelope, found.rules, known)
    found.reverse_path = envelopes[0].reverse_path
    for one in envelopes:
        if one.rule == b"owner":
            whose = ", ".join([printable(recipient.address, SHOWN) for recipient in one.recipients])
            reason = REASONS["owner"].format(whose=whose)
            found.sender.append(Line("envelope sender", before, one.reverse_path, "owner", reason))


def of_recipients(
    found: Explanation, envelope: Envelope, wish: Wish, fields: list[bytes], known: TracedAliases | None
) -> Iterator[Line]:
    """A line for each address that would get the message, in the order in which they were given.

    Those that do get it are in the envelope then.
    """
    given = recipients.from_operands(wish.operands)
    if wish.from_header:
        given += recipients.from_header(fields)
    host, seen = found.rules.host, set()
    for one in given:
        if known is not None:
            known.steps.clear()
        try:
            finals = recipients.expand(one, host, known)
            for final in finals:
                if not address.is_local_target(final):
                    address.check(final)
        except SendmailError as fault:
            yield found.refused("recipient", one, fault)
            continue
        for final in finals:
            again = address.canonical(final) in seen
            if not again:
                envelope.recipients.append(Recipient(final))
            seen.add(address.canonical(final))
            rule, reason = how(one, final, found.rules, known)
            yield Line("recipient", one, final, rule, reason + ("; a duplicate" if again else ""))


def how(given: bytes, final: bytes, rules: SenderRules, known: TracedAliases | None) -> tuple[str, str]:
    """(rule, reason) for a recipient."""
    if known is not None and known.steps:
        return "alias", "; ".join(known.steps)
    if final == given:
        return "", "as it was given"
    if [final] == recipients.expand(given, rules.host, None):
        return "completed", "no alias names it; completed with the mail domain"
    if known is not None and known.forward and not known.default:
        return "forward", "a ~/.forward"
    return "default", "no alias names it; aliases.default or a ~/.forward"


def of_header(found: Explanation, fields: list[bytes], own: bytes) -> Iterator[Line]:
    """A line for each address in a sender field, and for each bare name in a recipient field."""
    rules, senders = found.rules, found.rules.config.masquerade.headers
    for field in fields:
        name = header.name(field)
        what = printable(field[: field.find(b":")].strip(), SHOWN)
        if name in complete.AUTHORS and senders:
            yield from of_authors(found, what, field, own)
        elif name in complete.ANSWERS and senders:
            yield from of_list(what, field, found.of_answer)
        elif name in SENDER_FIELDS or name in complete.RECIPIENTS:
            yield from of_list(what, field, lambda what, one: of_bare(what, one, rules.host.mail_domain))


def of_authors(found: Explanation, what: str, field: bytes, own: bytes) -> Iterator[Line]:
    """A line for each author; `own` stands for those without an address."""
    text, rule = header.unfolded(field), authors.MALFORMED
    try:
        new, changes = complete.repair_senders(header.value(field), found.rules, True, own)
    except NotPermittedError as fault:
        lines = list(of_list(what, field, found.of_sender))
        named = any(line.rule == "refused" for line in lines)
        yield from lines if named else [found.refused(what, text, fault)]
        return
    if changes and changes[0][2] == rule:
        yield Line(what, text, new.strip(), rule, REASONS[rule])
        return
    for line in of_list(what, field, found.of_sender):
        missing = not line.before
        yield Line(what, b"", own, authors.MISSING, REASONS[authors.MISSING]) if missing else line


def of_list(what: str, field: bytes, line_of: Callable[[str, bytes], Line | None]) -> Iterator[Line]:
    """A line for each address of a field."""
    try:
        mailboxes = addresslist.parse_list(header.value(field))
    except address.AddressError as fault:
        text = header.unfolded(field)
        yield Line(what, text, text, "", f"no address list, so it stays: {fault}")
        return
    for mailbox in mailboxes:
        line = line_of(what, mailbox.address)
        if line is not None:
            yield line


def of_bare(what: str, given: bytes, domain: bytes) -> Line | None:
    """A line for a bare name that is completed, None for any other address."""
    after, rule = masquerade.completed_with(given, domain)
    return Line(what, given, after, rule, "completed with the mail domain") if rule else None
