"""Parameters of MAIL that configuration or caller ask for: REQUIRETLS, DELIVERBY, FUTURERELEASE, MT-PRIORITY.

What is a promise (REQUIRETLS) is never sent without: the configuration's stops the session, a message's own
fails the message, unless that is a report, which has no other way. What is a wish is left out where the
server does not offer it. A message's own counts more.
"""

from __future__ import annotations

import re

from sendmail_py.relay.faults import RefusedFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.mail.envelope import Envelope
    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.ehlo import Server

REQUIRETLS = b"REQUIRETLS"
LONGEST_BY = 999_999_999  # seconds, RFC 2852 4
WISH = re.compile(rb"REQUIRETLS|MT-PRIORITY=-?[0-9]|BY=-?[0-9]{1,9};[NR]T?")  # as a queue file may have it


def agree(setting: SmartHost, server: Server) -> None:
    """Put what is wished and offered into `server.extras` and `server.deliver_by`; RefusedFault."""
    words = []
    if setting.require_tls:  # RFC 8689 4.2.1: not even the sender may be told to such a server
        if not server.offers(REQUIRETLS):
            raise RefusedFault("the server does not promise TLS all the way (REQUIRETLS)")
        words.append(REQUIRETLS)
    if setting.hold_for and server.offers(b"FUTURERELEASE"):  # RFC 4865 4.2
        longest = first_number(server, b"FUTURERELEASE") or LONGEST_BY
        words.append(b"HOLDFOR=%d" % min(setting.hold_for, longest))
    if setting.priority and server.offers(b"MT-PRIORITY"):  # RFC 6710 4
        words.append(b"MT-PRIORITY=%d" % setting.priority)
    server.extras = words
    if setting.deliver_by and server.offers(b"DELIVERBY"):
        server.deliver_by = setting.deliver_by


def deliver_by(server: Server, created: float, now: float) -> bytes:
    """BY= for a message (RFC 2852 4): the seconds it is still of use, then it is returned; b"" if not wished.

    A message that is too old for the server's least time gets that, and is returned if it does not make it.
    """
    if not server.deliver_by:
        return b""
    least = max(1, first_number(server, b"DELIVERBY"))
    return b"BY=%d;R" % max(least, min(int(created + server.deliver_by - now), LONGEST_BY))


def words(server: Server, envelope: Envelope, now: float) -> list[bytes]:
    """All of them for one message."""
    wishes = {one.partition(b"=")[0]: one for one in envelope.wishes if WISH.fullmatch(one)}
    found = [one for one in server.extras if one.partition(b"=")[0] not in wishes]
    if REQUIRETLS in wishes and (envelope.reverse_path or promises_tls(server)):
        found.append(REQUIRETLS)
    if b"MT-PRIORITY" in wishes and server.offers(b"MT-PRIORITY"):
        found.append(wishes[b"MT-PRIORITY"])
    if b"BY" in wishes and server.offers(b"DELIVERBY"):
        found.append(b"BY=%d;%b" % time_left(envelope, now))
    elif b"BY" not in wishes and server.deliver_by:
        found.append(deliver_by(server, envelope.created, now))
    return found


def unmet(server: Server, envelope: Envelope, now: float) -> tuple[str, str]:
    """(status, text) of why a message may not be sent to this server, or not any more; ("", "") if it may."""
    must = REQUIRETLS in envelope.wishes and envelope.reverse_path  # RFC 8689 5: a report goes all the same
    if must and not promises_tls(server):
        return "5.7.30", "REQUIRETLS support required; the server does not promise TLS all the way"
    left, mode = time_left(envelope, now)
    if left <= 0 and mode[:1] == b"R":  # RFC 2852 4.1.2
        return "5.4.7", "the time within which the message had to be delivered (BY) is over"
    return "", ""


def promises_tls(server: Server) -> bool:
    """Whether the server says that it sends mail on by TLS only, and is the one that it should be."""
    return server.secure and server.offers(REQUIRETLS)


def time_left(envelope: Envelope, now: float) -> tuple[int, bytes]:
    """What is left of a message's BY (RFC 2852): seconds, and the mode; (1, b"") without one."""
    for one in envelope.wishes:
        if one.startswith(b"BY=") and WISH.fullmatch(one):
            seconds, _, mode = one[3:].partition(b";")
            return max(-LONGEST_BY, int(int(seconds) - (now - envelope.created))), mode
    return 1, b""


def first_number(server: Server, keyword: bytes) -> int:
    """The number behind a keyword of EHLO, 0 for none."""
    words = server.keywords.get(keyword, [])
    return int(words[0]) if words and words[0].isdigit() and len(words[0]) < 10 else 0
