"""Domains beyond ASCII as A-labels (RFC 5890 2.3.2.1), for servers that have no SMTPUTF8 (RFC 6531 3.2).

Guarantees: what comes out means the same mailbox, or is what came in: a local part beyond ASCII has no other
form, and a domain that no A-labels stand for keeps its own. Pure.
"""

from __future__ import annotations

from sendmail_py.mail import address

# The mapping of IDNA 2003, which Python has, makes other letters of these, so another domain (RFC 5894 7.2).
DEVIATIONS = frozenset("ß\u1e9eς\u200c\u200d")

LONGEST = 4 * address.DOMAIN_LIMIT  # octets that may fit as A-labels; old Pythons are slow with more


def in_ascii(mailbox: bytes) -> bytes:
    """The address with its domain in ASCII, if there is such a form."""
    if mailbox.isascii():
        return mailbox
    local, domain = address.split(mailbox)
    if len(domain) > LONGEST:
        return mailbox
    try:
        new = local + b"@" + a_labels(domain.decode())
    except UnicodeError:
        return mailbox
    return new if new.isascii() and not address.domain_fault(address.split(new)[1]) else mailbox


def a_labels(domain: str) -> bytes:
    """The domain with each label that is not ASCII as an A-label. Raises UnicodeError."""
    return b".".join([a_label(label) for label in domain.split(".")])


def a_label(label: str) -> bytes:
    """One label. Raises UnicodeError."""
    if not DEVIATIONS.isdisjoint(label):
        return b"xn--" + label.lower().encode("punycode")
    return label.encode("idna")
