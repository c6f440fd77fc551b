"""SMTP replies (RFC 5321 4.2), read octet by octet if need be.

Guarantees: a reply is at most 100 lines, 64 KiB, 2 KiB a line; its code is three digits from 200 to 559,
the same on every line; anything else is a ProtocolFault. Text is optional and may hold any octet.
A line may end in LF alone, because some servers do that and nothing is ambiguous about it.
"""

from __future__ import annotations

import re

from sendmail_py.errors import printable
from sendmail_py.relay.faults import ProtocolFault

LONGEST_LINE = 2048
MOST_LINES = 100
LONGEST_REPLY = 65536

# Reply-code of RFC 5321 4.2 with any second digit below 500, because the first one decides; 1yz is not used
# in SMTP. Then "-", a blank or nothing.
REPLY_LINE = re.compile(rb"([2-4][0-9][0-9]|5[0-5][0-9])(?:([- ])(.*))?", re.DOTALL)
# Nearly every reply: one line, at once.
WHOLE_REPLY = re.compile(rb"([2-4][0-9][0-9]|5[0-5][0-9]) ([^\r\n]{0,512})\r\n")
# RFC 3463 2, RFC 2034 4: at the start of the text, its class equal to the first digit of the code.
ENHANCED = re.compile(rb"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:[ \t]|$)")


class Reply:
    """One complete reply: `code` (int), `enhanced` ("5.1.1" or ""), `lines` (text of each line, bytes)."""

    __slots__ = ("code", "lines")

    def __init__(self, code: int, lines: list[bytes]) -> None:
        self.code = code
        self.lines = lines

    @property
    def enhanced(self) -> str:
        """The enhanced status code, "" if there is none of the reply code's class."""
        found = ENHANCED.match(self.lines[0])
        same_class = found is not None and found[1][0] - 48 == self.code // 100
        return found[0].strip().decode("ascii") if found and same_class else ""

    @property
    def positive(self) -> bool:
        """2yz: done as asked."""
        return self.code < 300

    @property
    def go_ahead(self) -> bool:
        """3yz: the server waits for more."""
        return self.code // 100 == 3

    @property
    def transient(self) -> bool:
        """4yz: not now."""
        return self.code // 100 == 4

    @property
    def permanent(self) -> bool:
        """5yz: never in this form."""
        return self.code // 100 == 5

    @property
    def text(self) -> str:
        """Code and text on one line, safe to show, log and store; repeated enhanced codes left out."""
        if len(self.lines) == 1:
            return printable(b"%d %b" % (self.code, self.lines[0].strip())).rstrip()
        prefix = self.enhanced.encode()
        rest = [line.removeprefix(prefix).strip() if prefix else line.strip() for line in self.lines[1:]]
        return printable(b" ".join([b"%d" % self.code, self.lines[0].strip(), *rest]).strip())

    def __repr__(self) -> str:
        return f"<Reply {self.text}>"


class ReplyReader:
    """Octets in (`feed`), replies out (`take`), in order."""

    __slots__ = ("buffer", "code", "lines", "octets")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.code = b""
        self.lines: list[bytes] = []
        self.octets = 0

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
            reply = Reply(int(found[1]), [found[2]])
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
            raise ProtocolFault(f"not an SMTP reply: {printable(line, 80)}")
        code, mark, text = found.groups()
        if self.lines and code != self.code:
            raise ProtocolFault(f"reply code changes from {int(self.code)} to {int(code)} inside a reply")
        self.code = code
        self.lines.append(text or b"")
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
