"""When a smart host with a rate (max_rate) may get its next message: a new run goes on where one ended.

One small text file `SPOOL/rates`, a line for each smart host: name, tab, seconds since the epoch. It may be
lost without harm: then as many messages as the rate lets through at once go out once more.
"""

from __future__ import annotations

import posix

from sendmail_py.errors import printable
from sendmail_py.spool import durable

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


def write(directory: str, name: str, due: float) -> None:
    """Change one line; OSError."""
    found = read(directory) | {printable(name, 255): due}
    lines = [VERSION, *[f"{one}\t{seconds:.3f}" for one, seconds in sorted(found.items())]]
    octets = ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")
    folder = durable.open_folder(directory)
    try:
        durable.replace(folder, "rates", octets, f".rates.{posix.getpid()}")
    finally:
        posix.close(folder)
