"""Header fields (RFC 5322 2.2, 3.6): split, read, rebuild; the date-time; display names.

A field is its octets with all its continuation lines, CRLF line ends included. Nothing in
here decodes or re-serialises a field that need not change, so signatures survive.
"""

from __future__ import annotations

import binascii
import time

CRLF = b"\r\n"
VISIBLE = bytes(range(33, 127))
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ATEXT = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~"


class Splitter:
    """Finds the header at the beginning of a message that arrives in pieces.

    fields  the header fields so far; `From ` lines of an mbox before them are left out
    body    the octets after the header that were already seen, once `done`
    The header ends at an empty line (left out of the body), or before a line that is no header field.
    """

    __slots__ = ("body", "done", "fields", "lines", "pending")

    def __init__(self) -> None:
        self.fields: list[bytes] = []
        self.lines: list[bytes] = []  # of the field that is still growing
        self.pending: list[bytes] = []  # pieces of the line that has no end yet
        self.body = b""
        self.done = False

    def feed(self, text: bytes) -> None:
        """Take CRLF text cut anywhere but inside a CRLF."""
        if b"\n" not in text:
            self.pending.append(text)
            return
        text = b"".join(self.pending) + text
        self.pending = []
        # Folded fields are taken in one go: a header of a thousand recipients has a thousand lines.
        ends = text.replace(b"\n ", b"\0 ").replace(b"\n\t", b"\0\t")
        at = 0
        while not self.done:
            # The last field of a piece may go on in the next one; its whole lines are taken now.
            end = (ends.find(b"\n", at) + 1) or (text.rfind(b"\n", at) + 1)
            if not end:
                self.pending = [text[at:]]
                return
            at = self.line(text, at, end)
        self.body = text[at:]

    def line(self, text: bytes, start: int, end: int) -> int:
        """Judge a line with its continuation lines; return where the next begins (or the body, when done)."""
        line = text[start:end]
        if line[:1] in (b" ", b"\t") and self.lines:
            self.lines.append(line)
            return end
        if is_field(line):
            self.close_field()
            self.lines = [line]
            return end
        if not self.lines and line.startswith((b"From ", b">From ")):
            return text.find(b"\n", start) + 1
        self.finish()
        return start + len(CRLF) if line.startswith(CRLF) else start

    def close_field(self) -> None:
        """The field that was growing is complete."""
        if self.lines:
            self.fields.append(b"".join(self.lines))
            self.lines = []

    def finish(self) -> None:
        """No more header: end of input, or the body begins."""
        self.close_field()
        self.done = True
        self.body = b"".join(self.pending)
        self.pending = []


def is_field(line: bytes) -> bool:
    """Whether a line begins a header field: visible characters, optional blanks, a colon."""
    colon = line.find(b":")
    if colon < 1:
        return False
    name = line[:colon].rstrip(b" \t")
    return bool(name) and not name.translate(None, VISIBLE)


def name(field: bytes) -> bytes:
    """The field's name in lower case, without blanks before the colon."""
    return field[: field.find(b":")].rstrip(b" \t").lower()


def value(field: bytes) -> bytes:
    """Everything after the colon, line ends included."""
    return field[field.find(b":") + 1 :]


def rebuild(field: bytes, new: bytes) -> bytes:
    """The field with another value (as `value` gives it); its name stays as it is written."""
    return field[: field.find(b":") + 1] + new


def unfolded(field: bytes) -> bytes:
    """The value on one line, without blanks around it (RFC 5322 2.2.3)."""
    return value(field).replace(CRLF, b"").strip(b" \t")


def date_time(seconds: float) -> bytes:
    """Local date and time with its zone (RFC 5322 3.3) for seconds since the epoch.

    Written by hand because strftime(3) follows the caller's locale.
    """
    t = time.localtime(seconds)
    minutes = t.tm_gmtoff // 60
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    return (
        f"{DAYS[t.tm_wday]}, {t.tm_mday} {MONTHS[t.tm_mon - 1]} {t.tm_year:04} "
        f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} {sign}{hours:02}{minutes:02}"
    ).encode()


def author(address: bytes, full_name: str) -> bytes:
    """A From value: the address, with the name if there is one (RFC 5322 3.4)."""
    return phrase(full_name) + b" <" + address + b">" if full_name.strip() else address


def phrase(text: str) -> bytes:
    """A display name as atoms, a quoted-string or encoded words (RFC 5322 3.2.5, RFC 2047).

    Control characters become blanks, so that a name can never begin a new field. Octets that are not UTF-8
    are there as os.fsdecode has them.
    """
    fit = [c if c.isprintable() or "\udc80" <= c <= "\udcff" else " " for c in text]
    clean = " ".join("".join(fit).split())
    octets = clean.encode("utf-8", "surrogateescape")
    if not octets.isascii():
        return encoded_words(octets)
    if not octets.translate(None, ATEXT + b" "):
        return octets
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def encoded_words(octets: bytes) -> bytes:
    """RFC 2047 words of at most 75 characters, each a whole number of characters."""
    try:
        charset, characters = b"utf-8", [c.encode() for c in octets.decode()]
    except UnicodeDecodeError:
        charset, characters = b"iso-8859-1", [octets[i : i + 1] for i in range(len(octets))]
    words, word = [], b""
    for character in characters:
        if len(word) + len(character) > 42:  # 42 octets are 56 in base64; 75 less the frame
            words.append(word)
            word = b""
        word += character
    words.append(word)
    return b" ".join([b"=?%s?B?%s?=" % (charset, binascii.b2a_base64(w, newline=False)) for w in words])
