"""One connection of the scripted smart host: lines and octets in, replies out in whole flights, delayed."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from typing import Protocol


class EndedError(Exception):
    """The session is over: the client left, a script closed it, or the test ended."""


class Line(Protocol):
    """What the wire must know of its host."""

    delay: float
    one_octet_at_a_time: bool
    context: ssl.SSLContext | None
    stopping: threading.Event
    lock: threading.Lock
    violations: list[str]
    round_trips: int


class Wire:
    """The connection: lines and octets in, replies out, all that is ready in one flight and `delay` late."""

    def __init__(self, host: Line, connection: socket.socket) -> None:
        self.host, self.socket = host, connection
        self.buffer = bytearray()
        self.outbox: list[tuple[float, bytes]] = []
        self.answered = False
        self.arrival = time.monotonic()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def put(self, octets: bytes) -> None:
        """Queue a reply; it leaves when everything that has arrived is answered."""
        self.outbox.append((self.arrival + self.host.delay, octets))

    def read_line(self) -> bytes:
        """Return the next line without its CRLF or LF; a bare LF is a violation."""
        scanned = 0
        while (end := self.buffer.find(b"\n", scanned)) < 0:
            scanned = len(self.buffer)
            self.fill()
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        if not line.endswith(b"\r"):
            self.host.violations.append(f"a command that ends in a bare LF: {line[:80]!r}")
        return line.removesuffix(b"\r")

    def read_octets(self, count: int) -> bytes:
        """Return exactly `count` octets."""
        while len(self.buffer) < count:
            self.fill()
        octets = bytes(self.buffer[:count])
        del self.buffer[:count]
        return octets

    def read_mail_data(self) -> bytes:
        """Return the octets up to the line that is a lone dot, still dot-stuffed, without that line."""
        head = bytearray(b"\r\n")
        scanned = 0
        self.buffer[:0] = head  # so that a dot on the very first line is found by the same search
        while (end := self.buffer.find(b"\r\n.\r\n", scanned)) < 0:
            scanned = max(0, len(self.buffer) - 4)
            self.fill()
        stuffed = bytes(self.buffer[: end + 2])
        del self.buffer[: end + 5]
        return stuffed

    def fill(self) -> None:
        """Send what is due and wait for input; raises EndedError when the client left or the test ends."""
        while True:
            self._send_due()
            if not self.outbox:
                break
            if self._readable(max(0.0, self.outbox[0][0] - time.monotonic())):
                break
        octets = self.socket.recv(1 << 18)
        if not octets:
            raise EndedError
        if self.answered and not self.outbox:
            with self.host.lock:
                self.host.round_trips += 1
            self.answered = False
        self.arrival = time.monotonic()
        self.buffer += octets

    def flush(self) -> None:
        """Send everything queued, each when it is due."""
        while self.outbox:
            self.pause(self.outbox[0][0] - time.monotonic())
            self._send_due()

    def send(self, octets: bytes) -> None:
        """Send at once."""
        self.answered = True
        if not self.host.one_octet_at_a_time:
            self.socket.sendall(octets)
            return
        for at in range(len(octets)):
            self.socket.sendall(octets[at : at + 1])

    def drip(self, octets: bytes, seconds: float) -> None:
        """Send one octet after the other with a pause between."""
        self.answered = True
        for at in range(len(octets)):
            self.socket.sendall(octets[at : at + 1])
            self.pause(seconds)

    def start_tls(self) -> None:
        """Shake hands as the server; input that came too early is thrown away (RFC 3207 section 4.2)."""
        if self.buffer:
            self.host.violations.append(f"input before the TLS handshake: {bytes(self.buffer[:80])!r}")
            self.buffer.clear()
        assert self.host.context is not None
        self.pause(self.host.delay)
        self.socket = self.host.context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self.socket.do_handshake()
        self.answered, self.arrival = False, time.monotonic()

    def _send_due(self) -> None:
        now = time.monotonic()
        due = [octets for when, octets in self.outbox if when <= now]
        if due:
            del self.outbox[: len(due)]
            self.send(b"".join(due))

    def _readable(self, timeout: float) -> bool:
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        ready = select.poll()  # not select: a test may hold a thousand descriptors
        ready.register(self.socket, select.POLLIN)
        return bool(ready.poll(timeout * 1000))

    def pause(self, seconds: float) -> None:
        """Wait; raises EndedError when the test ends meanwhile."""
        if seconds > 0 and self.host.stopping.wait(seconds):
            raise EndedError


def close_hard(connection: socket.socket) -> None:
    """Wake whoever waits on the socket, and close it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
