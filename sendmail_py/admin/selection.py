"""Which messages a command of `sendmail-py queue` is about: ids, or everything that fits the options."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import click

from sendmail_py.admin import message as messages
from sendmail_py.admin.message import Message
from sendmail_py.errors import UsageError
from sendmail_py.policy import schema
from sendmail_py.spool.queue import Spool


class Selection:
    """What was asked for.

    queue_ids                       these messages, wherever they are
    everything, failed              all in the queue, or all in failed/
    older                           arrived longer ago than so many seconds, 0 for any
    sender, recipient, reply        text that must occur in it, or a pattern with * or ?; "" for any
    smarthost                       name of the smart host that answered last, "" for any
    """

    def __init__(self, **given: Any) -> None:
        self.queue_ids: tuple[str, ...] = given.get("queue_ids") or ()
        self.everything: bool = given.get("everything") or False
        self.failed: bool = given.get("failed") or False
        self.older = given.get("older") or 0
        self.sender: str = given.get("sender") or ""
        self.recipient: str = given.get("recipient") or ""
        self.smarthost: str = given.get("smarthost") or ""
        self.reply: str = given.get("reply") or ""

    @property
    def filters(self) -> bool:
        """Whether any option narrows it down."""
        return bool(self.older or self.sender or self.recipient or self.smarthost or self.reply)

    def check(self, failed_only: bool = False) -> None:
        """UsageError when it says too little or too much."""
        chosen = self.everything or self.filters
        if chosen == bool(self.queue_ids):
            raise UsageError("name the messages, or give --all or options that select some")
        if self.failed and not chosen and not failed_only:
            raise UsageError("--failed goes with --all; a queue id is found wherever it is")

    def find(self, spool: Spool, now: float) -> Iterator[Message]:
        """The messages, oldest first. Raises DataError for an id that is not there."""
        if self.queue_ids:
            yield from messages.find(spool, self.queue_ids)
            return
        for message in messages.every(spool, self.failed):
            if self.fits(message, now):
                yield message

    def fits(self, message: Message, now: float) -> bool:
        """Whether the options let a message pass; one that cannot be read passes when there are none."""
        if message.listed is None:
            return not self.filters
        envelope = message.listed.envelope
        if self.older and now - envelope.created < self.older:
            return False
        if self.sender and not matches(self.sender, envelope.reverse_path):
            return False
        pairs = message.recipients()
        if self.recipient and not any(matches(self.recipient, one.address) for one, _ in pairs):
            return False
        if self.smarthost and not any(attempt.smarthost == self.smarthost for _, attempt in pairs):
            return False
        return not self.reply or any(matches(self.reply, attempt.reply.encode()) for _, attempt in pairs)


def matches(pattern: str, octets: bytes) -> bool:
    """Whether a text holds another one, or fits a pattern with * or ?; case does not count."""
    text, wanted = octets.decode("utf-8", "backslashreplace").lower(), pattern.lower()
    return fnmatchcase(text, wanted) if "*" in wanted or "?" in wanted else wanted in text


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A length of time as in the configuration: 30s, 5m, 4h, 5d; for an option's callback."""
    try:
        return None if value is None else schema.duration(value, "")
    except ValueError:
        raise click.BadParameter(f"{value}: not a time such as 30s, 5m, 4h or 5d", ctx, param) from None


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options and the argument that make a Selection."""
    for add in (
        click.argument("queue_ids", metavar="[ID]...", nargs=-1),
        click.option("--reply", metavar="TEXT", help="With a last reply that holds TEXT, or fits it (* ?)."),
        click.option("--smarthost", metavar="NAME", help="That this smart host answered last."),
        click.option("--recipient", metavar="TEXT", help="To a recipient that holds TEXT, or fits it."),
        click.option("--sender", metavar="TEXT", help="From a sender that holds TEXT, or fits it."),
        click.option("--older", metavar="TIME", callback=seconds, help="That arrived longer ago (4h, 5d)."),
        click.option("--all", "everything", is_flag=True, help="All messages in the queue."),
    ):
        command = add(command)
    return command
