"""What a session needs of its surroundings: a line to a server, and a backlog of mail. Types only."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from sendmail_py.policy.config import SmartHost
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

    class Sink(Protocol):
        """Where mail goes when it does not go to a server: maildir.Maildir, program.Program."""

        name: str

        def send(self, new: Transaction) -> None:
            """Judge every recipient that has no verdict yet; a Fault when nobody can be."""
