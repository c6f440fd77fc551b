"""sendmail-py queue stats: the queue in numbers, for people, programs, monitoring.

The cost is one listing of each folder, a stat(2) for each message, and the envelopes of those that failed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator

import click

from sendmail_py.admin import setting
from sendmail_py.admin.setting import size, span
from sendmail_py.errors import UsageError, printable
from sendmail_py.policy import homes, schema
from sendmail_py.policy.config import Config
from sendmail_py.spool import absorb, refused
from sendmail_py.spool.breaker import Breaker
from sendmail_py.spool.queue import Spool, Waiting
from sendmail_py.spool.tries import is_due

# What each number means, in the order in which they are shown.
MEASURES = {
    "messages": "messages in the queue",
    "octets": "octets of the messages in the queue, envelopes included",
    "age": "age in seconds of the oldest message in the queue",
    "untried": "messages that were never tried",
    "due": "messages that are due now",
    "held": "messages that wait for their owner or for a time",
    "failed": "messages that failed and are kept",
    "failed_octets": "octets of the messages that failed",
    "failed_reports": "messages that failed and are reports, so that nobody was told",
    "paused": "smart hosts that are left alone after a fault",
    "refused": "senders that a smart host refused",
}


def measure(config: Config, spool: Spool, now: float) -> dict[str, int]:
    """All numbers, by name."""
    listing, failed = absorb.listing(spool), spool.failed()
    longest = config.queue.retry_max
    arrived = int(listing[0].queue_id, 16) / 65536 if listing else now
    breaker = Breaker(homes.memory(config))
    pauses = [breaker.get(one.name) for one in config.smarthosts]
    held = [one for one in listing if one.is_held(now)]
    return {
        "messages": len(listing),
        "octets": octets(spool.queue_folder, listing),
        "age": max(0, int(now - arrived)),
        "untried": sum(not one.tries_name for one in listing),
        "due": sum(is_due(one.next, now, longest) and not one.is_held(now) for one in listing),
        "held": len(held),
        "failed": len(failed),
        "failed_octets": octets(spool.failed_folder, failed),
        "failed_reports": sum(spool.is_report(one) for one in failed),
        "paused": sum(one is not None and one.until > now for one in pauses),
        "refused": len({sender for _, sender in refused.read(spool.directory)}),
    }


def octets(folder: Callable[[], int], listing: list[Waiting]) -> int:
    """The sizes of queue files; those that left meanwhile are left out."""
    total = 0
    fd = folder() if listing else -1
    for one in listing:
        try:
            total += os.stat(one.queue_id, dir_fd=fd, follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total


def limits(given: tuple[str, ...]) -> dict[str, int]:
    """`messages=100`, `age=4h`, `octets=1G` as numbers. Raises UsageError."""
    found = {}
    for one in given:
        name, _, value = one.partition("=")
        try:
            if name not in MEASURES:
                raise ValueError
            if name == "age":
                found[name] = schema.duration(value, "")
            elif name.endswith("octets"):
                found[name] = int(str(schema.size(value, "")))
            else:
                found[name] = schema.number(value)
        except ValueError:
            text = f"a threshold is NAME=VALUE, the names are {', '.join(MEASURES)}"
            raise UsageError(f"{printable(one, 64)}: {text}") from None
    return found


def verdict(numbers: dict[str, int], warn: dict[str, int], critical: dict[str, int]) -> tuple[int, list[str]]:
    """The exit status, 0, 1 or 2, and what is at or beyond its threshold."""
    for status, thresholds in ((2, critical), (1, warn)):
        over = [name for name, limit in thresholds.items() if numbers[name] >= limit]
        if over:
            return status, over
    return 0, []


def as_text(numbers: dict[str, int]) -> Iterator[str]:
    """A line for each number, for people."""
    for name, meaning in MEASURES.items():
        value = numbers[name]
        shown = span(value) if name == "age" else size(value) if name.endswith("octets") else str(value)
        yield f"{name:14} {shown:>8}  {meaning}"


def as_prometheus(config: Config, spool: Spool, numbers: dict[str, int], now: float) -> Iterator[str]:
    """The text format of Prometheus, as its node exporter reads it from a file."""
    for name, meaning in MEASURES.items():
        metric = f"sendmail_py_queue_{name}" + ("_seconds" if name == "age" else "")
        yield f"# HELP {metric} {meaning}\n# TYPE {metric} gauge\n{metric} {numbers[name]}"
    metric = "sendmail_py_smarthost_paused_seconds"
    yield f"# HELP {metric} seconds until the smart host is tried again\n# TYPE {metric} gauge"
    breaker = Breaker(homes.memory(config))
    for one in config.smarthosts:
        pause = breaker.get(one.name)
        left = max(0, int(pause.until - now)) if pause is not None else 0
        label = one.name.replace("\\", "\\\\").replace('"', '\\"')
        yield f'{metric}{{smarthost="{label}"}} {left}'


@click.command()
@setting.file_option
@click.option("--format", "form", type=click.Choice(["text", "json", "prometheus"]), default="text")
@click.option("--warn", metavar="NAME=VALUE", multiple=True, help="Exit with 1 from this number on.")
@click.option("--critical", metavar="NAME=VALUE", multiple=True, help="Exit with 2 from this number on.")
def stats(file: str | None, form: str, warn: tuple[str, ...], critical: tuple[str, ...]) -> int:
    """Print the queue in numbers; thresholds become the exit status."""
    thresholds = limits(warn), limits(critical)
    config = setting.load(file)
    spool, now = setting.spool(config), time.time()
    numbers = measure(config, spool, now)
    status, over = verdict(numbers, *thresholds)
    if form == "json":
        click.echo(json.dumps({**numbers, "over": over}))
        return status
    lines = as_text(numbers) if form == "text" else as_prometheus(config, spool, numbers, now)
    for line in lines:
        click.echo(line)
    if over and form == "text":
        click.echo(f"{'critical' if status == 2 else 'warning'}: {', '.join(over)}")
    return status
