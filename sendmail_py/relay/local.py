"""Delivery on this machine, for aliases that name a folder or a program (policy/local_targets.py).

Guarantees: everything is done with the rights of whoever flushes; a copy for each recipient, with Return-Path
and Delivered-To on top; a folder is made if need be, and written only if it belongs to whoever flushes and
nobody else can write it; a program is run only while aliases.agents names it, without a shell, and only if
nobody but root or whoever flushes can change it. A fault defers the recipient and nobody else; what
sysexits(3) calls final fails it.
"""

from __future__ import annotations

import os
import shlex
import stat

from sendmail_py.errors import printable
from sendmail_py.mail import address
from sendmail_py.policy.config import smarthost
from sendmail_py.relay import transaction
from sendmail_py.relay.faults import TransportFault
from sendmail_py.relay.maildir import Maildir
from sendmail_py.relay.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import Config, SmartHost
    from sendmail_py.relay.transaction import Transaction

NAME = "local"
MAILDIR = "maildir:"
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class RefusedError(Exception):
    """Why a target is not used; the text is for people."""


def settings(config: Config) -> list[SmartHost]:
    """What stands for this machine among the smart hosts: one, if aliases may be delivered here, or none."""
    allowed = config.aliases
    if config.queue.shared or not (allowed.maildir or allowed.agents):
        return []
    folders = [MAILDIR] if allowed.maildir else []
    return [smarthost(name=NAME, transport=address.HERE, command=[*folders, *allowed.agents])]


def is_local(setting: SmartHost) -> bool:
    """Whether a setting stands for this machine."""
    return setting.transport == address.HERE


class Local:
    """A needs.Sink for one recipient at a time."""

    __slots__ = ("name", "setting")

    most_recipients = 1

    def __init__(self, setting: SmartHost) -> None:
        self.setting = setting
        self.name = NAME

    def send(self, new: Transaction) -> None:
        """Deliver it, or say why not."""
        (recipient,) = new.recipients
        target = os.fsdecode(address.unquote_local(recipient.address))
        head = b"Delivered-To: %s\n" % (recipient.orcpt.partition(b";")[2] or recipient.address)
        try:
            if target.startswith(MAILDIR):
                self.to_folder(new, target, head)
            else:
                self.to_program(new, target[1:], head)
        except (RefusedError, TransportFault) as fault:
            new.judge(transaction.END, transaction.own_reply(451, "4.3.5", str(fault)))

    def to_folder(self, new: Transaction, target: str, head: bytes) -> None:
        """Into a maildir(5)."""
        if MAILDIR not in self.setting.command:
            raise RefusedError("aliases.maildir does not allow folders any more")
        path = target.removeprefix(MAILDIR)
        judge_folder(path)
        Maildir(smarthost(transport=target), head).send(new)

    def to_program(self, new: Transaction, command: str, head: bytes) -> None:
        """To the standard input of a program; its exit status says what became of the message."""
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise RefusedError(f"{printable(command)}: {error}") from None
        if not words or words[0] not in self.setting.command:
            raise RefusedError(f"{printable(command)}: aliases.agents does not name the program any more")
        judge_program(words[0])
        head = b"Return-Path: <%s>\n" % new.envelope.reverse_path + head
        program = Program(smarthost(command=words))
        new.judge(transaction.END, program.run([os.fsencode(word) for word in words], new, head))


def judge_folder(path: str) -> None:
    """Raise RefusedError for a folder of somebody else, or that others can write, or that cannot be made."""
    shown = printable(path)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        path = os.path.dirname(path.rstrip("/"))
        try:
            status = os.stat(path)
        except OSError as error:
            raise RefusedError(f"{shown}: {error.strerror}") from None
    except OSError as error:
        raise RefusedError(f"{shown}: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise RefusedError(f"{printable(path)}: no folder")
    if status.st_uid != os.geteuid():
        raise RefusedError(f"{printable(path)}: belongs to somebody else than who flushes the queue")
    if status.st_mode & OTHERS_WRITE:
        raise RefusedError(f"{printable(path)}: others can write it; run: chmod go-w {printable(path)}")


def judge_program(path: str) -> None:
    """Raise RefusedError for a program that others can change, or that is none."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise RefusedError(f"{printable(path)}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK):
        raise RefusedError(f"{printable(path)}: cannot be run")
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & OTHERS_WRITE:
        raise RefusedError(f"{printable(path)}: others can write it, so it is not run")
