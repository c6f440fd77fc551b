"""Whose doing trouble is when all the mail of a run is one user's: a part of needs.Mail.

Guarantee: nobody's mail is spared or blamed apart from the rest. With many users in a run, shared/crowd.py
asks itself whose it is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.faults import Fault
    from sendmail_py.relay.transaction import Transaction


class SoleUser:
    """The mail of one user; needs.Mail says what each is asked for."""

    __slots__ = ()

    def whose(self, done: Transaction) -> int:
        """All of it is one user's."""
        return 0

    def blame(self, done: Transaction, words: str, setting: SmartHost) -> str:
        """The smart host rests for all mail there is."""
        return words

    def broken(self, in_hand: list[Transaction], judged: int, fault: Fault, setting: SmartHost) -> str:
        """See flush.Run.may_go_on."""
        return ""

    def parted(self, setting: SmartHost, fault: Fault | None) -> bool:
        """There is no excuse for a smart host that hangs up twice."""
        return False

    def severity(self) -> int:
        """One more than the last time."""
        return 0
