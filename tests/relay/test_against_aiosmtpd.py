"""The relay against a server that we did not write: aiosmtpd, over STARTTLS with a login."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from relay.flushing import AUTHORITY, World

USER = LoginPassword(b"greg", b"secret")


class Keep:
    """Keeps what was received; refuses recipients whose address begins with "no"."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802 (the name is aiosmtpd's)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Judge a recipient."""
        if address.startswith("no"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a message."""
        self.envelopes.append(envelope)
        return "250 2.0.0 kept"


def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    """Know one user."""
    return AuthResult(success=data == USER, handled=False)


@pytest.fixture
def server() -> Iterator[tuple[Controller, Keep]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]  # aiosmtpd cannot start on a port of the system's choice
    keep = Keep()
    controller = Controller(
        keep,
        hostname="127.0.0.1",
        port=port,
        tls_context=AUTHORITY.server_context(),
        require_starttls=True,
        auth_required=True,
        authenticator=authenticate,
        enable_SMTPUTF8=True,
        decode_data=False,
    )
    controller.start()
    yield controller, keep
    controller.stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_delivers_to_aiosmtpd(server: tuple[Controller, Keep], tmp_path: Path) -> None:
    controller, keep = server
    login = {"user": "greg", "password": "secret"}
    world = World(tmp_path, {"name": "isp", "port": controller.port, "tls": "starttls", **login})
    dots = b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n\r\n" + "größe\r\n".encode()
    world.put(b"r@y.example", b"no@y.example", content=dots)
    world.put("jürgen@y.example".encode(), sender=b"")
    world.config.smarthosts[0].timeout = 5
    summary = world.flush()
    assert (summary.delivered, summary.failed, summary.fault) == (2, 1, "")
    first, second = keep.envelopes
    assert (first.mail_from, first.rcpt_tos, first.content) == ("a@x.example", ["r@y.example"], dots)
    assert second.rcpt_tos == ["jürgen@y.example"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_wrong_password_at_aiosmtpd(server: tuple[Controller, Keep], tmp_path: Path) -> None:
    controller, keep = server
    login = {"user": "greg", "password": "wrong"}
    world = World(tmp_path, {"name": "isp", "port": controller.port, "tls": "starttls", **login})
    world.put(b"r@y.example")
    world.config.smarthosts[0].timeout = 5
    assert "535" in world.flush().fault
    assert keep.envelopes == []
