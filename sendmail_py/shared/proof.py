"""The sender rules, applied once more by the relay: whoever wrote the queue file, its owner is the sender.

Guarantees: no envelope and no field that names an author leaves with an address that the owner may not use;
what the rules allow stays octet for octet. Content that needs a change is changed in the relay's own copy.
"""

from __future__ import annotations

from sendmail_py.errors import SendmailError
from sendmail_py.mail import address, header
from sendmail_py.policy import identity, masquerade

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sendmail_py.mail.envelope import Envelope
    from sendmail_py.policy.config import Config
    from sendmail_py.policy.identity import Host
    from sendmail_py.policy.masquerade import SenderRules
    from sendmail_py.shared.copies import Copy

AUTHORS = (b"from", b"sender", b"resent-from", b"resent-sender")
OWNER = b"owner-"  # the local part of those who own an alias (aliases(5))


def rules_for(config: Config, host: Host, uid: int) -> SenderRules:
    """The rules for the proven owner of a spool."""
    return masquerade.SenderRules(config, host, identity.of(uid))


def prove(envelope: Envelope, rules: SenderRules) -> str:
    """Put the address that the rules give into the envelope; the rule's name, "" if nothing changed.

    Raises NotPermittedError when the rules refuse the sender, SendmailError when they have none for him.
    """
    given = envelope.reverse_path
    new, rule = rules.repair(given)
    if rule == "override" and envelope.rule == b"owner" and address.split(given)[0].startswith(OWNER):
        new, rule = rules.answerable(given)  # as at submission: reports about an alias go to its owner
    envelope.reverse_path = new
    return rule if new != given else ""


def content(copy: Copy, rules: SenderRules) -> list[bytes] | None:
    """The header, repaired, as a list of pieces that ends with its empty line; None when it may stay.

    Raises NotPermittedError when the rules refuse an author.
    """
    fields, _ = head(copy)
    changed = False
    pieces = []
    for field in fields:
        new = repaired(field, rules) if header.name(field) in AUTHORS else field
        changed = changed or new is not field
        pieces.append(new)
    return [*pieces, b"\r\n"] if changed else None


def repaired(field: bytes, rules: SenderRules) -> bytes:
    """A field that names authors; the same object when nothing in it changes."""
    value, changes = masquerade.edited(header.value(field), rules.repair)
    return header.rebuild(field, value) if changes else field


def head(copy: Copy) -> tuple[list[bytes], int]:
    """The fields of the header, and how many octets of the content they and the empty line are."""
    splitter = header.Splitter()
    octets = 0
    for piece in copy.chunks():
        octets += len(piece)
        splitter.feed(piece)
        if splitter.done:
            break
    else:
        splitter.finish()
    return splitter.fields, octets - len(splitter.body)


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
