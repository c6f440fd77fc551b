r"""Mail addresses on octets: read them from header fields and arguments, check them for SMTP.

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

from sendmail_py.errors import DataError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Token = tuple[int, int, int]  # kind, start, end

COMMENT_DEPTH = 100
ADDRESS_LIMIT = 1000  # octets; RFC 5321 4.5.3.1.3 demands 256, lists with coded return addresses use more
DOMAIN_LIMIT = 255  # RFC 5321 4.5.3.1.2
SHOWN = 80  # characters of a bad address in an error

SPECIALS = b'()<>[]:;@\\,"'  # RFC 5322 3.2.3 without the dot, which scans as part of an atom
LDH = b"-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
NAME = LDH + bytes(range(128, 256))
ATOM = NAME + b"!#$%&'*+./=?^`{|}~"
PRINTABLE = ATOM + SPECIALS + b" \t"

# Tables that turn the octets at which a scan must stop into blanks, so that bytes.find does the scanning.
ATOM_ENDS = bytes.maketrans(SPECIALS + b"\t", b" " * 13)
QUOTE_MARKS = bytes.maketrans(b'()"\\ ', b"    a")

WORD, TEXT_END = 97, 0  # kinds of tokens that are no special; the other kinds are the special's octet
QUOTE, OPEN, CLOSE, COMMA, COLON, SEMICOLON, LESS, GREATER, AT, BRACKET, BACKSLASH = b'"(),:;<>@[\\'


class AddressError(DataError):
    """A text that is no address, or an address that SMTP cannot carry; the text names it."""


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


def parse_mailbox(text: bytes) -> bytes:
    """The address of exactly one mailbox; b"" for b"" and b"<>" (null). Raises AddressError."""
    if not text or is_plain(text):
        return text
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


def forbid_controls(text: bytes) -> None:
    """Refuse control characters in an argument: all octets below 32 but the tab, and 127."""
    if text.translate(None, PRINTABLE):
        raise AddressError(f"{shown(text)}: control character in an address")


def check(address: bytes) -> None:
    """Refuse what must not follow MAIL FROM or RCPT TO (RFC 5321 4.1.2, 6531 3.3).

    An envelope address has a local part and a domain, at most 1000 octets (the domain 255), no control
    characters, blanks or brackets outside quotes, and UTF-8 only. The null reverse-path is not an address.
    """
    local, domain = split(address)
    reason = octets_fault(address) or local_fault(local) or domain_fault(domain)
    if reason:
        raise AddressError(f"{shown(address)}: {reason}")


def octets_fault(address: bytes) -> str:
    """Why SMTP cannot carry these octets at all; "" if it can."""
    if len(address) > ADDRESS_LIMIT:
        return f"an address has at most {ADDRESS_LIMIT} octets"
    if address.translate(None, PRINTABLE) or b"\t" in address:
        return "control character in an address"
    if address.isascii():
        return ""
    try:
        text = address.decode()
    except UnicodeDecodeError:
        return "an address is ASCII or UTF-8"
    # Other invisible characters are needed by some scripts.
    unfit = any("\x80" <= c <= "\x9f" or c in "\u2028\u2029" for c in text)
    return "control character in an address" if unfit else ""


def local_fault(local: bytes) -> str:
    """Why this is no local part in wire form (RFC 5321 4.1.2, `Local-part`); "" if it is one."""
    if not local.startswith(b'"'):
        fits = dots_fit(local) and not local.translate(None, ATOM)
        return "" if fits else "the local part (before the @) is malformed"
    body = local[1:-1].replace(b"\\\\", b"").replace(b'\\"', b"")
    fits = len(local) > 1 and local.endswith(b'"') and b'"' not in body and not body.endswith(b"\\")
    return "" if fits else "the quotes of the local part do not fit"


def domain_fault(domain: bytes) -> str:
    """Why this is no domain (RFC 5321 4.1.2, RFC 1123 2.1); "" if it is one.

    U-labels are UTF-8. The underscore is tolerated: hosts are called so, and DNS carries it. Whether the
    Internet knows the domain is another question (policy.validity).
    """
    if domain.startswith(b"["):
        return "" if is_literal(domain) else "the address literal is malformed"
    if not domain:
        return "no domain"
    if len(domain) > DOMAIN_LIMIT:
        return f"a domain has at most {DOMAIN_LIMIT} octets"
    if domain.translate(None, NAME).strip(b"."):
        return "the domain holds a character that no domain has"
    labels = domain.split(b".")
    for label in labels:
        if not label or label[0] == 45 or label[-1] == 45 or (len(label) > 63 and label.isascii()):
            return "a part of the domain is empty, too long or has a hyphen at its edge"
    # RFC 3696 2: no top-level domain is all digits, so this is an address without its brackets.
    return "an address of the Internet Protocol needs brackets" if labels[-1].isdigit() else ""


def is_literal(domain: bytes) -> bool:
    """Whether this is `[...]` around octets that may stand there (RFC 5321 4.1.3)."""
    inside = domain[1:-1]
    return domain.endswith(b"]") and bool(inside) and not inside.translate(None, LDH + b".:")


def split(address: bytes) -> tuple[bytes, bytes]:
    """(local part, domain); the domain of a bare name is b"". An @ inside quotes does not count."""
    local, at, domain = address.rpartition(b"@")
    if not at or domain.endswith(b'"'):
        return address, b""
    return local, domain


def canonical(address: bytes) -> bytes:
    """The address with its domain in lower case: equal for addresses that mean the same mailbox."""
    local, domain = split(address)
    return local + b"@" + domain.lower() if domain else local


def same(one: bytes, other: bytes) -> bool:
    """Whether both mean the same mailbox; only in domains letter case does not count (RFC 5321 2.4)."""
    return canonical(one) == canonical(other)


def quote_local(raw: bytes) -> bytes:
    """A local part in wire form, quoted if it needs to be; `raw` is without quotes (a login, say)."""
    if dots_fit(raw) and not raw.translate(None, ATOM):
        return raw
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def unquote_local(local: bytes) -> bytes:
    """What a local part in wire form says, without quotes and quoting backslashes."""
    if not local.startswith(b'"'):
        return local
    body = local[1:-1]
    if b"\\" not in body:
        return body
    return b"\\".join([pair.replace(b"\\", b"") for pair in body.split(b"\\\\")])


def dots_fit(text: bytes) -> bool:
    """Whether something stands before, between and after all dots (`dot-atom-text`, RFC 5322 3.2.3)."""
    return bool(text) and text[0] != 46 != text[-1] and b".." not in text


def shown(text: bytes) -> str:
    """A piece of a foreign text as it stands in an error."""
    return printable(text.strip(), SHOWN)


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
        return b"" if b"\\" in domain else domain.removesuffix(b".")


def joined_by_dots(pieces: list[bytes]) -> bool:
    """Whether a dot stands between all neighbours; blanks may too (`obs-local-part`, `obs-domain`)."""
    return all(pieces[n - 1][-1:] == b"." or pieces[n][:1] == b"." for n in range(1, len(pieces)))
