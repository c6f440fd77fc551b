"""The way to a server: names that do not resolve, addresses that do not answer, proxies, sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sendmail_py.relay import dialing, transport
from sendmail_py.relay.faults import TransportFault

from relay.flushing import World, setting, smarthost

# --- attempts -----------------------------------------------------------------------------------------------


def test_connecting_to_nobody_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(
        TransportFault, match=rf"connect to 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: Connection refused"
    ):
        dialing.dial(setting(connect_timeout=1.0), "127.0.0.1", port)


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
            dialing.dial(setting(connect_timeout=0.3), "127.0.0.1", listener.getsockname()[1])
        assert time.monotonic() - began < 2
        for one in waiting:
            one.close()


@pytest.mark.parametrize(
    ("host", "family"),
    [("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6), ("[2001:db8::1]", socket.AF_INET6)],
)
def test_a_literal_asks_nobody(host: str, family: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert dialing.resolve(host, 25, 1.0) == [(family, (host.strip("[]"), 25))]


def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> list[object]:
        time.sleep(1.5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    with pytest.raises(TransportFault, match=r"look-up of slow\.example: timed out"):
        dialing.resolve("slow.example", 25, 0.1)
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
        dialing.resolve("no.example", 25, 1.0)


def test_every_address_of_a_name_is_tried_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as closed,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        dead, port = closed.getsockname()[1], listener.getsockname()[1]
        closed.close()
        answers = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", number)) for number in (dead, dead, port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
        connection = dialing.dial(setting(), "mail.example", port)
        assert connection.getpeername()[1] == port
        connection.close()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers[:1])
        with pytest.raises(TransportFault, match="Connection refused"):
            dialing.dial(setting(), "mail.example", dead)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
        with pytest.raises(TransportFault, match="has no address"):
            dialing.dial(setting(), "mail.example", dead)


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes no more connections and does not say so."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield listener.getsockname()[1]


def test_an_address_that_does_not_answer_costs_a_moment_and_no_timeout() -> None:
    with silent() as port, socket.create_server(("127.0.0.1", 0)) as listener:
        places = [(socket.AF_INET, ("127.0.0.1", one)) for one in (port, listener.getsockname()[1])]
        began = time.monotonic()
        dialing.stagger("mail.example", places, 30.0).close()
        assert dialing.STAGGER <= time.monotonic() - began < 2


def test_the_first_of_two_slow_addresses_may_still_win() -> None:
    with silent() as port:
        places = [(socket.AF_INET, ("127.0.0.1", port))] * 2
        began = time.monotonic()
        with pytest.raises(TransportFault) as caught:
            dialing.stagger("mail.example", places, 0.5)
        assert str(caught.value).count("timed out") == 2
        assert time.monotonic() - began < 2


def test_families_take_turns() -> None:
    six = [(socket.AF_INET6, (f"2001:db8::{n}", 25)) for n in (1, 2, 3)]
    four = [(socket.AF_INET, (f"192.0.2.{n}", 25)) for n in (1, 2)]
    assert dialing.alternating([*six, *four], "") == [six[0], four[0], six[1], four[1], six[2]]
    assert dialing.alternating([*six, *four], "192.0.2.7") == four
    assert dialing.alternating(four, "2001:db8::7") == []


def test_the_own_address_is_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        dialing.dial(setting(source="127.0.0.9"), "127.0.0.1", port).close()
        other, (address, _) = listener.accept()
        other.close()
    assert address == "127.0.0.9"
    with pytest.raises(TransportFault, match=r"no address that can be reached from ::1"):
        dialing.dial(setting(source="::1"), "127.0.0.1", port)


# --- proxy --------------------------------------------------------------------------------------------------


class Proxy:
    """A SOCKS5 proxy that leads everywhere to `port`, or answers `code`; `asked` is what it was asked."""

    def __init__(self, port: int, code: int = 0, login: bytes = b"") -> None:
        self.login = login
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.code, self.asked = port, code, b""
        self.name = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        """One connection."""
        client, _ = self.listener.accept()
        with client:
            offered = client.recv(4)
            client.sendall(b"\x05\x02" if self.login else b"\x05\x00")
            if self.login:
                assert offered == b"\x05\x02\x00\x02"
                good = client.recv(300) == self.login
                client.sendall(b"\x01\x00" if good else b"\x01\x01")
                if not good:
                    return
            self.asked = client.recv(300)
            client.sendall(bytes([5, self.code, 0, 1]) + bytes(6))
            if self.code:
                return
            with socket.create_connection(("127.0.0.1", self.port)) as server:
                back = threading.Thread(target=pump, args=(server, client), daemon=True)
                back.start()
                pump(client, server)
                back.join(5)


def pump(source: socket.socket, target: socket.socket) -> None:
    """Octets from one to the other, until the end."""
    with contextlib.suppress(OSError):
        while octets := source.recv(65536):
            target.sendall(octets)
        target.shutdown(socket.SHUT_WR)


def test_mail_goes_by_the_proxy_which_looks_up_the_name(tmp_path: Path) -> None:
    with smarthost() as host:
        proxy = Proxy(host.port)
        world = World.beside(tmp_path, host, proxy=f"socks5://{proxy.name}")
        world.config.smarthosts[0].host = "mail.nowhere.example"
        world.put(b"r@y.example")
        assert world.flush().delivered == 1
    name = b"mail.nowhere.example"
    assert proxy.asked == b"\x05\x01\x00\x03" + bytes([len(name)]) + name + host.port.to_bytes(2, "big")
    proxy.thread.join(5)
    proxy.listener.close()


def test_a_proxy_that_refuses_says_why() -> None:
    proxy = Proxy(1, code=5)
    with pytest.raises(TransportFault, match=r"mail\.example:25 by proxy .*connection refused"):
        dialing.dial(setting(proxy=proxy.name), "mail.example", 25)
    proxy.listener.close()


@pytest.mark.parametrize(("password", "delivered"), [("geheim", 1), ("wrong", 0)])
def test_a_login_at_the_proxy(password: str, delivered: int, tmp_path: Path) -> None:
    with smarthost() as host:
        proxy = Proxy(host.port, login=b"\x01\x04greg\x06geheim")
        secret = tmp_path / "proxy-secret"
        secret.write_text(password)
        keys = {"proxy_user": "greg", "proxy_password_file": str(secret)}
        world = World.beside(tmp_path, host, proxy=f"socks5://{proxy.name}", **keys)
        world.put(b"r@y.example")
        summary = world.flush()
    assert summary.delivered == delivered
    assert summary.fault.endswith("" if delivered else f"by proxy {proxy.name}: login refused")
    assert password not in world.log
    proxy.listener.close()


def test_this_machine_behind_a_proxy_is_not_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener.getsockname()[1])
        connection = transport.connect(setting(proxy=proxy.name), "mail.example", 25)
        assert (connection.loopback, connection.peer) == (False, "mail.example:25")
        connection.close()
        proxy.listener.close()


# --- sockets of this machine --------------------------------------------------------------------------------


def test_a_path_is_a_socket_of_this_machine(tmp_path: Path) -> None:
    path = str(tmp_path / "smtp")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        connection = transport.connect(setting(), path, 0)
        assert (connection.peer, connection.loopback) == (path, True)
        assert connection.local_literal == b"[127.0.0.1]"
        connection.close()
    with pytest.raises(TransportFault, match=r"connect to /.*: Connection refused"):
        transport.connect(setting(), path, 0)
