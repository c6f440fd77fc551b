"""One SMTP reply (RFC 5321 4.2) as a value; reply_reader.py makes it of octets. Pure."""

from __future__ import annotations

from sendmail_py.errors import printable

CLASSES = (b"2", b"4", b"5")  # of an enhanced status code (RFC 3463 2, RFC 2034 4)


class Reply:
    """One complete reply: `code` (int), `enhanced` ("5.1.1" or ""), `lines` (text of each line, bytes)."""

    __slots__ = ("code", "lines")

    def __init__(self, code: int, lines: list[bytes]) -> None:
        self.code = code
        self.lines = lines

    @property
    def enhanced(self) -> str:
        """The enhanced status code, "" if there is none of the reply code's class."""
        word = self.lines[0].partition(b" ")[0].partition(b"\t")[0]
        kind, *numbers = word.split(b".")
        is_code = kind in CLASSES and len(numbers) == 2 and all(is_number(one) for one in numbers)
        return word.decode("ascii") if is_code and int(kind) == self.code // 100 else ""

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


def is_number(octets: bytes) -> bool:
    """Whether it can be the subject or the detail of an enhanced status code: one to three digits."""
    return octets.isdigit() and len(octets) <= 3
