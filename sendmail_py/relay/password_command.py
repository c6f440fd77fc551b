"""What password_command prints; with program.py the only module of this room that starts a process.

Guarantees: no shell, no input, and nothing of its errors is shown; a command that does not end is ended.
"""

from __future__ import annotations

import subprocess
import time

from sendmail_py.relay import hurry
from sendmail_py.relay.faults import StoppedFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.relay.hurry import Hurry

PATIENCE = 60.0  # seconds


def run(command: list[str], environ: dict[str, str], stop: Hurry) -> bytes:
    """What the command prints. OSError, ValueError with the reason, StoppedFault when the run is to end."""
    running = subprocess.Popen(  # noqa: S603 (the owner of the configuration names the command)
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environ,
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
    """What a command printed, until `until` (monotonic seconds); ValueError, StoppedFault."""
    while True:
        left = until - time.monotonic()
        try:
            return running.communicate(timeout=left if stop.over else min(left, hurry.MOMENT))[0]
        except subprocess.TimeoutExpired:
            if stop():
                raise StoppedFault("the run was asked to end") from None
            if left <= hurry.MOMENT:
                raise ValueError(f"the command did not end within {PATIENCE:.0f} seconds") from None
