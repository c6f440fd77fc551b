"""The transcript of a session, line by line ("C: ...", "S: ..."), for -v and for doctor.

Guarantee: no secret is in it, neither ours nor one that a server quotes back.
"""

from __future__ import annotations

from sendmail_py.errors import printable
from sendmail_py.relay import actions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.relay.reply import Reply


def write(trace: Callable[[str], None], action: actions.Write) -> None:
    """Lines of ours; of a secret one nothing but AUTH."""
    octets = action.octets
    if action.secret:
        octets = b"AUTH ***" if octets.startswith(b"AUTH ") else b"***"
    commands(trace, octets)


def commands(trace: Callable[[str], None], octets: bytes) -> None:
    """Commands, one a line."""
    for line in octets.removesuffix(b"\r\n").split(b"\r\n"):
        trace(f"C: {printable(line)}")


def content(trace: Callable[[str], None], size: int) -> None:
    """The octets of a message are nobody's business."""
    trace(f"C: [message of {size} octets]")


def reply(trace: Callable[[str], None], action: actions.Expect, said: Reply) -> None:
    """A reply line by line; of one to AUTH nothing but the code."""
    if action is actions.AUTH:
        trace(f"S: {said.code} ***")
        return
    for n, line in enumerate(said.lines, 1):
        mark = " " if n == len(said.lines) else "-"
        trace(f"S: {said.code}{mark}{printable(line)}")
