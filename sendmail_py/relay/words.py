"""Raw 8-bit text in header fields as encoded words (RFC 2047); what need not change stays octet for octet.

Guarantees: whoever decodes the new value reads the old one, blanks between words included; an encoded word
has at most 75 characters, all of them whole; addresses that no ASCII can stand for, and whatever else is not
text for people, are left as they are. Linear time.

Text that is not UTF-8 is labelled iso-8859-1: it is the most likely, any octets are valid in it, and a reader
who does not know a charset shows `=?unknown-8bit?...?=` as it stands.
"""

from __future__ import annotations

import re

from sendmail_py.mail import addresslist, header
from sendmail_py.mail.address import AddressError
from sendmail_py.policy import masquerade
from sendmail_py.relay import idn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Word = tuple[bytes, bytes]  # the blanks before it, and itself

WORDS = re.compile(rb"([ \t\r\n]*+)([^ \t\r\n]*+)")
IN_COMMENT = re.compile(rb"([ \t\r\n]*+)([()]|(?:[^()\\ \t\r\n]|\\.)*\\?)", re.DOTALL)
QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
SPECIALS = re.compile(rb'[()<>@,;:\\"\[\]]')
LONGEST_WORD = 900  # octets of a plain word that still fits on a line


def characters(text: bytes) -> tuple[bytes, list[bytes]]:
    """The charset of raw text and its characters."""
    try:
        return b"utf-8", [one.encode() for one in text.decode()]
    except UnicodeDecodeError:
        return b"iso-8859-1", [text[at : at + 1] for at in range(len(text))]


class Value:
    """A field's value under construction.

    apart   whether an encoded word needs a blank on both sides (RFC 2047 5 (3)), not only between words
    run     text of neighbouring words that will be encoded as one
    behind  whether the last word that was written is an encoded one
    """

    __slots__ = ("apart", "behind", "out", "run")

    def __init__(self, apart: bool = False) -> None:
        self.apart = apart
        self.behind = False
        self.out: list[bytes] = []
        self.run: list[bytes] = []

    def keep(self, blanks: bytes, word: bytes) -> None:
        """A word that stays as it is."""
        was_run = bool(self.run)
        if was_run:
            self.end_run(blanks, is_encoded_word(word))
        if was_run and self.apart and word and not blanks:
            blanks = b" "
        self.out += [blanks, word]
        if word:
            self.behind = is_encoded_word(word)

    def encode(self, blanks: bytes, text: bytes) -> None:
        """A word to encode; blanks between two encoded words belong to nobody, so they go inside."""
        gap = blanks.replace(b"\r\n", b"")
        if self.run:
            self.run += [gap, text]
            return
        apart = self.apart and not blanks and bool(self.out)
        self.out.append(b" " if apart else blanks)
        self.run = [gap, text] if self.behind else [text]

    def end_run(self, blanks: bytes = b"", before_encoded: bool = False) -> None:
        """Write the encoded words of the run."""
        if before_encoded:
            self.run.append(blanks.replace(b"\r\n", b""))
        self.out.append(header.encoded_words(b"".join(self.run)))
        self.run = []
        self.behind = True

    def octets(self) -> bytes:
        """What it is now."""
        if self.run:
            self.end_run()
        return b"".join(self.out)


def is_encoded_word(word: bytes) -> bool:
    """Whether readers take it for one."""
    return word.startswith(b"=?") and word.endswith(b"?=")


def fill(words: Iterator[Word], is_plain: Callable[[bytes], bool]) -> bytes:
    """A value of these words, encoded unless plain."""
    value = Value()
    for blanks, word in words:
        if is_plain(word):
            value.keep(blanks, word)
        else:
            value.encode(blanks, word)
    return value.octets()


def found(pattern: re.Pattern[bytes], text: bytes) -> Iterator[Word]:
    """The words of a text."""
    return ((one[1], one[2]) for one in pattern.finditer(text))


def unstructured(value: bytes, long_words: bool = False) -> bytes:
    """Text for people (RFC 5322 3.2.5); with `long_words` also those are encoded that no line can hold."""
    longest = LONGEST_WORD if long_words else len(value)
    return fill(found(WORDS, value), lambda word: word.isascii() and len(word) <= longest)


def comment(text: bytes) -> bytes:
    """A comment with its parentheses, nested ones too (RFC 2047 5 (2))."""
    value = Value()
    for blanks, word in found(IN_COMMENT, text):
        if word.isascii():
            value.keep(blanks, word)
        else:
            value.encode(blanks, QUOTED_PAIR.sub(rb"\1", word))
    return value.octets()


def structured(value: bytes, names: bool) -> bytes:
    """A value with comments and, if `names`, display names and groups around addresses (RFC 5322 3.4).

    The domains of the addresses become A-labels where a whole address can be ASCII so. In a value that is not
    what it should be, only words without any punctuation of addresses are encoded.
    """
    try:
        if names:
            value, _ = masquerade.edited(value, lambda given: (idn.in_ascii(given), "idn"))
        flat = addresslist.unfold(value)
        spans = [(one.start, one.end) for one in addresslist.parse_list(value)] if names else []
        return encode_tokens(value, flat, spans, names)
    except AddressError:
        return fill(found(WORDS, value), lambda word: word.isascii() or bool(SPECIALS.search(word)))


def encode_tokens(value: bytes, flat: bytes, spans: list[tuple[int, int]], names: bool) -> bytes:
    """See structured; `spans` are where the addresses stand, in order."""
    new, done, at = Value(apart=True), 0, 0
    for kind, start, end in addresslist.tokens(flat):
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        blanks, token = value[done:start], value[start:end]
        done = end
        in_address = at < len(spans) and spans[at][0] <= start
        if token.isascii():
            new.keep(blanks, token)
        elif kind == addresslist.OPEN:
            new.keep(blanks, comment(token))
        elif names and kind in (addresslist.WORD, addresslist.QUOTE) and not in_address:
            new.encode(blanks, unquoted(token))
        else:
            new.keep(blanks, token)
    new.keep(value[done:], b"")
    return new.octets()


def unquoted(token: bytes) -> bytes:
    """What an atom or quoted string says."""
    if not token.startswith(b'"'):
        return token
    return QUOTED_PAIR.sub(rb"\1", token[1:-1].replace(b"\r\n", b""))
