"""The sender rules, applied once more by the relay: whoever wrote the queue file, its owner is the sender.

Guarantees: no envelope and no field that names an author leaves with an address that the owner may not use;
what the rules allow stays octet for octet. Content that needs a change is changed in the relay's own copy.
"""

from __future__ import annotations

from sendmail_py.errors import DataError, NotPermittedError, SendmailError
from sendmail_py.mail import address, addresslist, header
from sendmail_py.policy import alias_text, aliases, identity, masquerade

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sendmail_py.mail.envelope import Envelope
    from sendmail_py.policy.aliases import Aliases
    from sendmail_py.policy.config import Config
    from sendmail_py.policy.identity import Host
    from sendmail_py.policy.masquerade import SenderRules
    from sendmail_py.shared.copies import Copy

AUTHORS = (b"from", b"sender", b"resent-from", b"resent-sender")
LONGEST_AUTHORS = 1 << 16  # octets of all fields that name authors
LONGEST_HEADER = 1 << 24  # octets
MOST_FIELDS = 50_000
OWNER = b"owner-"  # the local part of those who own an alias (aliases(5))


def rules_for(config: Config, host: Host, uid: int) -> SenderRules:
    """The rules for the proven owner of a spool."""
    return masquerade.SenderRules(config, host, identity.of(uid))


def prove(envelope: Envelope, rules: SenderRules) -> str:
    """Put the address that the rules give into the envelope; the rule's name, "" if nothing changed.

    Raises NotPermittedError when the rules refuse the sender, SendmailError when they have none for him.
    """
    given = envelope.reverse_path
    is_owner = envelope.rule == b"owner" and is_list_owner(given, rules)
    new, rule = rules.answerable(given) if is_owner else rules.repair(given)
    envelope.reverse_path = new
    return rule if new != given else ""


def is_list_owner(given: bytes, rules: SenderRules) -> bool:
    """Whether reports to that address go to who owns an alias of this host, as at submission."""
    local, domain = address.split(given)
    if local.startswith(OWNER) and domain.lower() == rules.target.lower():
        return True
    settings = rules.config.aliases
    known = aliases.load(settings.files, settings.default)
    found = [one for name in owners_in(settings.files) for one in resolved(known, name, rules.host)]
    return any(address.same(given, rules.answerable(one)[0]) for one in found)


def owners_in(files: list[str]) -> list[bytes]:
    """The names of aliases that own others, as far as their lines begin with them."""
    keys: list[bytes] = []
    for path in files:
        try:
            lines = alias_text.read(path).split(b"\n")
        except SendmailError:
            continue
        keys += [line.partition(b":")[0].strip() for line in lines]
    return [key for key in keys if key.lower().startswith(OWNER)]


def resolved(known: Aliases, name: bytes, host: Host) -> list[bytes]:
    """Whom an alias stands for, complete with a domain; nobody when it cannot be read."""
    try:
        found = known.owner(name, host)
    except SendmailError:
        return []
    return [found if b"@" in found else found + b"@" + host.mail_domain]


def content(copy: Copy, rules: SenderRules) -> list[bytes] | None:
    """The header, repaired, as a list of pieces that ends with its empty line; None when it may stay.

    One that does not end with an empty line gets one: what follows is no header for anybody then.
    Raises NotPermittedError when the rules refuse an author, DataError for a header that would take long.
    """
    fields, _, changed = head(copy)
    if sum(len(one) for one in fields if header.name(one) in AUTHORS) > LONGEST_AUTHORS:
        raise DataError("the fields of the header that name authors are too long")
    pieces = []
    for field in fields:
        new = repaired(field, rules) if header.name(field) in AUTHORS else field
        changed = changed or new is not field
        pieces.append(new)
    return [*pieces, b"\r\n"] if changed else None


def repaired(field: bytes, rules: SenderRules) -> bytes:
    """A field that names authors; the same object when nothing in it changes."""
    override = rules.config.masquerade.override
    if rules.entry and override != "allow" and not names_anybody(field):
        if override == "refuse":
            raise NotPermittedError("a field of the header that names an author cannot be read")
        return header.rebuild(field, b" " + rules.default() + b"\r\n")
    try:
        value, changes = masquerade.edited(header.value(field), rules.repair)
    except address.AddressError:  # nobody is kept from using any address: it stays
        return field
    return header.rebuild(field, value) if changes else field


def names_anybody(field: bytes) -> bool:
    """Whether a field can be read, so that its addresses can be judged."""
    try:
        return bool(addresslist.parse_list(header.value(field)))
    except address.AddressError:
        return False


def head(copy: Copy) -> tuple[list[bytes], int, bool]:
    """The fields of the header, how many octets they and the empty line are, whether that line is missing."""
    splitter = header.Splitter()
    octets = 0
    for piece in copy.chunks():
        octets += len(piece)
        splitter.feed(piece)
        if len(splitter.fields) > MOST_FIELDS or octets > LONGEST_HEADER + len(splitter.body):
            raise DataError("the header is too long")
        if splitter.done:
            end = octets - len(splitter.body)
            return splitter.fields, end, not has_empty_line(copy, end)
    splitter.finish()
    return splitter.fields, octets - len(splitter.body), bool(octets)


def has_empty_line(copy: Copy, end: int) -> bool:
    """Whether an empty line is the last one of the first `end` octets."""
    last, left = b"", end
    for piece in copy.chunks():
        last = (last + piece[:left])[-4:]
        left -= len(piece)
        if left <= 0:
            break
    return last == b"\r\n\r\n" or (end == 2 and last == b"\r\n")


def body(copy: Copy) -> Iterator[bytes]:
    """The content behind the header and its empty line."""
    skip = head(copy)[1]
    for piece in copy.chunks():
        if skip < len(piece):
            yield piece[skip:]
        skip = max(0, skip - len(piece))


def why_not(fault: SendmailError) -> str:
    """The words for a message that may not leave like that."""
    return f"the sender rules do not let this user send it: {fault}"
