"""The flush against servers that we did not write: Exim, OpenSMTPD, Dovecot, three Postfix behind SRV."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.resolver
import pytest

from relay.flushing import World
from support.dnsserver import dns_server
from support.needs import needs
from support.postfix import Postfix
from support.servers import PASSWORD, USER, Dovecot, Exim, OpenSMTPD, Server
from support.smarthost import USUAL_EXTENSIONS, SmartHost

BODY = b"Gr\xc3\xbc\xc3\x9fe\n.\n..\n.dot\n\ntrailing blank \n" + b"x" * 900 + b"\n"
SENDER = b"greg@isp.example"
CLEAR = {"tls": "none", "user": "", "password": ""}


@pytest.fixture(scope="module")
def behind() -> Iterator[SmartHost]:
    """Where Dovecot hands mail on to."""
    with SmartHost(extensions=[*USUAL_EXTENSIONS, "CHUNKING"]) as host:
        yield host


@pytest.fixture(scope="module")
def exim() -> Iterator[Exim]:
    """One instance for the module."""
    with Exim() as server:
        yield server


@pytest.fixture(scope="module")
def opensmtpd() -> Iterator[OpenSMTPD]:
    """One instance for the module."""
    with OpenSMTPD() as server:
        yield server


@pytest.fixture(scope="module")
def dovecot(behind: SmartHost) -> Iterator[Dovecot]:
    """One instance for the module."""
    with Dovecot(behind.port) as server:
        yield server


def world_of(folder: Path, server: Server, **keys: object) -> World:
    """A world whose smart host is that server."""
    table = {
        "name": "isp", "host": "localhost", "port": server.port, "user": USER, "password": PASSWORD,
        "ca_file": server.ca_file,
    }  # fmt: skip
    return World(folder, {key: value for key, value in (table | keys).items() if value != ""})


def put(world: World, count: int, *recipients: bytes) -> None:
    """Queue numbered messages."""
    for number in range(count):
        content = b"Subject: number %d\r\n\r\n" % number + BODY.replace(b"\n", b"\r\n")
        world.put(*(recipients or (b"reader@elsewhere.example",)), sender=SENDER, content=content)


def numbers(messages: list[bytes]) -> list[int]:
    """The numbers of messages, sorted."""
    found = [re.search(rb"^Subject: number (\d+)\r?$", one, re.MULTILINE) for one in messages]
    return sorted(int(one[1]) for one in found if one)


def arrivals(server: Server, host: SmartHost) -> Callable[[int], list[bytes]]:
    """How to get what arrived since now."""
    if isinstance(server, Dovecot):
        handed_on = len(host.messages)
        return lambda count: [one.data for one in host.messages[handed_on : handed_on + count]]
    before = set(server.messages())
    return lambda count: [one for one in server.wait_for(len(before) + count) if one not in before]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("name", ["exim", "dovecot"])
def test_a_server_takes_mail(
    name: str, tls: str, mechanism: str, tmp_path: Path, request: pytest.FixtureRequest, behind: SmartHost
) -> None:
    server: Server = request.getfixturevalue(name)
    port = server.port if tls == "starttls" else server.tls_port
    world = world_of(tmp_path, server, tls=tls, port=port, auth=[mechanism])
    arrived = arrivals(server, behind)
    put(world, 3)
    summary = world.flush()
    assert (summary.delivered, summary.fault) == (3, ""), server.log()
    messages = arrived(3)
    assert numbers(messages) == [0, 1, 2]
    assert all(one.replace(b"\r\n", b"\n").partition(b"\n\n")[2] == BODY for one in messages)


@pytest.mark.parametrize("name", ["exim", "opensmtpd", "dovecot"])
def test_many_messages_arrive_once(
    name: str, tmp_path: Path, request: pytest.FixtureRequest, behind: SmartHost
) -> None:
    server: Server = request.getfixturevalue(name)
    world = world_of(tmp_path, server, **(CLEAR if name == "opensmtpd" else {}))
    arrived = arrivals(server, behind)
    put(world, 100)
    summary = world.flush()
    assert (summary.delivered, summary.fault) == (100, ""), server.log()[-4000:]
    assert numbers(arrived(100)) == list(range(100))
    assert world.files() == []


@pytest.mark.parametrize("name", ["exim", "dovecot"])
def test_a_server_that_knows_chunks_gets_them(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    world = world_of(tmp_path, request.getfixturevalue(name))
    put(world, 1)
    world.flush()
    assert Path(world.directory, "servers").read_text().split("\t")[2] == "yes"
    assert any(line.startswith("C: BDAT ") and line.endswith(" LAST") for line in world.transcript[-8:])


@pytest.mark.parametrize("name", ["exim", "dovecot"])
def test_a_wrong_password_keeps_the_mail(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    world = world_of(tmp_path, request.getfixturevalue(name), password="wrong")
    put(world, 2)
    assert "login refused: 535" in world.flush().fault
    assert len(world.queued()) == 2


def test_a_server_without_pipelining_is_served_in_lock_step(tmp_path: Path, opensmtpd: OpenSMTPD) -> None:
    before = set(opensmtpd.messages())
    world = world_of(tmp_path, opensmtpd, **CLEAR)
    put(world, 2)
    put(world, 1, b"nobody@isp.example")
    summary = world.flush()
    assert (summary.delivered, summary.failed, summary.fault) == (2, 1, ""), opensmtpd.log()
    messages = [one for one in opensmtpd.wait_for(len(before) + 2) if one not in before]
    assert numbers(messages) == [0, 1]
    assert all(one.partition(b"\n\n")[2] == BODY for one in messages)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_server_that_cannot_encrypt_gets_nothing(
    tls: str, mechanism: str, tmp_path: Path, opensmtpd: OpenSMTPD
) -> None:
    needs("openssl")
    before = set(opensmtpd.messages())
    port = opensmtpd.auth_port if tls == "starttls" else opensmtpd.tls_port
    world = world_of(tmp_path, opensmtpd, tls=tls, port=port, auth=[mechanism])
    put(world, 3)
    summary = world.flush()
    if opensmtpd.has_tls():
        assert (summary.delivered, summary.fault) == (3, ""), opensmtpd.log()
        assert numbers([one for one in opensmtpd.wait_for(len(before) + 3) if one not in before]) == [0, 1, 2]
    else:
        assert summary.fault
        assert len(world.queued()) == 3
        assert not any("AUTH" in line for line in world.transcript if line.startswith("C:"))


def test_a_refused_recipient_is_the_only_one(tmp_path: Path, exim: Exim) -> None:
    world = world_of(tmp_path, exim)
    arrived = arrivals(exim, None)  # type: ignore[arg-type]
    put(world, 3, b"nobody@isp.example")
    put(world, 3, b"nobody@isp.example", b"reader@elsewhere.example")
    summary = world.flush()
    assert (summary.delivered, summary.failed) == (3, 6)
    assert numbers(arrived(3)) == [0, 1, 2]


def test_lmtp_by_a_socket(tmp_path: Path, dovecot: Dovecot) -> None:
    before = len(dovecot.messages())
    world = world_of(tmp_path, dovecot, host=dovecot.lmtp, protocol="lmtp", port="", **CLEAR)
    put(world, 3, b"a@isp.example", b"b@isp.example")
    summary = world.flush()
    assert (summary.delivered, summary.fault) == (6, ""), dovecot.log()
    assert numbers(dovecot.wait_for(before + 6)[before:]) == [0, 0, 1, 1, 2, 2]
    assert dovecot.lmtp in world.log


# --- three smart hosts, one of which goes away --------------------------------------------------------------

MANY = 2000


@pytest.mark.parametrize("chunks", [False, True], ids=["data", "chunks"])
def test_all_arrive_when_one_of_three_servers_is_stopped(
    chunks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = {USER: PASSWORD}
    with Postfix(users) as one, Postfix(users) as two, Postfix(users) as three:
        running = {server.port: server for server in (one, two, three)}
        records = "\n".join(f"_submission._tcp.isp.example SRV 0 1 {port} localhost." for port in running)
        trust = tmp_path / "trust.pem"
        trust.write_text("".join(Path(server.ca_file).read_text() for server in running.values()))
        table = {"name": "isp", "host": "isp.example", "lookup": "srv", "user": USER, "password": PASSWORD}
        more = {"verify_name": "localhost", "ca_file": str(trust)}
        world = World(tmp_path, table | more)
        put(world, MANY)
        if not chunks:
            monkeypatch.setattr("sendmail_py.relay.chunking.is_possible", lambda server: False)
        with dns_server(records) as names:
            use(names, monkeypatch)
            stopped: list[Postfix] = []
            stopping = threading.Thread(target=stop_one, args=(world, running, stopped))
            stopping.start()
            summaries = [world.flush()]
            stopping.join()
            while world.queued():
                assert len(summaries) < 5, summaries[-1].fault
                summaries.append(world.flush(force=True))
        assert sum(one.delivered for one in summaries) == MANY
        stopped[0].start_again()  # what it had taken is in its queue
        arrived = Counter(numbers(wait_for(list(running.values()), MANY)))
    assert sorted(arrived) == list(range(MANY))
    twice = [number for number, count in arrived.items() if count > 1]
    assert len(twice) <= world.log.count("answer unknown") <= (32 if chunks else 2)


def use(names: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have that server asked."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.nameserver_ports = {"127.0.0.1": names.port}
    monkeypatch.setattr(dns.resolver, "Resolver", lambda: resolver)


def stop_one(world: World, running: dict[int, Postfix], stopped: list[Postfix]) -> None:
    """Stop the server that gets mail when a quarter is through."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        sent = re.findall(r"relay=localhost\[[0-9.:]+\]:(\d+),.* status=sent", world.log)
        if len(sent) > MANY // 4:
            stopped.append(running[int(sent[-1])])
            stopped[0].abort()
            return
        time.sleep(0.05)


def wait_for(servers: list[Postfix], count: int) -> list[bytes]:
    """What all of them got, when there are so many different ones."""
    end = time.monotonic() + 120
    while True:
        messages = [message for server in servers for message in server.messages()]
        if len(set(numbers(messages))) >= count or time.monotonic() > end:
            return messages
        time.sleep(0.5)
