"""Which account stands behind a uid: subordinate uids (subuid(5)) are one account's, thousands of them.

Everybody may have processes with his subordinate uids, and so as many owners of folders in the shared spool.
They share one turn and answer for each other, or he could have turns, and speak against the smart host, for
thousands.
"""

from __future__ import annotations

import bisect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SUBUID = "/etc/subuid"
MOST = 100_000  # lines


class Accounts:
    """The ranges of subordinate uids: an owner in one is known by its first uid, all others by their own."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        ranges = sorted(one for one in map(read_line, lines) if one is not None)
        self.starts = [start for start, _ in ranges]
        self.counts = [count for _, count in ranges]

    def of(self, uid: int) -> int:
        """The number of the account."""
        at = bisect.bisect_right(self.starts, uid) - 1
        return self.starts[at] if at >= 0 and uid < self.starts[at] + self.counts[at] else uid


def read_line(line: bytes) -> tuple[int, int] | None:
    """First uid and number of a range; None for what is none."""
    _, start, count = [*line.strip().split(b":"), b"", b""][:3] if line.count(b":") == 2 else (b"", b"", b"")
    return (int(start), int(count)) if start.isdigit() and count.isdigit() else None


def read(path: str = SUBUID) -> Accounts:
    """As the system has them; none where there is no such file."""
    try:
        with open(path, "rb") as file:
            return Accounts([line for line, _ in zip(file, range(MOST), strict=False)])
    except OSError:
        return Accounts([])
