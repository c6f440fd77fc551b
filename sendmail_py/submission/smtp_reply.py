"""Replies of the SMTP dialogue as values, and the reply that a fault deserves (RFC 5321 4.2, RFC 3463).

Guarantees: a reply is printable ASCII, its lines end in CRLF and have at most 512 octets (RFC 5321
4.5.3.1.5), whatever the text was made of.
"""

from __future__ import annotations

from sendmail_py.errors import (
    ConfigError,
    DataError,
    NotPermittedError,
    SendmailError,
    UnavailableError,
    UsageError,
    printable,
)

LONGEST_TEXT = 480  # octets, so that code, enhanced status and CRLF find room


class Reply:
    """A reply: code (int), enhanced status ("" for none), and its lines of text (str)."""

    __slots__ = ("code", "enhanced", "lines")

    def __init__(self, code: int, enhanced: str, *lines: str) -> None:
        self.code = code
        self.enhanced = enhanced
        self.lines = lines

    @property
    def positive(self) -> bool:
        """Whether the command did what it was to do."""
        return self.code < 400

    def octets(self) -> bytes:
        """As it goes over the wire; every line but the last has a hyphen after the code."""
        status = f"{self.enhanced} " if self.enhanced else ""
        rows = [ascii_of(status + line) for line in self.lines]
        last = b"%d %s\r\n" % (self.code, rows[-1])
        return b"".join([b"%d-%s\r\n" % (self.code, row) for row in rows[:-1]]) + last


class CommandError(Exception):
    """A command that cannot be obeyed; carries the reply that says why."""

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.reply = Reply(code, enhanced, text)


def ascii_of(text: str) -> bytes:
    """One line of text as printable ASCII (RFC 5321 4.2: replies are; UTF-8 needs RFC 6531 3.7.4.1)."""
    return printable(text, LONGEST_TEXT).encode("ascii", "backslashreplace")[:LONGEST_TEXT]


def of_fault(fault: SendmailError, code: int, enhanced: str) -> Reply:
    """The reply to a fault; code and enhanced status are those for an address or a message that is wrong.

    What is not the client's fault is 451: trying again is right, and a person has to look (RFC 3463 3.4).
    """
    if isinstance(fault, NotPermittedError):
        code, enhanced = 550, "5.7.1"
    elif isinstance(fault, ConfigError):
        code, enhanced = 451, "4.3.5"
    elif isinstance(fault, UnavailableError):  # the smart host's answer, where there is no queue
        code, enhanced = 554, "5.0.0"
    elif not isinstance(fault, (DataError, UsageError)):
        code, enhanced = 451, "4.3.0"
    return Reply(code, enhanced, str(fault))
