"""From a smart host setting to an open session: look up, connect, encrypt, log in, find out what it can do.

Guarantees: endpoints are tried in order until one lets us in; a refused login ends the attempt at once, so a
wrong password is shown once and not once per address; every way to fail is a Fault.
"""

from __future__ import annotations

import time

from sendmail_py.relay import chunking, extras, hurry, keyring, smarthost, smtp, transport
from sendmail_py.relay.faults import AnchorFault, Fault, LoginFault, StoppedFault, TransportFault
from sendmail_py.relay.hurry import Hurry
from sendmail_py.relay.keyring import Keyring
from sendmail_py.relay.session import Session
from sendmail_py.spool.servers import Known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.ehlo import Server
    from sendmail_py.relay.needs import Backlog
    from sendmail_py.relay.pins import Tlsa
    from sendmail_py.relay.sasl import Login
    from sendmail_py.relay.smarthost import Endpoint
    from sendmail_py.spool.servers import Servers


class Opener:
    """What the sessions of a run have in common.

    helo      our name for EHLO, b"" for our address
    anchors   by endpoint, the authorities (DER) that its TLSA records were found to name
    servers   what is known of servers from earlier sessions
    trace     is given the transcript
    keys      logins and certificates
    stop      whether the run is to end: then nobody waits for a server before there is mail in hand
    """

    __slots__ = ("anchors", "helo", "keys", "servers", "stop", "trace")

    def __init__(
        self,
        helo: bytes,
        servers: Servers,
        trace: Callable[[str], None] | None = None,
        keys: Keyring | None = None,
    ) -> None:
        self.helo = helo
        self.anchors: dict[tuple[str, int], list[bytes]] = {}
        self.servers = servers
        self.trace = trace
        self.keys = keys or Keyring()
        self.stop: Callable[[], bool] = lambda: False

    def reach(self, setting: SmartHost, backlog: Backlog) -> tuple[Session, Server]:
        """A session that is ready for mail from `backlog`; the last Fault when no endpoint gives one."""
        stop = Hurry(self.stop)
        login = self.keys.login(setting, stop=stop)
        last: Fault = TransportFault(f"{setting.host}: nowhere to connect to")
        for endpoint in endpoints(setting, stop):
            try:
                return self.open(setting, endpoint, login, backlog, stop)
            except (LoginFault, StoppedFault):
                raise
            except Fault as fault:
                last = fault
        raise last

    def open(
        self, setting: SmartHost, endpoint: Endpoint, login: Login | None, backlog: Backlog, stop: Hurry
    ) -> tuple[Session, Server]:
        """A session with one endpoint; another one when the server did not survive our question."""
        session, server = self.enter(setting, endpoint, login, backlog, stop)
        try:
            self.find_out(setting.name, session, server)
        except BaseException as fault:
            session.close()
            if not isinstance(fault, Fault) or isinstance(fault, StoppedFault):
                raise
            session, server = self.enter(setting, endpoint, login, backlog, stop)
        stop.over = True
        return session, server

    def enter(
        self, setting: SmartHost, endpoint: Endpoint, login: Login | None, backlog: Backlog, stop: Hurry
    ) -> tuple[Session, Server]:
        """Connect, encrypt, log in; twice when an authority that TLSA names is to verify the server."""
        try:
            return self.enter_once(setting, endpoint, login, backlog, stop)
        except AnchorFault as fault:
            self.anchors[endpoint.host, endpoint.port] = fault.anchors
            return self.enter_once(setting, endpoint, login, backlog, stop)

    def enter_once(
        self, setting: SmartHost, endpoint: Endpoint, login: Login | None, backlog: Backlog, stop: Hurry
    ) -> tuple[Session, Server]:
        """Connect, encrypt, log in."""
        tlsa = trusted(setting, endpoint, stop)
        proxy_login = self.keys.login(setting, keyring.PROXY)
        connection = transport.connect(setting, endpoint.host, endpoint.port, stop, proxy_login)
        connection.tlsa = tlsa
        connection.anchors = self.anchors.get((endpoint.host, endpoint.port), []) if tlsa else []
        connection.context = self.keys.context
        name = endpoint.host if tlsa else endpoint.name  # RFC 7672 3.2.2: it is proven that this is the host
        session = Session(connection, setting, name, backlog, self.trace)
        wish = smtp.Wish(
            self.helo or connection.local_literal,
            implicit=setting.tls == "implicit",
            starttls=setting.tls == "starttls",
            private=setting.tls != "none" or connection.loopback,
            login=login,
            mechanisms=setting.auth,
            lmtp=setting.protocol == "lmtp",
        )
        try:
            server = session.play(smtp.opening(wish))
            server.secure = setting.tls != "none"
            extras.agree(setting, server)
        except BaseException:
            session.close()
            raise
        return session, server

    def find_out(self, name: str, session: Session, server: Server) -> None:
        """Whether BDAT may be used: what is known, else what a question shows.

        The worst answer is written down before it is asked for, so that a server that hangs up is not asked
        again in every session.
        """
        digest, now = server.digest, time.time()
        known = self.servers.get(name, digest, now)
        if known is None:
            known = Known(digest, False, server.size, int(now))
            self.servers.set(name, known)
            if chunking.is_possible(server) and session.play(chunking.probe(server)):
                known.chunks = True
                self.servers.set(name, known)
        server.drops_chunks = known.chunks and chunking.is_possible(server)


def endpoints(setting: SmartHost, stop: Hurry) -> list[Endpoint]:
    """Where to connect; DNS is given up as soon as the run is to end."""
    if setting.lookup == "none":
        return smarthost.endpoints(setting)
    return hurry.beside(lambda: smarthost.endpoints(setting), stop)


def trusted(setting: SmartHost, endpoint: Endpoint, stop: Hurry) -> list[Tlsa]:
    """What DNSSEC says about the server's certificate, if anybody wants to know."""
    if not setting.dane or not endpoint.is_certain:
        return []
    from sendmail_py.relay import dane  # noqa: PLC0415 (a named door: dnspython costs more than all the rest)

    return hurry.beside(lambda: dane.records(endpoint.host, endpoint.port), stop)
