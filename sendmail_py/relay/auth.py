"""Log in (RFC 4954) as a dialogue without I/O: a mechanism, one SASL exchange, no second try."""

from __future__ import annotations

import base64
import binascii

from sendmail_py.relay import sasl
from sendmail_py.relay.actions import AUTH, Write
from sendmail_py.relay.faults import LoginFault, ProtocolFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.relay.actions import Dialogue
    from sendmail_py.relay.reply import Reply

LONGEST_COMMAND = 512  # RFC 5321 4.5.3.1.4, the line end included


def choose(wanted: list[str], offered: list[bytes], *, private: bool) -> list[str]:
    """The mechanisms to try; LoginFault when none may be used here."""
    chosen = sasl.choose(wanted, offered, private=private)
    if not chosen:
        names = " ".join([one.decode("ascii", "replace") for one in offered]) or "none"
        raise LoginFault(f"no usable way to log in (the server offers: {names:.200})")
    return chosen


def authenticate(login: sasl.Login, mechanisms: list[str]) -> Dialogue[None]:
    """AUTH (RFC 4954 4): the next mechanism when this one is not taken, never a second try of a password."""
    for name in mechanisms:
        reply = yield from attempt(name, sasl.begin(name, login))
        if reply.positive:
            return
        if reply.code not in (504, 534):
            break
    raise LoginFault(f"login refused: {reply.text}", reply)


def attempt(name: str, exchange: sasl.Exchange) -> Dialogue[Reply]:
    """One SASL exchange, with the initial response when there is one and it fits (RFC 4954 4)."""
    password = exchange.login.password
    command = b"AUTH " + name.encode()
    first = exchange.first()
    if first is not None and len(command) + len(encode(first)) + 3 <= LONGEST_COMMAND:
        command += b" " + (encode(first) or b"=")
        first = None
    yield Write(command + b"\r\n", secret=(*command.split()[2:], password))
    reply: Reply = yield AUTH
    while reply.go_ahead:
        response = exchange.answer(decode(reply.lines[0])) if first is None else first
        first = None
        yield Write(encode(response) + b"\r\n", secret=(encode(response), password))
        reply = yield AUTH
    if reply.positive and not exchange.proven:
        raise LoginFault(f"the server did not prove that it knows the password ({name})")
    return reply


def encode(response: bytes) -> bytes:
    """A SASL response in base64."""
    return base64.b64encode(response)


def decode(challenge: bytes) -> bytes:
    """A SASL challenge from base64."""
    try:
        return base64.b64decode(challenge.strip(), validate=True)
    except binascii.Error:
        raise ProtocolFault("the server's AUTH challenge is not base64") from None
