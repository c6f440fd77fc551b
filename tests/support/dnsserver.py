"""A DNS server on loopback, UDP and TCP, that answers from a zone in text form, or not at all."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from sendmail_py.relay.resolver import Resolver

SILENT, BROKEN, FAILING, TRUNCATED = "silent", "broken", "failing", "truncated"


class Server:
    """Answers questions about `records`: lines `name TYPE data`.

    `moods`: by name in lower case, SILENT (never answers), BROKEN (octets that are no answer), FAILING
    (SERVFAIL), TRUNCATED (the whole answer by TCP only). `asked` are the questions so far, as `name TYPE`.
    """

    def __init__(self, records: str, moods: dict[str, str] | None = None) -> None:
        self.moods = moods or {}
        self.asked: list[str] = []
        self.zone: dict[tuple[str, str], list[str]] = {}
        for line in records.strip().splitlines():
            name, kind, data = line.split(None, 2)
            self.zone.setdefault((name.lower().rstrip("."), kind), []).append(data)
        self.udp, self.tcp = sockets()
        self.port: int = self.udp.getsockname()[1]
        for serve in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def resolver(self, one: float = 1.0, total: float = 5.0) -> Resolver:
        """Return a resolver that asks this server."""
        return Resolver([("127.0.0.1", self.port)], one, total)

    def serve_udp(self) -> None:
        """Answer datagrams until the socket is closed."""
        while True:
            try:
                octets, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            reply = self.reply(octets, tcp=False)
            if reply is not None:
                self.udp.sendto(reply, peer)

    def serve_tcp(self) -> None:
        """Answer one question a connection."""
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                (length,) = struct.unpack("!H", stream.read(2))
                reply = self.reply(stream.read(length), tcp=True)
                if reply is not None:
                    connection.sendall(struct.pack("!H", len(reply)) + reply)

    def reply(self, octets: bytes, tcp: bool) -> bytes | None:
        """Return the answer to a question in wire form, None for none."""
        query = dns.message.from_wire(octets)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        mood = self.moods.get(name)
        if mood == SILENT:
            return None
        if mood == BROKEN:
            return octets[:2] + b"\x81\x80nonsense"
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if mood == FAILING:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif mood == TRUNCATED and not tcp:
            response.flags |= dns.flags.TC
        else:
            self.fill(response, name, kind)
        return response.to_wire()

    def fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        """Put the records, or their absence, into a response."""
        data = self.zone.get((name, kind), [])
        if data:
            response.answer.append(dns.rrset.from_text(name + ".", 60, "IN", kind, *data))
        elif name.strip(".@") and not any(
            known == name or known.endswith("." + name) for known, _ in self.zone
        ):
            response.set_rcode(dns.rcode.NXDOMAIN)

    def close(self) -> None:
        """Stop answering."""
        self.udp.close()
        self.tcp.close()


def sockets() -> tuple[socket.socket, socket.socket]:
    """A datagram and a listening socket on the same free port."""
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:  # somebody else has that one
            udp.close()
            tcp.close()
            continue
        return udp, tcp


@contextmanager
def dns_server(records: str, moods: dict[str, str] | None = None) -> Iterator[Server]:
    """Run a server for a while."""
    server = Server(records, moods)
    try:
        yield server
    finally:
        server.close()
