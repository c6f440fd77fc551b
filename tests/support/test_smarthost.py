"""The scripted smart host against a client that we did not write, and its own rules on raw sockets."""

from __future__ import annotations

import smtplib
import socket
import ssl
import time

import pytest

from support.certificates import Authority
from support.script import Close, Drip, Extra, Flood, Stall
from support.smarthost import SmartHost


def raw(host: SmartHost) -> socket.socket:
    return socket.create_connection(("127.0.0.1", host.port), timeout=5)


def read(connection: socket.socket, count: int) -> bytes:
    octets = b""
    while octets.count(b"\n") < count:
        piece = connection.recv(4096)
        if not piece:
            break
        octets += piece
    return octets


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
@pytest.mark.parametrize("octets", [False, True])
def test_takes_a_message_from_smtplib(tls: str, octets: bool) -> None:
    authority = Authority()
    with SmartHost(tls=tls, authority=authority, users={"greg": "pa ss"}, one_octet_at_a_time=octets) as host:
        context: ssl.SSLContext = authority.client_context()
        client = (
            smtplib.SMTP_SSL("localhost", host.port, context=context, timeout=5)
            if tls == "implicit"
            else smtplib.SMTP("localhost", host.port, timeout=5)
        )
        with client:
            if tls == "starttls":
                client.starttls(context=context)
            client.login("greg", "pa ss")
            client.sendmail("a@example.net", ["b@example.net"], b"Subject: x\r\n\r\n.dot\r\n..\r\n")
    message = host.messages[0]
    assert (message.mail_from, message.rcpts) == (b"a@example.net", [(b"b@example.net", [])])
    assert message.data == b"Subject: x\r\n\r\n.dot\r\n..\r\n"
    assert (message.tls, message.login, message.session) == (tls != "none", "greg", 1)
    assert (host.connections, host.logins, host.violations) == (1, 1, [])


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("password", ["right", "wrong"])
def test_verifies_passwords(mechanism: str, password: str) -> None:
    with SmartHost(users={"greg": "right"}, mechanisms=[mechanism]) as host:
        with smtplib.SMTP("127.0.0.1", host.port, timeout=5) as client:
            if password == "right":
                client.login("greg", password)
            else:
                with pytest.raises(smtplib.SMTPAuthenticationError):
                    client.login("greg", password)
    assert (host.logins, host.auth_attempts) == (int(password == "right"), 1)


def test_counts_one_round_trip_for_commands_that_arrive_together() -> None:
    with SmartHost() as host, raw(host) as connection:
        read(connection, 1)
        connection.sendall(b"EHLO here\r\n")
        read(connection, 6)
        connection.sendall(b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n")
        read(connection, 3)
        connection.sendall(b"hello\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n")
        assert read(connection, 4).splitlines()[-1].startswith(b"354")
        connection.sendall(b".\r\nQUIT\r\n")
        read(connection, 2)
    assert [message.data for message in host.messages] == [b"hello\r\n", b""]
    assert (host.round_trips, host.violations) == (4, [])


def test_every_flight_takes_the_delay_once() -> None:
    with SmartHost(delay=0.05) as host:
        start = time.monotonic()
        with raw(host) as connection:
            read(connection, 1)
            connection.sendall(b"EHLO here\r\n")
            read(connection, 6)
            connection.sendall(b"NOOP\r\n" * 20)
            read(connection, 20)
        assert 0.2 <= time.monotonic() - start < 0.3


def test_notes_input_behind_data() -> None:
    with SmartHost() as host, raw(host) as connection:
        connection.sendall(b"EHLO here\r\n")
        read(connection, 7)
        connection.sendall(b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nhello\r\n.\r\n")
        read(connection, 4)
    assert any("RFC 2920" in text for text in host.violations)


def test_serves_chunks_and_drops_refused_ones() -> None:
    with SmartHost(extensions=["PIPELINING", "CHUNKING"]) as host, raw(host) as connection:
        connection.sendall(b"EHLO here\r\n")
        read(connection, 4)
        connection.sendall(b"BDAT 5\r\nQUITx")
        assert read(connection, 1).startswith(b"503")
        connection.sendall(b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nBDAT 3\r\nabcBDAT 2 LAST\r\n\r\n")
        assert read(connection, 4).count(b"250 ") == 4
    assert host.messages[0].data == b"abc\r\n"


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        (b"250-x\r\n250 y\r\n", b"250-x\r\n250 y\r\n"),
        (b"\xff\0\r\n", b"\xff\0\r\n"),
        (Extra(b"250 ok", b"220 what"), b"250 ok\r\n220 what\r\n"),
        (Close(after=b"250-"), b"250-"),
        (Close(reset=False), b""),
        (Drip(b"250 slow\r\n", 0.001), b"250 slow\r\n"),
        (b"421 4.3.2 Shutting down", b"421 4.3.2 Shutting down\r\n"),
    ],
)
def test_plays_the_script(action: object, answer: bytes) -> None:
    with SmartHost(replies={b"noop": action}) as host, raw(host) as connection:  # type: ignore[dict-item]
        read(connection, 1)
        connection.sendall(b"NOOP\r\n")
        assert read(connection, answer.count(b"\n") or 1) == answer


def test_an_exhausted_list_gives_way_to_the_usual_answer() -> None:
    with SmartHost(replies={b"NOOP": [b"450 later", None, b"550 no"]}) as host, raw(host) as connection:
        read(connection, 1)
        connection.sendall(b"NOOP\r\n" * 4)
        assert [line[:3] for line in read(connection, 4).splitlines()] == [b"450", b"250", b"550", b"250"]


def test_a_stalled_and_a_flooding_session_end_with_the_test() -> None:
    start = time.monotonic()
    with SmartHost(replies={b"NOOP": Stall(), b"VRFY": Flood()}) as host:
        with raw(host) as one, raw(host) as other:
            one.sendall(b"NOOP\r\n")
            other.sendall(b"VRFY x\r\n")
            read(other, 1000)
    assert time.monotonic() - start < 2


def test_the_longest_key_counts_and_refused_recipients_are_left_out() -> None:
    replies = {b"RCPT": b"450 later", b"RCPT TO:<good": b"250 yes"}
    with SmartHost(replies=replies) as host, raw(host) as connection:  # type: ignore[arg-type]
        connection.sendall(b"EHLO here\r\n")
        read(connection, 7)
        connection.sendall(b"MAIL FROM:<>\r\nRCPT TO:<bad@x.example>\r\nRCPT TO:<good@x.example>\r\nDATA\r\n")
        read(connection, 4)
        connection.sendall(b"x\r\n.\r\n")
        read(connection, 1)
    assert host.recipients() == [b"good@x.example"]


def test_a_lost_answer_can_leave_the_message_with_the_host() -> None:
    with SmartHost(replies={b".": [Close(accepted=True), Close()]}) as host:
        for _ in range(2):
            with raw(host) as connection:
                connection.sendall(b"EHLO here\r\n")
                read(connection, 7)
                connection.sendall(b"MAIL FROM:<>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n")
                read(connection, 3)
                connection.sendall(b"x\r\n.\r\n")
                assert read(connection, 1) == b""
    assert (len(host.messages), len(host.refused)) == (1, 1)
