"""From a smart host setting to an open session: look up, connect, encrypt, log in.

Guarantees: endpoints are tried in order until one lets us in; a refused login ends the attempt at once, so a
wrong password is shown once and not once per address; every way to fail is a Fault.
"""

from __future__ import annotations

import os

from sendmail_py.relay import credentials, smarthost, smtp, transport
from sendmail_py.relay.faults import Fault, LoginFault, TransportFault
from sendmail_py.relay.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.ehlo import Server
    from sendmail_py.relay.sasl import Login
    from sendmail_py.relay.session import Backlog
    from sendmail_py.relay.smarthost import Endpoint


class Opener:
    """What the sessions of a run have in common: EHLO name (b"": our address), backlog, transcript."""

    __slots__ = ("backlog", "helo", "trace")

    def __init__(self, helo: bytes, backlog: Backlog, trace: Callable[[str], None] | None) -> None:
        self.helo = helo
        self.backlog = backlog
        self.trace = trace

    def reach(self, setting: SmartHost) -> tuple[Session, Server]:
        """A session that is ready for mail; the last Fault when no endpoint gives one."""
        login = credentials.login(setting, os.environ)
        last: Fault = TransportFault(f"{setting.host}: nowhere to connect to")
        for endpoint in smarthost.endpoints(setting):
            try:
                return self.open(setting, endpoint, login)
            except LoginFault:
                raise
            except Fault as fault:
                last = fault
        raise last

    def open(self, setting: SmartHost, endpoint: Endpoint, login: Login | None) -> tuple[Session, Server]:
        """A session with one endpoint."""
        connection = transport.connect(endpoint.host, endpoint.port, setting.connect_timeout)
        session = Session(connection, setting, endpoint.name, self.backlog, self.trace)
        wish = smtp.Wish(
            self.helo or connection.local_literal,
            implicit=setting.tls == "implicit",
            starttls=setting.tls == "starttls",
            private=setting.tls != "none" or connection.loopback,
            login=login,
            mechanisms=setting.auth,
        )
        try:
            return session, session.play(smtp.opening(wish))
        except BaseException:
            session.close()
            raise
