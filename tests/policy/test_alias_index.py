"""Claims about big alias files: with an index, or without, a name leads to the same."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.policy import alias_index, alias_text, aliases, index, indexing

LONG_AGO = time.time() - 3600
BIG = b"".join([b"name%d: name%d@mailbox.example, copy@archive.example\n" % (n, n) for n in range(1000)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "aliases"
    write(path, BIG)
    return path


def write(path: Path, octets: bytes, when: float = LONG_AGO) -> None:
    path.write_bytes(octets)
    os.utime(path, (when, when))


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The times of a change cannot be set, so the rule about it goes."""
    monkeypatch.setattr(indexing, "SETTLED", -1e9)


def index_in(folder: Path) -> Path:
    (found,) = folder.glob("aliases-*")
    return found


def by_index(text: bytes) -> alias_text.IndexedText:
    return alias_text.IndexedText(text, bytes(index.HEAD) + indexing.slots(alias_index.listed(text)))


LINES = [b"a: x@y", b"A : z@y # c", b"owner-a: q@y", b'"a": b@y', b'"a b"\t: c@y', b"a b: d@y"]
LINES += [b"@dom.ex: e@y", b"U@Dom.ex: f@y,", b" cont@y", b"\tcont@y,", b"# a: none@y", b"  # void", b""]
LINES += [
    b"   ",
    b"a:b: g@y",
    b'"a\\"b": h@y',
    b'"a\\b": i@y',
    b'"a:b": j@y',
    b'"a" x: k@y',
    b'"a": "b": l@y',
]
LINES += [b":: m@y", b"a", b":", b'"', b'""', b'"":', b'"" : n@y', b"\x0c# a: o@y", b"\x0ca: p@y"]
LINES += [b"\xc3\x84: r@y", b"list: :include:/x"]
MANY = st.lists(st.sampled_from(LINES), max_size=30).map(b"\n".join)
SOUP = MANY | st.text('aA:"\\ \t\n#@,-\x0c', max_size=60).map(str.encode)
KEYS = [b"a", b"owner-a", b"a b", b"@dom.ex", b"u@dom.ex", b"a:b", b'a"b', b"a\\b", b"ab", b"", b":", b'"']
KEYS += [b"#", b"\xc3\x84", b"\xc3\xa4", b"list", b"list: ", b"a ", b" a", b'a": "b', b"zz", b"\x0ca"]
KEYS += [b"\x0c# a"]


def domains(text: bytes) -> set[bytes]:
    """The domains that names have."""
    found = [name for name in alias_index.names(text) if b"@" in name and not name.startswith(b"\n")]
    return {name[name.rfind(b"@") :] for name in found} | ({b"@"} if found else set())


@given(SOUP, st.lists(st.text('a:"\\ \t#@,-\x0c', max_size=4).map(str.encode), max_size=5))
def test_the_index_finds_what_a_search_of_everything_finds(text: bytes, more: list[bytes]) -> None:
    searched, indexed = alias_text.AliasText(text), by_index(text)
    for key in [*KEYS, *more, *[one for one in alias_index.names(text) if one[:1] != b"\n"]]:
        assert indexed.value(key) == searched.value(key)
        if b"@" in key:
            at_domain = key[key.rfind(b"@") :]
            assert indexed.mentions(at_domain) == (
                searched.value(key) is not None or at_domain in domains(text)
            )
    assert indexed.all is None  # nothing had to be searched


@given(st.integers(0, 80), st.integers(1, 80), st.integers(0, 999))
def test_what_a_crash_emptied_is_no_answer(begin: int, sectors: int, number: int) -> None:
    indexed = by_index(BIG)
    rest = indexed.index[begin * 512 + sectors * 512 :]
    indexed.index = indexed.index[: begin * 512].ljust(begin * 512, b"\xff") + bytes(sectors * 512) + rest
    indexed.index = indexed.index[: len(by_index(BIG).index)]
    for key in (b"name%d" % number, b"none%d" % number):
        assert indexed.value(key) == alias_text.AliasText(BIG).value(key)


def test_names_that_do_not_fit_get_more_room_and_in_the_end_no_index() -> None:
    same = [(b"name", at, 1) for at in range(13)]  # as if their sums were the same
    assert indexing.slots(same) == b""
    assert index.find(bytes(index.HEAD), b"name") is None
    few = indexing.fitted(same[:12], 2)
    assert sorted(index.find(bytes(index.HEAD) + few, b"name") or []) == [(at, 1) for at in range(12)]
    many = [(b"name%d" % n, n, n + 1) for n in range(5000)]
    octets = bytes(index.HEAD) + indexing.slots(many)
    assert all((n, n + 1) in (index.find(octets, name) or []) for name, n, _ in many)


@pytest.mark.usefixtures("settled")
def test_a_name_of_a_big_file_is_looked_up_without_searching_it(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(alias_text.AliasText, "__init__", recorded(made))
    for key, wanted in ((b"name999", b" name999@mailbox.example, copy@archive.example"), (b"name1000", None)):
        assert value(file, tmp_path, key) == wanted
    assert max(made, default=0) < 100
    assert index_in(tmp_path).stat().st_mode & 0o777 == 0o600


def recorded(sizes: list[int]):  # type: ignore[no-untyped-def]
    before = alias_text.AliasText.__init__

    def init(self: alias_text.AliasText, text: bytes) -> None:
        sizes.append(len(text))
        before(self, text)

    return init


@pytest.mark.usefixtures("settled")
def test_an_index_is_made_anew_when_its_file_was_changed(tmp_path: Path, file: Path) -> None:
    assert value(file, tmp_path, b"name1") == b" name1@mailbox.example, copy@archive.example"
    first = index_in(tmp_path).read_bytes()
    write(file, BIG.replace(b"name1:", b"other:"))  # of the same size and time
    assert value(file, tmp_path, b"name1") is None
    assert value(file, tmp_path, b"other") == b" name1@mailbox.example, copy@archive.example"
    assert index_in(tmp_path).read_bytes() != first


def value(file: Path, folder: Path, key: bytes) -> bytes | None:
    return alias_text.open_text(str(file), str(folder), alias_index.make).value(key)


def test_no_index_is_made_of_a_file_that_was_changed_just_now(tmp_path: Path, file: Path) -> None:
    assert value(file, tmp_path, b"name5") == b" name5@mailbox.example, copy@archive.example"
    assert list(tmp_path.glob("aliases-*")) == []


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("text", [b"a: b@x\n", BIG.replace(b"\n", b"\r\n")])
def test_small_files_and_foreign_line_ends_have_no_index(tmp_path: Path, file: Path, text: bytes) -> None:
    write(file, text)
    assert value(file, tmp_path, text.split(b":")[0]) is not None
    assert list(tmp_path.glob("aliases-*")) == []


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", ["cut", "empty", "writable", "link", "folder", "zeros"])
def test_an_index_that_is_not_ours_or_not_whole_does_not_count(
    tmp_path: Path, file: Path, damage: str
) -> None:
    value(file, tmp_path, b"name5")
    made = index_in(tmp_path)
    lie = made.read_bytes()[: index.HEAD] + index.FREE * 13  # says that there are no aliases
    if damage == "cut":
        made.write_bytes(lie[:-1])
    elif damage == "zeros":
        made.write_bytes(lie[: index.HEAD] + bytes(156))
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
    assert value(file, tmp_path, b"name5") == b" name5@mailbox.example, copy@archive.example"


@pytest.mark.usefixtures("settled")
def test_where_no_index_can_be_kept_everything_is_searched(tmp_path: Path, file: Path) -> None:
    for folder in (tmp_path / "missing", file, Path("/proc/nothing")):
        assert value(file, folder, b"name5") == b" name5@mailbox.example, copy@archive.example"


@pytest.mark.usefixtures("settled")
def test_addresses_and_owners_are_found_by_the_index_too(tmp_path: Path, file: Path) -> None:
    write(file, BIG + b"@Old.example: name7\nowner-name7: greg@isp.example\n")
    known = aliases.load([str(file)], folder=str(tmp_path))

    class Here:
        def is_local(self, domain: bytes) -> bool:
            return False

    host = Here()
    assert known.resolve(b"any@old.EXAMPLE", host) == [b"name7@mailbox.example", b"copy@archive.example"]  # type: ignore[arg-type]
    assert known.owner(b"owner-name7", host) == b"greg@isp.example"  # type: ignore[arg-type]
    assert index_in(tmp_path)
