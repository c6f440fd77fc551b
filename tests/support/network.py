"""Which addresses are on this machine, and a guard that lets nothing else through."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


class OutsideError(AssertionError):
    """Code under test tried to leave the machine."""


@contextmanager
def loopback_only() -> Iterator[None]:
    """Refuse every connect, send and name look-up beyond loopback, and raise at the end if one was tried."""
    seen: list[str] = []
    patches = [
        mock.patch.object(socket.socket, name, guarded(name, seen))
        for name in ("connect", "connect_ex", "sendto")
    ]
    patches.append(mock.patch.object(socket, "getaddrinfo", guarded_look_up(seen)))
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()
    if seen:  # even if the code under test swallowed the refusal
        raise OutsideError(f"reached beyond loopback: {', '.join(seen)}")


def guarded(name: str, seen: list[str]) -> Any:
    """Return the socket method of that name, let through for loopback only."""
    inner = getattr(socket.socket, name)

    def method(self: socket.socket, *arguments: Any) -> Any:
        if not is_loopback(self.family, arguments[-1]):
            refuse(f"{name} {arguments[-1]!r}", seen)
        return inner(self, *arguments)

    return method


def guarded_look_up(seen: list[str]) -> Any:
    """Return getaddrinfo for names that need no look-up."""
    inner = socket.getaddrinfo

    def look_up(host: object, *arguments: Any, **keywords: Any) -> Any:
        if not is_named_here(host):
            refuse(f"getaddrinfo {host!r}", seen)
        return inner(host, *arguments, **keywords)  # type: ignore[arg-type]

    return look_up


def refuse(what: str, seen: list[str]) -> None:
    """Note what was tried, and stop it."""
    seen.append(what)
    raise OutsideError(f"a test reached beyond loopback: {what}")


def is_loopback(family: int, address: object) -> bool:
    """Tell whether a socket address of this family stays on the machine."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    return is_named_here(address[0] if isinstance(address, tuple) else address)


def is_named_here(host: object) -> bool:
    """Tell whether a name or address means this machine without asking anybody."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if text in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(text).partition("%")[0]).is_loopback
    except ValueError:
        return False
