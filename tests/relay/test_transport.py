"""Sockets: deadlines that hold, pipes that are full, names that do not resolve, faults in words."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sendmail_py.relay import transport
from sendmail_py.relay.faults import TransportFault
from sendmail_py.relay.transport import Connection


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection of ours and the other end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = transport.connect("127.0.0.1", listener.getsockname()[1], 2.0)
        other, _ = listener.accept()
        with other:
            yield connection, other
        connection.close()


def soon(seconds: float = 2.0) -> float:
    return time.monotonic() + seconds


def test_names_itself_and_its_peer(pair: tuple[Connection, socket.socket]) -> None:
    connection, other = pair
    assert connection.peer == f"127.0.0.1[127.0.0.1]:{other.getsockname()[1]}"
    assert connection.local_literal == b"[127.0.0.1]"
    assert connection.loopback


@pytest.mark.parametrize(
    ("local", "literal"),
    [
        ("192.0.2.1", b"[192.0.2.1]"),
        ("2001:db8::1", b"[IPv6:2001:db8::1]"),
        ("fe80::1%eth0", b"[IPv6:fe80::1]"),
    ],
)
def test_address_literals(local: str, literal: bytes, pair: tuple[Connection, socket.socket]) -> None:
    pair[0].local = local
    assert pair[0].local_literal == literal


def test_receives_what_is_there(pair: tuple[Connection, socket.socket]) -> None:
    connection, other = pair
    other.sendall(b"220 hi\r\n")
    assert connection.receive(soon()) == b"220 hi\r\n"
    heard: list[bytes] = []
    connection.hear(heard.append)
    assert heard == []


def test_silence_ends_at_the_deadline(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    connection.doing = "waiting for the reply to EHLO command"
    began = time.monotonic()
    with pytest.raises(TransportFault, match="timed out while waiting for the reply to EHLO command"):
        connection.receive(soon(0.1))
    assert time.monotonic() - began < 1


def test_a_closed_connection_is_lost(pair: tuple[Connection, socket.socket]) -> None:
    connection, other = pair
    connection.doing = "sending the message"
    other.close()
    with pytest.raises(TransportFault, match="lost connection while sending the message"):
        connection.receive(soon())


def test_two_full_pipes_do_not_wait_for_each_other(pair: tuple[Connection, socket.socket]) -> None:
    connection, other = pair
    octets = b"x" * 20_000_000
    heard: list[bytes] = []
    received = 0

    def serve() -> None:
        nonlocal received
        other.sendall(octets)  # says everything before it listens
        while received < len(octets):
            received += len(other.recv(1 << 20))

    thread = threading.Thread(target=serve)
    thread.start()
    connection.send(octets, soon(20), heard.append)
    thread.join(20)
    assert received == len(octets)
    assert sum(map(len, heard)) > 0


def test_a_peer_that_does_not_read_ends_at_the_deadline(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    began = time.monotonic()
    with pytest.raises(TransportFault, match="timed out"):
        connection.send(b"x" * 50_000_000, soon(0.2), lambda octets: None)
    assert time.monotonic() - began < 2


def test_a_peer_that_reads_too_slowly_ends_at_the_deadline(pair: tuple[Connection, socket.socket]) -> None:
    connection, other = pair
    stop = threading.Event()

    def sip() -> None:
        while not stop.is_set():
            other.recv(1000)
            time.sleep(0.005)

    thread = threading.Thread(target=sip)
    thread.start()
    began = time.monotonic()
    with pytest.raises(TransportFault, match="timed out"):
        connection.send(b"x" * 50_000_000, soon(0.4), lambda octets: None)
    assert time.monotonic() - began < 3
    stop.set()
    other.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_the_last_word_of_a_server_that_hangs_up_is_heard(pair: tuple[Connection, socket.socket]) -> None:
    connection, other = pair
    heard: list[bytes] = []
    other.sendall(b"421 too much\r\n")
    other.shutdown(socket.SHUT_WR)
    with pytest.raises(TransportFault, match="lost connection"):
        connection.send(b"x" * 50_000_000, soon(5), heard.append)
    assert b"".join(heard) == b"421 too much\r\n"


def test_connecting_to_nobody_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(
        TransportFault, match=rf"connect to 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: Connection refused"
    ):
        transport.connect("127.0.0.1", port, 1.0)


def test_connecting_ends_at_the_deadline() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):  # fill the backlog, so that the next SYN gets no answer
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)
        time.sleep(0.05)
        began = time.monotonic()
        with pytest.raises(TransportFault, match="timed out"):
            transport.connect("127.0.0.1", listener.getsockname()[1], 0.3)
        assert time.monotonic() - began < 2
        for one in waiting:
            one.close()


@pytest.mark.parametrize(
    ("host", "family"),
    [("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6), ("[2001:db8::1]", socket.AF_INET6)],
)
def test_a_literal_asks_nobody(host: str, family: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert transport.resolve(host, 25, 1.0) == [(family, (host.strip("[]"), 25))]


def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> list[object]:
        time.sleep(1.5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    with pytest.raises(TransportFault, match=r"look-up of slow\.example: timed out"):
        transport.resolve("slow.example", 25, 0.1)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(-2, "Name or service not known"),
        UnicodeError("label too long"),
        OSError(5, "I/O error"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_name_that_does_not_resolve_is_a_fault(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(TransportFault, match=r"look-up of no\.example: "):
        transport.resolve("no.example", 25, 1.0)


def test_every_address_of_a_name_is_tried_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as closed,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        dead, port = closed.getsockname()[1], listener.getsockname()[1]
        closed.close()
        answers = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", number)) for number in (dead, dead, port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
        connection = transport.connect("mail.example", port, 1.0)
        assert connection.peer == f"mail.example[127.0.0.1]:{port}"
        connection.close()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers[:1])
        with pytest.raises(TransportFault, match="Connection refused"):
            transport.connect("mail.example", dead, 1.0)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
        with pytest.raises(TransportFault, match="has no address"):
            transport.connect("mail.example", dead, 1.0)
