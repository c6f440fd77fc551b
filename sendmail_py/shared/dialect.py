"""The frames of a flush: what each kind holds, written and read. Pure.

Relay to reader, after the first one, which brings the settings:

    want NAME MANY MOST DOMAINS
                               offer up to MANY more transactions for NAME, with MOST recipients (0: 100) in
                               DOMAINS domains (0: any number);
                               answered, in turn, by as many `mail` and `none`
    sent N                     an octet of transaction N may be on its way to the smart host from now on
    judged N VIA TAKEN V*      the verdicts, one for each recipient; TAKEN: MAIL was accepted
    charge N VIA OUTCOME V*    the session ended and this was an attempt; OUTCOME for who has no verdict
    back N VIA V*              the session ended, and this was no attempt
    rest NAME UNTIL COUNT SINCE REASON
                               it takes none of this owner's mail before UNTIL (seconds; 0: it takes it again)
    leave NAME                 that smart host is of no use in this run
    end                        write the reports that are due; answered by `done`

Reader to relay, which trusts none of it:

    mail N ...                 a transaction, with a descriptor of the queue file
    none MANY                  so many of those that were wanted do not come, there is nothing more
    log TEXT                   a line for the log
    done DUE MARK              the run is over; when the next message is due (seconds), and the state of the
                               spool's folder in which that was found (see spool/tenants.py)

A VIA is three strings (smart host, relay, whether it sends DSNs), an OUTCOME four (kind, status, text,
cause), a verdict V three (number of the phase, code, text), all empty when there is none.
"""

from __future__ import annotations

from sendmail_py.mail import address
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.relay import outcome, transaction
from sendmail_py.relay.delivery import Via
from sendmail_py.relay.outcome import Outcome
from sendmail_py.relay.reply import Reply
from sendmail_py.relay.transaction import Verdict
from sendmail_py.shared.frames import FrameError, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.relay.transaction import Transaction
    from sendmail_py.spool.rests import Rest

PHASES = (transaction.MAIL, transaction.RCPT, transaction.DATA, transaction.END, transaction.UNSENT)
KINDS = (outcome.DELIVERED, outcome.DEFERRED, outcome.FAILED, outcome.AGAIN)
CAUSES = ("", outcome.SENDER, outcome.THROTTLED, outcome.UNANSWERED)
NO_VERDICT = [b"", b"", b""]
HEAD = 14  # strings of a `mail` frame before the recipients'
MOST_RECIPIENTS = 1000
LONGEST_WORD = 1100  # octets of an address, an ENVID, an ORCPT
QUEUE_ID_DIGITS = b"0123456789ABCDEF"


class Offer:
    """A transaction that a reader offers.

    number    of the offer; `left` how many messages may be behind it
    queue_id  of its message, whose content are `size` octets at `offset` of the queue file
    """

    __slots__ = ("envelope", "left", "number", "offset", "queue_id", "size")

    def __init__(
        self, numbers: tuple[int, int], queue_id: str, place: tuple[int, int], envelope: Envelope
    ) -> None:
        self.number, self.left = numbers
        self.queue_id = queue_id
        self.offset, self.size = place
        self.envelope = envelope


def mail_frame(offer: Offer, recipients: list[Recipient]) -> list[bytes]:
    """The frame that offers a transaction to some of the message's recipients."""
    envelope = offer.envelope
    frame = [
        b"mail",
        b"%d" % offer.number,
        b"%d" % offer.left,
        offer.queue_id.encode(),
        b"%d" % offer.offset,
        b"%d" % offer.size,
        b"%d" % int(envelope.created),
        envelope.reverse_path,
        envelope.rule,
        envelope.body,
        envelope.ret,
        envelope.envid,
        b"8" if envelope.eight_bit else b"7",
        b",".join(envelope.wishes),
    ]
    for one in recipients:
        frame += [one.address, one.notify, one.orcpt]
    return frame


def read_mail(frame: list[bytes]) -> Offer:
    """What such a frame offers; everything in it has been looked at (FrameError)."""
    many, rest = divmod(len(frame) - HEAD, 3)
    if rest or not 0 < many <= MOST_RECIPIENTS or any(len(word) > LONGEST_WORD for word in frame):
        raise FrameError("offers mail without recipients, or too much at once")
    queue_id = frame[3]
    if len(queue_id) != 12 or queue_id.strip(QUEUE_ID_DIGITS):
        raise FrameError("offers mail without a queue id")
    recipients = [Recipient(*frame[at : at + 3]) for at in range(HEAD, len(frame), 3)]
    envelope = Envelope(frame[7], recipients, float(number(frame[6])))
    envelope.rule, envelope.body, envelope.ret, envelope.envid = frame[8:12]
    envelope.eight_bit = frame[12] == b"8"
    envelope.wishes = frame[13].split(b",") if frame[13] else []
    check(envelope)
    offered, left, offset, size = [number(frame[at]) for at in (1, 2, 4, 5)]
    return Offer((offered, left), queue_id.decode(), (offset, size), envelope)


def check(envelope: Envelope) -> None:
    """Nothing in an envelope can end a command; FrameError."""
    try:
        for one in envelope.recipients:
            address.check(one.address)
        if envelope.reverse_path:
            address.check(envelope.reverse_path)
    except address.AddressError as fault:
        raise FrameError(f"offers mail with a bad address: {fault}") from None
    words = [envelope.rule, envelope.body, envelope.ret, envelope.envid, *envelope.wishes]
    words += [one.notify for one in envelope.recipients] + [one.orcpt for one in envelope.recipients]
    for word in words:
        if not word.isascii() or any(octet < 33 or octet == 127 for octet in word):
            raise FrameError("offers mail with a parameter that is none")


def via_words(via: Via) -> list[bytes]:
    """The three strings of a Via."""
    return [via.name.encode(), via.relay.encode("utf-8", "replace"), b"1" if via.dsn else b""]


def read_via(words: list[bytes]) -> Via:
    """The Via of three strings."""
    return Via(words[0].decode("utf-8", "replace"), words[1].decode("utf-8", "replace"), bool(words[2]))


def outcome_words(one: Outcome) -> list[bytes]:
    """The four strings of an Outcome."""
    return [one.kind.encode(), one.status.encode(), one.text.encode("utf-8", "replace"), one.cause.encode()]


def read_outcome(words: list[bytes]) -> Outcome:
    """The Outcome of four strings; FrameError."""
    kind, status, text, cause = [one.decode("utf-8", "replace") for one in words]
    if kind not in KINDS or cause not in CAUSES:
        raise FrameError("says an outcome that there is not")
    return Outcome(kind, status, text, cause)


def verdict_words(verdicts: list[Verdict | None]) -> list[bytes]:
    """Three strings for each verdict; replies are cut to one printable line."""
    words: list[bytes] = []
    for one in verdicts:
        if one is None:
            words += NO_VERDICT
        else:
            code, _, text = one.reply.text.partition(" ")
            words += [b"%d" % PHASES.index(one.phase), code.encode(), text.encode("utf-8", "replace")]
    return words


def read_verdicts(words: list[bytes], wanted: int) -> list[Verdict | None]:
    """The verdicts, as many as are wanted; FrameError."""
    if len(words) != 3 * wanted:
        raise FrameError("says verdicts for others than the recipients")
    found: list[Verdict | None] = []
    for at in range(0, len(words), 3):
        phase, code, text = words[at : at + 3]
        if not code:
            found.append(None)
        elif number(phase) >= len(PHASES) or not 200 <= number(code) < 600:
            raise FrameError("says a verdict that there is not")
        else:
            found.append(Verdict(PHASES[number(phase)], Reply(number(code), [text])))
    return found


def verdict_frame(kind: bytes, offered: int, via: Via, extra: list[bytes], done: Transaction) -> list[bytes]:
    """A `judged`, `charge` or `back` frame."""
    return [kind, b"%d" % offered, *via_words(via), *extra, *verdict_words(done.verdicts)]


def rest_frame(name: str, rest: Rest | None) -> list[bytes]:
    """A `rest` frame; None: it is over."""
    if rest is None:
        return [b"rest", name.encode(), b"0", b"0", b"0", b""]
    numbers = [b"%d" % rest.until, b"%d" % rest.count, b"%d" % rest.last]
    return [b"rest", name.encode(), *numbers, rest.reason.encode("utf-8", "replace")]
