"""When messages of one kind last went out, for queue.coalesce: same sender, recipients and subject.

One small text file `SPOOL/bursts`, a line for each kind: a hash of what it has in common, tab, seconds since
the epoch. It may be lost without harm: then one message more goes out by itself.
"""

from __future__ import annotations

import posix

from sendmail_py.spool import durable

VERSION = "sendmail-py bursts 1"
MOST = 10_000  # kinds; the youngest are kept


def read(directory: str) -> dict[str, int]:
    """Seconds since the epoch by kind; what cannot be read is left out."""
    try:
        folder = durable.open_folder(directory)
    except OSError:
        return {}
    try:
        lines = durable.read_small(folder, "bursts").decode("utf-8", "replace").split("\n")
    except OSError:
        return {}
    finally:
        posix.close(folder)
    found: dict[str, int] = {}
    for line in lines[1:] if lines[0] == VERSION else []:
        kind, _, seconds = line.partition("\t")
        if seconds.isdecimal():
            found[kind] = int(seconds)
    return found


def write(directory: str, found: dict[str, int]) -> None:
    """The file anew; OSError."""
    youngest = sorted(found.items(), key=lambda row: row[1])[-MOST:]
    lines = [VERSION, *[f"{kind}\t{seconds}" for kind, seconds in youngest]]
    folder = durable.open_folder(directory)
    try:
        durable.replace(folder, "bursts", ("\n".join(lines) + "\n").encode(), f".bursts.{posix.getpid()}")
    finally:
        posix.close(folder)
