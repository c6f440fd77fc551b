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
    """Claims that are to be released by a thread of their own, which lives from the first one until `join`.

    waiting     what it has not yet begun with
    wake        it waits for this lock when there is nothing; `call` lets go of it
    busy        is held while it lives
    lock        for its beginning and its end
    """

    __slots__ = ("busy", "is_at_work", "is_over", "lock", "waiting", "wake")

    def __init__(self) -> None:
        self.waiting: deque[Claim] = deque()
        self.wake = _thread.allocate_lock()
        self.busy = _thread.allocate_lock()
        self.lock = _thread.allocate_lock()
        self.is_at_work = self.is_over = False

    def release(self, claim: Claim) -> None:
        """Release it soon; at once when too many wait."""
        if len(self.waiting) >= MOST:
            claim.release()
            return
        with self.lock:
            self.waiting.append(claim)
            if not self.is_at_work:
                self.begin()
        self.call()

    def begin(self) -> None:
        """Start the thread."""
        self.busy.acquire()
        try:
            _thread.start_new_thread(self.work, ())
            self.is_at_work = True
        except RuntimeError:  # there are too many
            self.drain()
            self.busy.release()

    def call(self) -> None:
        """Have the thread look what waits, now or when it has done what it has begun with."""
        try:
            self.wake.release()
        except RuntimeError:  # somebody else has called it
            return

    def work(self) -> None:
        """The thread."""
        while not self.is_over:
            self.wake.acquire()
            self.drain()
        self.drain()  # what came when it had looked for the last time
        self.busy.release()

    def drain(self) -> None:
        """Release all that waits."""
        while self.waiting:
            try:
                self.waiting.popleft().release()
            except OSError:
                continue

    def join(self) -> None:
        """All that wait are released when this returns."""
        with self.lock:
            if not self.is_at_work:
                return
            self.is_over = True
            self.call()
            with self.busy:
                self.is_at_work = self.is_over = False
