"""A message to lists that have owners (`owner-NAME`, aliases(5)), or to folders: several envelopes.

Reached through one door of submit.py, when an alias that has an owner, or a target on this machine, was
expanded. Guarantees: each recipient is in one envelope; who came from a list without an owner, or from none,
keeps the reverse-path; a report (null reverse-path) stays one; what is delivered here is in an envelope
without those who are reached by a smart host.
"""

from __future__ import annotations

from sendmail_py.mail import address
from sendmail_py.mail.envelope import Envelope
from sendmail_py.submission import recipients

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.aliases import Aliases
    from sendmail_py.policy.masquerade import SenderRules


def split(envelope: Envelope, rules: SenderRules, known: Aliases) -> list[Envelope]:
    """The envelopes, in the order of their first recipients; the given one is changed."""
    original = envelope.original or envelope.reverse_path
    paths: dict[bytes, bytes] = {b"": envelope.reverse_path}
    found: dict[tuple[bytes, bool], Envelope] = {}
    everybody, envelope.recipients = envelope.recipients, []
    for one in everybody:
        alias = known.owned.get(address.canonical(one.address), b"")
        if not envelope.reverse_path:
            alias = b""
        if alias not in paths:
            owner = recipients.complete(known.owner(alias, rules.host), rules.host)
            paths[alias] = rules.answerable(owner)[0]
        way = (paths[alias], address.is_local_target(one.address))
        if way not in found:
            found[way] = another(envelope, paths[alias], original) if found or alias else envelope
        found[way].recipients.append(one)
    return list(found.values())


def another(envelope: Envelope, path: bytes, original: bytes) -> Envelope:
    """An envelope without recipients like this one, whose bad addresses somebody else may hear of."""
    made = Envelope(path, [], envelope.created)
    for name in ("body", "changes", "eight_bit", "ret", "envid", "hold", "wishes", "uid", "login"):
        setattr(made, name, getattr(envelope, name))
    if path == envelope.reverse_path:
        made.original, made.rule = envelope.original, envelope.rule
    else:
        made.original, made.rule = original, b"owner"
    return made
