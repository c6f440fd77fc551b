"""Header fields as the wire takes them: ASCII, unless told otherwise, and no line over 998 octets.

Guarantees: a field that needs nothing is returned as it is; unfolding and decoding a new one gives the text
of the old one; linear time. Two things cannot be had without loss: a word over 998 octets that is not text
for people is cut by a blank, and a local part beyond ASCII stays, for SMTPUTF8 to decide about (RFC 6531).
"""

from __future__ import annotations

import re

from sendmail_py.mail import header
from sendmail_py.relay import parameters, words

CRLF = b"\r\n"
LONGEST = 998  # octets of a line without its CRLF (RFC 5321 4.5.3.1.6)
ENCODED_LINE = 76  # RFC 2047 2: a line that holds an encoded word
COMMENTS = b"Comments: "
BLANK = re.compile(rb"[ \t]")
NOT_BLANK = re.compile(rb"[^ \t]")

DISPLAYED = (b"subject", b"comments", b"content-description")
WITH_PARAMETERS = (b"content-type", b"content-disposition")
ADDRESSES = (
    b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc",
    b"resent-from", b"resent-sender", b"resent-reply-to", b"resent-to", b"resent-cc", b"resent-bcc",
    b"return-receipt-to", b"disposition-notification-to", b"errors-to", b"apparently-to",
    b"mail-followup-to", b"mail-reply-to",
)  # fmt: skip
COMMENTS_ONLY = (
    b"received", b"return-path", b"date", b"resent-date", b"message-id", b"resent-message-id", b"in-reply-to",
    b"references", b"mime-version", b"content-transfer-encoding", b"content-id", b"content-location",
    b"content-language", b"list-id", b"list-help", b"list-post", b"list-owner", b"list-archive",
    b"list-subscribe", b"list-unsubscribe", b"list-unsubscribe-post", b"authentication-results",
    b"received-spf", b"dkim-signature", b"domainkey-signature", b"arc-seal", b"arc-message-signature",
    b"arc-authentication-results", b"autocrypt",
)  # fmt: skip


def fit(field: bytes, ascii_only: bool) -> bytes:
    """The field, all its line ends CRLF, as it can be sent."""
    if ascii_only and not field.isascii():
        return fold(in_ascii(field), ENCODED_LINE)
    if not has_long_line(field):
        return field
    if header.name(field) in DISPLAYED:
        return fold(in_ascii(field), ENCODED_LINE)
    return fold(field, LONGEST)


def in_ascii(field: bytes) -> bytes:
    """The field with its text encoded in the way of its kind."""
    name, value = header.name(field), header.value(field)
    if name in WITH_PARAMETERS:
        value = parameters.encoded(value)
    elif name in ADDRESSES or name in COMMENTS_ONLY:
        value = words.structured(value, name in ADDRESSES)
    else:
        value = words.unstructured(value, name in DISPLAYED)
    return header.rebuild(field, value)


def has_long_line(text: bytes) -> bool:
    """Whether any line of CRLF text has over 998 octets."""
    at = 0
    while len(text) - at > LONGEST + 2:
        end = text.rfind(b"\n", at, at + LONGEST + 2)
        if end < 0:
            return True
        at = end + 1
    return False


def fold(field: bytes, width: int) -> bytes:
    """Fold lines over `width` octets before a blank (RFC 5322 2.2.3), if they have one.

    Unfolded, the field is the same, but for a word that no line can hold, which is cut by a blank, for blanks
    at the end of a line, and for more blanks in a row than a line can hold.
    """
    if field.find(b":") >= LONGEST:  # a name that cannot be folded; what follows must stay in the header
        field = COMMENTS + field
    return CRLF.join([fold_line(line, width) for line in field.split(CRLF)])


def fold_line(line: bytes, width: int) -> bytes:
    """One line without its line end; each piece but the first begins with a blank."""
    if len(line) <= width:
        return line
    line = line.rstrip(b" \t")
    out, at, lead = [], 0, b""
    while len(line) - at + len(lead) > width:
        word = NOT_BLANK.search(line, at)
        first = word.start() if word else at
        if first - at > LONGEST // 2:
            at = first - 1
        end = fold_at(line, first, at + width - len(lead), at + LONGEST - len(lead))
        if end == len(line):
            break
        out.append(lead + line[at : abs(end)])
        lead, at = (b" " if end < 0 else b""), abs(end)
    return CRLF.join([*out, lead + line[at:]])


def fold_at(line: bytes, first: int, wanted: int, limit: int) -> int:
    """The blank to fold before: the last up to `wanted`, else the next up to `limit`, else the line's end.

    A line that goes on beyond `limit` is to be cut there: the position is negative then.
    """
    end = max(line.rfind(b" ", first, wanted + 1), line.rfind(b"\t", first, wanted + 1))
    if end >= 0:
        return end
    later = BLANK.search(line, max(first, wanted), limit + 1)
    if later:
        return later.start()
    return len(line) if len(line) <= limit else -character_start(line, first, limit)


def character_start(text: bytes, low: int, at: int) -> int:
    """The largest index in (low, at] that is not inside a UTF-8 character (RFC 3629)."""
    start = at
    while start > max(low, at - 3) and 0x80 <= text[start] < 0xC0:
        start -= 1
    return start if start > low else at
