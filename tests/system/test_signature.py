"""DKIM signatures (RFC 6376) made before us, from the pipe to the server: they still verify."""

from __future__ import annotations

import base64

import dkim  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.launch import Sandbox, smarthost_table
from support.smarthost import SmartHost

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
PUBLIC = KEY.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
SIGNED_FIELDS = [b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type"]

HEADER = b"""From: "Me,  myself" <me@example.net>
To: You <you@example.org>,
\tothers: a@example.org;
Subject:  blanks   and =?utf-8?q?encoded_w=C3=B6rds?=
Date: Tue, 24 Nov 2026 08:00:00 +0000
Message-ID: <one@example.net>
MIME-Version: 1.0
"""

MESSAGES = [
    pytest.param(
        HEADER + "Content-Type: text/plain; charset=utf-8\n\n.dot\nblanks  \n\tGrüße\n-- \n\n\n".encode(),
        id="8-bit-text",
    ),
    pytest.param(HEADER + b"Content-Type: text/plain\n\n" + b"x" * 998 + b"\n", id="the-longest-line"),
    pytest.param(
        HEADER
        + b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\n"
        + b"two \n" * 30_000
        + b"--b--\n",
        id="multipart",
    ),
]


def record(name: bytes, timeout: int = 5) -> bytes:
    """The key as DNS would give it."""
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(PUBLIC)


def configure(box: Sandbox, host: SmartHost) -> None:
    """Point the sandbox at the host."""
    table = smarthost_table(port=host.port, tls="none")
    box.configure(f'[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n{table}')


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("rules", [(b"simple", b"simple"), (b"relaxed", b"relaxed")])
def test_a_signature_still_verifies(
    sandbox: Sandbox, message: bytes, line_end: bytes, rules: tuple[bytes, bytes]
) -> None:
    signature = dkim.sign(
        message, b"s", b"example.net", PRIVATE, canonicalize=rules, include_headers=SIGNED_FIELDS
    )
    given = signature.replace(b"\r\n", b"\n") + message
    with SmartHost() as host:
        configure(sandbox, host)
        words = ("-i", "-f", "me@example.net", "you@example.org")
        done = sandbox.run("sendmail", *words, stdin=given.replace(b"\n", line_end))
        assert (done.returncode, done.stderr) == (0, b"")
        assert sandbox.run("sendmail", "-q").returncode == 0
    (arrived,) = host.messages
    assert arrived.data.endswith(given.replace(b"\n", b"\r\n"))
    assert dkim.verify(arrived.data, dnsfunc=record)
    assert not dkim.verify(arrived.data.replace(b"Subject: ", b"Subject: not "), dnsfunc=record)
    assert host.violations == []
