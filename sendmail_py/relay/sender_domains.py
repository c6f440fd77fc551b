"""After a queue run: whether the domains that mail was sent from can receive it. Only with masquerade.dns.

Guarantees: asked when the run is over, so no message waits for DNS; what is known and fresh is not asked
again, and dnspython is not even loaded then. The verdicts are for the next submissions.
"""

from __future__ import annotations

import time

from sendmail_py import maillog
from sendmail_py.errors import printable
from sendmail_py.mail import address
from sendmail_py.policy import validity, verdicts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import Config

MOST = 20  # domains asked about after one run
AGAIN_AFTER = 86400  # seconds; receiving.py knows better for good verdicts


class SenderDomains:
    """The domains of one run's senders."""

    __slots__ = ("config", "names")

    def __init__(self, config: Config) -> None:
        self.config = config
        self.names: set[bytes] = set()

    def note(self, reverse_path: bytes) -> None:
        """A message was begun."""
        if self.config.masquerade.dns:
            self.names.add(address.split(reverse_path)[1].lower().removesuffix(b"."))

    def ask(self, directory: str) -> None:
        """Ask about the domains whose names alone say nothing; `directory` is the spool."""
        wanted = [one for one in sorted(self.names) if not validity.fault(one, ()) and one[:1] != b"["]
        now = int(time.time())
        known = verdicts.lines(verdicts.read(directory)) if wanted else []
        fresh = {one for one, when, why in known if 0 <= now - when < AGAIN_AFTER * (1 if why else 7)}
        names = [one.decode("utf-8", "replace") for one in wanted if one not in fresh][:MOST]
        if not names:
            return
        try:
            from sendmail_py.relay import receiving  # noqa: PLC0415 (a named door: dnspython is costly)
        except ImportError:
            maillog.notice("masquerade.dns: dnspython is not there; nothing was asked")
            return
        for domain, reason in receiving.refresh(directory, names, receiving.ask_system()).items():
            if reason:
                maillog.warning(
                    f"sender domain {printable(domain, 255)}: {reason}; it is repaired from now on"
                )
