"""sendmail -q with the shared spool: root flushes it for everybody, anybody else asks for that."""

from __future__ import annotations

import gc
import posix
import sys
import time

from sendmail_py.commands import signals
from sendmail_py.commands.options import Request
from sendmail_py.policy import homes
from sendmail_py.policy.config import Config
from sendmail_py.spool import shared, tenants
from sendmail_py.spool.breaker import all_rest
from sendmail_py.spool.queue import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOMENT = 1.0  # seconds between two looks, with --wait
LOOK = 0.25  # the same, with --watch
SETTLED = 50_000_000  # nanoseconds; a younger time of a file may be the time of its next change as well


def preload(name: str) -> None:
    """The bundle (preload.py) puts its function here; without one, modules are imported singly."""


def run(request: Request, config: Config, force: bool, person: bool, wait: int) -> None:
    """Flush, or ask root's flush; nothing due costs a look at each owner's folder.

    For `wait` seconds root goes on, because only the owners know whether their queues are empty; anybody else
    looks at his own until it is.
    """
    until = time.monotonic() + wait
    if posix.geteuid() != 0:
        shared.announce(config.queue.shared, config.queue.directory)
        shared.ring()
        if person:
            sys.stderr.write(f"{request.program}: root's flush was asked to send your mail\n")
        spool = Spool(config.queue.directory)
        while time.monotonic() < until and spool.listing():
            time.sleep(MOMENT)
    elif is_due(config, force) or wait:
        flush(request, config, force, person, until, signals.watch_for_stop())


def watch(request: Request, config: Config, seconds: int) -> None:
    """With `delivery = "background"`, send for so many seconds what users submit, as soon as they do.

    For cron, which starts us every minute: only root can flush for others, and nobody else can start root.
    """
    if not seconds or config.delivery != "background" or posix.geteuid() != 0:
        return
    stop = signals.watch_for_stop()
    end = time.monotonic() + seconds
    seen = 0
    while not stop() and time.monotonic() < end:
        changed = shared.woken(config.queue.shared)
        if changed != seen and is_due(config, False):
            busy = flush(request, config, False, False, 0.0, stop)
            changed = 0 if busy else changed
        seen = changed if time.time_ns() - changed > SETTLED else 0
        time.sleep(LOOK)


def is_due(config: Config, force: bool) -> bool:
    """Whether any owner may have mail that is due."""
    names = [host.name for host in config.smarthosts]
    if not force and all_rest(homes.STATE, names, time.time(), config.queue.retry_max):
        return False
    try:
        owners = tenants.owners(config.queue.shared)
    except FileNotFoundError:  # nobody could send anything yet; from now on all can
        make(config.queue.shared)
        return False
    known = tenants.read_due(f"{homes.STATE}/due")
    return bool(owners if force else tenants.with_mail(owners, known, time.time(), config.queue.retry_max))


def make(base: str) -> None:
    """The shared spool of a machine on which only the configuration was written; install makes it too."""
    try:
        shared.set_up(base)
    except OSError:  # a read-only system: each submission says so
        return


def flush(
    request: Request, config: Config, force: bool, person: bool, until: float, stop: Callable[[], bool]
) -> bool:
    """Through the door: only now processes and the network's modules are needed.

    Returns whether another flush of root's was at it.
    """
    preload("shared")
    from sendmail_py.shared import start  # noqa: PLC0415 (the door to root's flush)

    gc.enable()  # the launcher has switched it off for commands that end at once
    trace = transcript if request.verbose else None
    summary = start.run(config, force=force, only=request.only, stop=stop, trace=trace)
    while time.monotonic() < until and not stop():
        time.sleep(MOMENT)
        if is_due(config, False):
            summary.add(start.run(config, only=request.only, stop=stop, trace=trace))
    if person:
        tell(request, str(summary))
    return summary.fault == start.BUSY


def tell(request: Request, text: str) -> None:
    """What a run did, for the person who asked for it."""
    sys.stderr.write(f"{request.program}: {text}\n")


def transcript(line: str) -> None:
    """A line of the SMTP dialogue, which holds no secret, for -v."""
    sys.stderr.write(line + "\n")
