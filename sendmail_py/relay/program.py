"""A command in place of a server (command = [...]): its exit status says what became of a message.

Guarantees: no shell; nothing in an address can be taken for an option, because recipients stand behind "--"
and an envelope sender that begins with a hyphen is refused where it would be an argument of its own; a
command that does not end is ended; what it prints is shown, cut, only when it fails.
"""

from __future__ import annotations

import os
import subprocess
import tempfile

from sendmail_py import errors
from sendmail_py.errors import printable
from sendmail_py.relay import content, credentials, transaction
from sendmail_py.relay.faults import TransportFault
from sendmail_py.relay.outbox import SLOWEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.reply import Reply
    from sendmail_py.relay.transaction import Transaction

SENDER = b"%s"
SHOWN = 300  # octets of what it printed
# sysexits(3): what is said about a message; any other status is about the command.
REPLIES = {
    errors.EX_OK: (250, "2.0.0"), errors.EX_DATAERR: (554, "5.6.0"), 67: (550, "5.1.1"), 68: (550, "5.1.2"),
    errors.EX_UNAVAILABLE: (451, "4.3.0"), errors.EX_TEMPFAIL: (451, "4.3.0"),
}  # fmt: skip


class Program:
    """A needs.Sink: runs the command once for each transaction."""

    __slots__ = ("command", "name", "timeout")

    most_recipients = 0

    def __init__(self, setting: SmartHost) -> None:
        self.command = [os.fsencode(word) for word in setting.command]
        self.name = setting.command[0]
        self.timeout = setting.timeout * 2

    def send(self, new: Transaction) -> None:
        """Run it; TransportFault when the fault is its own."""
        sender = new.envelope.reverse_path
        if sender.startswith(b"-") and SENDER in self.command:
            reply = transaction.own_reply(
                553, "5.1.7", "a sender that begins with a hyphen would be an option"
            )
        else:
            words = [word.replace(SENDER, sender) for word in self.command]
            reply = self.run([*words, b"--", *[new.recipients[n].address for n in new.open()]], new)
        new.judge(transaction.END, reply)

    def run(self, words: list[bytes], new: Transaction, head: bytes = b"") -> Reply:
        """The command's verdict on the message with these lines before it."""
        new.stage = transaction.CONTENT
        with tempfile.TemporaryFile() as message, tempfile.TemporaryFile() as printed:
            message.write(head)
            for piece in content.unix_lines(new.chunks()):
                message.write(piece)
            message.seek(0)
            new.stage = transaction.ENDED
            try:
                patience = self.timeout + new.size / SLOWEST
                done = subprocess.run(  # noqa: S603 (the owner of the configuration names the command)
                    words,
                    check=False,
                    stdin=message,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    timeout=patience,
                    env=credentials.environment(os.environ),
                    umask=0o077,
                )
            except OSError as error:
                new.stage = transaction.OFFERED
                raise TransportFault(f"{self.name}: {error.strerror}") from None
            except subprocess.TimeoutExpired:
                raise TransportFault(f"{self.name}: did not end within {patience:.0f} seconds") from None
            printed.seek(0)
            said = printed.read(SHOWN).strip()
        text = printable(said.replace(b"\n", b" ")) if said else "no message"
        if done.returncode not in REPLIES:
            new.stage = transaction.OFFERED  # it says itself that it has not taken the message
            raise TransportFault(f"{self.name}: exit status {done.returncode}: {text}")
        code, status = REPLIES[done.returncode]
        return transaction.own_reply(code, status, "taken" if code == 250 else text)
