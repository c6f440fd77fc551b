"""sendmail-py queue hold, release, retry, bounce, requeue, export, import: what people do with messages.

Guarantees: a message that somebody else has in hand is left alone and told (status 75); what cannot be taken
back asks first, with the number of messages; --dry-run changes nothing.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from sendmail_py import maillog
from sendmail_py.admin import selection, setting
from sendmail_py.admin.message import Message
from sendmail_py.admin.selection import Selection
from sendmail_py.admin.setting import count
from sendmail_py.errors import (
    EX_CANTCREAT,
    EX_DATAERR,
    EX_OK,
    EX_TEMPFAIL,
    DataError,
    SendmailError,
    UsageError,
    printable,
)
from sendmail_py.policy.config import Config
from sendmail_py.relay import renewal
from sendmail_py.relay.reporter import Reporter
from sendmail_py.spool import draft, refused, shared, steering
from sendmail_py.spool.claim import Claim, open_message
from sendmail_py.spool.queue import FOREVER, Spool, Waiting
from sendmail_py.spool.reading import DamagedError, NewerFormatError
from sendmail_py.spool.steering import BusyError

Step = Callable[[Config, Spool, Message], None]

NO_FILE = (errno.ELOOP, errno.EINVAL, errno.EISDIR)  # what has a message's name and is none

dry_run_option = click.option("--dry-run", is_flag=True, help="Only say which messages it would be.")
failed_option = click.option("--failed", is_flag=True, help="The failed messages instead of the queue.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def preview(found: list[Message], verb: str) -> int:
    """What a command would do; nothing is done."""
    for message in found:
        sender = message.listed.envelope.reverse_path if message.listed else b""
        click.echo(f"{message.queue_id}  <{printable(sender)}>")
    click.echo(f"would {verb} {count(len(found))}")
    return EX_OK


def confirmed(number: int, verb: str, question: str) -> bool:
    """Ask a person; `question` has a place for the number of messages. UsageError when there is none."""
    if not setting.asks():
        raise UsageError(f"{count(number)} to {verb} and nobody to ask; give --yes if you mean it")
    return click.confirm(question.format(count(number)))


def carry_out(config: Config, verb: str, past: str, given: dict[str, Any], step: Step) -> int:
    """Do one thing to all messages chosen, and say to how many; EX_TEMPFAIL when some were in use."""
    chosen = Selection(**given)
    chosen.check(failed_only=verb == "requeue")
    spool = setting.spool(config)
    found = [one for one in chosen.find(spool, time.time()) if one.listed is not None]
    if given.get("dry_run"):
        return preview(found, verb)
    asks = found and verb == "bounce" and not given.get("yes")
    if asks and not confirmed(len(found), verb, "Return {} to the senders as undeliverable?"):
        click.echo("nothing was changed")
        return EX_OK
    done, status = 0, EX_OK
    for message in found:
        try:
            step(config, spool, message)
        except BusyError as fault:
            told(fault)
            status = status or EX_TEMPFAIL
            continue
        except (DamagedError, NewerFormatError) as fault:  # it hinders no other
            told(f"{message.queue_id}: {fault}")
            status = EX_DATAERR
            continue
        maillog.record(message.queue_id, [("status", past)], "by sendmail-py")
        done += 1
    setting.announce(config)
    click.echo(f"{past} {count(done)}")
    return status


def told(fault: object) -> None:
    """One line about a message that a command passed over."""
    sys.stderr.write(f"sendmail-py: {fault}\n")


def in_queue(message: Message) -> Waiting:
    """The line of a message that must be in the queue; DataError when it has failed."""
    if message.failed:
        raise DataError(f"{message.queue_id} has failed; sendmail-py queue requeue puts it back")
    return message.waiting


@click.command()
@setting.file_option
@click.option("--for", "span", callback=selection.seconds, metavar="TIME", help="Only for so long (30m, 4h).")
@dry_run_option
@selection.options
def hold(file: str | None, span: float | None, **given: Any) -> int:
    """Keep messages in the queue: no flush sends them until they are released."""
    until = FOREVER if span is None else int(time.time() + span)
    config = setting.load(file)

    def step(config: Config, spool: Spool, message: Message) -> None:
        steering.hold(spool, in_queue(message), until)

    return carry_out(config, "hold", "held", given, step)


@click.command()
@setting.file_option
@dry_run_option
@selection.options
def release(file: str | None, **given: Any) -> int:
    """Let held messages go, and those whose answer is unknown; the next flush tries them."""
    return carry_out(
        setting.load(file),
        "release",
        "released",
        given,
        lambda config, spool, message: steering.release(spool, in_queue(message)),
    )


@click.command()
@setting.file_option
@dry_run_option
@selection.options
def retry(file: str | None, **given: Any) -> int:
    """Make messages due now, whatever was tried; refusals of their senders are forgotten."""

    def step(config: Config, spool: Spool, message: Message) -> None:
        steering.retry(spool, in_queue(message))
        allow_sender(spool, message)

    return carry_out(setting.load(file), "retry", "made due", given, step)


@click.command()
@setting.file_option
@yes_option
@dry_run_option
@selection.options
def bounce(file: str | None, **given: Any) -> int:
    """Give up messages now: the senders get a failure report, the messages go to the failed ones.

    Asks first.
    """

    def step(config: Config, spool: Spool, message: Message) -> None:
        claim = steering.take(spool, in_queue(message))
        steering.give_up(claim, int(time.time()), "returned by the owner of the queue")
        Reporter(config, spool, time.time).finish(claim)
        spool.settle()

    return carry_out(setting.load(file), "bounce", "bounced", given, step)


@click.command()
@setting.file_option
@failed_option
@dry_run_option
@selection.options
def requeue(file: str | None, **given: Any) -> int:
    """Try failed messages again, for the recipients that failed.

    The sender rules are applied again, also to a message that is still in the queue.
    """

    def step(config: Config, spool: Spool, message: Message) -> None:
        queue_id = message.queue_id
        if message.failed:
            queue_id = steering.requeue(spool, message.waiting)
        waiting = next((one for one in spool.listing() if one.queue_id == queue_id), None)
        if waiting is None:
            return
        claim = steering.take(spool, waiting)
        try:
            renewal.apply_again(claim, config)
            steering.make_due(claim)
        finally:
            claim.release()
        allow_sender(spool, message)

    return carry_out(setting.load(file), "requeue", "requeued", given, step)


def allow_sender(spool: Spool, message: Message) -> None:
    """The sender of a message may be tried again; that its owner was told is not forgotten."""
    known = refused.read(spool.directory)
    sender = printable(message.listed.envelope.reverse_path, 1100) if message.listed else ""
    mine = [one for key, one in known.items() if key[1] == sender]
    for one in mine:
        one.until = one.count = 0
    if mine:
        refused.write(spool.directory, known)


@click.command()
@setting.file_option
@failed_option
@click.option("--to", "folder", required=True, type=click.Path(), help="A folder; made if needed.")
@selection.options
def export(file: str | None, folder: str, **given: Any) -> int:
    """Copy messages as queue files, which import reads, into a folder. They stay in the queue."""
    chosen = Selection(**given)
    chosen.check()
    spool = setting.spool(setting.load(file))
    os.makedirs(folder, mode=0o700, exist_ok=True)
    copied, status = 0, EX_OK
    for message in chosen.find(spool, time.time()):
        try:
            copy(message, f"{folder}/{message.queue_id}")
        except FileExistsError:
            told(f"{printable(folder)}/{message.queue_id} is there already and stays as it is")
            status = EX_CANTCREAT
            continue
        except FileNotFoundError:  # it was sent meanwhile
            continue
        except OSError as error:
            if error.errno not in NO_FILE:
                raise
            told(f"{message.queue_id}: {error.strerror}")
            status = EX_DATAERR
            continue
        copied += 1
    click.echo(f"exported {count(copied)} to {printable(folder)}")
    return status


def copy(message: Message, path: str) -> None:
    """The queue file of a message as a new file, durable."""
    with open(open_message(message.folder(), message.queue_id, os.O_RDONLY), "rb") as old:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with open(target, "wb") as new:
                shutil.copyfileobj(old, new)
                new.flush()
                os.fsync(new.fileno())
        except BaseException:
            os.unlink(path)  # no half of a message is taken for one
            raise


@click.command("import")
@setting.file_option
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path())
def import_(file: str | None, paths: tuple[str, ...]) -> int:
    """Put queue files, as export writes them, into the queue, each as a new message.

    A recipient that was delivered stays so; one that failed is tried again. Files that cannot be imported are
    told (status 65) and hinder no other.
    """
    config = setting.load(file)
    if config.queue.shared:
        config.queue.directory = shared.make(config.queue.shared, os.geteuid())
    spool = setting.spool(config)
    done = 0
    for path in paths:
        try:
            queue_id = import_one(spool, path)
        except (OSError, SendmailError) as fault:
            reason = fault.strerror if isinstance(fault, OSError) else str(fault)
            sys.stderr.write(f"sendmail-py: {printable(path, 4096)}: {reason}\n")
            continue
        click.echo(queue_id)
        done += 1
    setting.announce(config)
    click.echo(f"imported {count(done)}")
    return EX_OK if done == len(paths) else EX_DATAERR


def import_one(spool: Spool, path: str) -> str:
    """Queue a file as a new message; its id. OSError, SendmailError."""
    name = os.path.basename(path)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        claim = Claim(folder, name, "", open_message(folder, name, os.O_RDONLY))
        try:
            claim.check()
            queue_id = insert(spool, claim)
        finally:
            claim.release()
    finally:
        os.close(folder)
    maillog.record(queue_id, [("status", "queued")], f"imported from {printable(path)}")
    return queue_id


def insert(spool: Spool, claim: Claim) -> str:
    """A message under a new id, with the envelope and content of an old file; returns the id."""
    envelope = claim.envelope
    for one in envelope.recipients:
        one.state = b"D" if one.state in b"DL" else b"T"
    if not envelope.having(b"T"):
        raise DataError(f"{claim.queue_id}: every recipient has the message already; nothing was imported")
    new = draft.begin(spool.directory, time.time_ns())
    try:
        new.envelope(envelope)
        for piece in claim.chunks():
            new.write(piece)
        new.commit()
    except BaseException:
        new.discard()
        raise
    return new.queue_id


COMMANDS = (hold, release, retry, bounce, requeue, export, import_)
