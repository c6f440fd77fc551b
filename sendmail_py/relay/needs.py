"""What a session needs of its surroundings: a line to a server, and a backlog of mail. Types only."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.delivery import Via
    from sendmail_py.relay.faults import Fault
    from sendmail_py.relay.outcome import Outcome
    from sendmail_py.relay.transaction import Transaction

    class Line(Protocol):
        """What a session needs of a connection; transport.Connection is one, the tests have another."""

        doing: str
        peer: str
        sent: int  # octets that were handed over

        def send(self, octets: bytes, deadline: float, heard: Callable[[bytes], None]) -> None:
            """Write everything."""

        def receive(self, deadline: float) -> bytes:
            """At least one octet."""

        def hear(self, heard: Callable[[bytes], None]) -> None:
            """What is there already."""

        def start_tls(self, setting: SmartHost, name: str, deadline: float) -> None:
            """Encrypt."""

        def close(self) -> None:
            """Close."""

    class Backlog(Protocol):
        """Where transactions come from and go to."""

        def next_transaction(self) -> Transaction | None:
            """The next one, None when there is none now."""

        def judged(self, done: Transaction) -> None:
            """Write the verdicts down."""

        def prepare(self) -> None:
            """Time to get the next transaction ready: a reply is on its way."""

        def settle(self) -> None:
            """What was judged must be on disk before anything else is sent or read."""

    class Mail(Protocol):
        """What a run sends (flush.Run): the mail of one queue, in_hand.InHand, or that of many owners."""

        counts: dict[str, int]

        @property
        def damaged(self) -> int:
            """How many queue files could not be used."""

        def next_smarthost(self) -> SmartHost | None:
            """The smart host that mail waits for, None when none is left."""

        def prepare(self, setting: SmartHost) -> bool:
            """Have a message for that smart host at hand; whether there is one."""

        def next_transaction(
            self, setting: SmartHost, most_recipients: int, most_domains: int = 0
        ) -> Transaction | None:
            """The next one, None when there is none now; 0 recipients or domains: as many as there are."""

        def left(self, setting: SmartHost) -> int:
            """How many messages may still be to send."""

        def judged(self, done: Transaction, via: Via, setting: SmartHost) -> tuple[bool, str]:
            """Write the verdicts down; whether anybody's fate is settled, the smart host's wish for less."""

        def settle(self) -> None:
            """What was judged is on disk when this returns; OSError."""

        def charge(self, interrupted: Transaction, reason: Outcome, via: Via) -> None:
            """A session ended, and this counts as an attempt."""

        def put_back(self, interrupted: Transaction, via: Via) -> None:
            """A session ended, and it was not this transaction's doing."""

        def whose(self, done: Transaction) -> int:
            """A number for whoever sends it."""

        def blame(self, done: Transaction, words: str, setting: SmartHost) -> str:
            """A reply that is not about a message: why the smart host is to rest for it, "" if it is not."""

        def broken(self, in_hand: list[Transaction], judged: int, fault: Fault, setting: SmartHost) -> str:
            """A session ended with these in hand after so many others: as `blame`."""

        def parted(self, setting: SmartHost, fault: Fault | None) -> bool:
            """The sessions ended; whether that is laid to mail that is not sent any more in this run."""

        def severity(self) -> int:
            """For how many faults in a row the smart host is to rest, 0 for one more than the last time."""

        def give_up(self, setting: SmartHost) -> None:
            """That smart host is of no use in this run."""

        def end(self) -> None:
            """The run is over; OSError when what it did cannot be made durable."""

        def abandon(self) -> None:
            """However the run ended, nothing stays claimed."""

    class Sink(Protocol):
        """Where mail goes when it does not go to a server: maildir.Maildir, program.Program, local.Local."""

        name: str
        most_recipients: int  # that it takes at a time, 0 for all

        def send(self, new: Transaction) -> None:
            """Judge every recipient that has no verdict yet; a Fault when nobody can be."""
