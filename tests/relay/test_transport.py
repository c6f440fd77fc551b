"""Sockets: deadlines that hold, pipes that are full, names that do not resolve, faults in words."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from sendmail_py.relay import transport
from sendmail_py.relay.faults import TransportFault
from sendmail_py.relay.transport import Connection

from relay.flushing import setting


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection of ours and the other end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = transport.connect(setting(), "127.0.0.1", listener.getsockname()[1])
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


def test_all_that_a_server_said_before_it_hung_up_is_heard(
    pair: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than one read takes, and in spite of the reset that its unread input causes."""
    monkeypatch.setattr(transport, "PIECE", 1000)
    connection, other = pair
    connection.send(b"x" * 1000, soon(), lambda octets: None)
    said = b"".join(b"250 %06d\r\n" % n for n in range(1_000))
    other.sendall(said)
    time.sleep(0.1)  # what is still on its way would be lost with the reset
    other.close()
    heard = bytearray()
    with pytest.raises(TransportFault, match="lost connection"):
        while True:
            connection.send(b"more", soon(), heard.extend)
    assert heard == said


def test_a_server_that_talks_without_end_is_not_heard_without_end(
    pair: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "try_receive", lambda self: b"220-x\r\n")
    heard: list[bytes] = []
    pair[0].hear_out(heard.append)
    assert len(heard) == transport.MOST_LAST_WORDS
