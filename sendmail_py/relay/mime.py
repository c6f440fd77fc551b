"""The structure of a message in wire form (RFC 2045, 2046), read once, front to back, as a stream of events.

Guarantees:

- the octets of all events, joined, are the message, octet for octet, wherever its chunks are cut;
- linear time and no recursion; memory holds one chunk, the header field that is being read, and the
  boundaries of the parts that are open, at most DEEPEST;
- whatever cannot be understood is one opaque leaf: a multipart without a boundary of its own, too deep, or
  with an encoding that RFC 2045 6.4 forbids it.

A delimiter is found as readers of mail find it: the whole line, blanks at its end apart, at any level that is
open, so that a part which lacks its end ends with the part around it.
"""

from __future__ import annotations

from sendmail_py.mail import header
from sendmail_py.relay import parameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Any

    Event = tuple[int, bytes]
    Step = Generator[Event, None, Callable[[], Any] | None]

# Events. An entity is a message or a body part: START, any number of FIELD, BLANK (the empty line, b"" when
# it is missing), then, by its kind, BODY pieces, BETWEEN pieces and DELIMITERs, or the START of a message.
START, FIELD, BLANK, BODY, BETWEEN, DELIMITER, MBOX_LINE = range(7)

# Kinds of entities. What is in a sealed one belongs to somebody's signature, key or fragment.
LEAF, MULTIPART, MESSAGE, SEALED = range(4)

DEEPEST = 10_000  # multiparts within multiparts
CRLF = b"\r\n"
LONGEST = 998  # octets of a delimiter line; a longer line is none
LONGEST_NAME = 65536  # octets in which the colon of a header field must come
FROM_LINES = (b"From ", b">From ")

TEXT = b"text/plain"
RFC822 = b"message/rfc822"
DIGEST = b"multipart/digest"  # its parts are messages by default (RFC 2046 5.1.5)
SEALED_TYPES = (
    b"multipart/signed",  # RFC 1847 2.1: the signature covers header and body as they are encoded
    b"multipart/encrypted",  # RFC 1847 2.2
    b"message/partial",  # RFC 2046 5.2.2: a fragment makes sense only beside the others
    b"message/external-body",
)
OURS = (b"quoted-printable", b"base64")
FOREIGN = (b"uuencode", b"uue")  # beside all that begin with x-; other words are mistakes, such as "utf-8"


class Entity:
    """A message or a body part, as its header tells.

    is_message  whether it has a header of its own right (MIME-Version belongs there)
    kind        LEAF, MULTIPART, MESSAGE or SEALED
    type        type/subtype in lower case, the default if there is none
    encoding    Content-Transfer-Encoding in lower case, b"" for none
    boundary    of a multipart
    typed, versioned, encoded   whether it has a Content-Type, MIME-Version, Content-Transfer-Encoding
    has_parts   whether a delimiter of its own was seen; a multipart without one is text to most readers
    """

    __slots__ = (
        "boundary", "encoded", "encoding", "has_parts", "is_message", "kind", "type", "typed", "versioned",
    )  # fmt: skip

    def __init__(self, is_message: bool, default: bytes = TEXT) -> None:
        self.is_message = is_message
        self.kind = LEAF
        self.type = default
        self.encoding = b""
        self.boundary = b""
        self.typed = self.versioned = self.encoded = self.has_parts = False

    def learn(self, field: bytes) -> None:
        """Take what a header field says; of several the first counts, as it does for readers."""
        name = header.name(field)
        if name == b"content-type" and not self.typed:
            self.typed = True
            self.type = parameters.media_type(field) or TEXT  # RFC 2045 5.2
            self.boundary = parameters.boundary(field) if self.type.startswith(b"multipart/") else b""
        elif name == b"content-transfer-encoding" and not self.encoded:
            self.encoded = True
            self.encoding = header.unfolded(field).lower()
        elif name == b"mime-version":
            self.versioned = True

    def settle(self, fits: Callable[[bytes], bool]) -> None:
        """Judge the kind once the header is complete; `fits` tells whether a boundary can be used here."""
        if self.type in SEALED_TYPES:
            self.kind = SEALED
        elif self.is_recoded or self.is_foreign:
            self.kind = LEAF  # RFC 2045 6.4 forbids it for multipart and message
        elif self.type == RFC822:
            self.kind = MESSAGE
        elif self.type.startswith(b"multipart/") and fits(self.boundary):
            self.kind = MULTIPART

    @property
    def is_recoded(self) -> bool:
        """Whether the body is quoted-printable or base64 already."""
        return self.encoding in OURS

    @property
    def is_foreign(self) -> bool:
        """Whether the body is in an encoding that is not MIME's, so that no other can be put around it."""
        return self.encoding in FOREIGN or self.encoding.startswith(b"x-")


class Parser:
    """The events of one message; `entity` is the one that the last event belongs to.

    buffer  octets read ahead; `at` is where the next event begins. The line end before `at` is in it too.
    levels  the open multiparts, outermost first
    depths  their boundaries -> their position in levels, counted from 1
    """

    __slots__ = ("at", "buffer", "chunks", "depths", "ended", "entity", "levels")

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = iter(chunks)
        self.buffer = CRLF
        self.at = len(CRLF)
        self.ended = False
        self.entity = Entity(True)
        self.levels: list[Entity] = []
        self.depths: dict[bytes, int] = {}

    def events(self) -> Generator[Event, None, None]:
        """(kind, octets) in the order of the message."""
        step: Callable[[], Step] | None = self.header
        while step is not None:
            step = yield from step()

    # --- states ---

    def header(self) -> Step:
        """Header fields up to an empty line, a delimiter, or a line that is none (then the body begins)."""
        entity = self.entity
        yield START, b""
        lines: list[bytes] = []
        while True:
            end = self.line_end()
            line = self.buffer[self.at : end]
            if lines and line.startswith((b" ", b"\t")):
                lines.append(line)
                self.at = end
                continue
            if lines:
                field = b"".join(lines)
                entity.learn(field)
                yield FIELD, field
            elif entity.is_message and line.startswith(FROM_LINES) and end - self.at <= LONGEST:
                self.at = end
                yield MBOX_LINE, line
                continue
            if self.depth_of(line) or not header.is_field(line[:LONGEST_NAME]):
                break
            lines = [line]
            self.at = end
        blank = CRLF if line == CRLF else b""
        self.at += len(blank)
        entity.settle(self.is_usable)
        yield BLANK, blank
        return self.inside(entity)

    def inside(self, entity: Entity) -> Callable[[], Step]:
        """What follows the header."""
        if entity.kind == MULTIPART:
            self.levels.append(entity)
            self.depths[entity.boundary] = len(self.levels)
            return self.between
        if entity.kind == MESSAGE:
            self.entity = Entity(True)
            return self.header
        return self.leaf

    def leaf(self) -> Step:
        """The body of a leaf."""
        return (yield from self.until_delimiter(BODY))

    def between(self) -> Step:
        """What belongs to no part: before the first, after the last (RFC 2046 5.1.1)."""
        return (yield from self.until_delimiter(BETWEEN))

    def until_delimiter(self, kind: int) -> Step:
        """Pieces of `kind`, then a delimiter; its line end before it is its own."""
        look = self.at - len(CRLF)
        while self.levels:
            found = self.buffer.find(b"\r\n--", look)
            end = self.buffer.find(b"\n", found + 4) + 1 if found >= 0 else 0
            if end or (self.ended and found >= 0):
                end = end or len(self.buffer)
                depth = self.depth_of(self.buffer[found + 2 : end])
                if depth:
                    first, last = self.at, max(found, self.at)
                    self.at = end
                    self.levels[depth - 1].has_parts = True
                    if last > first:
                        yield kind, self.buffer[first:last]
                    yield DELIMITER, self.buffer[last:end]
                    return self.cross(self.buffer[last:end], depth)
                look = max(end - 2, found + 4)
            elif found >= 0 and len(self.buffer) - found > LONGEST + 4:
                look = found + 4
            else:  # nothing here, or a line of which more must be seen
                keep = max(self.at, found if found >= 0 else len(self.buffer) - unsure(self.buffer))
                if keep > self.at:
                    yield kind, self.buffer[self.at : keep]
                    self.at = keep
                if not self.fill() and found < 0:
                    break
                look = self.at - len(CRLF)
        yield kind, self.buffer[self.at :]
        self.at = len(self.buffer)
        for chunk in self.chunks:
            yield kind, chunk
        return None

    def cross(self, line: bytes, depth: int) -> Callable[[], Step]:
        """Behind a delimiter of the multipart at `depth`: all within it is closed."""
        closing = self.depths.get(line.strip()[2:]) != depth
        while len(self.levels) > depth - closing:
            del self.depths[self.levels.pop().boundary]
        if closing:
            return self.between
        self.entity = Entity(False, RFC822 if self.levels[-1].type == DIGEST else TEXT)
        return self.header

    # --- lines ---

    def depth_of(self, line: bytes) -> int:
        """Which open multipart the line delimits, counted from 1; 0 if none."""
        if not line.startswith(b"--") or len(line) > LONGEST + 2:
            return 0
        text = line.rstrip()[2:]
        return self.depths.get(text, 0) or self.depths.get(text.removesuffix(b"--"), 0)

    def is_usable(self, boundary: bytes) -> bool:
        """Whether delimiters with this boundary can be told from all others."""
        return (
            0 < len(boundary) < LONGEST - len(b"----")
            and boundary not in self.depths
            and len(self.levels) < DEEPEST
        )

    def fill(self) -> bool:
        """One more chunk into the buffer; False at the end of the message."""
        chunk = next(self.chunks, None)
        self.ended = chunk is None
        self.buffer = self.buffer[self.at - len(CRLF) :] + (chunk or b"")
        self.at = len(CRLF)
        return chunk is not None

    def line_end(self) -> int:
        """Where the line at `at` ends; a long one is completed only if it may be of the header."""
        end = self.buffer.find(b"\n", self.at) + 1
        if end or self.ended:
            return end or len(self.buffer)
        pieces = [self.buffer[self.at - len(CRLF) :]]
        size, judged = len(pieces[0]), False
        for chunk in self.chunks:
            pieces.append(chunk)
            size += len(chunk)
            if b"\n" in chunk:
                break
            if size - len(CRLF) >= LONGEST_NAME and not judged:
                judged = True
                line = b"".join(pieces)[len(CRLF) :]
                if not header.is_field(line[:LONGEST_NAME]) and not line.startswith((b" ", b"\t")):
                    break
        else:
            self.ended = True
        self.buffer = b"".join(pieces)
        self.at = len(CRLF)
        return self.buffer.find(b"\n", self.at) + 1 or len(self.buffer)


def unsure(buffer: bytes) -> int:
    """How many octets at the end may be the beginning of a delimiter."""
    for length in (3, 2, 1):
        if buffer.endswith(b"\r\n-"[:length]):
            return length
    return 0
