"""SASL mechanisms against the test vectors of their RFCs, and against servers that cheat."""

from __future__ import annotations

import base64

import pytest
from sendmail_py.relay import sasl
from sendmail_py.relay.faults import Fault, LoginFault, ProtocolFault
from sendmail_py.relay.sasl import Login

# RFC 5802 5 and RFC 7677 3: user "user", password "pencil".
VECTORS = [
    (
        "SCRAM-SHA-1",
        b"fyko+d2lbbFgONRv9qkxdawL",
        b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (
        "SCRAM-SHA-256",
        b"rOprNGfwEbeRWgbNEkqO",
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
]
USER = Login(b"user", b"pencil")
IDS = [vector[0] for vector in VECTORS]


@pytest.mark.parametrize(("name", "nonce", "first", "challenge", "final", "verifier"), VECTORS, ids=IDS)
def test_scram_as_in_the_rfc(
    name: str, nonce: bytes, first: bytes, challenge: bytes, final: bytes, verifier: bytes
) -> None:
    exchange = sasl.begin(name, USER, nonce)
    assert exchange.first() == first
    assert exchange.answer(challenge) == final
    assert not exchange.proven
    assert exchange.answer(verifier) == b""
    assert exchange.proven
    with pytest.raises(ProtocolFault):
        exchange.answer(b"more")


@pytest.mark.parametrize(("name", "nonce", "first", "challenge", "final", "verifier"), VECTORS, ids=IDS)
def test_scram_does_not_believe_a_wrong_proof(
    name: str, nonce: bytes, first: bytes, challenge: bytes, final: bytes, verifier: bytes
) -> None:
    exchange = sasl.begin(name, USER, nonce)
    exchange.answer(challenge)
    with pytest.raises(LoginFault, match="does not know the password"):
        exchange.answer(b"v=" + base64.b64encode(b"x" * 32))
    assert not exchange.proven


def test_scram_leaves_the_servers_own_error_to_its_reply() -> None:
    exchange = sasl.begin("SCRAM-SHA-256", USER, VECTORS[1][1])
    exchange.answer(VECTORS[1][3])
    assert exchange.answer(b"e=invalid-proof") == b""
    assert not exchange.proven


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=other,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=fyko+d2lbbFgONRv9qkxdawL,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=fyko+d2lbbFgONRv9qkxdawL3,s=QSXCR+Q6sek8bf92,i=1",
        b"r=fyko+d2lbbFgONRv9qkxdawL3,s=QSXCR+Q6sek8bf92,i=999999999",
        b"r=fyko+d2lbbFgONRv9qkxdawL3,s=QSXCR+Q6sek8bf92,i=" + b"9" * 5000,
        b"r=fyko+d2lbbFgONRv9qkxdawL3,s=QQQ,i=4096",
        b"r=fyko+d2lbbFgONRv9qkxdawL3,s=,i=4096",
        b"m=ext,r=fyko+d2lbbFgONRv9qkxdawL3,s=QSXCR+Q6sek8bf92,i=4096",
        b"\xff\xfe",
    ],
)
def test_scram_refuses_a_first_message_that_is_not_sound(challenge: bytes) -> None:
    exchange = sasl.begin("SCRAM-SHA-1", USER, b"fyko+d2lbbFgONRv9qkxdawL")
    with pytest.raises(ProtocolFault):
        exchange.answer(challenge)


def test_scram_escapes_the_user_name() -> None:
    exchange = sasl.begin("SCRAM-SHA-1", Login(b"a=b,c", b""), b"nonce")
    assert exchange.first() == b"n,,n=a=3Db=2Cc,r=nonce"


def test_scram_nonces_are_fresh() -> None:
    assert sasl.begin("SCRAM-SHA-1", USER).first() != sasl.begin("SCRAM-SHA-1", USER).first()


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
    ],
)
def test_saslprep_as_in_rfc_4013(text: str, prepared: str) -> None:
    assert sasl.prepare(text.encode()) == prepared.encode()


def test_saslprep_leaves_octets_that_are_no_text() -> None:
    assert sasl.prepare(b"\xff\xfe") == b"\xff\xfe"


def test_plain_as_in_rfc_4616() -> None:
    exchange = sasl.begin("PLAIN", Login(b"tim", b"tanstaaftanstaaf"))
    assert exchange.first() == b"\0tim\0tanstaaftanstaaf"
    assert exchange.proven
    with pytest.raises(ProtocolFault):
        exchange.answer(b"")


def test_cram_md5_as_in_rfc_2195() -> None:
    exchange = sasl.begin("CRAM-MD5", Login(b"tim", b"tanstaaftanstaaf"))
    assert exchange.first() is None
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    assert exchange.answer(challenge) == b"tim b913a602c7eda7a495b4e6e7334d3890"


CHOICES: list[tuple[list[str], list[bytes], bool, list[str]]] = [
    (
        [],
        [b"PLAIN", b"LOGIN", b"CRAM-MD5", b"SCRAM-SHA-256"],
        True,
        ["SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5"],
    ),
    ([], [b"PLAIN", b"LOGIN", b"CRAM-MD5", b"SCRAM-SHA-1"], False, ["SCRAM-SHA-1", "CRAM-MD5"]),
    ([], [b"PLAIN", b"LOGIN"], False, []),
    (["LOGIN", "PLAIN"], [b"PLAIN", b"LOGIN"], True, ["LOGIN", "PLAIN"]),
    (["LOGIN", "PLAIN"], [b"PLAIN", b"LOGIN"], False, []),
    (["CRAM-MD5"], [b"PLAIN"], True, []),
    ([], [b"GSSAPI", b"XOAUTH2", b"\xff"], True, []),
    ([], [], True, []),
]


@pytest.mark.parametrize(("wanted", "offered", "private", "chosen"), CHOICES)
def test_chooses(wanted: list[str], offered: list[bytes], private: bool, chosen: list[str]) -> None:
    assert sasl.choose(wanted, offered, private=private) == chosen


def test_no_repr_and_no_fault_shows_a_secret() -> None:
    login = Login(b"greg", b"hunter2")
    assert "hunter2" not in repr(login) + str(login)
    for name in sasl.PRIVATE_ORDER:
        exchange = sasl.begin(name, login)
        exchange.first()
        try:
            for _ in range(4):
                exchange.answer(b"nonsense")
        except Fault as fault:
            assert "hunter2" not in str(fault) + repr(fault)
