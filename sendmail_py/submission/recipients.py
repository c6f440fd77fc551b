"""Who gets the message: operands or header fields, aliases, duplicates.

One bad address refuses the whole message (EX_DATAERR): the caller knows at once, and trying
again does not send twice to the good ones.
"""

from __future__ import annotations

from sendmail_py.errors import UsageError
from sendmail_py.mail import address, addresslist, everyday, header
from sendmail_py.mail.envelope import Recipient
from sendmail_py.policy.aliases import Aliases, refuse
from sendmail_py.policy.identity import Host

TO_FIELDS = (b"to", b"cc", b"bcc")
RESENT_FIELDS = (b"resent-to", b"resent-cc", b"resent-bcc")


def from_operands(operands: list[bytes]) -> list[bytes]:
    """The addresses of the command line; each operand may be a list. Raises UsageError, DataError."""
    plain = everyday.all_addresses(operands)
    if plain is not None:
        return plain
    found = []
    for operand in operands:
        without_controls(operand)
        found += addresslist.addresses(operand)
    return found


def without_controls(argument: bytes) -> None:
    """Nobody writes a line break into an argument by mistake: UsageError, where bad syntax is a DataError."""
    try:
        address.forbid_controls(argument)
    except address.AddressError as fault:
        raise UsageError(str(fault)) from None


def from_header(fields: list[bytes]) -> list[bytes]:
    """The addresses of To, Cc and Bcc, or of all the Resent- ones when there are any. Raises DataError."""
    wanted = TO_FIELDS
    if any(header.name(field) in RESENT_FIELDS for field in fields):
        wanted = RESENT_FIELDS
    found = []
    for field in fields:
        if header.name(field) in wanted:
            found += addresslist.addresses(header.value(field))
    return found


def resolve(given: list[bytes], host: Host, aliases: Aliases | None) -> list[Recipient]:
    """The forward-paths: local names expanded and completed, each address once.

    aliases is None when the caller forbade them (-n). Raises UsageError when nobody is left.
    """
    plain = final(given, host, aliases)
    if plain:
        keep_owners(aliases, plain, [])
        return [Recipient(one) for one in plain]
    found: dict[bytes, Recipient] = {}
    for one in given:
        forwards = final([one], host, aliases)
        keep_owners(aliases, forwards, [])
        for forward in forwards or expand(one, host, aliases):
            if not address.is_local_target(forward):
                address.check(forward)
            recipient = Recipient(forward, orcpt=original(one, forward, host))
            found.setdefault(address.canonical(forward), recipient)
    if not found:
        raise UsageError("no recipients; name them as arguments, or use -t and a To, Cc or Bcc field")
    return list(found.values())


def final(given: list[bytes], host: Host, aliases: Aliases | None) -> list[bytes]:
    """The given addresses, each once, if they are surely forward-paths as they are; else [].

    That is so when all are everyday addresses at domains of others, which no alias file mentions. Then no
    address is looked at by itself, so that a thousand cost a submission little more than one.
    """
    domains = everyday.domains(given)
    lower = {domain.lower() for domain in domains}
    if not lower or max(map(len, given)) > address.ADDRESS_LIMIT or not address.are_domains(lower):
        return []
    if host.local_names.may_hold(lower) or (aliases is not None and aliases.may_name(lower)):
        return []
    if lower == domains:
        return list(dict.fromkeys(given))
    found: dict[bytes, bytes] = {}
    for one in given:
        found.setdefault(address.canonical(one), one)
    return list(found.values())


def expand(one: bytes, host: Host, aliases: Aliases | None) -> list[bytes]:
    """One given address as complete forward-paths. Raises DataError for programs and files."""
    if not one:
        return []
    direct = one.startswith(b"\\")
    if aliases is not None and not direct:
        found = [complete(final, host) for final in aliases.resolve(one, host)]
        keep_owners(aliases, found, aliases.owners)
        return found
    local, domain = address.split(one[1:] if direct else one)
    if domain and not host.is_local(domain):
        return [one]
    refuse(local, local)
    found = [complete(local, host)]
    keep_owners(aliases, found, [])
    return found


def keep_owners(aliases: Aliases | None, found: list[bytes], owners: list[bytes]) -> None:
    """Remember the owner of each address, if it has one; who gets a message twice, is found first."""
    if aliases is None:
        return
    for at, one in enumerate(found):
        aliases.owned.setdefault(address.canonical(one), owners[at] if owners else b"")


def complete(one: bytes, host: Host) -> bytes:
    """A bare name at the mail domain."""
    return one if address.split(one)[1] or address.is_local_target(one) else one + b"@" + host.mail_domain


def original(given: bytes, final: bytes, host: Host) -> bytes:
    """ORCPT value (RFC 3461 4.2), a whole address, when an alias led to another one, else b""."""
    named = complete(given.lstrip(b"\\"), host)
    return b"" if named == final or not named.isascii() else b"rfc822;" + xtext(named)


def xtext(text: bytes) -> bytes:
    """RFC 3461 section 4: anything that is not plain becomes +XX."""
    if all(33 <= octet <= 126 and octet not in b"+=" for octet in text):
        return text
    return b"".join([b"%c" % o if 33 <= o <= 126 and o not in b"+=" else b"+%02X" % o for o in text])
