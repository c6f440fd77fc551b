"""What is known of the smart hosts' servers: whether BDAT may be used, how big a message may be.

One small text file `SPOOL/servers`, tab between the fields; it may be lost without harm, nothing in it is
secret. A smart host may be several machines of different make, so an answer belongs to what the machine
announced (the digest of its EHLO reply), and several are kept.
"""

from __future__ import annotations

import posix

from sendmail_py.errors import printable
from sendmail_py.spool import durable

VERSION = "sendmail-py servers 1"
MOST = 8  # answers kept for one smart host
STALE = {True: 30 * 86400, False: 86400}  # seconds after which a server is asked again, by its answer
YES, NO = "yes", "no"


class Known:
    """What one make of server showed.

    digest  of its EHLO reply; chunks: whether it drops the octets of a refused chunk (RFC 3030 4.2)
    size    the largest message in octets that it announced, 0 for none
    seen    when it was asked (seconds since the epoch)
    """

    __slots__ = ("chunks", "digest", "seen", "size")

    def __init__(self, digest: str, chunks: bool, size: int, seen: int) -> None:
        self.digest = digest
        self.chunks = chunks
        self.size = size
        self.seen = seen


class Servers:
    """The file in one spool (`directory`, which must exist); `lines` by name of the smart host."""

    __slots__ = ("directory", "known")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.known = read(directory)

    def get(self, name: str, digest: str, now: float) -> Known | None:
        """What is known of that server, None when nothing is, or nothing that is young enough."""
        for one in self.known.get(name, []):
            if one.digest == digest and 0 <= now - one.seen < STALE[one.chunks]:
                return one
        return None

    def set(self, name: str, new: Known) -> None:
        """Remember; a fault of the disk is no reason to stop."""
        others = [one for one in self.known.get(name, []) if one.digest != new.digest]
        self.known[name] = [new, *others][:MOST]
        try:
            self.write()
        except OSError:
            return

    def text(self) -> bytes:
        """The content of the file."""
        lines = [VERSION]
        for name, found in sorted(self.known.items()):
            for one in found:
                rest = (printable(one.digest, 64), YES if one.chunks else NO, str(one.size), str(one.seen))
                lines.append("\t".join([printable(name, 255), *rest]))
        return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")

    def write(self) -> None:
        """The file anew."""
        folder = durable.open_folder(self.directory)
        try:
            durable.replace(folder, "servers", self.text(), f".servers.{posix.getpid()}")
        finally:
            posix.close(folder)


def largest(directory: str, names: list[str], now: float) -> int:
    """The biggest message, in octets, that any of these smart hosts takes; 0 if one of them did not say.

    Of the answers of one smart host the best counts, unless it is too old.
    """
    known, most = read(directory), 0
    for name in names:
        sizes = [one.size for one in known.get(name, []) if 0 <= now - one.seen < STALE[one.chunks]]
        if not sizes or 0 in sizes:
            return 0
        most = max(most, *sizes)
    return most


def read(directory: str) -> dict[str, list[Known]]:
    """What is known by name of the smart host; what cannot be read is left out."""
    try:
        folder = durable.open_folder(directory)
    except OSError:
        return {}
    try:
        lines = durable.read_small(folder, "servers").decode("utf-8", "replace").split("\n")
    except OSError:
        return {}
    finally:
        posix.close(folder)
    known: dict[str, list[Known]] = {}
    for line in lines[1:] if lines[0] == VERSION else []:
        fields = line.split("\t")
        try:
            one = Known(fields[1], fields[2] == YES, int(fields[3]), int(fields[4]))
        except (ValueError, IndexError):
            continue
        known.setdefault(fields[0], []).append(one)
    return known
