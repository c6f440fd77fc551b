"""When a smart host with a rate (max_rate) may get its next message, for all flushes of this spool together.

One small text file `SPOOL/rates`, a line for each smart host: name, tab, seconds since the epoch. It may be
lost without harm: then as many messages as the rate lets through at once go out once more. Whoever changes it
has the lock (flock(2)) of the spool's folder.
"""

from __future__ import annotations

import fcntl
import posix

from sendmail_py.errors import printable
from sendmail_py.spool import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "sendmail-py rates 1"


def read(directory: str) -> dict[str, float]:
    """Seconds since the epoch by name of the smart host; what cannot be read is left out."""
    try:
        folder = durable.open_folder(directory)
    except OSError:
        return {}
    try:
        lines = durable.read_small(folder, "rates").decode("utf-8", "replace").split("\n")
    except OSError:
        return {}
    finally:
        posix.close(folder)
    found: dict[str, float] = {}
    for line in lines[1:] if lines[0] == VERSION else []:
        name, _, seconds = line.partition("\t")
        try:
            found[name] = float(seconds)
        except ValueError:
            continue
    return found


def change(directory: str, name: str, new: Callable[[float], float]) -> float:
    """Replace the time of a smart host by what `new` makes of it (0.0: there is none); that time. OSError."""
    folder = durable.open_folder(directory)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        found, key = read(directory), printable(name, 255)
        old = found.get(key, 0.0)
        found[key] = new(old)
        if found[key] != old:
            write(folder, found)
        return found[key]
    finally:
        posix.close(folder)


def write(folder: int, found: dict[str, float]) -> None:
    """The file anew; OSError."""
    lines = [VERSION, *[f"{one}\t{seconds:.3f}" for one, seconds in sorted(found.items())]]
    octets = ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")
    durable.replace(folder, "rates", octets, f".rates.{posix.getpid()}")
