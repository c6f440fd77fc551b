"""What a session has to send: gathered until a reply is needed, then sent in one write.

Guarantees: memory does not grow with a message, because big ones leave in pieces; every write has a deadline
that a line of some kilobits a second can meet; afterwards it is known which messages left, to the octet.
"""

from __future__ import annotations

import time

from sendmail_py.relay import transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.relay.needs import Line
    from sendmail_py.relay.transaction import Transaction

BUFFER = 65536
SLOWEST = 2048.0  # octets a second, below which a server stalls


class Outbox:
    """Octets for `line`.

    waiting   how many are not yet sent
    total     how many were ever put in
    deadline  monotonic seconds for all of a big message; 0.0: each write has its own
    begun     where in the stream the content of a transaction begins
    ended     where it ends
    """

    __slots__ = ("begun", "deadline", "ended", "line", "pieces", "total", "waiting")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.pieces: list[bytes] = []
        self.waiting = 0
        self.total = 0
        self.deadline = 0.0
        self.begun: dict[Transaction, int] = {}
        self.ended: dict[Transaction, int] = {}

    def put(self, octets: bytes) -> None:
        """Keep until send."""
        self.pieces.append(octets)
        self.waiting += len(octets)
        self.total += len(octets)

    def is_full(self, more: int) -> bool:
        """Whether `more` octets should not come on top of what waits."""
        return self.waiting + more > BUFFER

    def send(self, timeout: float, heard: Callable[[bytes], None]) -> None:
        """Send everything; what arrives meanwhile goes to `heard`."""
        if self.pieces:
            octets = b"".join(self.pieces)
            self.pieces, self.waiting = [], 0
            deadline = self.deadline or time.monotonic() + timeout + len(octets) / SLOWEST
            self.line.send(octets, deadline, heard)

    def begin(self, sending: Transaction) -> None:
        """The content of a transaction comes next."""
        sending.stage = transaction.CONTENT
        self.begun[sending] = self.total

    def end(self, sending: Transaction) -> None:
        """That was its end."""
        sending.stage = transaction.ENDED
        self.ended[sending] = self.total

    def forget(self, done: Transaction) -> None:
        """A transaction is decided."""
        self.begun.pop(done, None)
        self.ended.pop(done, None)

    def correct(self, sending: Transaction) -> None:
        """The connection is lost: how far a transaction came after all."""
        if self.begun.get(sending, 0) > self.line.sent:
            sending.stage = transaction.OFFERED
        elif sending.stage == transaction.ENDED and self.ended[sending] > self.line.sent:
            sending.stage = transaction.CONTENT
