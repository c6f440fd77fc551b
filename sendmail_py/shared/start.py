"""Root's flush: look who has mail, start a reader for each, fork the relay, wait for all of them.

Guarantees: nothing below an owner's folder is touched with root's rights; the secret is in this process and
in the relay, never in a reader (seats.py). One such flush at a time; it goes on in slices until nothing that
is due is left, and who submits meanwhile gets a reader at once if one is free.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import time

from sendmail_py import maillog
from sendmail_py.policy import homes
from sendmail_py.relay import flush, keyring
from sendmail_py.relay.backlog import Rules
from sendmail_py.relay.faults import StoppedFault
from sendmail_py.relay.hurry import Hurry
from sendmail_py.shared import accounts, frames, rights, settings
from sendmail_py.shared.frames import Channel, FrameError
from sendmail_py.shared.relay import Relay
from sendmail_py.shared.seats import Seats
from sendmail_py.shared.settings import Wish
from sendmail_py.shared.turns import Turns
from sendmail_py.spool import durable, shared, tenants
from sendmail_py.spool.breaker import Breaker
from sendmail_py.spool.servers import MOST, Servers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import Config, SmartHost
    from sendmail_py.relay.flush import Summary
    from sendmail_py.shared.settings import Filter
    from sendmail_py.spool.tenants import Owner

BUSY = "another flush of the shared spool is running"
LOOK = 2.0  # seconds between looks at who has mail, if nobody wakes us
MOMENT = 0.1  # seconds between looks at whether somebody does, and at readers that end
LONGEST_MARK = 64
LONGEST_NUMBER = 12
LONGEST_LINE = 4096


def run(
    config: Config,
    *,
    force: bool = False,
    only: list[Filter] | None = None,
    stop: Callable[[], bool] = lambda: False,
    trace: Callable[[str], None] | None = None,
) -> Summary:
    """Flush the shared spool of `config`; see flush.run for the rest. Must be called as root.

    Raises ConfigError for a fault in a big [masquerade.users], all of which readers are told.
    """
    read_users(config)
    summary = flush.Summary()
    base = os.open(config.queue.shared, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not durable.lock_if_possible(base):
            summary.fault = BUSY
            return summary
        shared.empty_wake(config.queue.shared)
        return RootRun(config, Wish(force, only or []), stop, trace).all(summary)
    finally:
        os.close(base)


def read_users(config: Config) -> None:
    """Have all of a big [masquerade.users] at hand. Raises ConfigError."""
    if type(config.masquerade.users) is not dict:
        from sendmail_py.policy import users_text  # noqa: PLC0415 (a named door: few have so many users)

        users_text.read_all(config)


class RootRun:
    """One flush by root."""

    def __init__(
        self, config: Config, wish: Wish, stop: Callable[[], bool], trace: Callable[[str], None] | None
    ) -> None:
        self.config = config
        self.wish = wish
        self.stop = stop
        self.trace = trace
        self.account = rights.relay_account()
        self.state = prepare_state(self.account)
        self.rules = Rules(config.queue, time.time, random.random, None, wish.force)
        self.keys = keyring.Keyring()
        self.due = f"{homes.STATE}/due"
        base, longest = config.queue.shared, config.queue.retry_max
        self.turns = Turns(base, tenants.read_due(self.due), wish.force, longest, time.time, time.monotonic)
        self.turns.accounts = accounts.read()
        if not self.account.own:
            maillog.warning(
                f"there is no account {rights.RELAY}, the relay runs as root: sendmail-py install"
            )

    def all(self, summary: Summary) -> Summary:
        """Slice after slice, until nobody has mail that is due."""
        with contextlib.suppress(StoppedFault):  # then the run is over before it has begun
            self.keys.fill(flush.find_usable(self.config, self.state, self.rules), Hurry(self.stop))
        maillog.open_now()
        while not self.stop():
            usable = flush.find_usable(self.config, self.state, self.rules)
            if not usable:
                summary.fault = summary.fault or flush.rest(self.config, self.state).fault
                break
            owners = self.turns.whose()
            if owners:
                Slice(self, usable, summary).play(owners)
                tenants.write_due(self.due, self.turns.known)
                self.publish()
            elif self.turns.rest():
                time.sleep(MOMENT)
            else:
                break
        return summary

    def publish(self) -> None:
        """What the relay knows of smart hosts, where everybody's mailq and sendmail can read it."""
        self.publish_servers()
        known, told = Breaker(self.state), Breaker(homes.STATE)
        for setting in self.config.smarthosts:
            pause = known.get(setting.name)
            if pause is not None:
                told.set(setting.name, pause)
                os.chmod(f"{homes.STATE}/pauses", 0o644)
            elif told.get(setting.name) is not None:
                told.clear(setting.name)

    def publish_servers(self) -> None:
        """How big a message they take."""
        known, told = Servers(self.state), Servers(homes.STATE)
        was = told.text()
        names = {one.name for one in self.config.smarthosts}
        told.known = {name: found[:MOST] for name, found in known.known.items() if name in names}
        if told.text() != was:
            told.write()
            os.chmod(f"{homes.STATE}/servers", 0o644)


class Slice:
    """A relay, and readers that come and go beside it."""

    def __init__(self, run: RootRun, usable: list[SmartHost], summary: Summary) -> None:
        self.run = run
        self.usable = usable
        self.summary = summary
        self.seats = Seats()
        self.control: Channel
        self.ended_well = False
        self.looked = time.monotonic()
        self.wake = self.wake_time()

    def play(self, owners: list[Owner]) -> None:
        """From the first readers to the end of the relay and of all of them."""
        channels: list[tuple[int, Channel]] = []
        try:
            for owner in owners[: self.seats.free]:
                channel = self.start(owner)
                if channel is not None:
                    channels.append((owner.uid, channel))
            if channels:
                self.relay(channels)
        finally:
            for _, channel in channels:
                channel.close()
            for owner in self.seats.clear():
                if self.ended_well:
                    self.run.turns.cut_short(owner)  # he came when the relay was about to end
                else:
                    self.run.turns.failed(owner)

    def start(self, owner: Owner) -> Channel | None:
        """A reader for an owner."""
        run = self.run
        directory = f"{run.config.queue.shared}/{owner.name}"
        channel = self.seats.start(owner, settings.pack(run.config, self.usable, directory, run.wish))
        if channel is None:
            run.turns.failed(owner)
        return channel

    def relay(self, channels: list[tuple[int, Channel]]) -> None:
        """Fork the relay and attend to it until it ends."""
        run = self.run
        result, words = os.pipe()
        self.control, theirs = frames.pair()
        child = os.fork()
        if not child:
            os.close(result)
            self.control.close()
            door = frames.channel_of(theirs)
            relay = Relay(run.config, run.keys, run.rules, run.state)
            relay.live(channels, door, self.usable, run.trace, words, run.account)
        os.close(words)
        os.close(theirs)
        for _, channel in channels:
            channel.close()
        try:
            self.attend(child, result)
        except BaseException:  # who asks twice does not want to wait; the readers know what was begun
            os.kill(child, signal.SIGKILL)
            raise
        finally:
            os.close(result)
            self.control.close()
            self.ended_well = os.waitpid(child, 0)[1] == 0

    def attend(self, child: int, result: int) -> None:
        """Hear what the relay says until it ends; asked to stop, we ask it."""
        text = b""
        asked = False
        while len(text) < LONGEST_LINE:
            if self.run.stop() and not asked:
                os.kill(child, signal.SIGTERM)
                asked = True
            if select.select([result], [], [], MOMENT)[0]:
                piece = os.read(result, 65536)
                if not piece:
                    break
                *lines, text = (text + piece).split(b"\n")
                for line in lines:
                    self.heard(line.decode("utf-8", "replace"))
            self.seats.reap()
            if not asked and self.is_time_to_look():
                self.admit()

    def is_time_to_look(self) -> bool:
        """Whether somebody says that there is new mail, or nobody has looked for a while."""
        now, wake = time.monotonic(), self.wake_time()
        if wake == self.wake and now - self.looked < LOOK:
            return False
        self.looked, self.wake = now, wake
        return True

    def wake_time(self) -> int:
        """The time of the wake-up file (nanoseconds), 0 when there is none."""
        try:
            path = f"{self.run.config.queue.shared}/{shared.WAKE}"
            return os.stat(path, follow_symlinks=False).st_mtime_ns
        except OSError:
            return 0

    def admit(self) -> None:
        """Readers for owners who have got mail since, as many as there are seats for."""
        try:
            self.control.push()
            owners = self.run.turns.whose(self.seats.busy()) if self.seats.free > 0 else []
            for owner in owners[: self.seats.free]:
                channel = self.start(owner)
                if channel is not None:
                    frame = [b"%d" % owner.uid, bytes(channel.outbox)]
                    self.control.put(frame, channel.fileno())
                    channel.close()
        except FrameError:
            return  # the relay is about to end

    def heard(self, line: str) -> None:
        """One line of the relay's: figures, or how an owner's turn ended. It is not trusted either."""
        word, _, value = line.partition(" ")
        summary, turns = self.summary, self.run.turns
        if word == "fault":
            summary.fault = value
        elif word in ("delivered", "deferred", "failed") and is_number(value):
            setattr(summary, word, getattr(summary, word) + int(value))
        elif word in ("done", "more", "gone"):
            uid, mark, due = [*value.split(" "), "", "", ""][:3]
            owner = self.seats.leave(int(uid)) if is_number(uid) else None
            if owner is None:
                return
            if word == "done" and self.run.wish.only:
                turns.looked(owner)
            elif word == "done" and is_number(due) and len(mark) < LONGEST_MARK and mark.isprintable():
                turns.ended(owner, mark or owner.mark, int(due))
            elif word == "more":
                turns.cut_short(owner)
            else:
                turns.failed(owner)


def is_number(text: str) -> bool:
    """Whether a text is a number of seconds, recipients or the like, or a uid."""
    return text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER


def prepare_state(account: rights.Account) -> str:
    """The relay's folder, made if it is missing: for what it knows of smart hosts, and big copies."""
    folder = f"{homes.STATE}/relay"
    with contextlib.suppress(FileExistsError):
        os.mkdir(homes.STATE)
        os.chmod(homes.STATE, 0o755)  # noqa: S103 (whatever the umask; mailq reads why mail waits)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    if os.stat(folder, follow_symlinks=False).st_uid != account.uid:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    return folder
