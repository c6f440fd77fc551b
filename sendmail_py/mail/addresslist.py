r"""Address lists (RFC 5322 3.4): the mailboxes in a header field or an argument, on octets.

Guarantees:

- linear time and no recursion, whatever the text: one pass over the octets, comments are counted;
- no control character survives: it is refused here, apart from the tab and folded white space
  (RFC 5322 2.2.3), which count as blanks between words;
- a span [start, end) covers exactly the address, so that replacing these octets repairs a header
  field and leaves display names, comments, brackets and blanks byte for byte;
- the octets of an address stay as they came where SMTP can carry them (RFC 5321 4.1.2). What it cannot
  carry is put right: comments, blanks, routes and folding inside an address go, one final dot of a
  domain goes, `a..b` and `"a".b` become one quoted string.

The grammar is RFC 5322 3.4 with the obsolete forms of its section 4.4, and these kindnesses: octets above
127 count as letters (RFC 6532), `;` separates addresses outside groups, anything but a separator may stand
in a display name, and `\name` (sendmail's "do not expand aliases") is read as the bare name `\name`.
"""

from __future__ import annotations

from sendmail_py.mail import everyday
from sendmail_py.mail.address import (
    ATOM,
    PRINTABLE,
    SPECIALS,
    AddressError,
    dots_fit,
    forbid_controls,
    quote_local,
    shown,
    unquote_local,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Token = tuple[int, int, int]  # kind, start, end

COMMENT_DEPTH = 100

# Tables that turn the octets at which a scan must stop into blanks, so that bytes.find does the scanning.
ATOM_ENDS = bytes.maketrans(SPECIALS + b"\t", b" " * 13)
QUOTE_MARKS = bytes.maketrans(b'()"\\ ', b"    a")

WORD, TEXT_END = 97, 0  # kinds of tokens that are no special; the other kinds are the special's octet
QUOTE, OPEN, CLOSE, COMMA, COLON, SEMICOLON, LESS, GREATER, AT, BRACKET, BACKSLASH = b'"(),:;<>@[\\'


class Mailbox:
    """One address found in a text.

    address: bytes, `local@domain`, a bare `local`, or b"" for `<>`, ready for SMTP;
    start, end: int, the span of the address (with its route, without brackets) in the text;
    name: bytes, the display name as written or else the last comment's content; b"" if there is none.
    """

    __slots__ = ("address", "end", "name", "start")

    def __init__(self, address: bytes, start: int, end: int, name: bytes = b"") -> None:
        self.address = address
        self.start = start
        self.end = end
        self.name = name


def parse_list(text: bytes) -> list[Mailbox]:
    """Every mailbox of an address list (RFC 5322 3.4, `address-list` and `obs-addr-list`), groups opened.

    `text` is a header field's value, folded or not, or one operand of the command line. The syntax of
    domains and the lengths are not judged here: `check` does that for the envelope. Raises AddressError
    naming the piece.
    """
    if is_plain(text):
        return [Mailbox(text, 0, len(text))]
    return ListParser(text).mailboxes()


def addresses(text: bytes) -> list[bytes]:
    """The addresses of all mailboxes of an address list, as parse_list has them. Raises AddressError."""
    found = everyday.addresses(text)
    return [mailbox.address for mailbox in parse_list(text)] if found is None else found


def parse_mailbox(text: bytes) -> bytes:
    """The address of exactly one mailbox; b"" for b"" and b"<>" (null). Raises AddressError."""
    bare = text[1:-1] if text[:1] == b"<" and text[-1:] == b">" else text
    if not bare or is_plain(bare):
        return bare
    parser = ListParser(text)
    found = parser.mailboxes()
    if len(found) != 1 or parser.grouped:
        raise AddressError(f"{shown(text)}: exactly one address is wanted here")
    return found[0].address


def is_plain(text: bytes) -> bool:
    """Whether this is the everyday `user@host.example`, which needs no parsing."""
    if text.translate(None, ATOM) != b"@":
        return False
    local, _, domain = text.partition(b"@")
    return dots_fit(local) and dots_fit(domain)


def unfold(text: bytes) -> bytes:
    """The text with line folding turned into as many blanks, so that positions stay; else AddressError."""
    if not text.translate(None, PRINTABLE):
        return text
    flat = text
    for fold in (b"\r\n ", b"\r\n\t", b"\n ", b"\n\t"):
        flat = flat.replace(fold, b" " * len(fold))
    end = b"\r\n" if flat.endswith(b"\r\n") else b"\n"
    flat = flat.removesuffix(end).ljust(len(flat))
    forbid_controls(flat)
    return flat


def tokens(flat: bytes) -> Iterator[Token]:
    """The tokens of an unfolded text as (kind, start, end); white space is skipped."""
    ends, marks = flat.translate(ATOM_ENDS), b""
    position, size = 0, len(flat)
    while position < size:
        kind = flat[position]
        end = position + 1
        if kind in b" \t":
            position = end
            continue
        if kind in b'("':
            marks = marks or flat.translate(QUOTE_MARKS)
            end = comment_end(flat, marks, position) if kind == OPEN else quote_end(flat, marks, position)
        elif kind == BRACKET:
            end = flat.find(b"]", position) + 1
        elif kind == BACKSLASH or kind not in SPECIALS:
            kind, end = WORD, ends.find(b" ", end)
            end = size if end < 0 else end
        if not end:
            raise AddressError(f"{shown(flat[position:])}: a quote, comment or bracket is not closed")
        yield kind, position, end
        position = end
    yield TEXT_END, size, size


def quote_end(flat: bytes, marks: bytes, start: int) -> int:
    """The position after the quoted string that begins at `start`; 0 if it is not closed."""
    position = marks.find(b" ", start + 1)
    while position >= 0 and flat[position] != QUOTE:
        position = marks.find(b" ", position + (2 if flat[position] == BACKSLASH else 1))
    return position + 1


def comment_end(flat: bytes, marks: bytes, start: int) -> int:
    """The position after the comment that begins at `start`; 0 if it is not closed."""
    depth, position = 1, marks.find(b" ", start + 1)
    while position >= 0:
        octet = flat[position]
        depth += (octet == OPEN) - (octet == CLOSE)
        if depth == 0:
            break
        if depth > COMMENT_DEPTH:
            raise AddressError(f"{shown(flat[start:])}: comments nested more than {COMMENT_DEPTH} deep")
        position = marks.find(b" ", position + (2 if octet == BACKSLASH else 1))
    return position + 1


class ListParser:
    """One pass over the tokens of an address list.

    The element being read: begin, its position; words, its tokens outside angle brackets; inside, those
    within, None before `<`; bracket, the position after `<`; opened, whether `>` is still to come; comment,
    the last one's content. Around it: group, how many mailboxes were found before the group began, -1
    outside groups; grouped, whether there ever was one.
    """

    __slots__ = (
        "begin", "bracket", "comment", "flat", "found", "group", "grouped", "inside", "opened", "text",
        "words",
    )  # fmt: skip

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.flat = unfold(text)
        self.found: list[Mailbox] = []
        self.group = -1
        self.grouped = False
        self.reset(0)

    def reset(self, begin: int) -> None:
        """Begin the next element at `begin`."""
        self.begin = begin
        self.words: list[Token] = []
        self.inside: list[Token] | None = None
        self.bracket = 0
        self.opened = False
        self.comment = b""

    def mailboxes(self) -> list[Mailbox]:
        """Read to the end; see parse_list."""
        for token in tokens(self.flat):
            kind = token[0]
            if kind == OPEN:
                self.comment = self.flat[token[1] + 1 : token[2] - 1]
            elif self.opened:
                self.inside_brackets(token)
            elif kind in (COMMA, SEMICOLON, TEXT_END):
                self.finish(token)
            elif self.inside is not None or kind in b">)]":
                raise self.error(token[2], "something is before a comma that does not belong there")
            elif kind == LESS:
                self.inside, self.bracket, self.opened = [], token[2], True
            elif kind == COLON:
                self.open_group(token)
            else:
                self.words.append(token)
        return self.found

    def error(self, end: int, reason: str) -> AddressError:
        """An error about the present element, shown up to `end`."""
        return AddressError(f"{shown(self.flat[self.begin : end])}: {reason}")

    def inside_brackets(self, token: Token) -> None:
        """One token between `<` and `>`."""
        if token[0] == GREATER:
            self.opened = False
        elif token[0] in (LESS, TEXT_END):
            raise self.error(token[2], "the bracket < is not closed")
        elif self.inside is not None:
            self.inside.append(token)

    def open_group(self, token: Token) -> None:
        """`name:` begins a group (RFC 5322 3.4); there is no group without a name, or within another."""
        if self.group >= 0 or not self.words:
            raise self.error(len(self.flat), "a colon does not belong here")
        self.group, self.grouped = len(self.found), True
        self.reset(token[2])

    def finish(self, token: Token) -> None:
        """A separator or the end: keep the element, which may be empty (`obs-addr-list`)."""
        if self.inside is not None:
            self.found.append(self.bracketed(self.inside))
        elif self.words:
            self.found.append(self.mailbox(self.words, self.comment))
        if token[0] == SEMICOLON:
            self.group = -1
        elif token[0] == TEXT_END and 0 <= self.group < len(self.found):
            raise self.error(token[2], "the group is not closed with a semicolon")
        self.reset(token[2])

    def bracketed(self, inside: list[Token]) -> Mailbox:
        """The mailbox of `name <address>`; the span covers a route (RFC 5322 4.4), the address does not."""
        words = self.words
        name = self.flat[words[0][1] : words[-1][2]] if words else self.comment
        if not inside:
            return Mailbox(b"", self.bracket, self.bracket, name)
        kinds = [token[0] for token in inside]
        routed = kinds[0] == AT and COLON in kinds
        mailbox = self.mailbox(inside[kinds.index(COLON) + 1 :] if routed else inside, name)
        mailbox.start = inside[0][1]
        return mailbox

    def mailbox(self, words: list[Token], name: bytes) -> Mailbox:
        """The mailbox whose address is made of these tokens."""
        at = next((n for n, token in enumerate(words) if token[0] == AT), len(words))
        local = self.local_part(words[:at])
        domain = self.domain(words[at + 1 :])
        if not local or (at < len(words) and (not domain or local.startswith(b"\\"))):
            raise self.error(words[-1][2] if words else len(self.flat), "not an address")
        return Mailbox(local + b"@" + domain if domain else local, words[0][1], words[-1][2], name)

    def local_part(self, words: list[Token]) -> bytes:
        """The local part in wire form; b"" if these tokens are none."""
        pieces = [self.text[start:end] for _, start, end in words]
        kinds = {token[0] for token in words}
        if len(words) == 1 and kinds == {QUOTE}:
            return pieces[0].replace(b"\r", b"").replace(b"\n", b"")
        if not words or not kinds <= {WORD, QUOTE} or not joined_by_dots(pieces):
            return b""
        if len(words) == 1 and pieces[0].startswith(b"\\"):
            return pieces[0] if len(pieces[0]) > 1 else b""
        return quote_local(b"".join([unquote_local(piece) for piece in pieces]))

    def domain(self, words: list[Token]) -> bytes:
        """The domain in wire form; b"" if these tokens are none."""
        pieces = [self.flat[start:end] for _, start, end in words]
        if len(words) == 1 and words[0][0] == BRACKET:
            return pieces[0].replace(b" ", b"").replace(b"\t", b"")
        if any(token[0] != WORD for token in words) or not joined_by_dots(pieces):
            return b""
        domain = b"".join(pieces)
        if b"\\" in domain:
            return b""
        return domain if domain.endswith(b"..") else domain.removesuffix(b".")


def joined_by_dots(pieces: list[bytes]) -> bool:
    """Whether a dot stands between all neighbours; blanks may too (`obs-local-part`, `obs-domain`)."""
    return all(pieces[n - 1][-1:] == b"." or pieces[n][:1] == b"." for n in range(1, len(pieces)))
