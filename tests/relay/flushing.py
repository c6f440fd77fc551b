"""A spool, a configuration and a flush for tests: messages in, outcomes out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sendmail_py import maillog
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.policy import config as config_module
from sendmail_py.policy.config import Config
from sendmail_py.relay import flush
from sendmail_py.relay.flush import Summary
from sendmail_py.spool import draft
from sendmail_py.spool.breaker import Breaker
from sendmail_py.spool.queue import Spool
from sendmail_py.spool.tries import Try

from support.certificates import Authority
from support.launch import smarthost_table
from support.smarthost import SmartHost

AUTHORITY = Authority()
CONTENT = b"Subject: x\r\n\r\n.dot\r\n"


class World:
    """A folder with a spool and a configuration; `log` is what was logged."""

    def __init__(self, folder: Path, *tables: dict[str, object]) -> None:
        self.folder = folder
        self.directory = str(folder / "spool")
        self.ca_file = AUTHORITY.write(folder / "ca.pem")
        file = folder / "config.toml"
        text = f'[queue]\ndirectory = "{self.directory}"\n' + "".join(
            smarthost_table(**one) for one in tables
        )
        file.write_text(text)
        self.config: Config = config_module.load({"HOME": str(folder)}, str(file))
        self.config.masquerade.dns = False  # test_sender_domains.py asks
        self.config.queue.report, self.config.queue.warn_after = "none", 0  # test_reporter.py has them
        for setting in self.config.smarthosts:
            setting.ca_file = setting.ca_file or self.ca_file
        self.log_file = folder / "log"
        maillog.configure(str(self.log_file), "text")
        self.now = time.time()
        self.transcript: list[str] = []

    @classmethod
    def beside(cls, folder: Path, host: SmartHost, **keys: object) -> World:
        """A world with one smart host, patient for a quarter of a second."""
        table: dict[str, object] = {"name": "isp", "port": host.port, "tls": host.tls}
        if host.users:
            table |= {"user": "greg", "password": "secret"}
        world = cls(folder, table | keys)
        for setting in world.config.smarthosts:
            setting.timeout = 0.25
            setting.connect_timeout = 0.5
        return world

    def put(
        self,
        *recipients: bytes,
        sender: bytes = b"a@x.example",
        content: bytes = CONTENT,
        change: Callable[[Envelope], None] = lambda envelope: None,
    ) -> str:
        """Queue a message; its queue id."""
        new = draft.begin(self.directory, time.time_ns())
        envelope = Envelope(sender, [Recipient(one) for one in recipients], self.now)
        change(envelope)
        new.envelope(envelope)
        new.write(content)
        new.commit()
        return new.queue_id

    def flush(self, **options: object) -> Summary:
        """One queue run at self.now."""
        options.setdefault("clock", lambda: self.now)
        options.setdefault("random", lambda: 0.0)
        options.setdefault("trace", self.transcript.append)
        with self.spool() as spool:
            return flush.run(self.config, spool, **options)  # type: ignore[arg-type]

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        """The spool; its descriptors are closed at the end, as those of a process are."""
        spool = Spool(self.directory)
        yield spool
        for fd in (spool.queue_fd, spool.failed_fd):
            if fd >= 0:
                os.close(fd)

    def queued(self) -> dict[str, dict[bytes, Try | None]]:
        """What is in the queue: queue id -> recipient to do -> its try, None if it was never tried."""
        return self.states("queue", "T")

    def failed(self) -> dict[str, dict[bytes, Try | None]]:
        """The same for failed/."""
        return self.states("failed", "F")

    def states(self, where: str, state: str) -> dict[str, dict[bytes, Try | None]]:
        """Recipients in that state, by message."""
        found: dict[str, dict[bytes, Try | None]] = {}
        with self.spool() as spool:
            for waiting in spool.failed() if where == "failed" else spool.listing():
                listed = spool.read(waiting, failed=where == "failed")
                assert listed is not None
                found[waiting.queue_id] = {
                    one.address: listed.tries.get(n)
                    for n, one in enumerate(listed.envelope.recipients)
                    if one.state == state.encode()
                }
        return found

    def paused(self, name: str = "isp") -> bool:
        """Whether the smart host rests."""
        pause = Breaker(self.directory).get(name)
        return pause is not None and pause.until > self.now

    @property
    def log(self) -> str:
        """The log so far."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def files(self) -> list[str]:
        """Names in queue/."""
        return sorted(os.listdir(self.directory + "/queue"))


def setting(**values: object) -> config_module.SmartHost:
    """A smart host setting with these values over the defaults."""
    environ = {"HOME": "/nonexistent", "SENDMAIL_PY_SMARTHOST_HOST": "isp.example"}
    (made,) = config_module.load(environ, system_file="/nonexistent").smarthosts
    for key, value in {"name": "isp", **values}.items():
        setattr(made, key, value)
    return made


def smarthost(**keys: object) -> SmartHost:
    """A scripted smart host with our authority's certificate."""
    return SmartHost(authority=AUTHORITY, **keys)  # type: ignore[arg-type]


def received(host: SmartHost) -> Sequence[bytes]:
    """Recipients of all messages that the host accepted, sorted."""
    return sorted(host.recipients())
