"""sendmail-py queue: look at what waits and what failed; delete what is not wanted any more.

The other commands that change something are in steer.py, those that measure and flush in stats.py, run.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

import click

from sendmail_py import maillog
from sendmail_py.admin import message as messages
from sendmail_py.admin import run, selection, setting, stats, steer, table
from sendmail_py.admin.message import Message
from sendmail_py.admin.selection import Selection
from sendmail_py.admin.setting import count
from sendmail_py.errors import EX_DATAERR, EX_OK, EX_TEMPFAIL, UsageError, printable
from sendmail_py.policy import homes
from sendmail_py.policy.config import Config
from sendmail_py.spool.breaker import Breaker
from sendmail_py.spool.queue import Spool


@click.group(no_args_is_help=False, short_help="List, show and steer messages.")
def queue() -> None:
    """List, show and steer the messages in your queue."""


@queue.command("list")
@setting.file_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@click.option("--failed", is_flag=True, help="The messages that failed for good, with the reason.")
@selection.options
def list_messages(file: str | None, as_json: bool, **given: Any) -> None:
    """Print a table of the queue, oldest message first."""
    config = setting.load(file)
    spool = setting.spool(config)
    chosen = Selection(**given)
    now = time.time()
    if as_json:
        for message in chosen.find(spool, now):
            click.echo(table.as_json(message))
        return
    empty = True
    for line in table.lines(chosen.find(spool, now), now):
        click.echo(line)
        empty = False
    if empty and (chosen.filters or chosen.queue_ids):
        click.echo("no message fits")
    elif empty:
        click.echo("no failed messages" if chosen.failed else "the queue is empty")
    if not chosen.failed:
        footnotes(config, spool, now)


def footnotes(config: Config, spool: Spool, now: float) -> None:
    """Why nothing moves, and what is not in the table."""
    everybody, own = Breaker(homes.memory(config)), Breaker(spool.directory)
    for smarthost in config.smarthosts:
        pause = everybody.get(smarthost.name)
        what = "is left alone"
        if pause is None or pause.until <= now:  # root's flush may leave alone the mail of one user only
            pause, what = own.get(smarthost.name), "gets none of this mail"
        if pause is not None and pause.until > now:
            until = setting.moment(pause.until, now)
            click.echo(f"smart host {smarthost.name} {what} until {until}: {printable(pause.reason)}")
    try:
        failed, reports = spool.count_failed()
    except OSError as error:  # the queue itself was listed
        click.echo(f"sendmail-py: {printable(error.filename or '')}: {error.strerror}", err=True)
        return
    if failed:
        told = f", {reports} of them undeliverable reports" if reports else ""
        click.echo(f"{count(failed)} failed{told}; see sendmail-py queue list --failed")


@queue.command()
@setting.file_option
@click.option("--body", is_flag=True, help="Print the body, too, everything printable.")
@click.option("--raw", is_flag=True, help="Print the message only, octet for octet as it will be sent.")
@click.argument("queue_id", metavar="ID")
def show(file: str | None, body: bool, raw: bool, queue_id: str) -> None:
    """Print the envelope, the tries and the header of a message."""
    if body and raw:
        raise UsageError("--body and --raw exclude each other")
    message = messages.find(setting.spool(setting.load(file)), [queue_id])[0]
    if raw:
        sys.stdout.buffer.writelines(message.raw())
        return
    for line in messages.describe(message, time.time()):
        click.echo(line)
    if message.listed is not None:
        click.echo()
        pieces = message.raw()
        for line in messages.text(pieces) if body else messages.header(pieces):
            click.echo(line)


@queue.command()
@setting.file_option
@click.option("--failed", is_flag=True, help="Of the failed messages instead of those in the queue.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say which messages it would be.")
@selection.options
def delete(file: str | None, yes: bool, dry_run: bool, **given: Any) -> int:
    """Delete messages for good; nobody is told.

    Asks first. A message that is being sent is left alone (status 75).
    """
    chosen = Selection(**given)
    chosen.check()
    spool = setting.spool(setting.load(file))
    found = list(chosen.find(spool, time.time()))
    if not found:
        click.echo("there is nothing to delete")
        return EX_OK
    if dry_run:
        return steer.preview(found, "delete")
    if not (yes or steer.confirmed(len(found), "delete", "Delete {} for good?")):
        click.echo("nothing was deleted")
        return EX_OK
    return delete_all(spool, found)


def delete_all(spool: Spool, chosen: Iterable[Message]) -> int:
    """Delete, log and count; EX_TEMPFAIL when some were being sent."""
    deleted, status = 0, EX_OK
    for message in chosen:
        try:
            is_deleted = spool.delete(message.waiting, message.failed)
        except OSError as error:
            if error.errno not in steer.NO_FILE:
                raise
            steer.told(f"{message.queue_id}: {error.strerror}")
            status = EX_DATAERR
            continue
        if is_deleted:
            deleted += 1
            log(message)
        elif is_there(spool, message):
            sys.stderr.write(f"sendmail-py: {message.queue_id} is being sent; try again later\n")
            status = status or EX_TEMPFAIL
    spool.settle()
    click.echo(f"deleted {count(deleted)}")
    return status


def is_there(spool: Spool, message: Message) -> bool:
    """Whether a message that could not be claimed is still there, so that somebody else has it."""
    return not Message(spool, message.waiting, message.failed).gone


def log(message: Message) -> None:
    """One line for a message that left the queue by its owner's command."""
    sender = message.listed.envelope.reverse_path if message.listed else b""
    fields = [("from", f"<{printable(sender)}>"), ("status", "deleted")]
    maillog.record(message.queue_id, fields, "by sendmail-py")


for command in (*steer.COMMANDS, stats.stats, run.flush):
    queue.add_command(command)
