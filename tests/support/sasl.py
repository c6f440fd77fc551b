"""The server's side of AUTH for the scripted smart host; a mechanism returns the proved login, else ""."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Mapping
from typing import Protocol


class Exchange(Protocol):
    """Where challenges go and responses come from."""

    def put(self, octets: bytes) -> None:
        """Queue octets for the client."""

    def read_line(self) -> bytes:
        """Return the next line without its end."""


class Sasl:
    """The server's side of one AUTH exchange: challenges out, responses in, base64 both ways."""

    def __init__(
        self, wire: Exchange, initial: bytes | None, users: Mapping[str, str], iterations: int, honest: bool
    ) -> None:
        self.wire, self.initial, self.users = wire, initial, users
        self.iterations, self.honest = iterations, honest

    def ask(self, challenge: bytes, *, takes_initial: bool = False) -> bytes:
        """Send a challenge and return the response; with `takes_initial` the initial response counts."""
        if takes_initial and self.initial is not None:
            initial, self.initial = self.initial, None
            return b"" if initial == b"=" else base64.b64decode(initial, validate=True)
        self.wire.put(b"334 " + base64.b64encode(challenge) + b"\r\n")
        line = self.wire.read_line()
        if line == b"*":
            raise ValueError("cancelled")
        return base64.b64decode(line, validate=True)


def auth_plain(sasl: Sasl) -> str:
    """RFC 4616."""
    _, user, password = sasl.ask(b"", takes_initial=True).decode().split("\0")
    return user if sasl.users.get(user) == password else ""


def auth_login(sasl: Sasl) -> str:
    """The mechanism that no standard describes and every server has."""
    user = sasl.ask(b"Username:", takes_initial=True).decode()
    password = sasl.ask(b"Password:").decode()
    return user if sasl.users.get(user) == password else ""


def auth_cram_md5(sasl: Sasl) -> str:
    """RFC 2195."""
    challenge = b"<%d.%d@smarthost.example.net>" % (os.getpid(), time.monotonic_ns())
    user, _, digest = sasl.ask(challenge).decode().rpartition(" ")
    password = sasl.users.get(user)
    if password is None:
        return ""
    right = hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()
    return user if hmac.compare_digest(right, digest) else ""


def auth_scram_sha_256(sasl: Sasl) -> str:
    """RFC 5802, RFC 7677; without channel binding."""
    first = sasl.ask(b"", takes_initial=True).decode()
    header, bare = first[: first.index("n=")], first[first.index("n=") :]
    attributes = dict(part.split("=", 1) for part in bare.split(","))
    user = attributes["n"].replace("=2C", ",").replace("=3D", "=")
    password = sasl.users.get(user, "no such user")
    salt, nonce = os.urandom(16), attributes["r"] + base64.b64encode(os.urandom(12)).decode()
    server_first = f"r={nonce},s={base64.b64encode(salt).decode()},i={sasl.iterations}"
    final = sasl.ask(server_first.encode()).decode()
    without_proof, _, proof = final.rpartition(",p=")
    fields = dict(part.split("=", 1) for part in without_proof.split(","))
    if fields["r"] != nonce or base64.b64decode(fields["c"]).decode() != header:
        return ""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, sasl.iterations)
    signed = ",".join([bare, server_first, without_proof]).encode()
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    right = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    if user not in sasl.users or not hmac.compare_digest(right, base64.b64decode(proof, validate=True)):
        return ""
    verifier = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
    sasl.ask(b"v=" + base64.b64encode(verifier if sasl.honest else bytes(32)))
    return user


MECHANISMS: dict[str, Callable[[Sasl], str]] = {
    "PLAIN": auth_plain,
    "LOGIN": auth_login,
    "CRAM-MD5": auth_cram_md5,
    "SCRAM-SHA-256": auth_scram_sha_256,
}
