"""What a run does with a message that it is through with, and at its own end; reports.py writes the reports.

Guarantees: a report that cannot be written keeps the message in the queue; what is failed stays for
failed_lifetime, whatever the clock does. Reports are rare, so their modules are loaded when one may be due.
"""

from __future__ import annotations

import posix
import stat

from sendmail_py import maillog
from sendmail_py.errors import SendmailError
from sendmail_py.mail.envelope import FAILED, OPEN, RELAYED, REPORTED
from sendmail_py.relay import trouble
from sendmail_py.spool import upkeep, usage
from sendmail_py.spool.upkeep import DAY, changed, touch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import Config
    from sendmail_py.relay.reports import Reports
    from sendmail_py.spool.claim import Claim
    from sendmail_py.spool.queue import Spool, Waiting


class Reporter:
    """The reports of one run. `failed` is the number of messages that it moved to failed/."""

    def __init__(self, config: Config, spool: Spool, clock: Callable[[], float]) -> None:
        self.config = config
        self.spool = spool
        self.clock = clock
        self.failed = 0

    def reports(self) -> Reports:
        """Who writes them."""
        from sendmail_py.relay import reports  # noqa: PLC0415 (a named door: they are rare, and take 10 ms)

        return reports.Reports(self.config, self.spool, self.clock)

    # --- one message ---

    def finish(self, claim: Claim) -> bool:
        """Report, then let go of the message; whether it has left the queue."""
        if not self.settle(claim):
            claim.release()
            return False
        failed = bool(claim.envelope.having(FAILED, REPORTED))
        if not self.spool.finish(claim):
            return False
        self.failed += failed
        if failed and self.config.queue.report == "owner":
            touch(f"{self.spool.directory}/{upkeep.OWED}", self.clock())
        maillog.record(claim.queue_id, [], "moved to failed" if failed else "removed")
        return True

    def settle(self, claim: Claim) -> bool:
        """Report what is to be reported about a message; False when that must be tried again later."""
        try:
            if self.may_owe(claim):
                self.reports().settle(claim)
        except (OSError, SendmailError) as fault:
            reason = fault.strerror if isinstance(fault, OSError) else str(fault)
            maillog.warning(f"{claim.queue_id}: a report cannot be written, the message waits: {reason}")
            return False
        return True

    def may_owe(self, claim: Claim) -> bool:
        """Whether there may be something to tell: promises, what failed or was relayed, a long wait."""
        envelope, after = claim.envelope, self.config.queue.warn_after
        if claim.beside or claim.owing or envelope.having(FAILED, RELAYED):
            return True
        seen = max([one.waited for one in claim.tries.values()], default=0)
        is_late = trouble.age(envelope.created, seen, self.clock()) >= after
        return bool(after) and is_late and bool(envelope.having(*OPEN))

    # --- the end of a run ---

    def end(self, told: list[tuple[bytes, str]]) -> None:
        """What a run does at its end; trouble in it is no trouble of the mail. `told`: see senders.py."""
        try:
            if told or self.spool.notices() or self.is_notice_due():
                self.reports().end(told)
            self.spool.leftovers = []
            self.expire()
            usage.put_right(self.spool.directory, self.spool.queue_folder())
        except (OSError, SendmailError) as fault:
            maillog.warning(f"at the end of the run: {fault}")

    def is_notice_due(self) -> bool:
        """Whether the owner may have to be told of failures now."""
        is_wanted = self.config.queue.report == "owner"
        return is_wanted and upkeep.is_notice_due(self.spool.directory, self.clock())

    def expire(self) -> None:
        """Remove what has been in failed/ for failed_lifetime; at most once a day.

        When much more than a day went by since the last time, the clock may have jumped: then only that is
        written down, and a day later it is believed.
        """
        now, path = self.clock(), f"{self.spool.directory}/{upkeep.EXPIRED}"
        last = changed(path)
        if 0 <= now - last < DAY:
            return
        if now - last > max(DAY * 2, self.config.queue.failed_lifetime / 4) or now < last:
            touch(path, now)
            return
        for waiting in self.spool.failed():
            self.expire_one(waiting, now - self.config.queue.failed_lifetime)
        touch(path, now)

    def expire_one(self, waiting: Waiting, before: float) -> None:
        """Remove a failed message that was last changed before that time (seconds)."""
        try:
            status = posix.stat(waiting.queue_id, dir_fd=self.spool.failed_folder(), follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISREG(status.st_mode) and status.st_mtime < before and self.spool.delete(waiting, True):
            maillog.record(waiting.queue_id, [("status", "deleted")], "failed_lifetime is over")
