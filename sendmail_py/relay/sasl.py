"""SASL mechanisms (RFC 4422) without I/O: PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1, SCRAM-SHA-256.

Guarantees: PLAIN and LOGIN, which show the password to whoever listens, are chosen on a private connection
only; SCRAM succeeds only if the server proved that it knows the password too; no exception and no repr
holds a secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import stringprep
import unicodedata

from sendmail_py.relay.faults import LoginFault, ProtocolFault

# RFC 7677 4 asks for 4096 at least; a million takes about half a second and bounds a hostile server.
FEWEST_ITERATIONS = 4096
MOST_ITERATIONS = 1_000_000

# SCRAM never shows the password, not even to the server. On a private connection PLAIN and LOGIN come next:
# they work with every password store, while servers often offer CRAM-MD5 without the clear text passwords
# that it needs. Where somebody may listen, CRAM-MD5 is all that is left.
PRIVATE_ORDER = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "CRAM-MD5")
CLEAR_ORDER = ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5")


class Login:
    """User and password (bytes); the password never shows."""

    __slots__ = ("password", "user")

    def __init__(self, user: bytes, password: bytes) -> None:
        self.user = user
        self.password = password

    def __repr__(self) -> str:
        return "Login(***)"


class Exchange:
    """One authentication.

    `first` is the initial response, None when the server speaks first; `answer` answers each challenge;
    `proven` says whether the server's word that all is well may be believed.
    """

    __slots__ = ("login", "proven")

    def __init__(self, login: Login) -> None:
        self.login = login
        self.proven = True

    def first(self) -> bytes | None:
        """The initial response."""
        return None

    def answer(self, challenge: bytes) -> bytes:
        """The response to a challenge; raises ProtocolFault for one that the mechanism does not know."""
        raise ProtocolFault("unexpected AUTH challenge")


class Plain(Exchange):
    """RFC 4616."""

    __slots__ = ()

    def first(self) -> bytes:
        """No authorization identity, user, password."""
        return b"\0" + self.login.user + b"\0" + self.login.password


class LoginExchange(Exchange):
    """LOGIN (draft-murchison-sasl-login): the user name, then the password, each when asked."""

    __slots__ = ("asked",)

    def __init__(self, login: Login) -> None:
        super().__init__(login)
        self.asked = 0

    def first(self) -> bytes:
        """The user name; a server that does not take it here asks again."""
        return self.login.user

    def answer(self, challenge: bytes) -> bytes:
        """Prompts are free text; only "User..." is known to mean the user name."""
        self.asked += 1
        if self.asked > 2:
            raise ProtocolFault("unexpected AUTH challenge")
        return self.login.user if challenge.lower().startswith(b"user") else self.login.password


class CramMd5(Exchange):
    """RFC 2195."""

    __slots__ = ()

    def answer(self, challenge: bytes) -> bytes:
        """User and keyed digest."""
        digest = hmac.new(self.login.password, challenge, hashlib.md5).hexdigest()
        return self.login.user + b" " + digest.encode()


class Scram(Exchange):
    """RFC 5802 without channel binding; `name` is the hash function's."""

    __slots__ = ("bare", "hash", "nonce", "signature", "step")

    def __init__(self, login: Login, name: str, nonce: bytes) -> None:
        super().__init__(login)
        self.hash = name
        self.nonce = nonce
        self.proven = False
        self.step = self.answer_first
        user = prepare(login.user).replace(b"=", b"=3D").replace(b",", b"=2C")
        self.bare = b"n=" + user + b",r=" + nonce
        self.signature = b""

    def first(self) -> bytes:
        """client-first-message; "n": we do not support channel binding."""
        return b"n,," + self.bare

    def answer(self, challenge: bytes) -> bytes:
        """server-first-message, then server-final-message."""
        return self.step(challenge)

    def answer_first(self, challenge: bytes) -> bytes:
        """client-final-message with our proof."""
        nonce, salt, iterations = parse_server_first(challenge)
        if not nonce.startswith(self.nonce) or len(nonce) == len(self.nonce):
            raise ProtocolFault("the server's SCRAM nonce does not continue ours")
        salted = hashlib.pbkdf2_hmac(self.hash, prepare(self.login.password), salt, iterations)
        client_key = self.mac(salted, b"Client Key")
        without_proof = b"c=biws,r=" + nonce
        message = b",".join([self.bare, challenge, without_proof])
        signature = self.mac(hashlib.new(self.hash, client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self.signature = self.mac(self.mac(salted, b"Server Key"), message)
        self.step = self.answer_final
        return without_proof + b",p=" + base64.b64encode(proof)

    def answer_final(self, challenge: bytes) -> bytes:
        """Nothing, after the server's proof was found right; `e=` leaves it to the final reply to say why."""
        if not challenge.startswith(b"e="):
            verifier = challenge.split(b",")[0].removeprefix(b"v=")
            self.proven = hmac.compare_digest(verifier, base64.b64encode(self.signature))
            if not self.proven:
                raise LoginFault("the server's SCRAM signature is wrong: it does not know the password")
        self.step = super().answer
        return b""

    def mac(self, key: bytes, text: bytes) -> bytes:
        """HMAC of RFC 5802 2.2."""
        return hmac.digest(key, text, self.hash)


SERVER_FIRST = re.compile(rb"r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=([0-9]{1,9})(?:,.*)?", re.DOTALL)


def parse_server_first(challenge: bytes) -> tuple[bytes, bytes, int]:
    """Nonce, salt and iteration count of a server-first-message (RFC 5802 7); raises ProtocolFault."""
    found = SERVER_FIRST.fullmatch(challenge)
    if found is None:
        raise ProtocolFault("the server's first SCRAM message is malformed")
    nonce, salt, count = found.groups()
    if not FEWEST_ITERATIONS <= int(count) <= MOST_ITERATIONS:
        raise ProtocolFault(f"the server's SCRAM iteration count {int(count)} is out of bounds")
    try:
        return nonce, base64.b64decode(salt, validate=True), int(count)
    except ValueError:
        raise ProtocolFault("the server's SCRAM salt is not base64") from None


def prepare(text: bytes) -> bytes:
    """SASLprep (RFC 4013) of a user name or password; octets that it does not allow stay as they are."""
    try:
        mapped = "".join(
            " " if stringprep.in_table_c12(c) else c for c in text.decode() if not stringprep.in_table_b1(c)
        )
    except UnicodeDecodeError:
        return text
    return unicodedata.normalize("NFKC", mapped).encode()


def fresh_nonce() -> bytes:
    """144 random bits, printable and without a comma."""
    return base64.b64encode(os.urandom(18))


def begin(name: str, login: Login, nonce: bytes = b"") -> Exchange:
    """An exchange of the mechanism `name`, which is one of PRIVATE_ORDER; `nonce` for tests."""
    if name.startswith("SCRAM-"):
        return Scram(login, name.removeprefix("SCRAM-").replace("SHA-", "sha"), nonce or fresh_nonce())
    return {"PLAIN": Plain, "LOGIN": LoginExchange, "CRAM-MD5": CramMd5}[name](login)


def choose(wanted: list[str], offered: list[bytes], *, private: bool) -> list[str]:
    """The mechanisms to try, in order: those of the configuration, else our own order.

    All are offered and known, and on a connection that is not private none shows the password.
    """
    safe = PRIVATE_ORDER if private else CLEAR_ORDER
    order = [name.upper() for name in wanted] if wanted else list(safe)
    return [name for name in order if name in safe and name.encode() in offered]
