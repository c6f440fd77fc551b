"""sendmail -q, runq: one run of the queue. Nothing due costs little more than looking."""

from __future__ import annotations

import gc
import posix
import time

from sendmail_py.commands import setting, shared_run, signals
from sendmail_py.commands.options import Request
from sendmail_py.errors import EX_OK, ConfigError, UsageError, printable
from sendmail_py.mail.selection import matches
from sendmail_py.policy import schema
from sendmail_py.policy.config import Config
from sendmail_py.spool import due, seats, upkeep
from sendmail_py.spool.breaker import all_rest
from sendmail_py.spool.queue import DIGEST, Spool

STDERR = 2
MOMENT = 1.0  # seconds between two looks at the queue, with --wait


def preload(name: str) -> None:
    """The bundle (preload.py) puts its function here; without one, modules are imported singly."""


def run(request: Request, stdin_open: bool) -> int:
    """Relay what is due; everything when a person asks, or asks for certain messages.

    Silent unless a person is there or -v was given, because cron mails whatever is printed. Messages that
    stay in the queue are no failure of this command: mailq and the log say why they stay.
    """
    config = setting.load(request)
    limit, wait, watch = bounds(request)
    person = request.verbose or (posix.isatty(STDERR) and not request.then_flush)
    force = (person or bool(request.only)) and not request.then_flush
    if config.queue.shared:
        if limit:
            raise UsageError("--limit is for a personal spool; in root's flush everybody has a turn")
        shared_run.run(request, config, force, person, wait)
        shared_run.watch(request, config, watch)
        return EX_OK
    spool = Spool(config.queue.directory)
    if request.then_flush and config.delivery == "background":
        return in_turn(request, config, spool)
    if not (asked_for(spool) if force or wait else is_due(config, spool, int(time.time()))):
        return EX_OK
    if not config.smarthosts and not delivers_here(config):
        raise ConfigError("no smart host is configured; the queue waits, see sendmail-py.toml(5)")
    relay(request, config, spool, force, person, limit, wait)
    return EX_OK


def in_turn(request: Request, config: Config, spool: Spool) -> int:
    """The flush that a submission has started: all that is due, unless others are at it (spool/seats.py).

    What comes while it runs may have found all seats taken, so it looks again when it got up.
    """
    known: set[str] = set()
    while True:
        there = {one.queue_id for one in spool.listing()}
        if there <= known or not is_due(config, spool, int(time.time())):
            return EX_OK
        known |= there
        seat = seats.take(config.queue.directory)
        if seat < 0:
            return EX_OK
        try:
            if relay(request, config, spool, force=False, person=False, limit=0, wait=0):
                return EX_OK
        finally:
            posix.close(seat)


def bounds(request: Request) -> tuple[int, int, int]:
    """Most messages, 0 for all; for how many seconds to go on, and how many to watch for mail; UsageError."""
    found = []
    for name in ("limit", "wait", "watch"):
        value = request.long.get(name, b"0")
        try:
            text = value.decode("ascii")
            found.append(schema.number(text) if name == "limit" else schema.duration(text, ""))
        except ValueError:
            raise UsageError(f"option --{name}: {printable(value, 64)!r} is no number or time") from None
    return found[0], found[1], found[2]


def spool_waits(spool: Spool, until: float) -> bool:
    """Whether there is mail, and time (monotonic seconds) to wait for it."""
    return time.monotonic() < until and bool(spool.listing())


def asked_for(spool: Spool) -> bool:
    """Whether there is anything that a person might want to have sent."""
    waiting = spool.listing()
    spool.clean()
    return bool(waiting) or any(name.startswith(DIGEST) for name in spool.leftovers)


def is_due(config: Config, spool: Spool, now: int) -> bool:
    """Whether a run has anything to do, by what costs least: pauses, names, the times of some files."""
    queue = config.queue
    names = [host.name for host in config.smarthosts]
    if names and all_rest(queue.directory, names, now, queue.retry_max) and not delivers_here(config):
        return False
    try:
        if not due.is_quiet(spool, now, queue.retry_max):
            return True
    except FileNotFoundError:
        return False
    return bool(config.smarthosts) and upkeep.is_due(queue.directory, config.files, queue.report, now)


def delivers_here(config: Config) -> bool:
    """Whether aliases may have mail delivered on this machine, for which no smart host is needed."""
    return config.aliases.maildir or bool(config.aliases.agents)


def relay(
    request: Request, config: Config, spool: Spool, force: bool, person: bool, limit: int, wait: int
) -> bool:
    """Through the door: only now the network's modules are loaded. Whether a signal asked for the end."""
    preload("relay")
    from sendmail_py.relay import flush  # noqa: PLC0415 (the door to the relay)

    gc.freeze()  # what was imported stays; a run makes little that needs the collector
    gc.set_threshold(10000)
    gc.enable()  # the launcher has switched it off for commands that end at once
    stop = signals.watch_for_stop()
    wanted = (lambda queue_id, envelope: matches(request.only, queue_id, envelope)) if request.only else None
    trace = shared_run.transcript if request.verbose else None
    until = time.monotonic() + wait
    summary = flush.run(config, spool, only=wanted, force=force, stop=stop, limit=limit, trace=trace)
    while spool_waits(spool, until) and not (stop() or limit):
        time.sleep(MOMENT)
        if is_due(config, spool, int(time.time())):
            summary.add(flush.run(config, spool, only=wanted, stop=stop, trace=trace))
    if person:
        shared_run.tell(request, str(summary))
    return stop()
