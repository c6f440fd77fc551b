"""Root's flush: look who has mail, start a reader for each, fork the relay, wait for all of them.

Guarantees: nothing below an owner's folder is touched with root's rights; the secret is in this process and
in the relay, never in a reader, which is a fresh interpreter with a clean environment; readers that do not
end are killed. One such flush at a time; it goes on in slices until nothing that is due is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import sendmail_py
from sendmail_py import maillog
from sendmail_py.policy import homes
from sendmail_py.relay import flush, keyring
from sendmail_py.relay.backlog import Rules
from sendmail_py.shared import rights, settings
from sendmail_py.shared.frames import Channel, encode
from sendmail_py.shared.relay import Relay
from sendmail_py.shared.settings import Wish
from sendmail_py.spool import shared
from sendmail_py.spool.breaker import Breaker
from sendmail_py.spool.shared import Owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import Config, SmartHost
    from sendmail_py.relay.flush import Summary
    from sendmail_py.shared.settings import Filter

PACKAGE = str(Path(sendmail_py.__file__).parent.parent)
READER = "import sys; sys.path.insert(0, sys.argv[1]); from sendmail_py.shared import reader; reader.main()"
MOST_READERS = 32  # at a time
LAST_WORDS = 5.0  # seconds that a reader has to end
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def run(
    config: Config,
    *,
    force: bool = False,
    only: list[Filter] | None = None,
    stop: Callable[[], bool] = lambda: False,
    trace: Callable[[str], None] | None = None,
) -> Summary:
    """Flush the shared spool of `config`; see flush.run for the rest. Must be called as root."""
    summary = flush.Summary()
    base = os.open(config.queue.shared, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(base, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        summary.fault = "another flush of the shared spool is running"
        return summary
    try:
        return RootRun(config, Wish(force, only or []), stop, trace).all(summary)
    finally:
        os.close(base)


class RootRun:
    """One flush by root. `known` is what was found about owners, `served` the uids that had their turn."""

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
        self.keys = keyring.preload(config.smarthosts)
        self.known = shared.read_due(f"{homes.STATE}/due")
        self.served: set[int] = set()
        if not self.account.own:
            maillog.warning(
                f"there is no account {rights.RELAY}, the relay runs as root: sendmail-py install"
            )

    def all(self, summary: Summary) -> Summary:
        """Slice after slice, until nobody has mail that is due."""
        maillog.open_now()
        while not self.stop():
            usable = flush.find_usable(self.config, self.state, self.rules)
            owners = self.whose_turn()
            if not usable or not owners:
                summary.fault = summary.fault or ("" if usable else flush.rest(self.config, self.state).fault)
                break
            self.slice(owners, usable, summary)
            shared.write_due(f"{homes.STATE}/due", self.known)
            self.publish_pauses()
        return summary

    def publish_pauses(self) -> None:
        """What the relay knows of smart hosts that rest, where everybody's mailq can read it."""
        known, told = Breaker(self.state), Breaker(homes.STATE)
        for setting in self.config.smarthosts:
            pause = known.get(setting.name)
            if pause is not None:
                told.set(setting.name, pause)
                os.chmod(f"{homes.STATE}/pauses", 0o644)
            elif told.get(setting.name) is not None:
                told.clear(setting.name)

    def whose_turn(self) -> list[Owner]:
        """Owners who may have mail that is due, in no order of anybody's choice."""
        found = shared.owners(self.config.queue.shared)
        self.known = {one.name: self.known[one.name] for one in found if one.name in self.known}
        if not self.wish.force:
            found = shared.with_mail(found, self.known, time.time(), self.config.queue.retry_max)
        found = [one for one in found if one.uid not in self.served]
        random.shuffle(found)
        return found[:MOST_READERS]

    def slice(self, owners: list[Owner], usable: list[SmartHost], summary: Summary) -> None:
        """A reader for each of them, and a relay."""
        readers: list[tuple[Owner, subprocess.Popen[bytes]]] = []
        channels: list[tuple[int, Channel]] = []
        try:
            for owner in owners:
                mine, theirs = socket.socketpair()
                with theirs:
                    readers.append((owner, start_reader(owner, theirs)))
                channels.append((owner.uid, Channel(mine)))
                directory = f"{self.config.queue.shared}/{owner.name}"
                channels[-1][1].outbox += encode([settings.pack(self.config, usable, directory, self.wish)])
            self.take_over(self.relay(channels, usable), owners, summary)
        finally:
            for _, channel in channels:
                channel.close()
            for owner, process in readers:
                end_reader(owner, process)

    def relay(self, channels: list[tuple[int, Channel]], usable: list[SmartHost]) -> str:
        """Fork the relay and wait for it; what it has to say at its end."""
        result, words = os.pipe()
        child = os.fork()
        if not child:
            os.close(result)
            relay = Relay(self.config, self.keys, self.rules, self.state)
            relay.live(channels, usable, self.stop, self.trace, words, self.account)
        os.close(words)
        try:
            return self.wait(child, result)
        finally:
            os.close(result)
            os.waitpid(child, 0)

    def wait(self, child: int, result: int) -> str:
        """What the relay writes until it ends; asked to stop, we ask it."""
        text = b""
        asked = False
        while len(text) < (1 << 20):
            if self.stop() and not asked:
                os.kill(child, signal.SIGTERM)
                asked = True
            if select.select([result], [], [], 0.2)[0]:
                piece = os.read(result, 65536)
                if not piece:
                    break
                text += piece
        return text.decode("utf-8", "replace")

    def take_over(self, text: str, owners: list[Owner], summary: Summary) -> None:
        """The relay's figures, and when the owners' next messages are due. It is not trusted either."""
        names = {str(one.uid): one for one in owners}
        for line in text.split("\n"):
            word, _, value = line.partition(" ")
            if word == "fault":
                summary.fault = value
            elif word in ("delivered", "deferred", "failed") and value.isdecimal():
                setattr(summary, word, getattr(summary, word) + int(value))
            elif word in names and value.isdecimal():
                owner = names.pop(word)
                self.known[owner.name] = (owner.mark, int(value))
                if self.wish.force or int(value) > time.time():
                    self.served.add(owner.uid)
        self.served |= {one.uid for one in names.values()}  # their readers failed; not again in this run


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


def start_reader(owner: Owner, end: socket.socket) -> subprocess.Popen[bytes]:
    """A fresh interpreter with the owner's rights and nothing of ours but its end of the socket pair."""
    return subprocess.Popen(  # noqa: S603 (our own interpreter and code)
        [sys.executable, "-IS", "-c", READER, PACKAGE],
        stdin=end.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd="/",
        user=owner.uid,
        group=rights.group_of(owner.uid),
        extra_groups=[],
        start_new_session=True,
        preexec_fn=rights.confine,  # noqa: PLW1509 (no threads here)
    )


def end_reader(owner: Owner, process: subprocess.Popen[bytes]) -> None:
    """It ends by itself when its relay is gone; one that does not is killed."""
    try:
        process.wait(LAST_WORDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        maillog.warning(f"the reader of uid {owner.uid} did not end and was killed")
