"""Claims about aliases: how names become addresses, and what newaliases says."""

from __future__ import annotations

import errno
import os
import posix
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.errors import ConfigError, DataError, TemporaryError
from sendmail_py.policy import alias_check, alias_text, aliases

HERE: Any = SimpleNamespace(is_local=lambda domain: domain.lower() in (b"localhost", b"box.example.org"))

FILE = rb"""# aliases(5)
root: greg@isp.example
Postmaster:	root
two: ann@a.example, "Able, Bob" <bob@b.example>
long: ann@a.example,
  bob@b.example,

# a comment between
	carl@c.example # and one behind
"two words": ann@a.example
"Quo\"te": bob@b.example
spaced  : ann@a.example
"coloned:name": carl@c.example
self: self, ann@a.example
final: \final, ann@a.example
other: \root
here: root@localhost
there: root@BOX.example.org
bare: nobody-else
diamond: root, postmaster, ann@a.example, ann@A.example
quoted: "a b"@q.example
comma: "x,y"@q.example
gateway: /G=Ann/S=Able/@gw.example
pipe: |/usr/bin/program
quoted-pipe: "|/usr/bin/program a, b"
mixed: ann@a.example, |program
file: /var/mail/archive
null: /dev/null
folder: maildir:/var/mail/archive
to-folder: ann@a.example, "maildir:/var/mail/archive"
to-pipe: pipe
loop: loop2
loop2: loop3, ann@a.example
loop3: loop
loop-here: loop-here2@localhost
loop-here2: loop-here
empty:
commas: , ,
bad: ann able@a.example
root: second@isp.example
"""

RESOLVED: list[tuple[bytes, list[bytes]]] = [
    (b"root", [b"greg@isp.example"]),
    (b"ROOT", [b"greg@isp.example"]),
    (b'"root"', [b"greg@isp.example"]),
    (b"postmaster", [b"greg@isp.example"]),
    (b"two", [b"ann@a.example", b"bob@b.example"]),
    (b"long", [b"ann@a.example", b"bob@b.example", b"carl@c.example"]),
    (b'"two words"', [b"ann@a.example"]),
    (b'"quo\\"te"', [b"bob@b.example"]),
    (b"spaced", [b"ann@a.example"]),
    (b'"coloned:name"', [b"carl@c.example"]),
    (b"self", [b"self", b"ann@a.example"]),
    (b"final", [b"final", b"ann@a.example"]),
    (b"other", [b"root"]),
    (b"here", [b"greg@isp.example"]),
    (b"there", [b"greg@isp.example"]),
    (b"bare", [b"nobody-else"]),
    (b"diamond", [b"greg@isp.example", b"ann@a.example"]),
    (b"quoted", [b'"a b"@q.example']),
    (b"comma", [b'"x,y"@q.example']),
    (b"gateway", [b"/G=Ann/S=Able/@gw.example"]),
    (b"unknown", [b"unknown"]),
    (b"Unknown", [b"Unknown"]),
    (b"roo", [b"roo"]),
    (b"oot", [b"oot"]),
    (b"root2", [b"root2"]),
    (b"bob@b.example,", [b"bob@b.example,"]),
    (b"#", [b"#"]),
    (b'""', [b'""']),
]
# Each with the words that say what is wrong with it.
REFUSED = [
    (b"pipe", "pipe: mail to a program"), (b"quoted-pipe", "quoted-pipe: mail to a program"),
    (b"mixed", "mixed: mail to a "), (b"file", "file: mail to a file"), (b"null", "null: mail to a file"),
    (b"folder", "folder: mail to a "), (b"to-folder", "folder: mail to a "),
    (b"to-pipe", "pipe: mail to a program"), (b"loop", "loop"), (b"loop2", "loop2"), (b"loop3", "loop3"),
    (b"loop-here", "loop-here"), (b"empty", "alias empty has no target"), (b"commas", "alias commas has"),
    (b"bad", "bad: "),
    (b"|program", "|program: mail to a program"), (b'"|program x"', '"|program x": mail to a program'),
    (b"/etc/passwd", "/etc/passwd: mail to a file"), (b'"/etc/x y"', '"/etc/x y": mail to a file'),
    (b'":include:/etc/list"', '":include:/etc/list": mail to a list'),
]  # fmt: skip


@pytest.fixture
def known(tmp_path: Path) -> aliases.Aliases:
    (tmp_path / "aliases").write_bytes(FILE)
    return aliases.load([str(tmp_path / "missing"), str(tmp_path / "aliases")])


@pytest.mark.parametrize(("local", "wanted"), RESOLVED)
def test_a_local_name_leads_to_its_addresses(
    known: aliases.Aliases, local: bytes, wanted: list[bytes]
) -> None:
    assert known.resolve(local, HERE) == wanted


@pytest.mark.parametrize(("local", "words"), REFUSED)
def test_refuses_with_the_name_what_leads_to_no_mailbox(
    known: aliases.Aliases, local: bytes, words: str
) -> None:
    with pytest.raises(DataError) as error:
        known.resolve(local, HERE)
    assert str(error.value).isprintable()
    assert words in str(error.value)


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "aliases")
    with pytest.raises(ConfigError, match="aliases: a pipe into which nobody writes: "):
        aliases.load([str(tmp_path / "aliases")]).resolve(b"a", HERE)


@pytest.mark.parametrize("ends", [b"\r\n", b"\n"])
@pytest.mark.parametrize("last", [True, False])
def test_reads_any_line_ends(tmp_path: Path, ends: bytes, last: bool) -> None:
    text = ends.join([b"a: b@x,", b" c@x", b"", b"d: e@x"]) + (ends if last else b"")
    (tmp_path / "aliases").write_bytes(text)
    known = aliases.load([str(tmp_path / "aliases")])
    assert known.resolve(b"a", HERE) == [b"b@x", b"c@x"]
    assert known.resolve(b"d", HERE) == [b"e@x"]


@pytest.mark.parametrize("more", [b"", b"other: x@y.example\n" * 1000])
def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path, more: bytes) -> None:
    (tmp_path / "aliases").write_bytes(b"\xef\xbb\xbfroot: one@x\n" + more)
    for folder in ("", str(tmp_path)):
        assert aliases.load([str(tmp_path / "aliases")], "", False, folder).resolve(b"root", HERE) == [
            b"one@x"
        ]


def test_the_first_file_that_knows_a_name_counts(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"root: one@x\n")
    (tmp_path / "two").write_bytes(b"root: two@x\nbob: root\n")
    known = aliases.load([str(tmp_path / "one"), str(tmp_path / "two")])
    assert known.resolve(b"bob", HERE) == [b"one@x"]


@pytest.mark.parametrize(
    ("default", "local", "wanted"),
    [
        ("greg@isp.example", b"unknown", [b"greg@isp.example"]),
        ("greg@isp.example", b"bare", [b"greg@isp.example"]),
        ("greg@isp.example", b"two", [b"ann@a.example", b"bob@b.example"]),
        ("greg@isp.example", b"self", [b"self", b"ann@a.example"]),
        ("greg@isp.example", b"other", [b"root"]),
        ("two", b"unknown", [b"ann@a.example", b"bob@b.example"]),
        ("greg", b"unknown", [b"greg"]),
    ],
)
def test_the_default_gets_what_no_alias_names(
    tmp_path: Path, default: str, local: bytes, wanted: list[bytes]
) -> None:
    (tmp_path / "aliases").write_bytes(FILE)
    assert aliases.load([str(tmp_path / "aliases")], default).resolve(local, HERE) == wanted


@pytest.mark.parametrize(
    ("star", "local", "wanted"),
    [
        (b"root", b"unknown", [b"greg@isp.example"]),
        (b"root", b"unknown@localhost", [b"greg@isp.example"]),
        (b"root, ann@a.example", b"bare", [b"greg@isp.example", b"ann@a.example"]),
        (b"root", b"two", [b"ann@a.example", b"bob@b.example"]),
        (b"root", b"self", [b"self", b"ann@a.example"]),
        (b"root", b"other", [b"root"]),
        (b"root", b"someone@else.example", [b"someone@else.example"]),
        (b"nobody-else, root", b"unknown", [b"nobody-else", b"greg@isp.example"]),
        (b"unknown", b"unknown", [b"unknown"]),
    ],
)
@pytest.mark.parametrize("default", ["", "carl@c.example"])
def test_a_star_stands_for_all_names_without_a_line(
    tmp_path: Path, star: bytes, local: bytes, wanted: list[bytes], default: str
) -> None:
    (tmp_path / "aliases").write_bytes(FILE + b"*: " + star + b"\n")
    assert aliases.load([str(tmp_path / "aliases")], default).resolve(local, HERE) == wanted


def test_a_star_is_no_way_around_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "aliases").write_bytes(b"*: greg@isp.example\n")
    with pytest.raises(DataError):
        aliases.load([str(tmp_path / "aliases")]).resolve(b"|program", HERE)


def test_the_default_is_no_way_around_a_refusal() -> None:
    with pytest.raises(DataError):
        aliases.load([], "greg@isp.example").resolve(b"|program", HERE)


@pytest.mark.parametrize("default", ["|program", "/var/mail/archive"])
def test_a_default_that_is_no_mailbox_is_refused(default: str) -> None:
    with pytest.raises(DataError, match=r"aliases\.default"):
        aliases.load([], default).resolve(b"bob", HERE)


def test_a_default_that_leads_back_to_itself_is_a_loop(tmp_path: Path) -> None:
    (tmp_path / "aliases").write_bytes(b"greg: unknown\n")
    with pytest.raises(DataError):
        aliases.load([str(tmp_path / "aliases")], "greg").resolve(b"greg", HERE)


def test_a_missing_file_holds_no_aliases(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    files = [str(tmp_path / "missing"), str(tmp_path / "file" / "below")]
    assert aliases.load(files).resolve(b"root", HERE) == [b"root"]
    assert alias_check.check(files[0]) == []


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EACCES, ConfigError),
        (errno.EISDIR, ConfigError),
        (errno.EIO, TemporaryError),
        (errno.EMFILE, TemporaryError),
    ],
)
def test_a_file_that_cannot_be_read_stops_the_mail(
    monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(posix, "open", fail)
    with pytest.raises(error, match="/etc/aliases"):
        aliases.load(["/etc/aliases"]).resolve(b"root", HERE)


def test_reads_nothing_before_a_local_name_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias_text, "read_with_state", lambda file: pytest.fail("the file was read"))
    aliases.load(["/etc/aliases"], "greg@isp.example")


def test_parses_only_the_values_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aliases").write_bytes(b"".join([b"user%d: u%d@x\n" % (n, n) for n in range(1000)]))
    parsed: list[bytes] = []
    before = aliases.targets

    def recorded(value: bytes, alias: bytes, *_: object) -> list[bytes]:
        parsed.append(value)
        return before(value, alias, *_)

    monkeypatch.setattr(aliases, "targets", recorded)
    assert aliases.load([str(tmp_path / "aliases")]).resolve(b"user900", HERE) == [b"u900@x"]
    assert parsed == [b" u900@x"]


def test_many_ways_to_one_name_cost_no_more_than_one(tmp_path: Path) -> None:
    lines = [b"a%d: a%d, b%d\nb%d: a%d\n" % (n, n + 1, n, n, n + 1) for n in range(24)]
    (tmp_path / "aliases").write_bytes(b"".join([*lines, b"a24: ann@a.example\n"]))
    begin = time.process_time()
    assert aliases.load([str(tmp_path / "aliases")]).resolve(b"a0", HERE) == [b"ann@a.example"]
    assert alias_check.check(str(tmp_path / "aliases")) == []
    assert time.process_time() - begin < 1


def test_a_way_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "aliases").write_bytes(b"".join([b"a%d: a%d\n" % (n, n + 1) for n in range(5000)]))
    with pytest.raises(DataError):
        aliases.load([str(tmp_path / "aliases")]).resolve(b"a0", HERE)
    assert alias_check.check(str(tmp_path / "aliases")) == []


NAMES = st.text("abcXYZ.-_01", min_size=1, max_size=6).filter(
    lambda name: ".." not in name and name[0] != "." != name[-1]
)


@given(
    st.dictionaries(
        NAMES.map(str.lower),
        st.lists(NAMES.map(lambda name: name + "@x"), min_size=1, max_size=3),
        max_size=6,
    )
)
def test_finds_every_name_that_a_file_holds(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, list[str]]
) -> None:
    file = tmp_path_factory.mktemp("aliases") / "aliases"
    file.write_text("".join([f"{name}: {', '.join(targets)}\n" for name, targets in table.items()]))
    known = aliases.load([str(file)])
    for name, targets in table.items():
        wanted = list(dict.fromkeys([target.encode() for target in targets]))
        assert known.resolve(name.upper().encode(), HERE) == wanted
    assert alias_check.check(str(file)) == []


# --- newaliases --------------------------------------------------------------------------------


def problems(tmp_path: Path, text: bytes, names: tuple[bytes, ...] = ()) -> list[tuple[int, bool]]:
    (tmp_path / "aliases").write_bytes(text)
    found = alias_check.check(str(tmp_path / "aliases"), names)
    assert all(problem.text.isprintable() and problem.text for problem in found)
    return [(problem.line, problem.fault) for problem in found]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"", []),
        (b"# nothing\n\n   \n  # nothing\n", []),
        (b"a: b\nb: c@x.example\n", []),
        (b"a: a, \\a\n", []),
        (b"a: b@x,\n c@x\n", []),
        (b'"a b": c@x\n', []),
        (b"a\n", [(1, True)]),
        (b"a b@x\nb: c@x\n", [(1, True)]),
        (b": a@x\n", [(1, True)]),
        (b'"a: b@x\n', [(1, True)]),
        (b'"a"b: c@x\n', [(1, True)]),
        (b"a b: c@x\n", [(1, True)]),
        (b" a: b@x\n", [(1, True)]),
        (b" a: b@x\n c@x\nd: e@x\n", [(1, True)]),
        (b"a:\n", [(1, True)]),
        (b"a: # nobody\n", [(1, True)]),
        (b"a: b@x c@x\n", [(1, True)]),
        (b"a: b@x,\n\n c@x d@x,\n e@x\n", [(3, True)]),
        (b"a: b@x\n c@x\n", [(1, True)]),
        (b"a: b@-x-\n", [(1, True)]),
        (b"a: b@x,\n c@d..e,\n f@g\n", [(2, True)]),
        (b"a: b\0c@x\n", [(1, True)]),
        (b"a: b@x\nA: c@x\n", [(2, True)]),
        (b'a: b@x\n"a": c@x\n', [(2, True)]),
        (b"a: b\nb: a\n", [(1, True)]),
        (b"x: a\na: b\nb: c\nc: A\n", [(2, True)]),
        (b"a: b, c\nb: d\nc: d\nd: e@x\n", []),
        (b"a: |p\n", [(1, False)]),
        (b'a: b@x,\n "|p x, y"\n', [(2, False)]),
        (b"a: /f, maildir:/f\n", [(1, False), (1, False)]),
        (b"a: b@x, :include:/nowhere/list\n", [(1, True)]),
        (b"a: b@x,\n :include:list\n", [(2, True)]),
        (b"a@x: b@x\n", []),
        (b"@x: b@x\n", []),
        (b"a@x: a@x, b@x\n", []),
        (b"a@x: b@x\nb@x: a@x\n", [(1, True)]),
        (b"a: b@x\n@x: a\n", [(1, True)]),
        (b"@x: a@x\n", []),
        (b"a@: b@x\n", [(1, True)]),
        (b"a@-x: b@x\n", [(1, True)]),
        (b"z\nb: |p\nc: d e\n", [(1, True), (2, False), (3, True)]),
        (b"a: b@x\r\nc d\r\n", [(2, True)]),
    ],
)
def test_newaliases_names_each_bad_line(tmp_path: Path, text: bytes, wanted: list[tuple[int, bool]]) -> None:
    assert problems(tmp_path, text) == wanted


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"*: root\nroot: greg\n", 1),
        (b"root: a@x.example, greg\n*: root\n", 1),
        (b"*: greg\nroot: greg\n", 0),
        (b"*: *\n", 0),
        (b"*: root, root@x.example\nroot: greg@isp.example\n", 0),
    ],
)
def test_newaliases_finds_loops_by_way_of_everybody(tmp_path: Path, text: bytes, line: int) -> None:
    (tmp_path / "aliases").write_bytes(text)
    found = alias_check.check(str(tmp_path / "aliases"))
    assert [one.line for one in found] == ([line] if line else [])
    known = aliases.load([str(tmp_path / "aliases")])
    for name in (b"root", b"greg", b"unknown"):
        try:
            known.resolve(name, HERE)
        except DataError:
            assert line


def test_newaliases_finds_loops_by_way_of_this_host(tmp_path: Path) -> None:
    text = b"a: b@localhost\nb: a\n"
    assert problems(tmp_path, text) == []
    assert problems(tmp_path, text, (b"localhost",)) == [(1, True)]


def test_what_newaliases_calls_a_fault_is_what_a_submission_refuses(
    tmp_path: Path, known: aliases.Aliases
) -> None:
    faults = [
        problem.text
        for problem in alias_check.check(str(tmp_path / "aliases"), (b"localhost",))
        if problem.fault
    ]
    assert [text.split(":")[0].split(" leads")[0] for text in faults] == [
        "alias loop -> loop2 -> loop3 -> loop",
        "alias loop-here -> loop-here2 -> loop-here",
        "empty",
        "commas",
        "ann able@a.example",
        "root",
    ]


# --- addresses as names ------------------------------------------------------------------------

KEYED = rb"""root: greg@isp.example
ceo@shop.example: ann@a.example
sales: carl@c.example
@old.example: sales, \boss
self@shop.example: self@shop.example, copy@a.example
whole@here.example: whole
@whole.example: keep@whole.example
root@localhost: local@a.example
to-ceo: CEO@Shop.Example
"""


@pytest.mark.parametrize(
    ("given_address", "wanted"),
    [
        (b"ceo@shop.example", [b"ann@a.example"]),
        (b"CEO@SHOP.example", [b"ann@a.example"]),
        (b"other@shop.example", [b"other@shop.example"]),
        (b"ceo@a.shop.example", [b"ceo@a.shop.example"]),
        (b"any@old.example", [b"carl@c.example", b"boss"]),
        (b"any@a.old.example", [b"any@a.old.example"]),
        (b"self@shop.example", [b"self@shop.example", b"copy@a.example"]),
        (b"any@whole.example", [b"keep@whole.example"]),
        (b"keep@whole.example", [b"keep@whole.example"]),
        (b"to-ceo", [b"ann@a.example"]),
        (b"root@localhost", [b"local@a.example"]),
        (b"root@box.example.org", [b"greg@isp.example"]),
        (b"root", [b"greg@isp.example"]),
        (b"who@elsewhere.example", [b"who@elsewhere.example"]),
    ],
)
def test_an_address_and_a_domain_can_be_names(
    tmp_path: Path, given_address: bytes, wanted: list[bytes]
) -> None:
    (tmp_path / "aliases").write_bytes(KEYED)
    assert aliases.load([str(tmp_path / "aliases")]).resolve(given_address, HERE) == wanted


def test_a_file_that_may_not_be_read_holds_up_local_mail_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(posix, "open", refuse)
    known = aliases.load(["/etc/aliases"])
    assert known.resolve(b"ann@a.example", HERE) == [b"ann@a.example"]
    with pytest.raises(ConfigError):
        known.resolve(b"root", HERE)


# --- owners ------------------------------------------------------------------------------------

OWNED = rb"""staff: ann@a.example, bob@b.example
owner-staff: carl@c.example
everybody: staff
both: staff, dave@d.example
owner-both: owners
owners: eve@e.example, carl@c.example
plain: ann@a.example
owner-owner-staff: nobody@x.example
"""


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (b"staff", [b"owner-staff", b"owner-staff"]),
        (b"STAFF", [b"owner-staff", b"owner-staff"]),
        (b"everybody", [b"owner-staff", b"owner-staff"]),
        (b"both", [b"owner-staff", b"owner-staff", b"owner-both"]),
        (b"owner-staff", [b""]),
        (b"plain", [b""]),
        (b"x@elsewhere.example", [b""]),
        (b"unknown", [b""]),
    ],
)
def test_each_address_of_a_list_has_the_nearest_owner(
    tmp_path: Path, name: bytes, wanted: list[bytes]
) -> None:
    (tmp_path / "aliases").write_bytes(OWNED)
    known = aliases.load([str(tmp_path / "aliases")])
    assert len(known.resolve(name, HERE)) == len(wanted)
    assert known.owners == wanted


def test_the_first_address_of_an_owner_counts(tmp_path: Path) -> None:
    (tmp_path / "aliases").write_bytes(OWNED)
    known = aliases.load([str(tmp_path / "aliases")])
    assert known.owner(b"owner-both", HERE) == b"eve@e.example"


def test_an_endless_alias_file_is_refused() -> None:
    """/dev/zero, a log that somebody named by mistake."""
    with pytest.raises(ConfigError, match="too long"):
        alias_text.read("/dev/zero")
