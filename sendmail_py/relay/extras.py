"""Parameters of MAIL that the configuration asks for: REQUIRETLS, DELIVERBY, FUTURERELEASE, MT-PRIORITY.

What is a promise (REQUIRETLS) stops the session when the server does not give it; what is a wish is left out.
"""

from __future__ import annotations

from sendmail_py.relay.faults import RefusedFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.ehlo import Server

LONGEST_BY = 999_999_999  # seconds, RFC 2852 4


def agree(setting: SmartHost, server: Server) -> None:
    """Put what is wished and offered into `server.extras` and `server.deliver_by`; RefusedFault."""
    words = []
    if setting.require_tls:  # RFC 8689 4.2.1: not even the sender may be told to such a server
        if not server.offers(b"REQUIRETLS"):
            raise RefusedFault("the server does not promise TLS all the way (REQUIRETLS)")
        words.append(b"REQUIRETLS")
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


def first_number(server: Server, keyword: bytes) -> int:
    """The number behind a keyword of EHLO, 0 for none."""
    words = server.keywords.get(keyword, [])
    return int(words[0]) if words and words[0].isdigit() and len(words[0]) < 10 else 0
