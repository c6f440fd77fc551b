"""Why a smart host cannot be used now: the exceptions of this room, each with one line of text for people.

What a server answers about a message is an outcome (see outcome.py), never one of these. A fault
says that the connection, the dialogue or our own credentials failed; every message stays queued.
"""

from __future__ import annotations

from sendmail_py.errors import TemporaryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.relay.reply import Reply


class Fault(TemporaryError):  # noqa: N818 (the word of the design: faults are exceptions, outcomes are values)
    """The smart host cannot be used now; `reply` is what it said, if that was why, `peer` who it is."""

    def __init__(self, text: str, reply: Reply | None = None) -> None:
        super().__init__(text)
        self.reply = reply
        self.peer = ""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.peer}: {text}" if self.peer and not text.startswith("connect to ") else text


class TransportFault(Fault):
    """Look-up, connect, TLS or the connection itself failed, or a time limit passed."""


class AnchorFault(TransportFault):
    """The certificate is to be verified by the `anchors` (DER), and only by them, in another handshake."""

    def __init__(self, text: str, anchors: list[bytes]) -> None:
        super().__init__(text)
        self.anchors = anchors


class StoppedFault(Fault):
    """Nobody's fault: the run is to end, and there was no mail in hand yet."""


class ProtocolFault(Fault):
    """The server spoke out of turn, or not SMTP."""


class RefusedFault(Fault):
    """The server refused the session (greeting, EHLO, STARTTLS, AUTH) or closes it (421)."""


class EarlyReplyFault(Fault):
    """The server answered before it had the whole message; `reply` is its answer."""


class LoginFault(RefusedFault):
    """User or password are wrong, missing or unreadable, or there is no safe way to show them."""


class ContentFault(Fault):
    """Our own copy of the message cannot be read on, or must not be sent; nobody else's fault."""
