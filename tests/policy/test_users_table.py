"""Claims about big tables of users: an entry is what the whole table says, and the rest is not looked at."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.admin import setting
from sendmail_py.errors import ConfigError
from sendmail_py.policy import config, users_table
from sendmail_py.policy.config import Config

TEXT = """\
[masquerade]
domain = "example.net"
[masquerade.users]
# root = "comment@isp.example"
root = "greg@isp.example"   # the administrator
ann = ["ann@isp.example", "*@ann.example"]
"b.c" = "bc@isp.example"
"d" = [
"d1@isp.example", # and
"d2@isp.example",
]
"*" = "all@isp.example"
"*@old.example" = "*@new.example"
rooted = "other@isp.example"
bad = ["a b"]
[queue]
lifetime = "1d"
"""
GOOD = TEXT.replace('bad = ["a b"]\n', "")
NAMES = [
    "root",
    "ann",
    "b.c",
    "d",
    "*",
    "*@old.example",
    "rooted",
    "roo",
    "oot",
    "isp",
    "",
    'x"',
    "d1@isp.example",
    "é",
]


def load(folder: Path, text: str, big: int) -> Config:
    (folder / "config.toml").write_text(text)
    with mock.patch.object(config, "BIG", big):
        return config.load({"HOME": str(folder)}, str(folder / "config.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_the_same_as_in_the_whole_table(tmp_path: Path, name: str) -> None:
    whole, big = load(tmp_path, GOOD, 1 << 20), load(tmp_path, GOOD, 0)
    assert type(whole.masquerade.users) is dict
    assert isinstance(big.masquerade.users, users_table.UsersTable)
    for _ in range(2):
        assert list(big.masquerade.users.get(name, ())) == list(whole.masquerade.users.get(name, ()))
    assert big.masquerade.users.with_at() == [one for one in whole.masquerade.users if "@" in one]
    assert bool(big.masquerade.users)
    assert big.queue.lifetime == 86400


def test_a_bad_entry_is_told_with_its_line_when_it_is_wanted(tmp_path: Path) -> None:
    found = load(tmp_path, TEXT, 0)
    assert found.masquerade.users.get("root", []) == ["greg@isp.example"]
    with pytest.raises(ConfigError, match=r"config.toml:15: masquerade.users.bad: must be"):
        found.masquerade.users.get("bad", [])
    with pytest.raises(ConfigError, match=r"config.toml:15: "):
        load(tmp_path, TEXT, 1 << 20)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("root =", " root ="),
        ("root =", "\troot ="),
        ('"d" =', "'d' ="),
        ("greg@isp.example", "gr\\u0065g@isp.example"),
        ("\n", "\r\n"),
        ("[queue]\n", '[identity]\ndomain = """x.example"""\n[queue]\n'),
    ],
)
def test_an_untidy_table_is_read_as_a_whole(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "config.toml").write_bytes(GOOD.replace(old, new).encode())
    with mock.patch.object(config, "BIG", 0):
        found = config.load({"HOME": str(tmp_path)}, str(tmp_path / "config.toml"))
    assert type(found.masquerade.users) is dict
    assert found.masquerade.users["root"] == ["greg@isp.example"]


def test_people_get_all_of_it_with_its_lines_and_its_faults(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(GOOD)
    with mock.patch.object(config, "BIG", 0):
        found = setting.load(str(tmp_path / "config.toml"))
        assert found.masquerade.users == load(tmp_path, GOOD, 1 << 20).masquerade.users
        assert found.origins["masquerade.users.root"].endswith("config.toml:5")
        (tmp_path / "config.toml").write_text(TEXT)
        with pytest.raises(ConfigError, match=r"config.toml:15: "):
            setting.load(str(tmp_path / "config.toml"))


def test_later_layers_win_name_by_name(tmp_path: Path) -> None:
    (tmp_path / "system.toml").write_text(GOOD)
    folder = tmp_path / ".config" / "sendmail-py"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(
        '[masquerade.users]\nann = "new@isp.example"\neve = "eve@isp.example"\n'
    )
    environ = {"HOME": str(tmp_path), "SENDMAIL_PY_MASQUERADE_USERS": "root=env@isp.example"}
    for big in (0, 1 << 20):
        with mock.patch.object(config, "BIG", big):
            users = config.load(environ, system_file=str(tmp_path / "system.toml")).masquerade.users
        wanted = {
            "root": "env@isp.example",
            "ann": "new@isp.example",
            "eve": "eve@isp.example",
            "d": "d1@isp.example",
        }
        assert {name: users.get(name, [""])[0] for name in wanted} == wanted


LOGIN = st.text("abz-_1", min_size=1, max_size=4)


@given(
    st.dictionaries(
        LOGIN | st.sampled_from(["*", "*@x.example"]),
        st.lists(st.sampled_from(["a@x.example", "*@y.example", "b"]), min_size=1, max_size=3),
    ),
    LOGIN,
)
def test_any_table_says_the_same_in_both_ways(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, list[str]], login: str
) -> None:
    folder = tmp_path_factory.mktemp("table")
    lines = [
        f"{name if name.isidentifier() and n % 2 else json.dumps(name)}{' ' * (n % 3)}= {json.dumps(values)}"
        for n, (name, values) in enumerate(table.items())
    ]
    users = load(folder, "\n[masquerade.users]\n" + "\n".join(lines) + "\n", 0).masquerade.users
    for name in [*table, login]:
        assert list(users.get(name, [])) == table.get(name, [])
