"""What sessions need of files, commands and the environment: logins and TLS contexts, read once in a run.

Guarantees: nothing is read before a session needs it, unless `fill` is called; after `fill` nothing of it is
read again, so the process may lose the right to it; a secret stays in a sasl.Login, which does not print.
"""

from __future__ import annotations

import contextlib
import os

from sendmail_py.relay import credentials, tls
from sendmail_py.relay.faults import Fault, LoginFault, TransportFault
from sendmail_py.relay.hurry import NEVER, Hurry

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping, Sequence

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.sasl import Login


SERVER, PROXY = "server", "proxy"
SPARES = 4  # servers of a smart host whose TLSA records name authorities of their own


class Keyring:
    """Logins and contexts by name of the smart host; a Fault stands in for what `fill` could not get.

    blanks    contexts that have our key, for authorities that DNS and a server will name (DANE)
    anchored  contexts by smart host and authorities
    """

    __slots__ = ("anchored", "blanks", "contexts", "environ", "logins")

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = environ
        self.logins: dict[tuple[str, str], Login | Fault | None] = {}
        self.contexts: dict[tuple[str, bool], ssl.SSLContext | Fault] = {}
        self.blanks: dict[str, list[ssl.SSLContext]] = {}
        self.anchored: dict[tuple[str, bytes], ssl.SSLContext] = {}

    def fill(self, smarthosts: Iterable[SmartHost], stop: Hurry = NEVER) -> None:
        """Read everything now; what cannot be had is told when a session needs it. StoppedFault."""
        for setting in smarthosts:
            for kind in (SERVER, PROXY):
                try:
                    self.login(setting, kind, stop)
                except LoginFault as fault:
                    self.logins[setting.name, kind] = fault
            for pinned in () if setting.tls == "none" else (False, True):
                try:
                    self.context(setting, pinned)
                except TransportFault as fault:
                    self.contexts[setting.name, pinned] = fault
            if setting.tls != "none" and setting.dane and setting.client_cert:
                with contextlib.suppress(TransportFault):  # told by `context`
                    self.blanks[setting.name] = [tls.blank(setting) for _ in range(SPARES)]

    def login(self, setting: SmartHost, kind: str = SERVER, stop: Hurry = NEVER) -> Login | None:
        """User and password for server or proxy, None when it wants none; LoginFault, StoppedFault."""
        key = (setting.name, kind)
        if key not in self.logins:
            if kind == PROXY:
                self.logins[key] = credentials.proxy_login(setting)
            else:
                self.logins[key] = credentials.login(setting, self.environ, stop)
        found = self.logins[key]
        if isinstance(found, Fault):
            raise LoginFault(str(found))
        return found

    def context(self, setting: SmartHost, pinned: bool, anchors: Sequence[bytes] = ()) -> ssl.SSLContext:
        """The context for the handshake; TransportFault.

        pinned   whether pins decide about the certificate
        anchors  the authorities (DER) that are trusted in place of all others
        """
        if anchors:
            return self.trusting(setting, anchors)
        key = (setting.name, pinned)
        if key not in self.contexts:
            self.contexts[key] = tls.context(setting, pinned)
        found = self.contexts[key]
        if isinstance(found, Fault):
            raise TransportFault(str(found))
        return found

    def trusting(self, setting: SmartHost, anchors: Sequence[bytes]) -> ssl.SSLContext:
        """The context that trusts these; after `fill` our key is in one of those made before."""
        key = (setting.name, b"".join(anchors))
        if key not in self.anchored:
            blanks = self.blanks.get(setting.name)
            self.anchored[key] = tls.trusting(blanks.pop() if blanks else tls.blank(setting), anchors)
        return self.anchored[key]


def preload(smarthosts: Iterable[SmartHost]) -> Keyring:
    """All passwords, commands' answers, certificates and keys of the smart hosts, while they can be read."""
    filled = Keyring()
    filled.fill([one for one in smarthosts if one.host])
    return filled
