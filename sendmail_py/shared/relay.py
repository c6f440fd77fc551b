"""The relay of root's flush: the process with the secret and an account of its own, and nobody's files.

Guarantees: what it needs of root's it was given before it gave up root's rights; the only folder that it
writes to is its own; it ends after a slice of time, so that who comes later need not wait for a long backlog.
"""

from __future__ import annotations

import os
import time

from sendmail_py import maillog
from sendmail_py.errors import SendmailError, printable
from sendmail_py.policy import identity
from sendmail_py.relay import flush
from sendmail_py.shared import proof, rights
from sendmail_py.shared.crowd import Crowd
from sendmail_py.shared.peer import Peer

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
        self.peers: list[Peer] = []

    def live(
        self,
        channels: list[tuple[int, Channel]],
        usable: list[SmartHost],
        stop: Callable[[], bool],
        trace: Callable[[str], None] | None,
        words: int,
        account: rights.Account,
    ) -> None:
        """Be the relay, in a process of its own; never returns. The result goes to the descriptor `words`."""
        status = 1
        try:
            device = os.stat(self.config.queue.shared).st_dev
            os.chdir(self.directory)
            rights.become(account)
            self.meet(channels, device)
            result = self.play(usable, stop, trace)
            os.write(words, result.encode("utf-8", "replace"))
            status = 0
        except (OSError, SendmailError) as fault:
            maillog.warning(f"the relay of the shared spool: {fault}")
        except Exception as fault:  # a process of its own: nobody above could tell it better
            maillog.warning(f"the relay of the shared spool failed: {type(fault).__name__}: {fault}")
        finally:
            os._exit(status)

    def meet(self, channels: list[tuple[int, Channel]], device: int) -> None:
        """The readers."""
        self.config.queue.directory = self.directory  # where earlier checks of domains are
        host = identity.host(self.config)
        limit = self.config.queue.max_message + ROOM
        for uid, channel in channels:
            rules = proof.rules_for(self.config, host, uid)
            self.peers.append(Peer(uid, channel, rules, device, limit))

    def play(
        self, usable: list[SmartHost], stop: Callable[[], bool], trace: Callable[[str], None] | None
    ) -> str:
        """One run over all of their mail; the result in lines."""
        end = time.monotonic() + SLICE
        crowd = Crowd(self.peers, usable)
        opener = flush.opener(self.config, self.directory, trace, self.keys)
        run = flush.Run(crowd, self.directory, self.rules, lambda: stop() or time.monotonic() > end)
        summary = run.all(opener)
        lines = [f"{name} {getattr(summary, name)}" for name in ("delivered", "deferred", "failed")]
        lines.append(f"fault {printable(summary.fault)}")
        later = int(time.time()) + self.config.queue.retry_max
        lines += [f"{one.uid} {later if one.due < 0 else one.due}" for one in self.peers if one.is_done]
        return "\n".join(lines)
