"""What a scripted smart host does in place of its usual answer: the words of the scripts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Close:
    """Send `after`, then close the connection, with RST if `reset`.

    At the final dot `accepted` says that the host has the message all the same.
    """

    after: bytes = b""
    reset: bool = False
    accepted: bool = False


@dataclass(frozen=True)
class Stall:
    """Say nothing: for `seconds`, then answer as usual; without seconds until the test ends.

    `accepted` as in Close.
    """

    seconds: float | None = None
    accepted: bool = False


@dataclass(frozen=True)
class Drip:
    """Send `reply` one octet at a time with a pause after each; with `forever` start over at the end."""

    reply: bytes
    seconds_between_octets: float
    forever: bool = False


@dataclass(frozen=True)
class Garbage:
    """Send these octets in place of a reply; nothing changes in the session."""

    octets: bytes


@dataclass(frozen=True)
class Flood:
    """Send `line` over and over without end (at most `limit` octets)."""

    line: bytes = b"250-and there is more to say\r\n"
    limit: int = 1 << 26


@dataclass(frozen=True)
class Extra:
    """Send `reply`, which counts, and `more` right behind it, which nobody asked for."""

    reply: bytes
    more: bytes


Action = bytes | Close | Stall | Drip | Garbage | Flood | Extra | None
"""What to do in place of the usual answer; None is the usual answer."""
