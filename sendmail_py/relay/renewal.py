"""The sender rules applied again to a message in the queue, because they changed since it was submitted.

Guarantees: it keeps its queue id, its states and its tries; what the submitter wrote is what they are given.
"""

from __future__ import annotations

from sendmail_py import maillog
from sendmail_py.errors import SendmailError, printable
from sendmail_py.mail import address, header
from sendmail_py.policy import identity, masquerade

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sendmail_py.policy.config import Config
    from sendmail_py.policy.masquerade import SenderRules
    from sendmail_py.spool.claim import Claim

AUTHORS = (b"from", b"sender", b"resent-from", b"resent-sender")


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
