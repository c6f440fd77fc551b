"""Senders that a smart host refuses: only their mail waits, the owner is told once, changed rules apply.

Guarantees: one refusal per sender and run; the pause between two grows like that of a smart host and ends at
once when a file of the configuration changes; then the sender rules are applied to the message again, which
keeps its queue id, its states and its tries.
"""

from __future__ import annotations

from sendmail_py import maillog
from sendmail_py.errors import SendmailError, printable
from sendmail_py.mail import address, header
from sendmail_py.policy import identity, masquerade
from sendmail_py.relay import trouble
from sendmail_py.spool import refused
from sendmail_py.spool.refused import Refusal
from sendmail_py.spool.tries import is_due

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sendmail_py.policy.config import Config, SmartHost
    from sendmail_py.policy.masquerade import SenderRules
    from sendmail_py.relay.backlog import Rules
    from sendmail_py.spool.claim import Claim

AUTHORS = (b"from", b"sender", b"resent-from", b"resent-sender")
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
        """To the spool, without what is too old."""
        now = self.rules.clock()
        self.refusals = {key: one for key, one in self.refusals.items() if now - one.since < OLDEST}
        refused.write(self.directory, self.refusals)

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
            self.renewed.add(claim.queue_id)
            apply_again(claim, self.config)

    def is_renewed(self, claim: Claim) -> bool:
        """Whether that happened in this run, so that it is due now."""
        return claim.queue_id in self.renewed


def apply_again(claim: Claim, config: Config) -> bool:
    """Apply the sender rules to a claimed message again; whether its sender changed.

    They are given what the submitter wrote, where that is known. A rule that would refuse the sender changes
    nothing. Raises OSError when the message cannot be written anew.
    """
    envelope = claim.envelope
    old = envelope.reverse_path
    rules = masquerade.SenderRules(config, identity.host(config), identity.of(envelope.uid))
    try:
        new, rule = rules.repair(envelope.original or old)
    except SendmailError as fault:
        maillog.notice(f"{claim.queue_id}: the sender rules refuse the sender now: {fault}")
        return False
    if new == old:
        return False
    envelope.original, envelope.rule = envelope.original or old, rule.encode() or b"changed"
    envelope.reverse_path = new
    claim.rewrite(envelope, renewed(claim, rules, old, config.masquerade.headers))
    fields = [("from", f"<{printable(new)}>"), ("was", f"<{printable(old)}>"), ("rule", rule)]
    maillog.record(claim.queue_id, fields, "sender rules applied again")
    return True


def renewed(claim: Claim, rules: SenderRules, old: bytes, headers: bool) -> Iterator[bytes]:
    """The message with the sender's address in the header replaced, and repaired as at submission."""
    splitter = header.Splitter()
    pieces = iter(list(claim.chunks()) if claim.content is not None else claim.chunks())
    for piece in pieces:
        splitter.feed(piece)
        if splitter.done:
            break
    else:
        splitter.finish()
    new = claim.envelope.reverse_path

    def again(given: bytes) -> tuple[bytes, str]:
        return (new, "changed") if address.same(given, old) else rules.repair(given)

    for field in splitter.fields:
        if headers and header.name(field) in AUTHORS:
            try:
                value = masquerade.edited(header.value(field), again)[0]
            except SendmailError:
                value = header.value(field)
            field = header.rebuild(field, value)  # noqa: PLW2901
        yield field
    yield b"\r\n"
    yield splitter.body
    yield from pieces
