"""Descriptors of removed files are closed beside the run: the last close of a file frees its blocks.

That waits for the disk, longer than all that the run does for a message. Guarantees: nothing is said to be
closed before it is, so locks are kept until then; never more than MOST wait, and none when `join` returns.
"""

from __future__ import annotations

import queue
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.spool.claim import Claim

MOST = 128


class Closing:
    """Claims that are to be released by a thread of their own."""

    __slots__ = ("thread", "waiting")

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[Claim | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None

    def release(self, claim: Claim) -> None:
        """Release it soon; at once when too many wait."""
        if self.waiting.qsize() >= MOST:
            claim.release()
            return
        if self.thread is None:
            self.thread = threading.Thread(target=self.work, name="closing", daemon=True)
            self.thread.start()
        self.waiting.put(claim)

    def work(self) -> None:
        """The thread."""
        while (claim := self.waiting.get()) is not None:
            claim.release()

    def join(self) -> None:
        """All that wait are released when this returns."""
        if self.thread is not None:
            self.waiting.put(None)
            self.thread.join()
            self.thread = None
