"""A connection with hard time limits, by TCP, TLS or a Unix socket.

Guarantees: no call outlives its deadline, however slowly octets drip; while it waits to write it reads, so
two full pipes never wait for each other; every error of the system or of TLS leaves as a TransportFault.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl

from sendmail_py.relay import dialing, pins, tls
from sendmail_py.relay.faults import TransportFault
from sendmail_py.relay.hurry import NEVER, Hurry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.sasl import Login

PIECE = 65536
RECORD = 16384  # one TLS record: what could not be written is offered again unchanged
MOST_LAST_WORDS = 100  # pieces
WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def connect(
    setting: SmartHost, host: str, port: int, stop: Hurry = NEVER, proxy_login: Login | None = None
) -> Connection:
    """A connection to a server, by the way that the setting says; TransportFault names what was tried.

    Whenever `stop` says so, waiting ends with a StoppedFault.
    """
    sock = dialing.dial(setting, host, port, stop, proxy_login)
    made = Connection(sock, host, port, is_direct=not setting.proxy)
    made.stop = stop
    return made


class Connection:
    """One connection. `doing` is what a fault says that we were doing; deadlines are monotonic seconds.

    loopback  whether nobody but this machine can listen
    tlsa      records that DNSSEC proves, in place of CAs (dane.py)
    anchors   the authorities (DER) that they were found to name
    sent      octets that were handed to the system so far, the handshake not counted
    stop      whether nobody wants to wait any more
    context   gives the TLS context for a setting, whether pins decide, and `anchors`
    """

    __slots__ = (
        "anchors",
        "context",
        "doing",
        "encrypted",
        "host",
        "local",
        "loopback",
        "peer",
        "sent",
        "sock",
        "stop",
        "tlsa",
    )

    def __init__(self, sock: socket.socket, host: str, port: int, is_direct: bool = True) -> None:
        self.sock = sock
        self.host = host
        self.doing = "connecting"
        self.encrypted = False
        self.sent = 0
        self.stop = NEVER
        self.tlsa: list[pins.Tlsa] = []
        self.anchors: list[bytes] = []
        self.context: Callable[[SmartHost, bool, Sequence[bytes]], ssl.SSLContext] = tls.context
        if sock.family == socket.AF_UNIX:
            self.local, self.loopback, self.peer = "127.0.0.1", True, host
            return
        address, self.local = str(sock.getpeername()[0]), str(sock.getsockname()[0])
        here = address == "::1" or address.removeprefix("::ffff:").startswith("127.")
        self.loopback = here and is_direct
        self.peer = f"{host}[{address}]:{port}" if is_direct else f"{host}:{port}"

    @property
    def local_literal(self) -> bytes:
        """Our address as an address literal (RFC 5321 4.1.3), the EHLO name of a host without a good one."""
        plain = self.local.partition("%")[0]
        return (f"[IPv6:{plain}]" if ":" in plain else f"[{plain}]").encode()

    def send(self, octets: bytes, deadline: float, heard: Callable[[bytes], None]) -> None:
        """Write everything; what arrives while the pipe is full goes to `heard`."""
        view = memoryview(octets)
        piece = RECORD if self.encrypted else PIECE
        while view:
            try:
                done = self.sock.send(view[:piece])
                self.sent += done
                view = view[done:]
            except WOULD_BLOCK as reason:
                reading = isinstance(reason, ssl.SSLWantReadError)
                self.wait(select.POLLIN if reading else select.POLLIN | select.POLLOUT, deadline)
                self.hear(heard)
            except OSError as error:
                self.hear_out(heard)
                raise self.lost(error) from None

    def hear(self, heard: Callable[[bytes], None]) -> None:
        """What is there already, without waiting."""
        octets = self.try_receive()
        if octets:
            heard(octets)

    def hear_out(self, heard: Callable[[bytes], None]) -> None:
        """What a server said before it hung up, but not without end."""
        with contextlib.suppress(TransportFault):
            for _ in range(MOST_LAST_WORDS):
                if (octets := self.try_receive()) is None:
                    return
                heard(octets)

    def receive(self, deadline: float) -> bytes:
        """At least one octet."""
        octets = self.try_receive()
        while octets is None:
            self.wait(select.POLLIN, deadline)
            octets = self.try_receive()
        return octets

    def try_receive(self) -> bytes | None:
        """What is there, or None; TransportFault when the connection is closed."""
        try:
            octets = self.sock.recv(PIECE)
        except WOULD_BLOCK:
            return None
        except OSError as error:
            raise self.lost(error) from None
        if not octets:
            raise TransportFault(f"lost connection while {self.doing}")
        return octets

    def start_tls(self, setting: SmartHost, name: str, deadline: float) -> None:
        """The handshake; `name` is what the certificate must be for. AnchorFault: do it again."""
        context = self.context(setting, pins.are_set(setting, self.tlsa), self.anchors)
        try:
            # A host name that is no domain name at all is a ValueError (UnicodeError) of the ssl module.
            self.sock = secured = context.wrap_socket(
                self.sock, server_hostname=setting.verify_name or name, do_handshake_on_connect=False
            )
            self.encrypted = True
            self.handshake(secured, deadline)
        except (OSError, ValueError) as error:
            raise TransportFault(tls.words(error)) from None
        if pins.are_set(setting, self.tlsa):
            pins.check(setting, [] if self.anchors else self.tlsa, tls.presented(secured))

    def handshake(self, secured: ssl.SSLSocket, deadline: float) -> None:
        """Until done or late."""
        while True:
            try:
                return secured.do_handshake()
            except ssl.SSLWantReadError:
                self.wait(select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                self.wait(select.POLLOUT, deadline)

    def wait(self, events: int, deadline: float) -> None:
        """Wait until the socket is ready; TransportFault when the deadline passes."""
        if not dialing.wait(self.sock, events, deadline, self.stop):
            raise TransportFault(f"timed out while {self.doing}")

    def lost(self, error: OSError) -> TransportFault:
        """The fault for a broken connection."""
        return TransportFault(f"lost connection while {self.doing}: {tls.words(error)}")

    def close(self) -> None:
        """Close; whatever was not sent is not sent."""
        self.sock.close()
