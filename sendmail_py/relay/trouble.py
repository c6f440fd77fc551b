"""The whole policy of what trouble means, pure: replies and faults to outcomes, tries to times.

The smart host's trouble is never the message's fault:

    anything before MAIL     the smart host's fault, no message is touched (an exception of faults.py)
    421                      the server closes: the session ends
    530, 535, 538            the login is missing: the smart host's fault, whatever it answers
    other 4yz, 5yz           the tables below
    connection lost          before the content nothing happened; in the content: deferred; after the final
                             dot: deferred, answer unknown, the only place where a message can arrive twice
    500, 502, 503 to RCPT, DATA or the content
                             the dialogue is out of step, unless the enhanced code is about the address or
                             the message: deferred; twice in a row, and nobody served, the smart host rests
    450, 451, 454 and a text about sending too much
                             the smart host's wish: it gets a pause, no message is the worse for it
"""

from __future__ import annotations

from sendmail_py.relay import transaction
from sendmail_py.relay.faults import ContentFault, LoginFault
from sendmail_py.relay.outcome import (
    AGAIN,
    DEFERRED,
    DELIVERED,
    FAILED,
    SENDER,
    THROTTLED,
    UNANSWERED,
    Outcome,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.relay.faults import Fault
    from sendmail_py.relay.reply import Reply
    from sendmail_py.relay.transaction import Transaction, Verdict

# RFC 5321 4.5.3.1.10: 452 says that there are too many recipients, and 552 must be read in the same way.
TOO_MANY = (452, 552)
TOO_MANY_STATUSES = ("", "4.5.3", "5.5.3")

# Replies that ask us to send less. 4.2.z is about one mailbox, and greylisting about one message.
THROTTLING = (450, 451, 454)

# What 5yz means, by phase. A refused sender is a fault of the configuration and waits; see refused_sender.
PERMANENT = {
    transaction.MAIL: DEFERRED,
    transaction.RCPT: FAILED,
    transaction.DATA: FAILED,
    transaction.END: FAILED,
    transaction.UNSENT: FAILED,
}

# "Unknown", "not implemented", "bad sequence" (RFC 5321 4.2.2): said of our commands, which are none of these
# things. By phase the codes, then the subjects of RFC 3463 that show that a server means something else.
BREACHES = {
    transaction.RCPT: (500, 502, 503),
    transaction.DATA: (500, 502, 503),
    transaction.END: (502, 503),
}
ABOUT_THE_MESSAGE = ("5.1.", "5.2.", "5.3.", "5.4.", "5.6.", "5.7.")

# The subject and detail digits of RFC 3463 where the server gave no enhanced code, by phase.
DETAIL = {
    transaction.MAIL: "1.0",
    transaction.RCPT: "1.0",
    transaction.DATA: "0.0",
    transaction.END: "0.0",
    transaction.UNSENT: "0.0",
}

MINUTE = 60  # seconds that any step may count for: a lifetime may be short, and our files know whole seconds
FEWEST_TRIES = 3  # before a message may be too old, whatever the clock says
UNKNOWN = "4.4.2"


def is_login_missing(reply: Reply) -> bool:
    """Whether a refusal complains about the session and not about the message."""
    return reply.code in transaction.LOGIN_MISSING


def judge(verdict: Verdict) -> Outcome:
    """The outcome of a recipient from the reply that decided about it."""
    reply, phase = verdict.reply, verdict.phase
    status = reply.enhanced or f"{reply.code // 100}.{DETAIL[phase]}"
    text = reply.text
    if reply.positive:
        return Outcome(DELIVERED, status, text)
    if phase != transaction.UNSENT:
        text = f"{text} (in reply to {phase})"
    if phase == transaction.RCPT and reply.code in TOO_MANY and reply.enhanced in TOO_MANY_STATUSES:
        return Outcome(AGAIN, "4.5.3", text)
    if reply.transient:
        return Outcome(DEFERRED, status, text, THROTTLED if is_throttling(reply) else "")
    if phase == transaction.MAIL:
        return refused_sender(reply, status, text)
    if is_login_missing(reply):
        return Outcome(DEFERRED, "4" + (reply.enhanced or "5.7.0")[1:], f"login missing: {text}")
    if is_breach(verdict):
        return Outcome(DEFERRED, "4" + (reply.enhanced or "5.5.0")[1:], f"out of step: {text}")
    return Outcome(PERMANENT[phase], status, text)


def is_breach(verdict: Verdict) -> bool:
    """Whether a server says that our dialogue, and not the message or its recipient, is wrong."""
    reply = verdict.reply
    if reply.code not in BREACHES.get(verdict.phase, ()):
        return False
    asks_for_login = reply.code == 503 and reply.enhanced.startswith("5.7.")
    return asks_for_login or not reply.enhanced.startswith(ABOUT_THE_MESSAGE)


def breach(done: Transaction) -> str:
    """What the server said when it found nothing but our dialogue wrong, "" otherwise."""
    verdicts = [verdict for verdict in done.verdicts if verdict is not None]
    return verdicts[0].reply.text if verdicts and all(is_breach(one) for one in verdicts) else ""


def is_throttling(reply: Reply) -> bool:
    """Whether a reply wants less mail from us, whatever the message."""
    if reply.code not in THROTTLING or reply.enhanced.startswith("4.2."):
        return False
    from sendmail_py.relay import throttling  # noqa: PLC0415 (a named door: it takes 3 ms to load re)

    return reply.enhanced == "4.7.28" or throttling.asks_for_less(reply.text)


def refused_sender(reply: Reply, status: str, text: str) -> Outcome:
    """5yz to MAIL: the size is the message's own fault, all else is our sender rules' doing, so it waits."""
    if reply.code == 552 or status.endswith(".3.4"):
        return Outcome(FAILED, reply.enhanced or "5.3.4", text)
    return Outcome(DEFERRED, "4" + status[1:], f"sender refused, look at [masquerade]: {text}", SENDER)


def settle_again(outcome: Outcome) -> Outcome:
    """A recipient that was one too many when nobody else was delivered either: it waits."""
    return Outcome(DEFERRED, outcome.status, outcome.text)


def interrupted(stage: str, fault: Fault) -> Outcome:
    """What a fault in the middle of a transaction means for its undecided recipients."""
    reply = fault.reply
    if isinstance(fault, ContentFault):
        return Outcome(DEFERRED, "4.3.0", str(fault))
    if stage == transaction.ENDED:
        return unanswered(str(fault))
    status = reply.enhanced if reply is not None and reply.transient else ""
    return Outcome(DEFERRED, status or UNKNOWN, str(fault))


def unanswered(reason: str) -> Outcome:
    """Nobody knows whether the smart host has the message."""
    text = f"answer unknown, the message may have been delivered: {reason}"
    return Outcome(DEFERRED, UNKNOWN, text, UNANSWERED)


def is_to_blame(stage: str, first: bool, judged: int, fault: Fault) -> bool:
    """Whether a transaction that a fault interrupted counts as tried.

    One whose content was on its way does. One that had only been offered does when its turn was `first` and
    the session had `judged` none before, so that a message at whose mere name a server hangs up goes behind
    the others. A missing login never does.
    """
    if isinstance(fault, LoginFault):
        return False
    return stage in (transaction.CONTENT, transaction.ENDED) or (first and not judged)


def is_expired(created: float, lifetime: float, tries: int, waited: float, now: float) -> bool:
    """Whether a deferred recipient has waited too long.

    By the clock, by the number of tries, and by half of the lifetime seen to go by from try to try, so that a
    clock that jumps by years cannot fail a message. `created`, `now` seconds since the epoch, `lifetime`,
    `waited` (see waited_until) seconds.
    """
    return age(created, waited, now) > lifetime and tries >= FEWEST_TRIES and waited >= lifetime / 2


def age(created: float, waited: float, now: float) -> float:
    """Seconds since a message came, as far as the clock can tell.

    When it says that the message has not come yet, it was wrong then or is wrong now: what was seen to go by
    counts.
    """
    return now - created if now >= created else waited


def waited_until(waited: float, last: float, now: float, lifetime: float) -> float:
    """The seconds seen to go by, one step later.

    No step counts for over an eighth of the lifetime. One that is longer than all of it is rather a jump of
    the clock than a machine that was off, and counts for a sixty-fourth; else four jumps would be enough.
    """
    step = max(0.0, now - last)
    share = lifetime / 8 if step <= lifetime else lifetime / 64
    return waited + min(step, max(share, MINUTE))


def expired(outcome: Outcome, age: float) -> Outcome:
    """The failure of a recipient that was deferred for too long (RFC 3463 X.4.7), with the last reason."""
    days = f"{age / 86400:.1f} days"
    return Outcome(FAILED, "5.4.7", f"delivery time expired after {days}; last reply: {outcome.text}")


def wait(tries: int, shortest: float, longest: float, random: Callable[[], float]) -> float:
    """Seconds until the next try after `tries` tries (1 or more), never outside [shortest, longest].

    Doubled each time, with up to a half more so that what failed together does not come back together.
    `random` gives [0, 1).
    """
    low = max(shortest, min(shortest * 2.0 ** min(tries - 1, 40), longest * 0.75))
    return low + (max(low, min(low * 1.5, longest)) - low) * random()
