"""Standard input: read it, and read it to its end before the command exits.

Callers take a broken pipe for a failure or die of it; a person at a terminal is not waited for.
"""

from __future__ import annotations

import errno
import posix

from sendmail_py.errors import InputError

PIECE = 65536


def read(fd: int) -> bytes:
    """Some octets, b"" at the end; waits on a descriptor that was set to non-blocking."""
    while True:
        try:
            return posix.read(fd, PIECE)
        except BlockingIOError:
            wait_readable(fd)
        except OSError as error:
            raise InputError(f"cannot read the message: {error.strerror}; nothing was queued") from None


def wait_readable(fd: int) -> None:
    """Make the descriptor wait for its octets, as everybody else expects of it."""
    try:
        posix.set_blocking(fd, True)
    except OSError as error:
        raise InputError(f"cannot read the message: {error.strerror}; nothing was queued") from None


def drain(fd: int) -> None:
    """Read to the end and forget it, unless a person types it."""
    try:
        if not posix.isatty(fd):
            while posix.read(fd, PIECE):
                pass
    except OSError as error:
        if error.errno == errno.EAGAIN:
            wait_readable(fd)
            drain(fd)
