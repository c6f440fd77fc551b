"""Descriptors of removed files are closed beside the run: the last close of a file frees its blocks.

That waits for the disk, longer than all that the run does for a message. Guarantees: nothing is said to be
closed before it is, so locks are kept until then; never more than MOST wait, and none when `join` returns.
The C half of threading does, because a reader of the shared spool would pay more for the other half than for
all else that it imports.
"""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque

    from sendmail_py.spool.claim import Claim
else:
    from _collections import deque

MOST = 128


class Closing:
    """Claims that are to be released by a thread of their own.

    waiting  what it has not yet begun with
    busy     is held while the thread lives; it ends when nothing waits
    lock     for the decision that nothing does
    """

    __slots__ = ("busy", "is_at_work", "lock", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Claim] = deque()
        self.busy = _thread.allocate_lock()
        self.lock = _thread.allocate_lock()
        self.is_at_work = False

    def release(self, claim: Claim) -> None:
        """Release it soon; at once when too many wait."""
        if len(self.waiting) >= MOST:
            claim.release()
            return
        with self.lock:
            self.waiting.append(claim)
            if self.is_at_work:
                return
            self.is_at_work = True
        self.busy.acquire()  # at once: a thread that said that it is not at work lets go of it next
        try:
            _thread.start_new_thread(self.work, ())
        except RuntimeError:  # there are too many
            self.work()

    def work(self) -> None:
        """The thread."""
        while (claim := self.next()) is not None:
            try:
                claim.release()
            except OSError:
                continue
        self.busy.release()

    def next(self) -> Claim | None:
        """What is to be released next, None at the end."""
        with self.lock:
            self.is_at_work = bool(self.waiting)
            return self.waiting.popleft() if self.waiting else None

    def join(self) -> None:
        """All that wait are released when this returns."""
        with self.busy:
            return
