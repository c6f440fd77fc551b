"""During a queue run: can the domains that mail is sent from receive any? Unless masquerade.dns is false.

Guarantees: no message waits for DNS. The questions are asked in a thread of their own, from the moment on
that a session with a smart host is open, so a machine that is offline asks nobody; the end of the run waits
for the answers for WAIT seconds at most. What is known and fresh is not asked again, and dnspython is not
even loaded then; a question that got no answer is asked again by a run an hour later. The verdicts are for
the next submissions.
"""

from __future__ import annotations

import queue
import time

from sendmail_py import maillog
from sendmail_py.errors import printable
from sendmail_py.mail import address
from sendmail_py.policy import validity, verdicts
from sendmail_py.relay import hurry

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading

    from sendmail_py.policy.config import Config

MOST = 20  # domains asked about in one run
AGAIN_AFTER = 3600  # seconds, when no answer came
WAIT = 0.5


class SenderDomains:
    """The domains of one run's senders; `directory` is the spool."""

    __slots__ = ("asked", "closed", "directory", "is_online", "known", "questions", "thread", "wanted")

    def __init__(self, config: Config, directory: str) -> None:
        self.wanted = config.masquerade.dns
        self.directory = directory
        self.asked: set[bytes] = set()
        self.known: dict[bytes, tuple[int, str]] | None = None
        self.questions: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        self.is_online = False
        self.closed = False

    def note(self, reverse_path: bytes) -> None:
        """A message was begun. Its domain is asked about if its name alone says nothing."""
        domain = address.split(reverse_path)[1].lower().removesuffix(b".")
        if not self.wanted or domain in self.asked or len(self.asked) >= MOST:
            return
        if validity.fault(domain, ()) or domain.startswith(b"[") or not self.is_due(domain):
            return
        self.asked.add(domain)
        self.questions.put(domain.decode("utf-8", "replace"))
        self.start()

    def is_due(self, domain: bytes) -> bool:
        """Whether the spool holds neither a verdict that is fresh nor a fresh question without an answer."""
        if self.known is None:
            self.known = {
                one: (when, why) for one, when, why in verdicts.lines(verdicts.read(self.directory))
            }
        return is_due(self.known, domain, int(time.time()))

    def opened(self) -> None:
        """A session with a smart host is open."""
        if not self.is_online:
            self.is_online = True
            self.start()

    def start(self) -> None:
        """Begin to ask, when there is something to ask and somebody who could answer."""
        if self.is_online and self.asked and self.thread is None:
            self.thread = hurry.begin(self.ask, "sender domains")

    def ask(self) -> None:
        """One question after the other, until the run is over."""
        try:
            from sendmail_py.relay import receiving  # noqa: PLC0415 (a named door: dnspython is costly)
        except ImportError:  # it may be left out
            return
        resolver = receiving.ask_system()
        while (domain := self.questions.get()) is not None and not self.closed:
            reason = receiving.learn(self.directory, domain, resolver, lambda: self.closed)
            if reason:
                shown = printable(domain, 255)
                maillog.warning(f"sender domain {shown}: {reason}; it is repaired from now on")

    def end(self, wait: float = WAIT) -> None:
        """The run is over; an answer that does not come within `wait` seconds is not kept."""
        if self.thread is not None:
            self.questions.put(None)
            self.thread.join(wait)
        self.closed = True


def is_due(known: dict[bytes, tuple[int, str]], domain: bytes, now: int) -> bool:
    """Whether DNS is to be asked about a domain, by the verdicts and questions that are known."""
    when, why = known.get(domain, (0, ""))
    asked, _ = known.get(verdicts.ASKED + domain, (0, ""))
    holds = verdicts.BAD_FOR if why else verdicts.GOOD_FOR
    return not 0 <= now - when < holds and not 0 <= now - asked < AGAIN_AFTER
