"""What a server told about itself in its reply to EHLO (RFC 5321 4.1.1.1). Pure.

Nothing a server writes there can raise: what cannot be understood counts as not offered.
"""

from __future__ import annotations

import hashlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.relay.reply import Reply


class Server:
    """The service extensions of one session; an empty one after HELO.

    keywords      upper-case EHLO keyword -> its parameters (upper case, list of bytes)
    size          the largest message in octets (RFC 1870), 0 when not told or unlimited
    drops_chunks  whether it is known to drop the octets of a refused chunk (chunking.py)
    lmtp          whether LMTP is spoken
    secure        whether the session is encrypted and the server is who it should be
    extras        words for every MAIL command that the configuration asks for (extras.py)
    deliver_by    seconds within which a message must arrive, 0 for no limit (extras.py)
    """

    __slots__ = ("deliver_by", "drops_chunks", "extras", "keywords", "lmtp", "pipelining", "secure", "size")

    def __init__(self, lines: list[bytes]) -> None:
        self.drops_chunks = self.lmtp = self.secure = False
        self.extras: list[bytes] = []
        self.deliver_by = 0
        self.keywords: dict[bytes, list[bytes]] = {}
        for line in lines:
            # "AUTH=LOGIN PLAIN" is what servers older than RFC 2554 write; it says the same.
            words = line.upper().replace(b"AUTH=", b"AUTH ", 1).split()
            if words:
                self.keywords.setdefault(words[0], []).extend(words[1:])
        self.pipelining = b"PIPELINING" in self.keywords
        self.size = octets(self.keywords.get(b"SIZE", []))

    def offers(self, keyword: bytes) -> bool:
        """Whether the extension `keyword` (upper case) was announced."""
        return keyword in self.keywords

    def limit(self, name: bytes) -> int:
        """A number that LIMITS (RFC 9422) announces, as RCPTMAX; 0 when it does not."""
        for word in self.keywords.get(b"LIMITS", []):
            key, _, value = word.partition(b"=")
            if key == name:
                return octets([value])
        return 0

    @property
    def digest(self) -> str:
        """The same for servers that announce the same, in whatever order."""
        told = b"\n".join([b" ".join([key, *words]) for key, words in sorted(self.keywords.items())])
        return hashlib.sha256(told).hexdigest()[:16]

    @property
    def mechanisms(self) -> list[bytes]:
        """SASL mechanisms of the AUTH keyword (RFC 4954), in the server's order."""
        return self.keywords.get(b"AUTH", [])


def octets(words: list[bytes]) -> int:
    """The parameter of SIZE; at most 18 digits, so that int() never meets a hostile length."""
    return int(words[0]) if words and len(words[0]) <= 18 and words[0].isdigit() else 0


def from_reply(reply: Reply) -> Server:
    """The first line of the reply is the server's name and greeting, each other one an extension."""
    return Server(reply.lines[1:])
