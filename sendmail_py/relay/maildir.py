"""A folder of messages in place of a server (transport = "maildir:/path"): for development, nothing leaves.

Guarantee: a message that is said to be delivered is on the disk, whole, and no reader ever saw half of it.
"""

from __future__ import annotations

import itertools
import os
import time

from sendmail_py.relay import content, transaction
from sendmail_py.relay.faults import TransportFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.transaction import Transaction

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW

TEMPORARY = "tmp"
numbers = itertools.count(1)


class Maildir:
    """A needs.Sink: one file a transaction, the envelope in its first fields, lines end in LF.

    head: lines in the place of those that name the recipients, b"" for these.
    """

    __slots__ = ("head", "name", "path")

    most_recipients = 0

    def __init__(self, setting: SmartHost, head: bytes = b"") -> None:
        self.head = head
        self.path = setting.transport.removeprefix("maildir:")
        self.name = setting.transport

    def send(self, new: Transaction) -> None:
        """Write it to the disk; TransportFault when that is not possible."""
        try:
            for folder in (self.path, *[f"{self.path}/{one}" for one in (TEMPORARY, "new", "cur")]):
                os.makedirs(folder, 0o700, exist_ok=True)  # the mode is for the last part only
            self.write(new, f"{time.time():.6f}.{os.getpid()}_{next(numbers)}.sendmail-py")
        except OSError as error:
            raise TransportFault(f"{error.filename or self.path}: {error.strerror}") from None
        new.judge(transaction.END, transaction.own_reply(250, "2.0.0", "written to the folder"))

    def write(self, new: Transaction, name: str) -> None:
        """A file under its final name, and the folder synced."""
        new.stage = transaction.CONTENT
        temporary = f"{self.path}/{TEMPORARY}/{name}"
        with open(os.open(temporary, NEW_FILE, 0o600), "wb") as file:
            file.write(b"Return-Path: <%s>\n" % new.envelope.reverse_path)
            named = [b"Delivered-To: %s\n" % new.recipients[n].address for n in new.open()]
            file.writelines([self.head] if self.head else named)
            file.writelines(content.unix_lines(new.chunks()))
            file.flush()
            os.fsync(file.fileno())
        new.stage = transaction.ENDED
        os.rename(temporary, f"{self.path}/new/{name}")
        folder = os.open(f"{self.path}/new", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
