"""sendmail-py flush --loop: the queue flushed for ever, where neither cron nor systemd runs.

Guarantees: mail that arrives is tried within LOOK seconds, what waits when it is due or at most `every`
seconds later; a configuration that is wrong, or a disk that is full, is one line, told once, and the loop
goes on; SIGTERM, SIGINT and SIGHUP finish the message in hand, send what else is due for `drain` seconds, and
end with 0, at the latest LAST_WORDS seconds after that, whatever a server does. It may be process 1 of a
container: it has handlers for its signals and buries the children of others.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time

import click

from sendmail_py import maillog
from sendmail_py.admin import setting
from sendmail_py.admin.setting import count, span
from sendmail_py.errors import EX_OK, ConfigError, NotPermittedError, SendmailError, printable
from sendmail_py.policy.config import Config
from sendmail_py.relay import flush as relay
from sendmail_py.relay.flush import Summary
from sendmail_py.shared import start
from sendmail_py.spool import due, shared, upkeep
from sendmail_py.spool.queue import Spool

LOOK = 0.25  # seconds between two looks at the time of the folder: one stat(2)
LAST_WORDS = 2.0  # seconds to end after the time to drain; engines kill 10 seconds after SIGTERM
UNSETTLED = 50_000_000  # nanoseconds; a younger change may be followed by one with the same time
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SYSLOG = "/dev/log"


class Loop:
    """One such process.

    file     argument of -C, None if there is none
    end      until when what is due is still sent (seconds, monotonic), 0.0 while nobody asked us to stop
    watched  the path whose time changes when mail arrives
    spool    our spool, "" while it is not known, or is the shared one
    told     the fault that was told last
    """

    def __init__(self, file: str | None, every: float, drain: float) -> None:
        self.file = file
        self.every = every
        self.drain = drain
        self.end = 0.0
        self.watched = ""
        self.spool = ""
        self.told = ""
        self.ears, mouth = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
        for number in STOPPING:
            signal.signal(number, self.stop)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # so that the wait ends

    def run(self) -> int:
        """Until somebody asks for the end."""
        seen, later = 0, 0.0
        while not self.end:
            now, mark = time.monotonic(), self.mark()
            if mark != seen or now >= later:
                settled = not 0 <= time.time_ns() - mark < UNSETTLED
                seen = mark if settled else 0
                later = now + self.every
                self.round()
            self.wait()
        while time.monotonic() < self.end and self.round():
            pass
        maillog.notice("flush --loop: stopped" + (f", {count(self.left())} left" if self.spool else ""))
        return EX_OK

    def left(self) -> int:
        """How many messages wait."""
        try:
            return len(Spool(self.spool).listing())
        except OSError:
            return 0

    # --- signals and children ---

    def stop(self, number: int, frame: object) -> None:
        """Handler: begin the end; who asks twice does not want to wait."""
        if self.end:
            self.leave()
        self.end = time.monotonic() + self.drain
        last = threading.Timer(self.drain + LAST_WORDS, self.leave)
        last.daemon = True
        last.start()

    def leave(self) -> None:
        """End now: whatever is in hand stays in the queue, and its lock goes with us."""
        maillog.notice(
            "flush --loop: stopped in the middle of a session; what was not sent stays in the queue"
        )
        os._exit(EX_OK)

    def must_stop(self) -> bool:
        """Whether a run is to begin nothing more."""
        return bool(self.end) and time.monotonic() >= self.end

    def wait(self) -> None:
        """Some time, or until a signal comes."""
        if not self.end and select.select([self.ears], [], [], min(LOOK, self.every))[0]:
            os.read(self.ears, 4096)
        if os.getpid() == 1:
            bury()

    # --- runs ---

    def mark(self) -> int:
        """What changes when mail arrives, 0 while nothing is there."""
        try:
            return os.stat(self.watched).st_mtime_ns if self.watched else 0
        except OSError:
            return 0

    def round(self) -> int:
        """Read the configuration and send what is due; how many recipients were settled."""
        fault = ""
        settled = 0
        try:
            config = setting.load(self.file)
            log_somewhere(config)
            summary = self.flush_shared(config) if config.queue.shared else self.flush(config)
            settled = summary.delivered + summary.failed
        except SendmailError as error:
            fault = str(error)
        except OSError as error:
            fault = f"{error.strerror or 'input or output error'}: {error.filename or ''}".rstrip(": ")
        except Exception as error:  # never a traceback, and never the end
            fault = f"internal error, please report it: {type(error).__name__}: {error}"
        self.tell(fault)
        return settled

    def tell(self, fault: str) -> None:
        """One line for a fault, when it is not the one that was told last; nobody may be there to read it."""
        text = "" if fault == self.told else fault or "flush --loop: all is well again"
        self.told = fault
        if text:
            with contextlib.suppress(OSError):
                click.echo(f"sendmail-py: {printable(' '.join(text.split()), 2000)}", err=True)

    def flush(self, config: Config) -> Summary:
        """Our own queue."""
        spool = setting.spool(config)
        if spool.directory != self.spool:
            self.spool = spool.directory
            self.watched = f"{spool.directory}/queue"
            maillog.notice(f"flush --loop: {spool.directory}, every {span(self.every)}")
        if not config.smarthosts:
            raise ConfigError("no smart host is configured; the queue waits, see sendmail-py.toml(5)")
        try:
            return relay.run(config, spool, stop=self.must_stop) if is_due(config, spool) else Summary()
        finally:
            for fd in (spool.queue_fd, spool.failed_fd):
                if fd >= 0:
                    os.close(fd)

    def flush_shared(self, config: Config) -> Summary:
        """Everybody's queue, as root."""
        if os.geteuid() != 0:
            raise NotPermittedError(
                "only root can flush the shared spool; set queue.directory for one of your own"
            )
        self.watched = f"{config.queue.shared}/{shared.WAKE}"
        if not os.path.isdir(config.queue.shared):
            return Summary()
        return start.run(config, force=False, stop=self.must_stop, trace=None)


def is_due(config: Config, spool: Spool) -> bool:
    """Whether a run has anything to do; a long queue costs one reading of its folder, or none."""
    now, queue = int(time.time()), config.queue
    try:
        quiet = due.is_quiet(spool, now, queue.retry_max)
    except FileNotFoundError:
        return False
    return not quiet or upkeep.is_due(queue.directory, config.files, queue.report, now)


def log_somewhere(config: Config) -> None:
    """Without a syslog the log goes to standard error, where an engine collects it."""
    if config.log.to == "syslog" and not os.path.exists(SYSLOG):
        maillog.configure("stderr", config.log.form)


def bury() -> None:
    """Process 1 inherits the children of others; those that ended are not to stay."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
