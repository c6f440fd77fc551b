"""Who gets the message: operands or header fields, aliases, duplicates.

One bad address refuses the whole message (EX_DATAERR): the caller knows at once, and trying
again does not send twice to the good ones.
"""

from __future__ import annotations

from sendmail_py.errors import UsageError
from sendmail_py.mail import address, addresslist, header
from sendmail_py.mail.envelope import Recipient
from sendmail_py.policy.aliases import Aliases, refuse
from sendmail_py.policy.identity import Host

TO_FIELDS = (b"to", b"cc", b"bcc")
RESENT_FIELDS = (b"resent-to", b"resent-cc", b"resent-bcc")


def from_operands(operands: list[bytes]) -> list[bytes]:
    """The addresses of the command line; each operand may be a list. Raises UsageError, DataError."""
    found = []
    for operand in operands:
        without_controls(operand)
        found += [mailbox.address for mailbox in addresslist.parse_list(operand)]
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
            found += [mailbox.address for mailbox in addresslist.parse_list(header.value(field))]
    return found


def resolve(given: list[bytes], host: Host, aliases: Aliases | None) -> list[Recipient]:
    """The forward-paths: local names expanded and completed, each address once.

    aliases is None when the caller forbade them (-n). Raises UsageError when nobody is left.
    """
    found: dict[bytes, Recipient] = {}
    for one in given:
        for final in expand(one, host, aliases):
            address.check(final)
            found.setdefault(address.canonical(final), Recipient(final, orcpt=original(one, final)))
    if not found:
        raise UsageError("no recipients; name them as arguments, or use -t and a To, Cc or Bcc field")
    return list(found.values())


def expand(one: bytes, host: Host, aliases: Aliases | None) -> list[bytes]:
    """One given address as complete forward-paths. Raises DataError for programs and files."""
    if not one:
        return []
    direct = one.startswith(b"\\")
    if aliases is not None and not direct:
        return [complete(final, host) for final in aliases.resolve(one, host)]
    if aliases is not None:
        aliases.owners.append(b"")
    local, domain = address.split(one[1:] if direct else one)
    if domain and not host.is_local(domain):
        return [one]
    refuse(local, local)
    return [complete(local, host)]


def owner(host: Host, aliases: Aliases | None) -> bytes:
    """The owner of the one alias that all addresses so far came from, as an address; b"" if there is none."""
    found = b"" if aliases is None else aliases.owner(host)
    return complete(found, host) if found else b""


def complete(one: bytes, host: Host) -> bytes:
    """A bare name at the mail domain."""
    return one if address.split(one)[1] else one + b"@" + host.mail_domain


def original(given: bytes, final: bytes) -> bytes:
    """ORCPT value (RFC 3461 4.2) when an alias or completion changed the address, else b""."""
    return b"" if given == final or not given.isascii() else b"rfc822;" + xtext(given.lstrip(b"\\"))


def xtext(text: bytes) -> bytes:
    """RFC 3461 section 4: anything that is not plain becomes +XX."""
    if all(33 <= octet <= 126 and octet not in b"+=" for octet in text):
        return text
    return b"".join([b"%c" % o if 33 <= o <= 126 and o not in b"+=" else b"+%02X" % o for o in text])
