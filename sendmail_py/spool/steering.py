"""What an owner's command does to a message in the queue or in failed/, exactly: with the claim.

Every function takes the claim, so that a flush either has the message or does not, and raises BusyError when
somebody else has it or it is gone. Holds are durable when the function returns.
"""

from __future__ import annotations

import posix

from sendmail_py.errors import TemporaryError
from sendmail_py.mail.envelope import FAILED, OPEN, REPORTED, TODO, UNKNOWN
from sendmail_py.spool import durable
from sendmail_py.spool.claim import Claim
from sendmail_py.spool.draft import hold_name
from sendmail_py.spool.queue import FOREVER, HOLD, Spool, Waiting
from sendmail_py.spool.tries import Try


class BusyError(TemporaryError):
    """Somebody else has the message in hand, or it is gone."""


def take(spool: Spool, waiting: Waiting, failed: bool = False) -> Claim:
    """The claim of a message, held or not; DamagedError and NewerFormatError leave it where it is."""
    folder = spool.failed_folder() if failed else spool.queue_folder()
    claim = Claim.take(folder, waiting.queue_id, waiting.tries_name)
    if claim is None:
        raise BusyError(f"{waiting.queue_id} is being sent or gone; try again later")
    claim.beside = list(waiting.beside)
    try:
        claim.check()
    except BaseException:
        claim.release()
        raise
    return claim


def hold(spool: Spool, waiting: Waiting, until: int = FOREVER) -> None:
    """Keep a message in the queue until then (seconds since the epoch), or until it is released."""
    claim = take(spool, waiting)
    try:
        queue_id = claim.queue_id
        name = queue_id + HOLD if until >= FOREVER else hold_name(queue_id, until)
        durable.create_empty(claim.folder, name)
    finally:
        claim.release()


def release(spool: Spool, waiting: Waiting) -> None:
    """End all holds of a message, also the one of a recipient whose answer is unknown; it is due now."""
    claim = take(spool, waiting)
    try:
        for name in [one for one in claim.beside if HOLD in one]:
            durable.remove(claim.folder, name)  # somebody else may have been quicker
        posix.fsync(claim.folder)
        doubtful = [i for i, one in enumerate(claim.envelope.recipients) if one.state == UNKNOWN]
        if doubtful:
            make_due(claim)
            claim.mark(dict.fromkeys(doubtful, TODO))
    finally:
        claim.release()


def retry(spool: Spool, waiting: Waiting) -> None:
    """Make a message due now."""
    claim = take(spool, waiting)
    try:
        make_due(claim)
    finally:
        claim.release()


def make_due(claim: Claim) -> None:
    """The next try of every recipient that waits is now."""
    waiting = {index: one for index, one in claim.tries.items() if claim.is_todo(index)}
    for one in waiting.values():
        one.next = one.unknown = 0
    if waiting:
        claim.defer(waiting)


def give_up(claim: Claim, now: int, reason: str) -> None:
    """Mark every recipient that waits as failed, for a reason; the claim stays."""
    indices = [i for i, one in enumerate(claim.envelope.recipients) if one.state in OPEN]
    claim.mark(dict.fromkeys(indices, FAILED))
    claim.defer({index: Try(1, now, now, "", "5.0.0", reason) for index in indices})


def requeue(spool: Spool, waiting: Waiting) -> str:
    """A failed message into the queue again, for the recipients that failed; returns its id there.

    It is due now, its tries are forgotten.
    """
    claim = take(spool, waiting, failed=True)
    try:
        failed = [i for i, one in enumerate(claim.envelope.recipients) if one.state in (FAILED, REPORTED)]
        claim.mark(dict.fromkeys(failed, TODO))
        claim.tries = {}
        queue = spool.queue_folder(create=True)
    except BaseException:
        claim.release()
        raise
    queue_id = claim.move(queue)
    posix.fsync(queue)
    posix.fsync(spool.failed_folder())
    return queue_id
