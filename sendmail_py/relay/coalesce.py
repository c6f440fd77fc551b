"""queue.coalesce: of messages with the same sender, recipients and subject one goes out in that time.

The first goes at once, so nobody waits who sends one message. Those that follow within the time wait for its
end; what waits then becomes one digest. Guarantees: a message leaves the queue only when the digest that
holds it is durably there (spool/absorb.py); what was tried, is held, or is a report, is left alone.
"""

from __future__ import annotations

import hashlib
import os

from sendmail_py import maillog
from sendmail_py.errors import SendmailError
from sendmail_py.mail import address, header
from sendmail_py.mail.envelope import TODO, Envelope, Recipient
from sendmail_py.policy import identity
from sendmail_py.relay import bounce, digest
from sendmail_py.relay.digest import Part
from sendmail_py.spool import absorb, bursts, draft
from sendmail_py.spool.queue import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import Config
    from sendmail_py.relay.backlog import Rules
    from sendmail_py.spool.claim import Claim
    from sendmail_py.spool.draft import Draft
    from sendmail_py.spool.queue import Spool

LARGEST = 256 << 10  # octets; what is larger goes by itself
MOST = 100  # messages in a digest; each has a descriptor
FULL = 4 << 20  # octets of a digest, which servers take that take anything


class Coalescing:
    """The digests of one run."""

    def __init__(self, config: Config, spool: Spool, rules: Rules) -> None:
        self.config = config
        self.spool = spool
        self.rules = rules
        self.host = identity.host(config)

    def apply(self, due: list[Waiting]) -> list[Waiting]:
        """What of the messages that are due is to be sent now; digests in the place of what they hold."""
        kinds: dict[str, list[Waiting]] = {}
        alone: list[Waiting] = []
        for one in due:
            kind = "" if one.tries_name or one.beside else self.kind_of(one)
            if kind:
                kinds.setdefault(kind, []).append(one)
            else:
                alone.append(one)
        ready = self.ready(list(kinds)) if kinds else set()
        made = [one for kind, group in kinds.items() if kind in ready for one in self.together(group)]
        return made + alone

    def ready(self, kinds: list[str]) -> set[str]:
        """The kinds that may go out now, which is written down."""
        now, span = int(self.rules.clock()), self.config.queue.coalesce
        known = bursts.read(self.spool.directory)
        known = {kind: last for kind, last in known.items() if 0 <= now - last < span}
        ready = {kind for kind in kinds if self.rules.force or kind not in known}
        try:
            bursts.write(self.spool.directory, known | dict.fromkeys(ready, now))
        except OSError as error:
            maillog.warning(f"cannot remember what goes out: {error.strerror}")
        return ready

    def kind_of(self, waiting: Waiting) -> str:
        """What a message has in common with others, "" if it goes by itself."""
        try:
            listed = self.spool.read(waiting)
            if listed is None or listed.size > LARGEST or not is_plain(listed.envelope):
                return ""
            if self.rules.only is not None and not self.rules.only(waiting.queue_id, listed.envelope):
                return ""
            fields = header_of(self.spool.head(waiting))
        except (OSError, SendmailError):
            return ""
        return "" if digest.is_digest(fields) else kind(listed.envelope, subject_of(fields))

    def together(self, group: list[Waiting]) -> list[Waiting]:
        """Messages of one kind as digests; one that is alone stays as it is."""
        found: list[Waiting] = []
        taken: list[tuple[Waiting, Claim]] = []
        size = 0
        for waiting in group:
            claim = self.claim(waiting)
            if claim is None:
                found.append(waiting)  # whoever looks at it next will say why
                continue
            if len(taken) >= MOST or size + claim.size > min(FULL, self.config.queue.max_message):
                found += self.one_of(taken)
                taken, size = [], 0
            taken.append((waiting, claim))
            size += claim.size
        return found + self.one_of(taken)

    def claim(self, waiting: Waiting) -> Claim | None:
        """A message that is still what it was when it was listed."""
        try:
            claim = self.spool.claim(waiting)
        except (OSError, SendmailError):
            return None
        if claim is not None and (claim.tries or not is_plain(claim.envelope)):
            claim.release()
            return None
        return claim

    def one_of(self, taken: list[tuple[Waiting, Claim]]) -> list[Waiting]:
        """A digest of these messages; they themselves when there is only one, or it cannot be made."""
        if len(taken) < 2:
            for _, claim in taken:
                claim.release()
            return [waiting for waiting, _ in taken]
        claims = [claim for _, claim in taken]
        try:
            new = self.write(claims)
        except (OSError, SendmailError) as fault:
            maillog.warning(f"a digest cannot be made: {fault}")
            for one in claims:
                one.release()
            return [waiting for waiting, _ in taken]
        try:
            absorb.absorb(new, claims)
        except SendmailError as fault:
            maillog.warning(f"a digest cannot be made: {fault}")
            return []  # they are tried in the next run, which looks at what is there
        for waiting, _ in taken:
            maillog.record(waiting.queue_id, [("status", "absorbed")], f"in the digest {new.queue_id}")
        return [Waiting(new.queue_id)]

    def write(self, claims: list[Claim]) -> Draft:
        """The digest with its whole content, not yet in the queue."""
        now = self.rules.clock()
        new = draft.begin(self.spool.directory, int(now * 1e9))
        try:
            new.envelope(envelope_of(claims[0].envelope, now))
            boundary = os.urandom(12).hex().encode()
            name = self.host.fqdn or self.host.name or b"localhost"
            sender = bounce.Sender(self.host.mail_domain, name, new.queue_id, now, boundary)
            parts = [part_of(one) for one in claims]
            for piece in digest.compose(parts, [one.chunks() for one in claims], sender):
                new.write(piece)
        except BaseException:
            new.discard()
            raise
        return new


def is_plain(envelope: Envelope) -> bool:
    """Whether a message may be part of a digest: nobody has it, it is no report and asks for nothing special.

    What a folder or a program gets is not for people to read.
    """
    special = envelope.envid or envelope.wishes
    there = all(one.state == TODO and not address.is_local_target(one.address) for one in envelope.recipients)
    return bool(envelope.reverse_path) and not special and there


def kind(envelope: Envelope, subject: bytes) -> str:
    """A digest of what messages of one kind have in common; wishes for reports count."""
    common = [envelope.reverse_path, subject, envelope.ret]
    common += sorted(b" ".join((one.notify, one.orcpt, one.address)) for one in envelope.recipients)
    return hashlib.sha256(b"\n".join(common)).hexdigest()[:32]


def header_of(octets: bytes) -> list[bytes]:
    """The header fields at the beginning of a message."""
    splitter = header.Splitter()
    splitter.feed(octets)
    if not splitter.done:
        splitter.finish()
    return splitter.fields


def subject_of(fields: list[bytes]) -> bytes:
    """The subject on one line, b"" if there is none."""
    found = [header.unfolded(one) for one in fields if header.name(one) == b"subject"]
    return found[0].replace(b"\n", b" ") if found else b""


def part_of(claim: Claim) -> Part:
    """A claimed message as part of a digest."""
    first = next(iter(claim.chunks()), b"")
    return Part(header_of(first), claim.envelope.created, claim.size, claim.envelope.eight_bit)


def envelope_of(first: Envelope, now: float) -> Envelope:
    """The envelope of a digest: that of its first message, with another time of arrival."""
    recipients = [Recipient(one.address, one.notify, one.orcpt) for one in first.recipients]
    envelope = Envelope(first.reverse_path, recipients, now)
    envelope.uid, envelope.login, envelope.ret = first.uid, first.login, first.ret
    envelope.original, envelope.rule = first.original, first.rule
    return envelope
