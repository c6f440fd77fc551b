"""TCP and TLS with hard time limits; the only module that knows sockets.

Guarantees: no call outlives its deadline, however slowly octets drip; while it waits to write it reads, so
two full pipes never wait for each other; every error of the system or of TLS leaves as a TransportFault.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import threading
import time

from sendmail_py.relay import tls
from sendmail_py.relay.faults import TransportFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import SmartHost

    Address = tuple[int, tuple[str | int | bytes, ...]]

PIECE = 65536
RECORD = 16384  # one TLS record: what could not be written is offered again unchanged
WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def connect(host: str, port: int, timeout: float) -> Connection:
    """The first address of `host` that answers, each within `timeout` seconds; TransportFault names all."""
    reasons = []
    for family, address in resolve(host, port, timeout):
        peer = f"{host}[{address[0]!s}]:{port}"
        try:
            return Connection(dial(family, address, time.monotonic() + timeout), host, port)
        except OSError as error:
            reasons.append(f"connect to {peer}: {error.strerror or 'timed out'}")
    raise TransportFault("; ".join(reasons) or f"{host} has no address")


def dial(family: int, address: tuple[str | int | bytes, ...], deadline: float) -> socket.socket:
    """A connected, non-blocking socket; OSError."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        code = sock.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EINTR, errno.EAGAIN):
            if not wait(sock, select.POLLOUT, deadline):
                raise TimeoutError(errno.ETIMEDOUT, "timed out")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # we gather our writes ourselves
    except OSError:
        sock.close()
        raise
    return sock


def wait(sock: socket.socket, events: int, deadline: float) -> int:
    """Wait for `events`; the ones that came, 0 when the deadline (monotonic seconds) passed."""
    poll = select.poll()
    poll.register(sock, events)
    left = deadline - time.monotonic()
    ready = poll.poll(min(left, 2_000_000) * 1000 + 1) if left > 0 else []
    return ready[0][1] if ready else 0


def resolve(host: str, port: int, timeout: float) -> list[Address]:
    """The addresses of a name in the resolver's order, or of an address literal without asking anybody.

    getaddrinfo(3) knows no deadline, so a thread of its own does it; one that hangs is left behind.
    """
    literal = host.removeprefix("[").removesuffix("]")
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, literal)
            return [(family, (literal, port))]
    answers: list[list[Address] | TransportFault] = []
    thread = threading.Thread(target=look_up, args=(host, port, answers), daemon=True)
    thread.start()
    thread.join(timeout)
    if not answers:
        raise TransportFault(f"look-up of {host}: timed out")
    if isinstance(answers[0], TransportFault):
        raise answers[0]
    return answers[0]


def look_up(host: str, port: int, answers: list[list[Address] | TransportFault]) -> None:
    """Put the addresses of `host`, or the fault, into `answers`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answers.append(list(dict.fromkeys([(one[0], one[4]) for one in found])))
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        answers.append(TransportFault(f"look-up of {host}: {reason}"))


class Connection:
    """One connection. `doing` is what a fault says that we were doing; deadlines are monotonic seconds.

    sent   octets that were handed to the system so far, the handshake not counted
    """

    __slots__ = ("doing", "encrypted", "host", "local", "loopback", "peer", "sent", "sock")

    def __init__(self, sock: socket.socket, host: str, port: int) -> None:
        self.sock = sock
        self.host = host
        self.doing = "connecting"
        self.encrypted = False
        self.sent = 0
        address, self.local = str(sock.getpeername()[0]), str(sock.getsockname()[0])
        self.loopback = address == "::1" or address.removeprefix("::ffff:").startswith("127.")
        self.peer = f"{host}[{address}]:{port}"

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
                with contextlib.suppress(TransportFault):
                    self.hear(heard)  # a last word of the server, if there is one
                raise self.lost(error) from None

    def hear(self, heard: Callable[[bytes], None]) -> None:
        """What is there already, without waiting."""
        octets = self.try_receive()
        if octets:
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
        """The handshake; `name` is what the certificate must be for."""
        context = tls.context(setting)
        try:
            # A host name that is no domain name at all is a ValueError (UnicodeError) of the ssl module.
            self.sock = secured = context.wrap_socket(
                self.sock, server_hostname=setting.verify_name or name, do_handshake_on_connect=False
            )
            self.encrypted = True
            self.handshake(secured, deadline)
        except (OSError, ValueError) as error:
            raise TransportFault(tls.words(error)) from None
        if setting.fingerprint:
            tls.check_fingerprint(setting.fingerprint, secured.getpeercert(binary_form=True))

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
        if not wait(self.sock, events, deadline):
            raise TransportFault(f"timed out while {self.doing}")

    def lost(self, error: OSError) -> TransportFault:
        """The fault for a broken connection."""
        return TransportFault(f"lost connection while {self.doing}: {tls.words(error)}")

    def close(self) -> None:
        """Close; whatever was not sent is not sent."""
        self.sock.close()
