"""The relay of root's flush: the process with the secret and an account of its own, and nobody's files.

Guarantees: what it needs of root's it was given before it gave up root's rights; the only folder that it
writes to is its own; it ends after a slice of time, so that who comes later need not wait for a long backlog.
"""

from __future__ import annotations

import os
import signal
import time

from sendmail_py import maillog
from sendmail_py.errors import SendmailError, printable
from sendmail_py.policy import identity
from sendmail_py.relay import flush, sender_domains
from sendmail_py.relay.sender_domains import SenderDomains
from sendmail_py.shared import accounts, frames, proof, rights
from sendmail_py.shared.crowd import Crowd
from sendmail_py.shared.frames import FrameError, number
from sendmail_py.shared.peer import Peer
from sendmail_py.shared.place import Place
from sendmail_py.shared.suspicion import Suspicion
from sendmail_py.spool.rests import Rests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import Config, SmartHost
    from sendmail_py.relay.backlog import Rules
    from sendmail_py.relay.keyring import Keyring
    from sendmail_py.shared.frames import Channel

SLICE = 60.0  # seconds
ROOM = 1 << 20  # octets that a message may grow by on its way through a submission


class Relay:
    """What the process works with; `directory` is its own folder."""

    def __init__(self, config: Config, keys: Keyring, rules: Rules, directory: str) -> None:
        self.config = config
        self.keys = keys
        self.rules = rules
        self.directory = directory
        self.words = -1

    def live(
        self,
        channels: list[tuple[int, Channel]],
        control: Channel,
        usable: list[SmartHost],
        trace: Callable[[str], None] | None,
        words: int,
        account: rights.Account,
    ) -> None:
        """Be the relay, in a process of its own; never returns. The result goes to the descriptor `words`."""
        status = 1
        stop = watch_for_stop()
        try:
            place = Place(self.config.queue.shared)
            os.chdir(self.directory)
            rights.become(account)
            place.settle()
            self.words = words
            entrance = Entrance(self, control, place)
            peers = [entrance.peer(uid, channel) for uid, channel in channels]
            suspicion = Suspicion(Rests(self.directory, self.rules.clock), self.rules)
            crowd = Crowd(peers, usable, suspicion, stop=stop, entrance=entrance, told=self.tell)
            self.play(crowd, stop, trace)
            status = 0
        except (OSError, SendmailError) as fault:
            maillog.warning(f"the relay of the shared spool: {fault}")
        except Exception as fault:  # a process of its own: nobody above could tell it better
            maillog.warning(f"the relay of the shared spool failed: {type(fault).__name__}: {fault}")
        finally:
            os._exit(status)

    def play(self, crowd: Crowd, stop: Callable[[], bool], trace: Callable[[str], None] | None) -> None:
        """One run over all of their mail."""
        end = time.monotonic() + SLICE
        opener = flush.opener(self.config, self.directory, trace, self.keys)
        run = flush.Run(crowd, self.directory, self.rules, lambda: stop() or time.monotonic() > end)
        senders = SenderDomains(self.config, self.directory)
        crowd.sender, run.opened = senders.note, senders.opened
        summary = run.all(opener)
        senders.end(0 if stop() else sender_domains.WAIT)
        crowd.dismiss_all("more" if stop() or time.monotonic() > end else "done")
        for name in ("delivered", "deferred", "failed"):
            self.tell(f"{name} {getattr(summary, name)}")
        self.tell(f"fault {printable(summary.fault)}")

    def tell(self, line: str) -> None:
        """A line for root; when root is gone nobody wants it."""
        try:
            os.write(self.words, line.encode("utf-8", "replace") + b"\n")
        except OSError:
            return


class Entrance:
    """Where readers come in: `control` brings those that root starts later; `place` is the spool's."""

    def __init__(self, relay: Relay, control: Channel, place: Place) -> None:
        self.config = relay.config
        self.config.queue.directory = relay.directory  # where earlier checks of domains are
        self.host = identity.host(self.config)
        self.accounts = accounts.read()
        self.limit = self.config.queue.max_message + ROOM
        self.control = control
        self.place = place
        self.is_shut = False

    def peer(self, uid: int, channel: Channel) -> Peer:
        """A reader as the relay sees it."""
        made = Peer(uid, channel, proof.rules_for(self.config, self.host, uid), self.place, self.limit)
        made.account = self.accounts.of(uid)
        return made

    def newcomers(self) -> list[Peer]:
        """Readers that came since; when root is gone, none will."""
        found: list[Peer] = []
        try:
            while not self.is_shut and (frame := self.control.take()) is not None:
                channel = frames.channel_of(self.control.descriptor())
                channel.outbox += frame[1]
                found.append(self.peer(number(frame[0]), channel))
        except FrameError:
            self.is_shut = True
        return found

    def channels(self) -> list[Channel]:
        """What to listen to."""
        return [] if self.is_shut else [self.control]


def watch_for_stop() -> Callable[[], bool]:
    """Let signals, once or many times, ask for the end when what is in hand is decided."""
    asked: list[int] = []
    for one in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda heard, frame: asked.append(heard))
    return lambda: bool(asked)
