"""SMTP replies (RFC 5321 4.2), read octet by octet if need be.

Guarantees: a reply is at most 100 lines, 64 KiB, 2 KiB a line; its code is three digits from 200 to 559,
the same on every line; anything else is a ProtocolFault. Text is optional and may hold any octet.
A line may end in LF alone, because some servers do that and nothing is ambiguous about it.
What was said in secret is in no reply and in no fault, whatever the server quotes.
"""

from __future__ import annotations

import re

from sendmail_py.errors import printable
from sendmail_py.relay.faults import ProtocolFault
from sendmail_py.relay.reply import Reply

LONGEST_LINE = 2048
MOST_LINES = 100
LONGEST_REPLY = 65536

# Reply-code of RFC 5321 4.2 with any second digit below 500, because the first one decides; 1yz is not used
# in SMTP. Then "-", a blank or nothing.
REPLY_LINE = re.compile(rb"([2-4][0-9][0-9]|5[0-5][0-9])(?:([- ])(.*))?", re.DOTALL)
# Nearly every reply: one line, at once.
WHOLE_REPLY = re.compile(rb"([2-4][0-9][0-9]|5[0-5][0-9]) ([^\r\n]{0,512})\r\n")


FEWEST_TO_HIDE = 4  # octets; a shorter word is in any text
SHOWN_AS = b"***"
TELLING = 8  # octets of a response in base64 by which it is known, should the server cut it off


class ReplyReader:
    """Octets in (`feed`), replies out (`take`), in order."""

    __slots__ = ("buffer", "code", "hidden", "lines", "octets", "secrets")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.code = b""
        self.lines: list[bytes] = []
        self.octets = 0
        self.secrets: set[bytes] = set()  # as regular expressions
        self.hidden: re.Pattern[bytes] | None = None

    def hide(self, words: tuple[bytes, ...]) -> None:
        """Never show these again: responses in base64, known by their beginning, and a password."""
        *responses, password = [word if len(word) >= FEWEST_TO_HIDE else b"" for word in words]
        self.secrets |= {re.escape(one[:TELLING]) + b"[A-Za-z0-9+/=]*" for one in responses if one}
        self.secrets |= {re.escape(password)} if password else set()
        if self.secrets:
            self.hidden = re.compile(b"|".join(sorted(self.secrets)), re.IGNORECASE)

    def shown(self, text: bytes, code: bytes = b"") -> bytes:
        """Text of a server without what is secret; that of 3yz is a challenge, and never shown."""
        return self.hidden.sub(SHOWN_AS, text) if self.hidden is not None and code[:1] != b"3" else text

    @property
    def pending(self) -> bool:
        """Something was received that has not been taken."""
        return bool(self.buffer or self.lines)

    def feed(self, octets: bytes) -> None:
        """Add what the server sent."""
        self.buffer += octets

    def take(self) -> Reply | None:
        """The next complete reply, or None when more octets are needed. Raises ProtocolFault."""
        if not self.lines and (found := WHOLE_REPLY.match(self.buffer)):
            reply = Reply(int(found[1]), [self.shown(found[2], found[1])])
            del self.buffer[: found.end()]
            return reply
        while (end := self.buffer.find(b"\n")) >= 0:
            line = bytes(self.buffer[:end])
            del self.buffer[: end + 1]
            if self.last(line.removesuffix(b"\r")):
                return self.finish()
        self.check_length(len(self.buffer))
        return None

    def last(self, line: bytes) -> bool:
        """Take one line; True if it ends its reply."""
        self.check_length(len(line))
        found = REPLY_LINE.fullmatch(line)
        if found is None:
            raise ProtocolFault(f"not an SMTP reply: {printable(self.shown(line), 80)}")
        code, mark, text = found.groups()
        if self.lines and code != self.code:
            raise ProtocolFault(f"reply code changes from {int(self.code)} to {int(code)} inside a reply")
        self.code = code
        self.lines.append(self.shown(text or b"", code))
        self.octets += len(line)
        if len(self.lines) > MOST_LINES or self.octets > LONGEST_REPLY:
            raise ProtocolFault("reply without end")
        return bool(mark != b"-")

    def check_length(self, octets: int) -> None:
        """RFC 5321 4.5.3.1.5 allows 512 octets a line; four times as much is patience enough."""
        if octets > LONGEST_LINE:
            raise ProtocolFault(f"reply line longer than {LONGEST_LINE} octets")

    def finish(self) -> Reply:
        """The reply whose last line has come."""
        reply = Reply(int(self.code), self.lines)
        self.lines, self.octets = [], 0
        return reply
