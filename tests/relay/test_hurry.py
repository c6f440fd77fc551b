"""Who has no mail in hand does not wait for look-ups and commands when the run is to end."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from sendmail_py.relay import credentials, dane, dialing, hurry, mx, opening
from sendmail_py.relay.faults import StoppedFault, TransportFault
from sendmail_py.relay.hurry import NEVER, Hurry
from sendmail_py.relay.smarthost import Endpoint

from relay.flushing import World, setting, smarthost

PROMPT = 5.0  # seconds, of a wait that would be a minute


def soon() -> Hurry:
    """Somebody asks for the end in a moment."""
    begin = time.monotonic()
    return Hurry(lambda: time.monotonic() - begin > 0.2)


def test_what_is_found_or_wrong_is_told() -> None:
    def fail() -> None:
        raise TransportFault("no such domain")

    for stop in (NEVER, Hurry(lambda: False)):
        assert hurry.beside(lambda: 42, stop) == 42
        with pytest.raises(TransportFault, match="no such domain"):
            hurry.beside(fail, stop)


def test_without_a_wish_to_end_no_thread_is_begun() -> None:
    assert hurry.beside(threading.current_thread, NEVER) is threading.current_thread()


@pytest.mark.parametrize("lookup", ["mx", "srv"])
def test_a_look_up_of_servers_is_given_up(lookup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(mx, "exchangers", lambda domain: never.wait(60))
    monkeypatch.setattr(mx, "services", lambda domain, service: never.wait(60))
    begin = time.monotonic()
    with pytest.raises(StoppedFault):
        opening.endpoints(setting(lookup=lookup), soon())
    assert time.monotonic() - begin < PROMPT
    never.set()


def test_a_look_up_of_certificates_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(dane, "records", lambda host, port: never.wait(60))
    begin = time.monotonic()
    with pytest.raises(StoppedFault):
        opening.trusted(setting(dane=True), Endpoint("isp.example", 587, "isp.example"), soon())
    assert time.monotonic() - begin < PROMPT
    never.set()


def test_a_password_command_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = ["sh", "-c", f"echo $$ > {pid}; exec sleep 60"]
    begin = time.monotonic()
    with pytest.raises(StoppedFault):
        credentials.login(setting(user="greg", password_command=command), {"PATH": "/usr/bin:/bin"}, soon())
    assert time.monotonic() - begin < PROMPT
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_a_system_without_threads_to_give_still_gets_its_mail_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RLIMIT_NPROC."""
    with smarthost(delay=0.005, extensions=[]) as host:
        world = World.beside(tmp_path, host, max_connections=3)
        for n in range(30):
            world.put(b"r%d@y.example" % n)
        real = threading.Thread.start

        def none_left(self: threading.Thread) -> None:
            if self.name.startswith(("session", "beside", "look-up", "sender")):
                raise RuntimeError("can't start new thread")
            real(self)

        monkeypatch.setattr(threading.Thread, "start", none_left)
        assert world.flush().delivered == 30
    assert host.connections == 1
    assert hurry.beside(lambda: 42, Hurry(lambda: False)) == 42
    with pytest.raises(TransportFault, match="too many processes"):
        dialing.resolve("mail.example.net", 25, 1.0)
