"""Whose doing trouble is, in the mail of many owners: what a few can provoke costs only their own mail.

What a server says or does once an owner's mail is in hand may be that owner's doing: his addresses and his
content are his choice. So it is laid to him: his mail rests, longer each time, and that of the others goes on
over a new session. It is laid to the smart host only when FEW owners had such trouble and nobody's mail went
through in between; then all mail rests, the longer the more owners have had it, however often each of them.
What happens before anybody's mail is in hand (connect, TLS, greeting, login) is the smart host's doing.

When a session ends with the mail of several owners in it, nobody knows whose doing that was. Until somebody's
mail goes through, sessions are for one owner at a time. Each of those who were there has sessions of his own,
behind the others, until a message of his went through in one, or for a day when it happens again: the next
end says whose it is, and no answer to anybody else's mail is lost by it.
"""

from __future__ import annotations

import time

from sendmail_py import maillog
from sendmail_py.errors import printable
from sendmail_py.relay import trouble
from sendmail_py.relay.faults import ContentFault, RefusedFault, StoppedFault
from sendmail_py.spool.rests import Rest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.relay.backlog import Rules
    from sendmail_py.relay.faults import Fault
    from sendmail_py.shared.peer import Peer
    from sendmail_py.spool.rests import Rests

FEW = 5  # owners in trouble that make it the smart host's; fewer of them cannot hold up anybody else
MOST_WATCHED = 16  # owners with sessions of their own; more have the same trouble, and not each his own
MOST_BARREN = 16  # sessions in a row that ended in somebody's mail, and nobody's went through
PATIENCE = 5.0  # seconds that those with sessions of their own wait for the others, and the other way round


class Suspicion:
    """What is known of the owners, by the uids of their accounts (accounts.py), in one run.

    rests     what is remembered from run to run; `rules` say how long a rest is
    watch     a clock that never jumps (seconds)
    severity  how often FEW owners had trouble, when that was laid to the smart host; else 0
    met       the uids whose mail the sessions of now have had; alone: there is to be one only
    """

    def __init__(self, rests: Rests, rules: Rules, watch: Callable[[], float] = time.monotonic) -> None:
        self.rests = rests
        self.rules = rules
        self.watch = watch
        self.severity = 0
        self.strikes: dict[int, int] = {}
        self.barren = 0
        self.careful = False  # a session ended in the mail of several, and nobody's arrived since
        self.met: set[int] = set()
        self.alone = False
        self.has_arrived = False  # something did in the sessions of now
        self.began = self.waiting = 0.0  # since when: these sessions; those who want their own, 0: nobody

    # --- whose turn it is ---

    def is_resting(self, name: str, uid: int) -> bool:
        """Whether an owner's mail is left alone now."""
        rest = self.rests.get(name, uid)
        return rest is not None and not self.rules.force and self.rules.clock() < rest.until

    def until(self, names: list[str], uid: int) -> int:
        """When the first of these smart hosts may have an owner's mail again; 0: one of them may now."""
        if not names or not all(self.is_resting(name, uid) for name in names):
            return 0
        return min(rest.until for name in names if (rest := self.rests.get(name, uid)) is not None)

    def choose(self, name: str, ready: list[Peer]) -> Peer | None:
        """The owner whose mail is next: who has cost least. None: this session is not for those there are."""
        watched = [one for one in ready if self.rests.get(name, one.account) is not None]
        watched = watched if len(watched) <= MOST_WATCHED else []
        if self.careful:  # one at a time, and first those who were not there
            watched = ready = [one for one in ready if one not in watched] or ready
        free = [one for one in ready if one not in watched]
        now = self.watch()
        if not self.met:
            self.alone = bool(watched) and (not free or self.is_over(self.waiting, now))
            self.began = now
        group = self.group(free, watched, now)
        if not group:
            return None
        self.waiting = 0.0 if self.alone or not watched else self.waiting or now
        chosen = min(group, key=lambda one: one.served)
        self.met.add(chosen.account)
        return chosen

    def group(self, free: list[Peer], watched: list[Peer], now: float) -> list[Peer]:
        """Those for whom the session of now is."""
        if not self.alone:
            return free if not (watched and self.is_over(self.waiting, now)) else []
        own = [one for one in watched if not self.met or one.account in self.met]
        return own if not free or not self.is_over(self.began, now) else []

    def is_over(self, since: float, now: float) -> bool:
        """Whether that is long ago."""
        return since > 0.0 and now - since > PATIENCE

    # --- what came of it ---

    def arrived(self, name: str, uid: int) -> bool:
        """The smart host took a message of an owner's; whether it was said to rest."""
        self.barren = 0
        self.careful = False
        self.strikes.pop(uid, None)
        self.has_arrived = True
        self.rests.acquit(name)
        rest = self.rests.get(name, uid)
        if rest is None or not rest.count:
            return False
        rest.count = rest.until = 0
        self.rests.write()
        return True

    def broken(self, name: str, uids: set[int], judged: int, fault: Fault) -> tuple[set[int], str]:
        """A session ended in mail of these after so many others.

        Returns whose mail rests now, and why the smart host is to rest, "" if it is not.
        """
        if isinstance(fault, (StoppedFault, ContentFault)) or not uids:
            return set(), ""
        self.barren += 1
        words = printable(str(fault))
        found: set[int] = set()
        for uid in uids:
            if self.met == {uid}:
                refused = isinstance(fault, RefusedFault) and not judged
                self.strikes[uid] = self.strikes.get(uid, 0) + (2 if refused else 1)
                words_for_all = self.note(name, uid, words, self.strikes[uid] > 1)
                found = {uid} if self.strikes[uid] > 1 else set()
                return found, words_for_all
            self.note(name, uid, words, False, evidence=False)
        self.careful = True
        if self.barren < MOST_BARREN:
            return found, ""
        self.severity = self.severity or 1
        return found, words

    def accuse(self, name: str, uid: int, words: str) -> str:
        """The server's words on an owner's mail, that it wants less of it; why it is to rest, or ""."""
        return self.note(name, uid, words, True)

    def note(self, name: str, uid: int, words: str, rests: bool, evidence: bool = True) -> str:
        """Write a trouble down; why the smart host is to rest, "" if it is not."""
        now, queue = int(self.rules.clock()), self.rules.queue
        old = self.rests.get(name, uid) or Rest(0, 0, 0, now, False, "")
        is_new = evidence and not old.is_evidence
        until, count = old.until, old.count
        if rests:
            count += 1
            until = int(now + trouble.wait(count, queue.retry_min, queue.retry_max, self.rules.random))
            maillog.notice(
                f"smart host {name}: mail of uid {uid} waits for {until - now} seconds after: {words}"
            )
        new = Rest(until, count, old.times + 1, now, old.is_evidence or evidence, words)
        self.rests.set(name, uid, new)
        witnesses = self.rests.witnesses(name)
        if not is_new or witnesses % FEW:
            return ""
        self.severity = witnesses // FEW
        return f"{witnesses} users had trouble, the last one: {words}"

    def parted(self, name: str, fault: Fault | None) -> None:
        """The sessions ended; who had them for himself, and a message taken, needs no more of his own."""
        if self.alone and fault is None and self.has_arrived:
            for uid in self.met:
                rest = self.rests.get(name, uid)
                if rest is not None and rest.times < 2:
                    self.rests.clear(name, uid)
        self.met = set()
        self.has_arrived = False

    def next_host(self) -> None:
        """What was known in this run of another smart host counts no more."""
        self.strikes.clear()
        self.barren = self.severity = 0
        self.careful = False
        self.waiting = 0.0
