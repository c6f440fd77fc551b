"""sendmail -q, runq: one run of the queue. Nothing due costs little more than looking."""

from __future__ import annotations

import gc
import posix
import sys
import time

from sendmail_py.commands import setting, signals
from sendmail_py.commands.options import Request
from sendmail_py.commands.selection import matches
from sendmail_py.errors import EX_OK, ConfigError
from sendmail_py.policy.config import Config
from sendmail_py.spool import tries
from sendmail_py.spool.breaker import Breaker
from sendmail_py.spool.queue import Spool, Waiting

STDERR = 2


def run(request: Request, stdin_open: bool) -> int:
    """Relay what is due; everything when a person asks, or asks for certain messages.

    Silent unless a person is there or -v was given, because cron mails whatever is printed. Messages that
    stay in the queue are no failure of this command: mailq and the log say why they stay.
    """
    config = setting.load(request)
    person = request.verbose or (posix.isatty(STDERR) and not request.then_flush)
    force = (person or bool(request.only)) and not request.then_flush
    spool = Spool(config.queue.directory)
    waiting = spool.listing()
    spool.clean()
    now = int(time.time())
    if not waiting or not (force or is_due(config, waiting, now)):
        return EX_OK
    if not config.smarthosts:
        raise ConfigError("no smart host is configured; the queue waits, see sendmail-py.toml(5)")
    relay(request, config, spool, force, person)
    return EX_OK


def is_due(config: Config, waiting: list[Waiting], now: int) -> bool:
    """Whether any message and any smart host is due."""
    longest = config.queue.retry_max
    if not any(tries.is_due(one.next, now, longest) for one in waiting):
        return False
    breaker = Breaker(config.queue.directory)
    pauses = [breaker.get(host.name) for host in config.smarthosts]
    return any(pause is None or tries.is_due(pause.until, now, longest) for pause in pauses) or not pauses


def relay(request: Request, config: Config, spool: Spool, force: bool, person: bool) -> None:
    """Through the door: only now the network's modules are loaded."""
    from sendmail_py.relay import flush  # noqa: PLC0415 (the door to the relay)

    gc.enable()  # the launcher has switched it off for commands that end at once
    stop = signals.watch_for_stop()
    wanted = (lambda queue_id, envelope: matches(request.only, queue_id, envelope)) if request.only else None
    trace = transcript if request.verbose else None
    summary = flush.run(config, spool, only=wanted, force=force, stop=stop, trace=trace)
    if person:
        counts = f"{summary.delivered} delivered, {summary.deferred} deferred, {summary.failed} failed"
        fault = f"; {summary.fault}" if summary.fault else ""
        sys.stderr.write(f"{request.program}: {counts}{fault}\n")


def transcript(line: str) -> None:
    """A line of the SMTP dialogue, which holds no secret, for -v."""
    sys.stderr.write(line + "\n")
