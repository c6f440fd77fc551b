"""Mail addresses on octets: check them for SMTP, take them apart, quote them.

An address is `local@domain`, the local part in wire form (RFC 5321 4.1.2): quoted where it must be. Octets
above 127 count as letters (RFC 6532). addresslist.py finds addresses in texts.
"""

from __future__ import annotations

from sendmail_py.errors import DataError, printable

ADDRESS_LIMIT = 1000  # octets; RFC 5321 4.5.3.1.3 demands 256, lists with coded return addresses use more
DOMAIN_LIMIT = 255  # RFC 5321 4.5.3.1.2
SHOWN = 80  # characters of a bad address in an error

HERE = "local:"  # transport of what stands for this machine among the smart hosts; no configuration says it

SPECIALS = b'()<>[]:;@\\,"'  # RFC 5322 3.2.3 without the dot, which scans as part of an atom
LDH = b"-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
NAME = LDH + bytes(range(128, 256))
ATOM = NAME + b"!#$%&'*+./=?^`{|}~"
PRINTABLE = ATOM + SPECIALS + b" \t"


class AddressError(DataError):
    """A text that is no address, or an address that SMTP cannot carry; the text names it."""


def forbid_controls(text: bytes) -> None:
    """Refuse control characters in an argument: all octets below 32 but the tab, and 127."""
    if text.translate(None, PRINTABLE):
        raise AddressError(f"{shown(text)}: control character in an address")


def check(address: bytes) -> None:
    """Refuse what must not follow MAIL FROM or RCPT TO (RFC 5321 4.1.2, 6531 3.3).

    An envelope address has a local part and a domain, at most 1000 octets (the domain 255), no control
    characters, blanks or brackets outside quotes, and UTF-8 only. The null reverse-path is not an address.
    """
    local, domain = split(address)
    reason = octets_fault(address) or local_fault(local) or domain_fault(domain)
    if reason:
        raise AddressError(f"{shown(address)}: {reason}")


def octets_fault(address: bytes) -> str:
    """Why SMTP cannot carry these octets at all; "" if it can."""
    if len(address) > ADDRESS_LIMIT:
        return f"an address has at most {ADDRESS_LIMIT} octets"
    if address.translate(None, PRINTABLE) or b"\t" in address:
        return "control character in an address"
    if address.isascii():
        return ""
    try:
        text = address.decode()
    except UnicodeDecodeError:
        return "an address is ASCII or UTF-8"
    # Other invisible characters are needed by some scripts. No-break spaces come with what was pasted.
    unfit = any("\x80" <= c <= "\x9f" or (c > "\x7f" and c.isspace()) for c in text)
    return "a control character or blank beyond ASCII in an address" if unfit else ""


def local_fault(local: bytes) -> str:
    """Why this is no local part in wire form (RFC 5321 4.1.2, `Local-part`); "" if it is one."""
    if not local.startswith(b'"'):
        fits = dots_fit(local) and not local.translate(None, ATOM)
        return "" if fits else "the local part (before the @) is malformed"
    body = local[1:-1].replace(b"\\\\", b"").replace(b'\\"', b"")
    fits = len(local) > 1 and local.endswith(b'"') and b'"' not in body and not body.endswith(b"\\")
    return "" if fits else "the quotes of the local part do not fit"


def domain_fault(domain: bytes) -> str:
    """Why this is no domain (RFC 5321 4.1.2, RFC 1123 2.1); "" if it is one.

    U-labels are UTF-8. The underscore is tolerated: hosts are called so, and DNS carries it. Whether the
    Internet knows the domain is another question (policy.validity).
    """
    if domain.startswith(b"["):
        return "" if is_literal(domain) else "the address literal is malformed"
    if not domain:
        return "no domain"
    if len(domain) > DOMAIN_LIMIT:
        return f"a domain has at most {DOMAIN_LIMIT} octets"
    if domain.translate(None, NAME).strip(b"."):
        return "the domain holds a character that no domain has"
    labels = domain.split(b".")
    for label in labels:
        if not label or label[0] == 45 or label[-1] == 45 or (len(label) > 63 and label.isascii()):
            return "a part of the domain is empty, too long or has a hyphen at its edge"
    # RFC 3696 2: no top-level domain is all digits, so this is an address without its brackets.
    return "an address of the Internet Protocol needs brackets" if labels[-1].isdigit() else ""


def are_domains(found: set[bytes]) -> bool:
    """Whether domain_fault surely finds nothing in any of these (at least one), at a fraction of its price.

    False says nothing: a literal or a last part that ends with a digit, say, is for domain_fault alone.
    """
    line = b".%s." % b".".join(found)
    return (
        not line.translate(None, NAME + b".")
        and not (b".." in line or b".-" in line or b"-." in line)
        and max(map(len, line.split(b"."))) <= 63
        and max(map(len, found)) <= DOMAIN_LIMIT
        and not any([one[-1:].isdigit() for one in found])  # noqa: C419 (a generator takes longer)
    )


def is_literal(domain: bytes) -> bool:
    """Whether this is `[...]` around octets that may stand there (RFC 5321 4.1.3)."""
    inside = domain[1:-1]
    return domain.endswith(b"]") and bool(inside) and not inside.translate(None, LDH + b".:")


def is_local_target(address: bytes) -> bool:
    """Whether a forward-path is a folder or program on this machine (policy/local_targets.py), no mailbox."""
    return address[:1] == b'"' and address[-1:] == b'"' and address[1:10].startswith((b"|", b"maildir:/"))


def split(address: bytes) -> tuple[bytes, bytes]:
    """(local part, domain); the domain of a bare name is b"". An @ inside quotes does not count."""
    local, at, domain = address.rpartition(b"@")
    if not at or domain.endswith(b'"'):
        return address, b""
    return local, domain


def canonical(address: bytes) -> bytes:
    """The address with its domain in lower case: equal for addresses that mean the same mailbox."""
    local, domain = split(address)
    return local + b"@" + domain.lower() if domain else local


def same(one: bytes, other: bytes) -> bool:
    """Whether both mean the same mailbox; only in domains letter case does not count (RFC 5321 2.4)."""
    return canonical(one) == canonical(other)


def quote_local(raw: bytes) -> bytes:
    """A local part in wire form, quoted if it needs to be; `raw` is without quotes (a login, say)."""
    if dots_fit(raw) and not raw.translate(None, ATOM):
        return raw
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def unquote_local(local: bytes) -> bytes:
    """What a local part in wire form says, without quotes and quoting backslashes."""
    if not local.startswith(b'"'):
        return local
    body = local[1:-1]
    if b"\\" not in body:
        return body
    return b"\\".join([pair.replace(b"\\", b"") for pair in body.split(b"\\\\")])


def dots_fit(text: bytes) -> bool:
    """Whether something stands before, between and after all dots (`dot-atom-text`, RFC 5322 3.2.3)."""
    return bool(text) and text[0] != 46 != text[-1] and b".." not in text


def shown(text: bytes) -> str:
    """A piece of a foreign text as it stands in an error."""
    return printable(text.strip(), SHOWN)
