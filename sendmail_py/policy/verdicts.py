"""What DNS said about the domains of senders, kept in the spool: whether they can receive mail.

Guarantees: a missing, damaged or foreign file says nothing; reading costs one failed open when there is none.
The flush and the admin command write the file (relay.receiving); a submission only reads it, and believes
a bad word for a week and no longer, so that a domain that came back is not held to it for ever.

The file `domains` in the spool: a version line, then a line `DOMAIN<tab>SECONDS<tab>REASON` for each domain
that was asked about, in lower case; seconds since the epoch; the reason is empty when the domain can receive.
A `?` before the domain says that it was asked then and that no answer came.
"""

from __future__ import annotations

import posix
import time

NAME = "domains"
ASKED = b"?"
VERSION = b"sendmail-py domains 1"
BELIEVED = 7 * 86400  # seconds
GOOD_FOR = 7 * 86400  # seconds before DNS is asked again
BAD_FOR = 86400
LARGEST = 1 << 20  # octets


def load(directory: str) -> dict[bytes, str]:
    """The domains that cannot receive mail, with the reasons; empty when nobody asked."""
    octets = read(directory)
    if not octets:
        return {}
    now = time.time()
    return {
        domain: f"{reason} (DNS, {time.strftime('%Y-%m-%d', time.gmtime(when))})"
        for domain, when, reason in lines(octets)
        if reason and 0 <= now - when < BELIEVED
    }


def read(directory: str) -> bytes:
    """The file as it is, b"" if there is none to be read."""
    if not directory:
        return b""
    try:
        fd = posix.open(f"{directory}/{NAME}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        return posix.read(fd, LARGEST)
    except OSError:
        return b""
    finally:
        posix.close(fd)


def lines(octets: bytes) -> list[tuple[bytes, int, str]]:
    """(domain, seconds, reason) for each whole line."""
    head, *rest = octets.split(b"\n")
    found = []
    for line in rest[:-1] if head == VERSION else []:
        domain, _, tail = line.partition(b"\t")
        when, tab, reason = tail.partition(b"\t")
        if tab and when.isdigit() and len(when) < 15:
            found.append((domain, int(when), reason.decode("ascii", "replace")))
    return found


def encode(known: dict[bytes, tuple[int, str]]) -> bytes:
    """The file for these domains: seconds and reason of each."""
    rows = [b"%s\t%d\t%s" % (one, when, why.encode("ascii", "replace")) for one, (when, why) in known.items()]
    return b"\n".join([VERSION, *rows, b""])
