"""sendmail-py queue flush: a queue run for a person, with progress on a terminal."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

import click

from sendmail_py.admin import loop as endless
from sendmail_py.admin import selection, setting, shared_spool
from sendmail_py.admin.setting import count, size, span
from sendmail_py.errors import EX_OK, EX_TEMPFAIL, ConfigError, UsageError
from sendmail_py.policy.config import Config
from sendmail_py.relay import flush as relay
from sendmail_py.relay.flush import Summary
from sendmail_py.spool.queue import Spool

PAUSE = 1.0  # seconds between two looks at what is due, with --wait
EVERY, DRAIN = 30, 6  # seconds; with --loop


@click.command()
@setting.file_option
@click.option("--limit", metavar="N", type=click.IntRange(0), default=0, help="At most N messages.")
@click.option("--wait", is_flag=True, help="Go on until the queue is empty or --timeout is over.")
@click.option("--timeout", metavar="TIME", callback=selection.seconds, help="With --wait: longest time.")
@click.option("--loop", is_flag=True, help="Go on for ever: send mail as it arrives, and when it is due.")
@click.option("--every", metavar="TIME", callback=selection.seconds, help="With --loop: longest pause; 30s.")
@click.option("--drain", metavar="TIME", callback=selection.seconds, help="With --loop: see --help; 6s.")
def flush(
    file: str | None,
    limit: int,
    wait: bool,
    timeout: int | None,
    loop: bool,
    every: int | None,
    drain: int | None,
) -> int:
    """Send what is in the queue now, due or not.

    SIGTERM and interrupt finish the message in hand. Status 75 when mail is left. With --loop they end it
    with status 0; what is due is still sent for the time of --drain.
    """
    if (limit or wait) if loop else (every is not None or drain is not None):
        raise UsageError("--every and --drain go with --loop; --limit and --wait do not")
    if loop:
        return endless.Loop(file, max(1, every or EVERY), DRAIN if drain is None else drain).run()
    config = setting.load(file)
    if not (config.smarthosts or config.aliases.maildir or config.aliases.agents):
        raise ConfigError("no smart host is configured; the queue waits, see sendmail-py.toml(5)")
    if config.queue.shared and (limit or wait):
        raise UsageError("--limit and --wait are for a personal spool; see sendmail -q --wait")
    if config.queue.shared:
        return shared_spool.flush(config, watch_for_stop())
    spool, stop = setting.spool(config), watch_for_stop()
    deadline = time.monotonic() + timeout if timeout is not None else None
    summary = once(config, spool, stop, limit)
    while wait and not stop() and not limit and spool.listing():
        if deadline is not None and time.monotonic() >= deadline:
            break
        time.sleep(PAUSE)
        summary.add(relay.run(config, spool, stop=stop))
    return told(spool, summary)


def watch_for_stop() -> Callable[[], bool]:
    """Let the usual signals ask for the end; returns "was it asked?"."""
    asked: list[int] = []
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: asked.append(number))
    return lambda: bool(asked)


def once(config: Config, spool: Spool, stop: Callable[[], bool], limit: int) -> Summary:
    """One run over everything; on a terminal a bar shows messages, rate and time left."""
    listing = spool.listing()
    spool.clean()
    total = min(len(listing), limit or len(listing))
    if not total or not sys.stderr.isatty():
        return relay.run(config, spool, force=True, stop=stop, limit=limit)
    begin, done = time.monotonic(), 0
    with click.progressbar(length=total, label="sending", file=sys.stderr, show_pos=True) as bar:

        def seen(octets: int) -> None:
            nonlocal done
            done += octets
            rate = done / max(0.001, time.monotonic() - begin)
            bar.label = f"sending, {size(done)}, {size(int(rate))}/s"
            bar.update(1)

        summary = relay.run(config, spool, force=True, stop=stop, limit=limit, seen=seen)
    click.echo(f"took {span(time.monotonic() - begin)}", err=True)
    return summary


def told(spool: Spool, summary: Summary) -> int:
    """What came of it, in one line; the status."""
    left = len(spool.listing())
    fault = f"; {summary.fault}" if summary.fault else ""
    click.echo(
        f"{summary.delivered} delivered, {summary.failed} failed, {count(left)} left in the queue{fault}"
    )
    return EX_TEMPFAIL if left else EX_OK
