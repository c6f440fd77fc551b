"""The relay's side of a conversation with a reader (shared/reader.py), played step by step."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import sendmail_py
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.policy.config import Config
from sendmail_py.relay import transaction
from sendmail_py.relay.delivery import Via
from sendmail_py.relay.reply import Reply
from sendmail_py.relay.transaction import Transaction
from sendmail_py.shared import dialect, frames, rights, settings
from sendmail_py.shared.frames import Channel
from sendmail_py.shared.settings import Wish

NAME = "isp"
PATIENCE = 60.0  # seconds
DELIVERED = Reply(250, [b"2.0.0 Ok"])
VIA = Via(NAME, "mail.isp.example[192.0.2.1]:587")


# A reader with our own rights; when it ends it writes what it loaded, and how often it synced, into a file.
PROBE = """
import sys
bare = set(sys.modules)
import posix
package, report = sys.argv[1:]
syncs, sync, leave = [], posix.fsync, posix._exit
def count(fd):
    syncs.append(fd)
    sync(fd)
def note(status):
    with open(report, "w") as file:
        file.write("\\n".join([str(len(syncs)), *sorted(set(sys.modules) - bare)]))
    leave(status)
posix.fsync, posix._exit = count, note
sys.path.insert(0, package)
from sendmail_py.shared import reader
reader.main()
"""


class PlayedRelay:
    """Has a reader, a process with our own rights, at the other end.

    offers  the numbers that it offered
    log     its lines for the log
    report  the file of PROBE
    """

    def __init__(self, folder: Path) -> None:
        mine, theirs = socket.socketpair()
        self.channel = Channel(mine)
        self.offers: list[int] = []
        self.log: list[bytes] = []
        self.report = folder / "report"
        package = str(Path(sendmail_py.__file__).parent.parent)
        words = [sys.executable, "-IS", "-c", PROBE, package, str(self.report)]
        with theirs:
            self.process = subprocess.Popen(
                words,
                stdin=theirs.fileno(),
                stderr=subprocess.PIPE,
                preexec_fn=rights.confine,  # noqa: PLW1509 (as seats.py does)
            )

    def __enter__(self) -> PlayedRelay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.channel.close()
        said = self.process.communicate(timeout=PATIENCE)[1]
        assert (self.process.returncode, said) == (0, b"") or value is not None, said

    def reported(self) -> list[str]:
        """Of a reader that has ended: how often it synced, then the modules that it has loaded."""
        return self.report.read_text().split("\n")

    def configure(self, config: Config, directory: str) -> None:
        """The first frame."""
        self.channel.put([settings.pack(config, config.smarthosts, directory, Wish(False, []))])

    def want(self, many: int) -> int:
        """Have it offer so many; how many it did."""
        self.channel.put([b"want", NAME.encode(), b"%d" % many, b"0", b"0"])
        got = 0
        while got < many:
            frame = self.hear()
            if frame[0] == b"none":
                return got
            assert frame[0] == b"mail", frame
            os.close(self.channel.descriptor())
            self.offers.append(dialect.read_mail(frame).number)
            got += 1
        return got

    def delivered(self, *offers: int) -> None:
        """Say, in one go, that a session sent these and everybody got them."""
        envelope = Envelope(b"a@x.example", [Recipient(b"b@y.example")])
        done = Transaction(envelope, [0], 0, list)
        done.judge(transaction.END, DELIVERED)
        for one in offers:
            self.channel.outbox += frames.encode([b"sent", b"%d" % one])
            self.channel.outbox += frames.encode(dialect.verdict_frame(b"judged", one, VIA, [b"1"], done))
        self.channel.drain()

    def end(self) -> list[bytes]:
        """Let it finish; its last frame."""
        self.channel.put([b"end"])
        return self.hear()

    def hear(self) -> list[bytes]:
        """The next frame that is none for the log."""
        while (frame := self.channel.wait())[0] == b"log":
            self.log.append(frame[1])
        return frame
