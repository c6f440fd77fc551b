"""From and Sender fields that nobody could answer: without an address, or no address list (RFC 5322 3.6.2).

Programs write `From: Nightly Backup`, `From: "$NAME" <$EMAIL>` with an empty variable, and addresses without
their brackets; providers refuse such mail. Reached through one door of complete.py.

Guarantees: what comes out is an address list, and its addresses passed the sender rules or are the sender's
own; a name that was written there stays readable; a group without members (RFC 6854) stays as it is.
"""

from __future__ import annotations

from sendmail_py.mail import address, addresslist, header
from sendmail_py.policy import masquerade

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.masquerade import Change, SenderRules

RECORDED = 998  # octets of a malformed value in the queue file
MISSING, MALFORMED = "missing", "malformed"
NO_MARKS = bytes.maketrans(address.SPECIALS.replace(b"@", b"") + b"\r\n\t", b" " * 14)


def mended(value: bytes, rules: SenderRules, own: bytes) -> tuple[bytes, list[Change]]:
    """The value with `own` for each address that is missing, and the changes. Raises NotPermittedError.

    If it is no address list, it becomes the first address that can be seen in it, else `own`, with the name
    that is before a `<`, else with all the rest as the name.
    """

    def rule_for(given: bytes) -> tuple[bytes, str]:
        return rules.repair(masquerade.named(given)) if given else (own, MISSING)

    try:
        new, changes = masquerade.edited(value, rule_for)
    except address.AddressError:
        changes = []
    if changes:
        return new, changes
    words = value.translate(NO_MARKS).split()
    seen = [word for word in words if addresslist.is_plain(word) and not address.octets_fault(word)]
    new = rules.repair(seen[0])[0] if seen else own
    before = value.partition(b"<")[0].translate(NO_MARKS).split()
    name = b" ".join([word for word in before or words if word not in seen[:1]])
    written = header.author(new, name.decode("utf-8", "surrogateescape"))
    return b" " + written + header.CRLF, [(value.strip()[:RECORDED], new, MALFORMED)]
