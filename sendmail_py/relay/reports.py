"""Who is told what, and when: failure, delay and relay reports, notices to the owner.

Guarantees: a report is durable in the queue before its recipients count as told, and comes once however
often a run dies (spool/promise.py); there is none about a message with the null reverse-path, so a report
that fails ends in failed/; none goes to an address that the Internet cannot answer. reporter.py asks for all
of this when something may have to be told.
"""

from __future__ import annotations

import os

from sendmail_py import maillog
from sendmail_py.errors import SendmailError, printable
from sendmail_py.mail import address, header
from sendmail_py.mail.envelope import DELIVERED, FAILED, OPEN, RELAYED, REPORTED, Envelope, Recipient
from sendmail_py.policy import identity, masquerade, validity
from sendmail_py.relay import bounce, extras, trouble
from sendmail_py.spool import draft, durable, promise, upkeep
from sendmail_py.spool.upkeep import changed, touch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sendmail_py.policy.config import Config
    from sendmail_py.spool.claim import Claim
    from sendmail_py.spool.draft import Draft
    from sendmail_py.spool.queue import Listed, Spool

ROOM = 65536  # octets that a report may add to a message that it brings back
TOO_BIG = ("5.3.4", "5.2.3")


class Reports:
    """The reports of one run."""

    def __init__(self, config: Config, spool: Spool, clock: Callable[[], float]) -> None:
        self.config = config
        self.spool = spool
        self.clock = clock
        self.host = identity.host(config)

    # --- one message ---

    def settle(self, claim: Claim) -> None:
        """Report what is to be reported about a message; OSError, SendmailError."""
        self.report_failures(claim)
        self.report_relays(claim)
        self.report_delay(claim)

    def report_failures(self, claim: Claim) -> None:
        """FAILED becomes REPORTED."""
        if claim.owing and self.may_report(claim.envelope):
            promise.look_again(claim)
        self.keep_word(claim, promise.FAILURE, FAILED, REPORTED)
        everybody = claim.envelope.recipients
        owed = [i for i in indices(claim.envelope, FAILED) if wants(everybody[i], b"FAILURE")]
        if owed and self.may_report(claim.envelope):
            self.queue_report(claim, promise.FAILURE, bounce.FAILED, owed)
            self.keep_word(claim, promise.FAILURE, FAILED, REPORTED)

    def report_relays(self, claim: Claim) -> None:
        """RELAYED becomes DELIVERED."""
        self.keep_word(claim, promise.RELAY, RELAYED, DELIVERED)
        owed = indices(claim.envelope, RELAYED)
        if not owed:
            return
        if self.may_report(claim.envelope):
            self.queue_report(claim, promise.RELAY, bounce.RELAYED, owed)
        claim.mark(dict.fromkeys(owed, DELIVERED))
        promise.forget(claim, promise.RELAY)

    def keep_word(self, claim: Claim, kind: str, old: bytes, new: bytes) -> None:
        """Mark the recipients of a report that is in the queue, or was."""
        told = promise.kept(claim, kind)
        if told is not None:
            known = indices(claim.envelope, old)
            claim.mark({index: new for index in told if index in known})
            promise.forget(claim, kind)

    def report_delay(self, claim: Claim) -> None:
        """One report for a message that waits too long; the promise stays and says that it was made."""
        envelope, after = claim.envelope, self.config.queue.warn_after
        waiting = indices(envelope, *OPEN)
        if not after or not waiting:
            return
        seen = max([claim.tries[i].waited for i in waiting if i in claim.tries], default=0)
        if trouble.age(envelope.created, seen, self.clock()) < after:
            return
        asked = [i for i in waiting if i in claim.tries and wants(envelope.recipients[i], b"DELAY")]
        if not asked or seen < after / 2 or not self.may_report(envelope):  # half: see trouble.is_expired
            return
        if promise.kept(claim, promise.DELAY) is None:
            self.queue_report(claim, promise.DELAY, bounce.DELAYED, asked)

    def may_report(self, envelope: Envelope) -> bool:
        """Whether anybody is told about this message by a report."""
        domain = address.split(envelope.reverse_path)[1]
        if self.config.queue.report != "dsn" or not envelope.reverse_path:
            return False
        fault = validity.fault(domain, self.host.local_names)
        chosen = (self.config.masquerade.domain, self.config.identity.domain)
        if fault and domain.decode("utf-8", "replace") not in chosen:
            maillog.notice(f"no report to <{printable(envelope.reverse_path)}>: {fault}")
            return False
        return True

    def queue_report(self, claim: Claim, kind: str, action: str, about: list[int]) -> None:
        """Write a report and queue it."""
        envelope = claim.envelope
        report = bounce.Report(action, claim.queue_id, envelope, about, claim.tries)
        report.until = envelope.created + self.config.queue.lifetime
        report.whole = action == bounce.FAILED and self.comes_back_whole(claim, about)
        new = self.begin(envelope.reverse_path, [one for one in envelope.wishes if one == extras.REQUIRETLS])
        try:
            for piece in bounce.compose(report, self.sender(new.queue_id), original(claim, report.whole)):
                new.write(piece)
        except BaseException:
            new.discard()
            raise
        promise.make(claim, kind, about, new)
        self.log(new.queue_id, envelope.reverse_path, f"{action} report about {claim.queue_id}")

    def comes_back_whole(self, claim: Claim, about: list[int]) -> bool:
        """RET=FULL is honoured (RFC 3461 4.3) unless the message was too big, or the report would be.

        Nor does what was to travel by TLS only (RFC 8689 5).
        """
        if extras.REQUIRETLS in claim.envelope.wishes:
            return False
        if any(one.require_tls for one in self.config.smarthosts):
            return False
        if claim.envelope.ret != b"FULL" or claim.size + ROOM > self.config.queue.max_message:
            return False
        return not any(claim.tries[i].status in TOO_BIG for i in about if i in claim.tries)

    # --- messages of ours ---

    def begin(self, to: bytes, wishes: Sequence[bytes] = ()) -> Draft:
        """A draft with the envelope of a report: the null reverse-path (RFC 3461 6.1)."""
        now = self.clock()
        new = draft.begin(self.spool.directory, int(now * 1e9))
        envelope = Envelope(b"", [Recipient(to, b"NEVER")], now)
        person = identity.of(os.geteuid())
        envelope.uid, envelope.login = person.uid, person.login
        envelope.wishes = [*wishes]
        new.envelope(envelope)
        return new

    def sender(self, queue_id: str) -> bounce.Sender:
        """Who writes."""
        host = self.host.fqdn or self.host.name or b"localhost"
        boundary = os.urandom(12).hex().encode() + b"." + queue_id.encode()
        return bounce.Sender(self.host.mail_domain, host, queue_id, self.clock(), boundary)

    def log(self, queue_id: str, to: bytes, what: str) -> None:
        """A line for a message of ours."""
        maillog.record(queue_id, [("from", "<>"), ("to", f"<{printable(to)}>")], what)

    def owner(self) -> bytes:
        """The address of the owner of this spool, b"" when nobody can be reached there."""
        rules = masquerade.SenderRules(self.config, self.host, identity.of(os.geteuid()))
        mailbox = rules.default()
        return b"" if validity.fault(address.split(mailbox)[1], self.host.local_names) else mailbox

    # --- the end of a run ---

    def end(self, told: list[tuple[bytes, str]]) -> None:
        """What the owner is to be told at the end of a run; OSError, SendmailError."""
        self.tell_of_senders(told)
        self.tell_owner()

    def tell_of_senders(self, told: list[tuple[bytes, str]]) -> None:
        """A notice to the owner about each sender that was refused for the first time."""
        to = self.owner() if told and self.config.queue.report != "none" else b""
        for sender, text in told:
            if to and not address.same(to, sender):
                cure = "Its messages wait. They are tried again when the configuration changes: see"
                more = f"{cure} [masquerade] in sendmail-py.toml(5), and sendmail-py queue requeue."
                self.send_notice(to, "Mail waits: the sender is refused", [text + ".", more])

    def tell_owner(self) -> None:
        """With `report = "owner"`: one notice an hour about what has failed since the last one."""
        directory = self.spool.directory
        self.keep_notices()
        if self.config.queue.report != "owner" or not upkeep.is_notice_due(directory, self.clock()):
            return
        touch(f"{directory}/{upkeep.NOTICED}", self.clock())
        owed = changed(f"{directory}/{upkeep.OWED}")
        if not (to := self.owner()):
            return
        found = list(self.untold())
        if found:
            content = "".join(f"{one.queue_id} {' '.join(map(str, about))}\n" for one, about in found)
            new = self.begin(to)
            subject = f"{len(found)} message{'' if len(found) == 1 else 's'} could not be delivered"
            try:
                lines = [line for one, about in found for line in failures(one, about)]
                new.write(bounce.notice(self.sender(new.queue_id), to, subject, lines))
            except BaseException:
                new.discard()
                raise
            promise.queue(self.spool.queue_folder(), promise.NOTICE + new.queue_id, content.encode(), new)
            self.log(new.queue_id, to, subject)
            self.spool.listing()
            self.keep_notices()
        if changed(f"{directory}/{upkeep.OWED}") == owed:  # else another flush has more to tell
            os.unlink(f"{directory}/{upkeep.OWED}")

    def untold(self) -> Iterator[tuple[Listed, list[int]]]:
        """The failed messages that the owner does not know of, each with the recipients that failed."""
        for waiting in self.spool.failed():
            try:
                listed = self.spool.read(waiting, failed=True)
            except (OSError, SendmailError):
                continue
            about = indices(listed.envelope, FAILED) if listed is not None else []
            if listed is not None and about and listed.envelope.reverse_path:
                yield listed, about

    def keep_notices(self) -> None:
        """Mark what notices, that are in the queue or were, are about."""
        for name in self.spool.notices():
            try:
                self.keep_notice(self.spool.queue_folder(), name)
            except (OSError, SendmailError) as fault:
                reason = fault.strerror if isinstance(fault, OSError) else fault
                maillog.warning(f"{name}: what the owner was told of cannot be marked: {reason}")

    def keep_notice(self, folder: int, name: str) -> None:
        """One of them; a promise that was not kept is taken back. OSError, SendmailError."""
        temporary = "." + name[len(promise.NOTICE) :]
        if durable.exists(folder, temporary):
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)
            durable.discard(folder, temporary)
            return
        lines = [line.partition(b" ") for line in durable.read_small(folder, name).splitlines()]
        told = {queue_id.decode("ascii", "replace"): promise.indices(about) for queue_id, _, about in lines}
        for waiting in self.spool.failed():
            if waiting.queue_id in told:
                self.spool.mark_failed(waiting, told[waiting.queue_id])
        os.unlink(name, dir_fd=folder)

    def send_notice(self, to: bytes, subject: str, paragraphs: list[str]) -> None:
        """Queue a plain message to the owner."""
        new = self.begin(to)
        try:
            new.write(bounce.notice(self.sender(new.queue_id), to, subject, paragraphs))
            new.commit()
        except BaseException:
            new.discard()
            raise
        self.log(new.queue_id, to, subject)


def failures(listed: Listed, about: list[int]) -> Iterator[str]:
    """A message in a notice."""
    sender = printable(listed.envelope.reverse_path, 320)
    yield f"{listed.queue_id}, {listed.size} octets, from <{sender}>:"
    for index in about:
        attempt = listed.tries.get(index)
        reply = attempt.reply if attempt is not None else "failed"
        yield f"<{printable(listed.envelope.recipients[index].address, 320)}>: {reply}"


def indices(envelope: Envelope, *states: bytes) -> list[int]:
    """The recipients in one of these states."""
    return [index for index, one in enumerate(envelope.recipients) if one.state in states]


def wants(recipient: Recipient, condition: bytes) -> bool:
    """Whether NOTIFY asks for a report of that kind (RFC 3461 4.1); without it failure and delay."""
    return not recipient.notify or condition in recipient.notify.split(b",")


def original(claim: Claim, whole: bool) -> Iterator[bytes]:
    """What comes back of the message."""
    if whole:
        yield from claim.chunks()
        return
    splitter = header.Splitter()
    for piece in claim.chunks():
        splitter.feed(piece)
        if splitter.done:
            break
    else:
        splitter.finish()
    yield from splitter.fields
