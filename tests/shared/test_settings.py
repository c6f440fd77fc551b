"""What a reader is told: the queue's business and no secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sendmail_py.errors import ConfigError
from sendmail_py.policy import config
from sendmail_py.shared import settings, start
from sendmail_py.shared.settings import Wish

TEXT = """
[identity]
domain = "example.net"
[queue]
retry_min = "7s"
[masquerade.users]
"*" = ["*@example.net"]
[[smarthost]]
name = "isp"
host = "mail.isp.example"
user = "greg"
password = "hushhush"
senders = ["*@example.net"]
[[smarthost]]
name = "other"
host = "mail.other.example"
user = "fred"
password_command = ["echo", "hushhush"]
proxy = "socks5://u:hushhush@127.0.0.1:9"
"""


def test_no_secret_and_no_way_to_one_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TEXT.replace('proxy = "socks5://u:hushhush@127.0.0.1:9"\n', ""))
    path.chmod(0o600)
    environ = {"HOME": str(tmp_path), "SENDMAIL_PY_SMARTHOST_PASSWORD": "hushhush"}
    found = config.load({"HOME": environ["HOME"]}, str(path))
    octets = settings.pack(found, found.smarthosts[:1], "/spool", Wish(True, [("I", b"ABC", False)]))
    for word in (b"hushhush", b"greg", b"fred", b"echo", b"isp.example"):
        assert word not in octets
    told, usable = settings.unpack(octets)
    assert [one.name for one in usable] == ["isp"]
    assert [one.name for one in told.config.smarthosts] == ["isp", "other"]
    assert usable[0].senders == ["*@example.net"]
    assert (told.config.queue.directory, told.config.queue.retry_min) == ("/spool", 7)
    assert told.config.masquerade.users == {"*": ["*@example.net"]}
    assert told.config.identity.domain == "example.net"
    assert (told.wish.force, told.wish.only) == (True, [("I", b"ABC", False)])


def test_the_environment_is_not_in_it(tmp_path: Path) -> None:
    found = config.load({"HOME": str(tmp_path), "SECRET": "hushhush"}, os.devnull)
    assert b"hushhush" not in settings.pack(found, [], "/spool", Wish(False, []))


class ToldError(Exception):
    """Ends a run as soon as it has what it will tell readers."""


def test_readers_are_told_of_all_users_of_a_big_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(found: config.Config, wish: Wish, *rest: object) -> None:
        users = settings.unpack(settings.pack(found, [], "/spool", wish))[0].config.masquerade.users
        raise ToldError(len(users), users["user7"])

    monkeypatch.setattr(start, "RootRun", told)
    monkeypatch.setattr(config, "BIG", 1000)
    path = tmp_path / "config.toml"
    users = "".join([f'user{n} = "user{n}@isp.example"\n' for n in range(100)])
    for text, problem in ((users, ToldError), (users + 'bad = "a b"\n', ConfigError)):
        path.write_text(f"[identity]\n[masquerade.users]\n{text}")
        path.chmod(0o600)
        found = config.load({"HOME": str(tmp_path)}, str(path))
        assert type(found.masquerade.users) is not dict
        found.queue.shared = str(tmp_path)
        with pytest.raises(problem) as raised:
            start.run(found)
        if problem is ToldError:
            assert raised.value.args == (100, ["user7@isp.example"])
