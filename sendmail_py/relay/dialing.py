"""From a name to a connected socket: look-up, staggered attempts (RFC 8305), own address, proxy, Unix socket.

Guarantees: no call outlives its deadline, not even getaddrinfo(3); an address that does not answer costs a
quarter of a second and not a timeout when there is another one; a fault names the address that it is about.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
import socket
import time
from collections import deque

from sendmail_py.relay import hurry
from sendmail_py.relay.faults import StoppedFault, TransportFault
from sendmail_py.relay.hurry import NEVER, Hurry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.sasl import Login

    Address = tuple[int, tuple[str | int | bytes, ...]]

STAGGER = 0.25  # seconds that an address has for itself before the next one is tried, too (RFC 8305 5)
IN_PROGRESS = (errno.EINPROGRESS, errno.EINTR, errno.EAGAIN)
LONGEST_NAME = 255

SOCKS_FAULTS = {
    1: "general failure", 2: "not allowed", 3: "network unreachable", 4: "host unreachable",
    5: "connection refused", 6: "timed out", 7: "command not supported", 8: "address type not supported",
}  # fmt: skip


def dial(
    setting: SmartHost, host: str, port: int, stop: Hurry = NEVER, login: Login | None = None
) -> socket.socket:
    """A connected, non-blocking socket to a server, by the way that the setting says; TransportFault.

    `login` is for the proxy. StoppedFault as soon as `stop` says so.
    """
    timeout = setting.connect_timeout
    if host.startswith("/"):
        return dial_path(host, timeout)
    if not setting.proxy:
        return stagger(host, resolve(host, port, timeout, stop), timeout, setting.source, stop)
    name, _, proxy_port = setting.proxy.rpartition(":")
    sock = stagger(name, resolve(name, int(proxy_port), timeout, stop), timeout, setting.source, stop)
    try:
        socks(sock, host, port, time.monotonic() + timeout, stop, login)
    except StoppedFault:
        sock.close()
        raise
    except (OSError, TransportFault) as error:
        sock.close()
        reason = error.strerror or "timed out" if isinstance(error, OSError) else str(error)
        raise TransportFault(f"connect to {host}:{port} by proxy {setting.proxy}: {reason}") from None
    return sock


def dial_path(path: str, timeout: float) -> socket.socket:
    """A Unix socket (unix(7))."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise TransportFault(f"connect to {path}: {error.strerror or 'timed out'}") from None
    return sock


# --- attempts -----------------------------------------------------------------------------------------------


class Attempt:
    """A connection that is being opened; `deadline` in monotonic seconds."""

    __slots__ = ("deadline", "host", "peer", "sock")

    def __init__(self, host: str, address: Address, deadline: float, source: str) -> None:
        family, where = address
        self.deadline = deadline
        self.peer = peer_name(host, address)
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            self.sock.setblocking(False)
            if source:
                self.sock.bind((source, 0))
            code = self.sock.connect_ex(where)
            if code and code not in IN_PROGRESS:
                raise OSError(code, os.strerror(code))
        except OSError:
            self.sock.close()
            raise

    def fault(self) -> str:
        """What became of it: "" when it is open."""
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return f"connect to {self.peer}: {os.strerror(code)}" if code else ""


def peer_name(host: str, address: Address) -> str:
    """How a fault calls an address."""
    return f"{host}[{address[1][0]!s}]:{address[1][1]!s}"


def stagger(
    host: str, addresses: list[Address], timeout: float, source: str = "", stop: Hurry = NEVER
) -> socket.socket:
    """The first address that answers; each begins a moment after the one before, or when that has failed."""
    waiting = deque(alternating(addresses, source))
    reasons = [] if waiting else [f"{host} has no address that can be reached from {source or 'here'}"]
    begun: list[Attempt] = []
    turn = 0.0  # when the next one may begin
    try:
        while waiting or begun:
            now = time.monotonic()
            if waiting and (now >= turn or not begun):
                address = waiting.popleft()
                turn = now + STAGGER
                try:
                    begun.append(Attempt(host, address, now + timeout, source))
                except OSError as error:
                    reasons.append(f"connect to {peer_name(host, address)}: {error.strerror}")
                    turn = now
                continue
            until = min([turn] * bool(waiting) + [one.deadline for one in begun])
            for one in ready(begun, until, stop):
                fault = one.fault()
                if not fault:
                    begun.remove(one)
                    one.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # our writes are gathered
                    return one.sock
                reasons.append(fault)
                drop(begun, one)
                turn = 0.0
            for one in [one for one in begun if one.deadline <= time.monotonic()]:
                reasons.append(f"connect to {one.peer}: timed out")
                drop(begun, one)
    finally:
        for one in begun:
            one.sock.close()
    raise TransportFault("; ".join(reasons))


def drop(begun: list[Attempt], one: Attempt) -> None:
    """Give an attempt up."""
    begun.remove(one)
    one.sock.close()


def ready(begun: list[Attempt], until: float, stop: Hurry) -> list[Attempt]:
    """The attempts that came to an end, [] when there is none until then (monotonic seconds)."""
    poll = select.poll()
    for one in begun:
        poll.register(one.sock, select.POLLOUT)
    found = {fd for fd, _ in hurry.poll(poll, until, stop)}
    return [one for one in begun if one.sock.fileno() in found]


def alternating(addresses: list[Address], source: str) -> list[Address]:
    """The addresses with the families in turn, the resolver's first choice first (RFC 8305 4).

    With an own address only those that it can reach.
    """
    families = list(dict.fromkeys([family for family, _ in addresses]))
    if source:
        families = [socket.AF_INET6 if ":" in source else socket.AF_INET]
    lists = [[one for one in addresses if one[0] == family] for family in families]
    return [one for row in itertools.zip_longest(*lists) for one in row if one is not None]


# --- SOCKS5 (RFC 1928) --------------------------------------------------------------------------------------


def socks(
    sock: socket.socket,
    host: str,
    port: int,
    deadline: float,
    stop: Hurry = NEVER,
    login: Login | None = None,
) -> None:
    """Have the proxy at the other end connect to a host, whose name it looks up; OSError, TransportFault."""
    name = host.encode("idna") if not host.isascii() else host.encode()
    if len(name) > LONGEST_NAME:
        raise TransportFault("the name is too long for the proxy")
    sock.sendall(b"\x05\x02\x00\x02" if login else b"\x05\x01\x00")
    chosen = exactly(sock, 2, deadline, stop)
    if chosen == b"\x05\x02" and login:
        log_in(sock, login, deadline, stop)
    elif chosen != b"\x05\x00":
        raise TransportFault("not a SOCKS5 proxy, or it wants a login")
    sock.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + port.to_bytes(2, "big"))
    version, code, _, kind = exactly(sock, 4, deadline, stop)
    if version != 5 or code:
        raise TransportFault(SOCKS_FAULTS.get(code, f"reply {code}"))
    length = {1: 4, 4: 16}.get(kind) or exactly(sock, 1, deadline, stop)[0]
    exactly(sock, length + 2, deadline, stop)


def log_in(sock: socket.socket, login: Login, deadline: float, stop: Hurry) -> None:
    """User and password (RFC 1929 2); OSError, TransportFault."""
    words = (login.user, login.password)
    if any(len(word) > LONGEST_NAME for word in words):
        raise TransportFault("user or password is too long for the proxy")
    sock.sendall(b"\x01" + b"".join([bytes([len(word)]) + word for word in words]))
    if exactly(sock, 2, deadline, stop)[1]:
        raise TransportFault("login refused")


def exactly(sock: socket.socket, count: int, deadline: float, stop: Hurry) -> bytes:
    """So many octets; OSError."""
    octets = b""
    while len(octets) < count:
        if not wait(sock, select.POLLIN, deadline, stop):
            raise TimeoutError(errno.ETIMEDOUT, "timed out")
        more = sock.recv(count - len(octets))
        if not more:
            raise ConnectionResetError(errno.ECONNRESET, "lost connection")
        octets += more
    return octets


def wait(sock: socket.socket, events: int, deadline: float, stop: Hurry = NEVER) -> int:
    """Wait for `events`; the ones that came, 0 when the deadline (monotonic seconds) passed. StoppedFault."""
    poll = select.poll()
    poll.register(sock, events)
    found = hurry.poll(poll, deadline, stop) if deadline > time.monotonic() else []
    return found[0][1] if found else 0


# --- names --------------------------------------------------------------------------------------------------


def resolve(host: str, port: int, timeout: float, stop: Hurry = NEVER) -> list[Address]:
    """The addresses of a name in the resolver's order, or of an address literal without asking anybody.

    getaddrinfo(3) knows no deadline, so a thread of its own does it; one that hangs is left behind.
    """
    literal = host.removeprefix("[").removesuffix("]")
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, literal)
            return [(family, (literal, port))]
    answers: list[list[Address] | TransportFault] = []
    thread = hurry.begin(lambda: look_up(host, port, answers), "look-up")
    if thread is None:
        raise TransportFault(f"look-up of {host}: too many processes")
    end = time.monotonic() + timeout
    while thread.is_alive() and (left := end - time.monotonic()) > 0:
        thread.join(left if stop.over else min(left, hurry.MOMENT))
        if stop():
            raise StoppedFault("the run was asked to end")
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
