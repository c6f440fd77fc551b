"""What a dialogue wants done: the actions that smtp.py yields and session.py performs. Pure.

A dialogue is a generator of actions. It is sent what came of each: a Reply for an Expect, a list of them for
Replies, a Transaction or None for NEXT, what Whole and Chunk say, otherwise None.
"""

from __future__ import annotations

from sendmail_py.relay import transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any, TypeVar

    from sendmail_py.relay.transaction import Transaction

    T = TypeVar("T")
    Dialogue = Generator[object, Any, T]


class Write:
    """Send `octets`, which will be answered by `replies` replies; `secret` keeps them out of transcripts.

    `secret` are the words that must not be shown from now on either, should the server quote them.

    Without octets it says that so many more replies are to come than was thought.
    """

    __slots__ = ("octets", "replies", "secret")

    def __init__(self, octets: bytes, replies: int = 1, secret: tuple[bytes, ...] = ()) -> None:
        self.octets = octets
        self.replies = replies
        self.secret = secret


class Expect:
    """Wait for the next reply; `phase` says what it answers."""

    __slots__ = ("phase",)

    def __init__(self, phase: str) -> None:
        self.phase = phase


class Replies:
    """Wait for the next replies, one for each of these Expects; the answer is the list of them."""

    __slots__ = ("expects",)

    def __init__(self, expects: list[Expect]) -> None:
        self.expects = expects


class Content:
    """Send the content of a transaction and the final dot, which will be answered by `replies` replies."""

    __slots__ = ("replies", "transaction")

    def __init__(self, transaction: Transaction, replies: int = 1) -> None:
        self.transaction = transaction
        self.replies = replies


class Whole:
    """Send `commands`, which will be answered by `replies` replies, and the content as one last chunk.

    The answer is "" if that was done, else why the content cannot be read; then nothing was sent.
    """

    __slots__ = ("commands", "replies", "transaction")

    def __init__(self, transaction: Transaction, commands: bytes, replies: int) -> None:
        self.transaction = transaction
        self.commands = commands
        self.replies = replies


class Chunk:
    """Send the next piece of the content as a chunk; the answer is whether there was one."""

    __slots__ = ("transaction",)

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction


class LastChunk:
    """Send the empty chunk that ends the content."""

    __slots__ = ("transaction",)

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction


class Judged:
    """A transaction is decided: write the verdicts down before anything else is read."""

    __slots__ = ("transaction",)

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction


class StartTLS:
    """Encrypt the connection now."""

    __slots__ = ()


class Next:
    """Ask for the next transaction; the answer is None when there is none."""

    __slots__ = ()


GREETING = Expect("initial server greeting")
EHLO = Expect("EHLO command")
HELO = Expect("HELO command")
STARTTLS = Expect("STARTTLS command")
AUTH = Expect("AUTH command")
MAIL = Expect(transaction.MAIL)
RCPT = Expect(transaction.RCPT)
DATA = Expect(transaction.DATA)
END = Expect(transaction.END)
CHUNK = Expect("BDAT command")
PROBE = Expect("BDAT command out of turn")
RSET = Expect("RSET command")
QUIT = Expect("QUIT command")
START_TLS = StartTLS()
NEXT = Next()
