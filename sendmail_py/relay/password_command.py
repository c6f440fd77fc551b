"""What password_command prints; with program.py the only module of this room that starts a process.

Guarantees: no shell, no input, and nothing of its errors is shown; a command that does not end is ended, and
one that prints without end, too.
"""

from __future__ import annotations

import os
import select
import subprocess
import time

from sendmail_py.relay import hurry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.relay.hurry import Hurry

PATIENCE = 60.0  # seconds
KEPT = 65536  # octets of what it prints
MOST = 1 << 20
PIECE = 65536


def run(command: list[str], environ: dict[str, str], stop: Hurry) -> bytes:
    """What the command prints. OSError, ValueError with the reason, StoppedFault when the run is to end."""
    running = subprocess.Popen(  # noqa: S603 (the owner of the configuration names the command)
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environ,
        umask=0o077,  # it may write down a token
    )
    with running:
        try:
            printed = heard(running, time.monotonic() + PATIENCE, stop)
        except BaseException:
            running.kill()
            raise
    if running.returncode:
        raise ValueError(f"the command failed (exit status {running.returncode})")
    return printed


def heard(running: subprocess.Popen[bytes], until: float, stop: Hurry) -> bytes:
    """The beginning of what a command printed, when it has ended; nobody waits for what it left running.

    `until` in monotonic seconds. ValueError, StoppedFault.
    """
    pipe = running.stdout.fileno() if running.stdout else -1
    printed, seen = b"", 0
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while time.monotonic() < until:
        has_ended = running.poll() is not None
        moment = 0.0 if has_ended else hurry.MOMENT
        if hurry.poll(poll, time.monotonic() + moment, stop):
            piece = os.read(pipe, PIECE)
            printed, seen = (printed + piece)[:KEPT], seen + len(piece)
            if seen > MOST:
                raise ValueError("the command prints too much")
            if not piece:
                poll.unregister(pipe)  # it may still have something to do
        elif has_ended:
            return printed
    raise ValueError(f"the command did not end within {PATIENCE:.0f} seconds")
