"""Whose turn it is in root's flush: who may have mail that is due and was not served just now.

Guarantees: whoever has new mail gets a turn, also in a run that goes on for hours with somebody else's; an
owner who wants turn after turn waits longer each time; one whose reader failed waits for the next run; an
account has one turn at a time, however many subordinate uids it has.
"""

from __future__ import annotations

import random

from sendmail_py.shared.accounts import Accounts
from sendmail_py.spool import tenants
from sendmail_py.spool.tenants import Owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

FIRST_REST = 0.25  # seconds after an owner's first turn; twice as long after each other one
LONGEST_REST = 10.0
FEW = 3  # turns of an owner for whose new mail a run waits although nothing else is to do


class Turns:
    """The turns of one run over the folders in `base`.

    known   name of a folder -> (its mark, when the next message in it is due), as tenants.read_due gives it
    force   everybody gets one turn, whatever is due
    longest wait between two tries (seconds)
    clock   of the machine (time.time), `watch` one that never jumps (time.monotonic)
    """

    def __init__(
        self,
        base: str,
        known: dict[str, tuple[str, int]],
        force: bool,
        longest: float,
        clock: Callable[[], float],
        watch: Callable[[], float],
    ) -> None:
        self.base = base
        self.known = known
        self.force = force
        self.longest = longest
        self.clock = clock
        self.watch = watch
        self.accounts = Accounts([])
        self.failures: set[int] = set()
        self.taken: dict[int, int] = {}  # turns by uid
        self.rests: dict[int, float] = {}  # until when by uid, as `watch` says it

    def whose(self, busy: Collection[int] = ()) -> list[Owner]:
        """Who can have a turn now, apart from the `busy` uids, in no order of anybody's choice."""
        now = self.watch()
        taken = {self.accounts.of(uid) for uid in busy}
        found = [one for one in self.with_mail() if self.rests.get(one.uid, 0.0) <= now]
        random.shuffle(found)
        first = {self.accounts.of(one.uid): one for one in found}
        return [one for account, one in first.items() if account not in taken]

    def with_mail(self) -> list[Owner]:
        """Who may have mail that is due."""
        found = tenants.owners(self.base)
        self.known = {one.name: self.known[one.name] for one in found if one.name in self.known}
        due = tenants.with_mail(found, self.known, self.clock(), self.longest)
        if self.force:
            due += [one for one in found if one.uid not in self.taken and one not in due]
        return [one for one in due if one.uid not in self.failures]

    def rest(self) -> float:
        """Seconds until somebody can have a turn for whom it is worth waiting; 0 when there is nobody."""
        waiting = [one.uid for one in self.with_mail() if self.taken.get(one.uid, 0) < FEW]
        return max(0.0, min([self.rests.get(uid, 0.0) for uid in waiting], default=0.0) - self.watch())

    # --- how a turn ended ---

    def ended(self, owner: Owner, mark: str, due: int) -> None:
        """All was tried; when the next message is `due`, as long as the folder has that mark."""
        self.known[owner.name] = (mark, due)
        count = self.taken[owner.uid] = self.taken.get(owner.uid, 0) + 1
        self.rests[owner.uid] = self.watch() + min(LONGEST_REST, FIRST_REST * 2.0 ** min(count - 1, 10))

    def cut_short(self, owner: Owner) -> None:
        """Time was over, and mail may be left."""
        self.taken[owner.uid] = self.taken.get(owner.uid, 0)
        self.known.pop(owner.name, None)

    def looked(self, owner: Owner) -> None:
        """Only some of the messages were tried, and nothing is known of the others."""
        self.failures.add(owner.uid)

    def failed(self, owner: Owner) -> None:
        """The reader did not see it through."""
        self.failures.add(owner.uid)
