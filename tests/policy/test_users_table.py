"""Claims about big tables of users: an entry is what the whole table says, and the rest is not looked at."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.admin import setting
from sendmail_py.errors import ConfigError
from sendmail_py.policy import config, homes, identity, index, indexing, users_index, users_table, users_text
from sendmail_py.policy.config import Config
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.shared import settings

LONG_AGO = time.time() - 3600
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
    """What a file says; it is searched without an index when it is longer than `big`."""
    path = folder / "config.toml"
    path.write_text(text)
    os.utime(path, (LONG_AGO, LONG_AGO))
    with mock.patch.object(config, "BIG", big):
        found = config.load({"HOME": str(folder)}, str(path))
    found.queue.directory = ""
    return found


def indexed(folder: Path, text: str) -> Config:
    """The same with an index."""
    found = load(folder, text, 0)
    found.queue.directory = str(folder)
    return found


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The times of a change cannot be set, so the rule about it goes."""
    monkeypatch.setattr(indexing, "SETTLED", -1e9)


@pytest.fixture
def unsearched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of the whole table is a fault."""
    monkeypatch.setattr(users_table.UsersTable, "search", None)


def index_in(folder: Path) -> Path:
    (found,) = folder.glob("users-*")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_the_same_as_in_the_whole_table(tmp_path: Path, name: str) -> None:
    whole, big = load(tmp_path, GOOD, 1 << 20), load(tmp_path, GOOD, 0)
    assert type(whole.masquerade.users) is dict
    assert isinstance(big.masquerade.users, users_table.UsersTable)
    for _ in range(2):
        assert list(big.masquerade.users.get(name, ())) == list(whole.masquerade.users.get(name, ()))
    assert big.masquerade.users.with_at(b"") == [one for one in whole.masquerade.users if "@" in one]
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
    assert found.masquerade.users.get("root") == ["greg@isp.example"]
    assert found.masquerade.users.get("d") == ["d1@isp.example", "d2@isp.example"]
    assert found.masquerade.users.get("ro", ()) == ()


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


@pytest.mark.usefixtures("settled", "unsearched")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("d", "")])
def test_with_an_index_nothing_is_searched(tmp_path: Path, name: str) -> None:
    wanted = load(tmp_path, GOOD, 1 << 20).masquerade.users.get(name)
    for _ in range(2):
        assert indexed(tmp_path, GOOD).masquerade.users.get(name, None) == wanted
    assert index_in(tmp_path).stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("settled")
def test_an_entry_of_several_lines_and_a_bad_one_are_read_by_the_index_too(tmp_path: Path) -> None:
    assert indexed(tmp_path, GOOD).masquerade.users.get("d") == ["d1@isp.example", "d2@isp.example"]
    with pytest.raises(ConfigError, match=r"config.toml:15: masquerade.users.bad: must be"):
        indexed(tmp_path, TEXT).masquerade.users.get("bad")
    assert index_in(tmp_path)


@pytest.mark.usefixtures("settled")
def test_an_index_is_made_anew_when_its_file_was_changed(tmp_path: Path) -> None:
    assert indexed(tmp_path, GOOD).masquerade.users.get("ann")[0] == "ann@isp.example"
    changed = GOOD.replace("ann =", "eve =")  # of the same size and time
    assert indexed(tmp_path, changed).masquerade.users.get("ann") == ()
    assert indexed(tmp_path, changed).masquerade.users.get("eve")[0] == "ann@isp.example"


def test_no_index_is_made_of_a_file_that_was_changed_just_now(tmp_path: Path) -> None:
    assert indexed(tmp_path, GOOD).masquerade.users.get("root") == ["greg@isp.example"]
    assert list(tmp_path.glob("users-*")) == []


@pytest.mark.usefixtures("settled")
def test_an_untidy_table_has_an_index_that_is_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untidy = GOOD.replace("root =", " root =")
    assert indexed(tmp_path, untidy).masquerade.users.get("root") == ["greg@isp.example"]
    monkeypatch.setattr(users_index, "make", None)  # nobody tries again
    assert config_again(tmp_path).masquerade.users.get("root") == ["greg@isp.example"]
    assert config_again(tmp_path).masquerade.users.with_at(b"old.example") == ["*@old.example"]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", ["cut", "empty", "writable", "link", "folder", "zeros"])
def test_an_index_that_is_not_ours_or_not_whole_does_not_count(tmp_path: Path, damage: str) -> None:
    indexed(tmp_path, GOOD).masquerade.users.get("root")
    made = index_in(tmp_path)
    head = made.read_bytes()[: index.HEAD]
    lie = head + index.FREE * 13  # says that there are no users
    if damage == "cut":
        made.write_bytes(lie[:-1])
    elif damage == "zeros":
        made.write_bytes(head + bytes(156))
    elif damage == "folder":
        made.unlink()
        made.mkdir()
    elif damage == "link":
        made.rename(tmp_path / "lie")
        (tmp_path / "lie").write_bytes(lie)
        made.symlink_to(tmp_path / "lie")
    else:
        made.write_bytes(lie if damage == "writable" else b"")
        made.chmod(0o666)
    found = config_again(tmp_path)
    assert found.masquerade.users.get("root") == ["greg@isp.example"]
    assert found.masquerade.users.with_at(b"old.example") == ["*@old.example"]


def config_again(folder: Path) -> Config:
    """The configuration, without writing it anew."""
    with mock.patch.object(config, "BIG", 0):
        found = config.load({"HOME": str(folder)}, str(folder / "config.toml"))
    found.queue.directory = str(folder)
    return found


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("folder", ["missing", "config.toml", "/proc/nothing"])
def test_where_no_index_can_be_kept_the_table_is_searched(tmp_path: Path, folder: str) -> None:
    found = load(tmp_path, GOOD, 0)
    found.queue.directory = str(tmp_path / folder)
    assert found.masquerade.users.get("root") == ["greg@isp.example"]


@pytest.mark.usefixtures("settled")
def test_each_of_two_big_files_has_an_index_and_the_later_one_wins(tmp_path: Path) -> None:
    (tmp_path / "system.toml").write_text(GOOD)
    folder = tmp_path / ".config" / "sendmail-py"
    folder.mkdir(parents=True)
    text = '\n[masquerade.users]\nann = "new@isp.example"\n"*@x.example" = "*@y.example"\n'
    (folder / "config.toml").write_text(text)
    environ = {"HOME": str(tmp_path), "SENDMAIL_PY_QUEUE_DIRECTORY": str(tmp_path)}
    for _ in range(2):
        with mock.patch.object(config, "BIG", 0):
            users = config.load(environ, system_file=str(tmp_path / "system.toml")).masquerade.users
        assert users.get("ann") == ["new@isp.example"]
        assert users.get("root") == ["greg@isp.example"]
        assert users.with_at(b"old.example") == ["*@old.example"]
        assert users.with_at(b"y.example") == ["*@x.example"]
    assert len(list(tmp_path.glob("users-*"))) == 2


@pytest.mark.usefixtures("settled", "unsearched")
def test_the_index_in_the_usual_spool_is_found_before_it_is_known_where_the_spool_is(tmp_path: Path) -> None:
    spool = tmp_path / ".local" / "state" / "sendmail-py" / "spool"
    spool.mkdir(parents=True)
    (tmp_path / "config.toml").write_text(GOOD)
    made = config_again(tmp_path)
    made.queue.directory = str(spool)
    assert made.masquerade.users.get("root") == ["greg@isp.example"]
    found = config_again(tmp_path)
    found.queue.directory = "/nowhere"
    octets, users = GOOD.encode(), found.masquerade.users
    assert users_table.end_of(octets, users.index, users.start) == users.end  # type: ignore[attr-defined]
    assert users.get("root") == ["greg@isp.example"]
    assert (found.queue.lifetime, found.masquerade.domain) == (86400, "example.net")


@pytest.mark.usefixtures("settled")
def test_the_index_of_the_system_file_is_looked_for_in_the_shared_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homes, "SHARED_SPOOL", str(tmp_path))
    own = tmp_path / f"{os.geteuid()}.0"
    own.mkdir(mode=0o700)
    made = load(tmp_path, GOOD, 0)
    made.queue.directory = str(own)
    assert made.masquerade.users.get("root") == ["greg@isp.example"]
    file = str(tmp_path / "config.toml")
    known = index_in(own).read_bytes()
    assert users_table.early({}, file, True, os.stat(file)) == known
    assert users_table.early({"XDG_STATE_HOME": str(tmp_path)}, file, False, os.stat(file)) == b""
    os.utime(file)
    assert users_table.early({}, file, True, os.stat(file)) == b""


def test_an_index_does_not_say_that_a_table_ends_where_none_ends() -> None:
    octets = GOOD.encode()
    rest, start, end = users_table.cut(octets)
    last = (octets[: start + 1 - len(users_table.HEAD)] + b"\n", start, end)  # nothing follows the table
    for begin in (start, start + 1):
        for length in range(1, len(octets) - begin + 3):
            lie = bytes(index.HEAD) + indexing.slots([(index.MARK + b"[", begin, length)])
            if begin + length != len(octets):
                assert users_table.cut(octets, lie) == (rest, start, end)
            assert users_table.cut(octets[:end], lie) == last


def test_root_tells_readers_of_all_users(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD, 0)
    users_text.read_all(found)
    told, _ = settings.unpack(settings.pack(found, [], "/spool", settings.Wish(False, [])))
    assert told.config.masquerade.users == load(tmp_path, GOOD, 1 << 20).masquerade.users


LOGIN = st.text("abz-_1", min_size=1, max_size=4)
NAME = LOGIN | st.sampled_from(["*", "*@x.example", "a@X.example", "@z.example", "*@*.lan", "b.c", "é"])
ENTRY = st.lists(st.sampled_from(["a@x.example", "*@Y.example", "b", "*@*.lan"]), min_size=1, max_size=3)
TABLE = st.dictionaries(NAME, ENTRY)
GIVEN = [
    "a@x.example",
    "A@X.EXAMPLE",
    "b@y.example",
    "q@nas.lan",
    "root@localhost",
    "root",
    "b",
    "a@z.example",
]
GIVEN += ["a@mail.example", "é@x.example", "root@a.lan"]


def written(table: dict[str, list[str]]) -> str:
    lines = []
    for n, (name, values) in enumerate(table.items()):
        is_bare = name.isidentifier() and name.isascii() and n % 2
        shown = name if is_bare else json.dumps(name, ensure_ascii=False)
        lines.append(f"{shown}{' ' * (n % 3)}= {json.dumps(values)}\n")
    return "\n[masquerade.users]\n" + "".join(lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("table")


@given(TABLE, LOGIN)
def test_any_table_says_the_same_in_all_ways(folder: Path, table: dict[str, list[str]], login: str) -> None:
    with mock.patch.object(indexing, "SETTLED", -1e9):
        searched, by_index = load(folder, written(table), 0), indexed(folder, written(table))
        for name in [*table, login]:
            assert list(searched.masquerade.users.get(name, [])) == table.get(name, [])
            assert list(by_index.masquerade.users.get(name, [])) == table.get(name, [])


@given(TABLE)
def test_the_rules_are_the_same_with_and_without_an_index(folder: Path, table: dict[str, list[str]]) -> None:
    with mock.patch.object(indexing, "SETTLED", -1e9):
        text = '[masquerade]\ndomain = "mail.example"\n' + written(table)
        found = [load(folder, text, 1 << 20), load(folder, text, 0), indexed(folder, text)]
        person = identity.Person(1000, b"abz", "A. B.")
        small, searched, by_index = [SenderRules(one, identity.host(one), person) for one in found]
        for rules in (searched, by_index):
            assert (rules.mapped, rules.entry) == (small.mapped, small.entry)
            for given_one in GIVEN:
                assert rules.repair(given_one.encode()) == small.repair(given_one.encode())
        assert by_index.config.masquerade.users.searched is None  # type: ignore[attr-defined]


@given(st.binary(max_size=300), st.sampled_from(NAMES))
def test_an_index_of_rubbish_invents_nothing(folder: Path, rubbish: bytes, name: str) -> None:
    found = load(folder, GOOD, 0)
    users = found.masquerade.users
    wanted = load(folder, GOOD, 1 << 20).masquerade.users.get(name)
    users.index = bytes(index.HEAD) + rubbish.ljust(156, b"\xff")  # type: ignore[attr-defined]
    assert users.get(name, None) in (None, wanted)
