"""A report that must come exactly once, whatever crashes: the promise `ID.KIND-RID` beside message ID.

The report is the message RID. The order is: `.RID` is written and durable; the promise, which says about
which recipients it is, is durable; `.RID` becomes RID. Only the holder of ID's claim does that, and nobody
else removes a `.RID` that is promised. So, for the next holder of the claim, a promise whose `.RID` is still
there was not kept, and one whose `.RID` is gone was: RID is in the queue, or has left it already.
"""

from __future__ import annotations

import posix

from sendmail_py.spool import durable
from sendmail_py.spool.queue import ID_DIGITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.spool.claim import Claim
    from sendmail_py.spool.draft import Draft

NOTICE = "notice-"  # NOTICE + RID: the promise of a notice to the owner about several messages
FAILURE = "failure"
DELAY = "delay"
RELAY = "relay"


def make(claim: Claim, kind: str, about: list[int], report: Draft) -> None:
    """Queue a report (a draft with its whole content).

    `about` are the indices of the recipients. Raises OSError or SendmailError: then nothing is queued, or
    it is not known; what lies around tells the next holder of the claim.
    """
    name = f"{claim.queue_id}.{kind}-{report.queue_id}"
    content = " ".join(map(str, about)).encode() + b"\n"
    claim.beside.append(name)
    queue(claim.folder, name, content, report)


def queue(folder: int, name: str, content: bytes, report: Draft) -> None:
    """The order of calls that makes one of it: report, promise, name of the report."""
    temporary = "." + report.queue_id
    try:
        report.seal()
        posix.fsync(report.fd)
        posix.fsync(folder)
    except BaseException:
        report.discard()
        raise
    try:
        durable.replace(folder, name, content, f"{temporary}.tries", sync=True)
        posix.rename(temporary, report.queue_id, src_dir_fd=folder, dst_dir_fd=folder)
        posix.fsync(folder)
    finally:
        report.close()


def kept(claim: Claim, kind: str) -> list[int] | None:
    """After a crash: about whom a promise of that kind was kept, None when there is none that was.

    One that was not is taken back, with its unfinished report.
    """
    found: list[int] | None = None
    for name in names(claim, kind):
        temporary = "." + name[-ID_DIGITS:]
        if durable.exists(claim.folder, temporary):
            take_back(claim, name)
            posix.fsync(claim.folder)  # never the promise alone
            durable.discard(claim.folder, temporary)
        else:
            found = (found or []) + indices(durable.read_small(claim.folder, name))
    return found


def look_again(claim: Claim) -> None:
    """Find the promises of a flush that died after our listing, if the message says there may be some."""
    if claim.owing:
        claim.owing = False
        there = [one for one in posix.listdir(claim.folder) if one.startswith(claim.queue_id + ".")]
        claim.beside += [one for one in there if "-" in one and one not in claim.beside]


def names(claim: Claim, kind: str) -> list[str]:
    """The promises of that kind."""
    return [one for one in claim.beside if one[ID_DIGITS + 1 :].startswith(kind + "-")]


def indices(content: bytes) -> list[int]:
    """Recipients that a promise is about."""
    return [int(word) for word in content.split() if word.isdigit() and len(word) < 10]


def take_back(claim: Claim, name: str) -> None:
    """Remove a promise."""
    durable.discard(claim.folder, name)
    claim.beside.remove(name)


def forget(claim: Claim, kind: str) -> None:
    """Remove all promises of that kind: the recipients are marked."""
    for name in names(claim, kind):
        take_back(claim, name)
