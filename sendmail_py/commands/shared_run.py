"""sendmail -q with the shared spool: root flushes it for everybody, anybody else asks for that."""

from __future__ import annotations

import gc
import posix
import sys
import time

from sendmail_py.commands import signals
from sendmail_py.commands.options import Request
from sendmail_py.errors import EX_OK
from sendmail_py.policy import homes
from sendmail_py.policy.config import Config
from sendmail_py.spool import shared, tenants, tries
from sendmail_py.spool.breaker import Breaker
from sendmail_py.spool.queue import Spool

MOMENT = 1.0  # seconds between two looks, with --wait


def run(request: Request, config: Config, force: bool, person: bool, wait: int) -> int:
    """Flush, or ask root's flush; nothing due costs a look at each owner's folder.

    For `wait` seconds root goes on, because only the owners know whether their queues are empty; anybody else
    looks at his own until it is.
    """
    until = time.monotonic() + wait
    if posix.geteuid() != 0:
        shared.announce(config.queue.shared, config.queue.directory)
        if person:
            sys.stderr.write(f"{request.program}: root's flush was asked to send your mail\n")
        spool = Spool(config.queue.directory)
        while time.monotonic() < until and spool.listing():
            time.sleep(MOMENT)
    elif is_due(config, force) or wait:
        flush(request, config, force, person, until)
    return EX_OK


def is_due(config: Config, force: bool) -> bool:
    """Whether any owner may have mail that is due."""
    if not force and all_rest(config):
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


def all_rest(config: Config) -> bool:
    """Whether every smart host is left alone after a fault."""
    longest, breaker = config.queue.retry_max, Breaker(homes.STATE)
    pauses = [breaker.get(host.name) for host in config.smarthosts]
    return all(pause and not tries.is_due(pause.until, time.time(), longest) for pause in pauses)


def flush(request: Request, config: Config, force: bool, person: bool, until: float) -> None:
    """Through the door: only now processes and the network's modules are needed."""
    from sendmail_py.shared import start  # noqa: PLC0415 (the door to root's flush)

    gc.enable()  # the launcher has switched it off for commands that end at once
    stop = signals.watch_for_stop()
    trace = transcript if request.verbose else None
    summary = start.run(config, force=force, only=request.only, stop=stop, trace=trace)
    while time.monotonic() < until and not stop():
        time.sleep(MOMENT)
        if is_due(config, False):
            summary.add(start.run(config, only=request.only, stop=stop, trace=trace))
    if person:
        tell(request, str(summary))


def tell(request: Request, text: str) -> None:
    """What a run did, for the person who asked for it."""
    sys.stderr.write(f"{request.program}: {text}\n")


def transcript(line: str) -> None:
    """A line of the SMTP dialogue, which holds no secret, for -v."""
    sys.stderr.write(line + "\n")
