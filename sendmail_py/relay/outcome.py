"""What became of one recipient in one attempt: delivered, deferred or failed."""

from __future__ import annotations

DELIVERED = "delivered"
DEFERRED = "deferred"
FAILED = "failed"
AGAIN = "again"  # not an end: this recipient was one too many, the next transaction of the same run takes it


class Outcome:
    """One of DELIVERED, DEFERRED, FAILED, AGAIN with enhanced status code (RFC 3463, "4.4.2") and reason.

    `status` is always complete: where the server gave none, it follows from the reply code and the phase.
    `text` is one line for people and the log, made of printable characters.
    """

    __slots__ = ("kind", "status", "text")

    def __init__(self, kind: str, status: str, text: str) -> None:
        self.kind = kind
        self.status = status
        self.text = text

    def __repr__(self) -> str:
        return f"<Outcome {self.kind} {self.status} {self.text}>"
