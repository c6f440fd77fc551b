"""What became of one recipient in one attempt: delivered, deferred or failed."""

from __future__ import annotations

DELIVERED = "delivered"
DEFERRED = "deferred"
FAILED = "failed"
AGAIN = "again"  # not an end: this recipient was one too many, the next transaction of the same run takes it

# Causes of a deferral that are not this message's own.
SENDER = "sender"  # the smart host refuses this sender, so all its messages wait
THROTTLED = "throttled"  # the smart host wants us to send less, so everything waits
UNANSWERED = "unanswered"  # the final dot was sent and no reply came


class Outcome:
    """One of DELIVERED, DEFERRED, FAILED, AGAIN with enhanced status code (RFC 3463, "4.4.2") and reason.

    `status` is always complete: where the server gave none, it follows from the reply code and the phase.
    `text` is one line for people and the log, made of printable characters. `cause` is "" or one of those
    above.
    """

    __slots__ = ("cause", "kind", "status", "text")

    def __init__(self, kind: str, status: str, text: str, cause: str = "") -> None:
        self.kind = kind
        self.status = status
        self.text = text
        self.cause = cause

    def __repr__(self) -> str:
        return f"<Outcome {self.kind} {self.status} {self.text}>"
