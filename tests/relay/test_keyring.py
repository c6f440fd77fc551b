"""Logins and certificates, read when they are needed or all of them in advance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sendmail_py.relay import credentials, flush, keyring, tls
from sendmail_py.relay.faults import LoginFault, TransportFault
from sendmail_py.relay.keyring import Keyring

from relay.flushing import AUTHORITY, World, setting, smarthost

LOGIN = {"tls": "starttls", "users": {"greg": "secret"}}


def test_after_preloading_no_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = AUTHORITY.server_context(clients=AUTHORITY)
    certificate, key = AUTHORITY.write_pair(tmp_path, "client.example.net")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with smarthost(**LOGIN, context=context) as host:
        keys = {"password": "", "client_cert": certificate, "client_key": key, "password_file": str(secret)}
        world = World.beside(tmp_path, host)
        (one,) = world.config.smarthosts
        for name, value in keys.items():
            setattr(one, name, value)
        ring = keyring.preload(world.config.smarthosts)
        for path in (certificate, key, secret, world.ca_file):
            os.unlink(path)
        opener = flush.opener
        monkeypatch.setattr(flush, "opener", lambda *given: opener(*given, keys=ring))
        world.put(b"r@y.example")
        assert world.flush().delivered == 1
    assert host.messages[0].login == "greg"


def test_what_cannot_be_had_is_told_when_it_is_needed(tmp_path: Path) -> None:
    ring = Keyring({})
    one = setting(user="greg", password_env="PASSWORD", ca_file="/nonexistent/ca.pem")
    ring.fill([one])
    for _ in range(2):
        with pytest.raises(LoginFault, match="PASSWORD is not set"):
            ring.login(one)
        with pytest.raises(TransportFault, match="certificate files of smart host isp"):
            ring.context(one, False)
    ring.context(one, True)  # pins need no CA


def test_each_is_read_once_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    count: list[str] = []
    monkeypatch.setattr(credentials, "login", lambda one, environ, stop: count.append("login"))
    monkeypatch.setattr(tls, "context", lambda one, pinned: count.append("context"))
    ring = Keyring({})
    assert count == []
    for _ in range(3):
        ring.login(setting())
        ring.context(setting(), False)
    assert count == ["login", "context"]


def test_without_tls_no_certificate_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "context", None)
    assert keyring.preload([setting(tls="none")]).login(setting()) is None
