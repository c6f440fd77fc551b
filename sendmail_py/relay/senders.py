"""Senders that a smart host refuses: only their mail waits, the owner is told once, changed rules apply.

Guarantees: one refusal per sender and run; the pause between two grows like that of a smart host and ends at
once when a file of the configuration changes; then the sender rules are applied to the message again, which
keeps its queue id, its states and its tries.
"""

from __future__ import annotations

from sendmail_py import maillog
from sendmail_py.errors import printable
from sendmail_py.relay import trouble
from sendmail_py.spool import refused
from sendmail_py.spool.refused import Refusal
from sendmail_py.spool.tries import is_due

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import Config, SmartHost
    from sendmail_py.relay.backlog import Rules
    from sendmail_py.spool.claim import Claim

OLDEST = 90 * 86400  # seconds after which a refusal is forgotten


class Senders:
    """The refused senders of one run. `told` are those that the owner does not know yet."""

    def __init__(self, directory: str, config: Config, rules: Rules) -> None:
        self.directory = directory
        self.config = config
        self.rules = rules
        self.now_refused: set[tuple[str, str]] = set()
        self.renewed: set[str] = set()
        self.told: list[tuple[bytes, str]] = []
        self.fingerprint = refused.rules_of(config.files)
        self.refusals = refused.read(directory)

    def is_blocked(self, setting: SmartHost, sender: bytes) -> bool:
        """Whether the sender's messages wait: it was refused in this run, or a short time ago."""
        if not self.refusals:
            return False
        key = refused.key(setting.name, sender)
        if key in self.now_refused:
            return True
        known = self.refusals.get(key)
        if known is None or known.rules != self.fingerprint or self.rules.force:
            return False
        return not is_due(known.until, self.rules.clock(), self.rules.queue.retry_max)

    def refuse(self, setting: SmartHost, sender: bytes, reply: str) -> None:
        """Write a refusal down; the first is told, later ones under other rules are in the log."""
        key = refused.key(setting.name, sender)
        if key in self.now_refused:
            return
        self.now_refused.add(key)
        now, queue = self.rules.clock(), self.rules.queue
        known = self.refusals.get(key)
        count = known.count + 1 if known is not None and known.rules == self.fingerprint else 1
        wait = trouble.wait(count, queue.retry_min, queue.retry_max, self.rules.random)
        since = known.since if known is not None else int(now)
        self.refusals[key] = Refusal(int(now + wait), count, since, self.fingerprint, reply)
        if count == 1:
            text = f"smart host {setting.name} refuses the sender <{printable(sender)}>"
            maillog.warning(f"{text}; its messages wait until the configuration changes: {reply}")
            if known is None:
                self.told.append((sender, f"{text}: {reply}"))
        self.write()

    def accept(self, setting: SmartHost, sender: bytes) -> None:
        """The sender is welcome."""
        if self.refusals and self.refusals.pop(refused.key(setting.name, sender), None) is not None:
            self.write()

    def write(self) -> None:
        """To the spool, without what is too old; a fault of the disk is no reason to stop."""
        now = self.rules.clock()
        self.refusals = {key: one for key, one in self.refusals.items() if now - one.since < OLDEST}
        try:
            refused.write(self.directory, self.refusals)
        except OSError:
            return

    @property
    def rules_changed(self) -> bool:
        """Whether a sender was refused under other rules than those of now."""
        return any(one.rules != self.fingerprint for one in self.refusals.values())

    def rules_applied(self) -> None:
        """Every message of the queue has met the rules of now: who was not refused again is no more."""
        if self.rules_changed:
            kept = {key: one for key, one in self.refusals.items() if one.rules == self.fingerprint}
            self.refusals = kept
            self.write()

    def forget(self) -> None:
        """Nothing waits any more, so nobody's mail waits for this."""
        self.refusals = {}
        self.write()

    def renew(self, claim: Claim) -> None:
        """Apply the rules again to a message whose sender was refused under others."""
        if not self.refusals:
            return
        sender = printable(claim.envelope.reverse_path, 1100)
        if any(key[1] == sender and one.rules != self.fingerprint for key, one in self.refusals.items()):
            from sendmail_py.relay import renewal  # noqa: PLC0415 (a named door: rules change rarely)

            self.renewed.add(claim.queue_id)
            renewal.apply_again(claim, self.config)

    def is_renewed(self, claim: Claim) -> bool:
        """Whether that happened in this run, so that it is due now."""
        return claim.queue_id in self.renewed
