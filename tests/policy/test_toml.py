"""The subset reader never says anything else than tomllib; what it declines, tomllib reads or refuses."""

from __future__ import annotations

import os
import threading
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sendmail_py.errors import ConfigError
from sendmail_py.policy import explain, places, toml

DESIGN = b"""\
delivery = "queue"              # queue: cron flushes
dot_ends_message = true

[identity]
domain = "example.net"
local_names = ["nas.lan"]

[masquerade]
exceptions = ['root', "a # b"]  # logins
headers = false

[masquerade.users]
root = "greg@isp.example"
www-data = [
    "shop@isp.example",   # the first
    # nothing
    "*@shop.example",
]
"*" = "other@isp.example"
'john.doe' = ""

[[smarthost]]
port = 587
timeout	=	"5m"

[[ smarthost ]]
host = "backup.isp.example"
port = 0
"""

# --- documents of the subset -------------------------------------------------------------------------------

BARE_KEYS = st.text("abzAZ09_-", min_size=1, max_size=6)
TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12)
BASIC = TEXT.filter(lambda text: '"' not in text and "\\" not in text).map(lambda text: f'"{text}"')
LITERAL = TEXT.filter(lambda text: "'" not in text).map(lambda text: f"'{text}'")
STRINGS = BASIC | LITERAL
KEYS = BARE_KEYS | STRINGS
SPACE = st.sampled_from(["", " ", "  ", "\t"])
COMMENT = st.just("") | TEXT.map(lambda text: "#" + text)
BREAK = st.tuples(SPACE, st.sampled_from(["", "\n", "# x\n", '# "y",\n\n']), SPACE).map("".join)


@st.composite
def arrays(draw: st.DrawFn) -> str:
    """A string array over one or more lines."""
    parts = ["["]
    for item in draw(st.lists(STRINGS, max_size=3)):
        parts += [draw(BREAK), item, draw(BREAK), ","]
    if len(parts) > 1 and draw(st.booleans()):
        parts.pop()
    return "".join([*parts, draw(BREAK), "]"])


VALUES = STRINGS | arrays() | st.integers(0, 10**17).map(str) | st.sampled_from(["true", "false"])
HEADERS = (
    st.lists(BARE_KEYS, min_size=1, max_size=3).map(lambda parts: f"[{'.'.join(parts)}]")
    | st.lists(BARE_KEYS, min_size=1, max_size=2).map(lambda parts: f"[ {' . '.join(parts)} ]")
    | BARE_KEYS.map(lambda name: f"[[{name}]]")
    | st.sampled_from(["[a]", "[a.b]", "[[a]]", "[[b]]", "[b.a]"])
)
PAIRS = st.tuples(KEYS, SPACE, st.just("="), SPACE, VALUES).map("".join)
LINES = st.tuples(SPACE, PAIRS | HEADERS | st.just(""), SPACE, COMMENT).map("".join)
DOCUMENTS = st.lists(LINES, max_size=12).map("\n".join)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A document with some characters removed, doubled or replaced."""
    text = draw(DOCUMENTS | st.just(DESIGN.decode()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        new = draw(
            st.sampled_from(
                [
                    "",
                    "[",
                    "]",
                    '"',
                    "'",
                    "=",
                    ",",
                    "#",
                    "\n",
                    "\\",
                    ".",
                    "\r",
                    "\x00",
                    "+",
                    "1",
                    '"""',
                    "{",
                    "}",
                    "\ufeff",
                ]
            )
        )
        text = text[:at] + new + text[at + draw(st.integers(0, 3)) :]
    return text


def agrees(octets: bytes) -> bool:
    """Whether the subset reader took the document; fails when it says anything else than tomllib."""
    found = toml.subset(octets)
    if found is not None:
        assert found == tomllib.loads(octets.decode())
    return found is not None


@given(DOCUMENTS)
def test_subset_documents_mean_what_tomllib_says(text: str) -> None:
    agrees(text.encode())


@given(mutated())
@example("[[a]\n")
@example("[a]]\n")
@example("[")
@example("a = [\n")
@example('a = ["x" "y"]')
@example("a = [,]")
@example("a = []\n[[a]]\n")
@example("[[a]]\n[a]\n")
@example("[a.b]\n[a]\n")
@example('a = """x"""\n')
@example('a = ""x""\n')
@example("a = ''\n'' = 1")
@example('a = "x" = "y"')
@example("a = 'x = \"y\"'")
@example('a\u00e4 = "x"')
@example("a = 01")
@example("a = \u0663")
@example("\u0661 = 1")
@example("x\x0b = 1")
@example('a = "x"\u2028b = "y"')
def test_mutated_documents_mean_what_tomllib_says(text: str) -> None:
    agrees(text.encode())


@given(st.text(max_size=60) | st.text("ab=[]\"'#,. \n\t\\1{}", max_size=40))
def test_random_text_means_what_tomllib_says(text: str) -> None:
    agrees(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=60))
def test_random_octets_are_read_declined_or_refused_in_one_line(octets: bytes) -> None:
    agrees(octets)
    try:
        explain.document(octets, "f")
    except ConfigError as problem:
        assert str(problem).startswith("f:")
        assert str(problem).isprintable()


def test_reads_the_usual_file_without_tomllib() -> None:
    assert agrees(DESIGN)


@pytest.mark.parametrize(
    "text",
    [
        'a = "x\\ny"',
        "a = '''x'''",
        "a.b = 1",
        "a = 1.5",
        "a = -1",
        "a = 1_000",
        "a = 2026-11-24",
        "a = {b = 1}",
        "a = [1, 2]",
        "a = [['x']]",
        '["a b"]\n',
        "[[a.b]]\n",
        "a = 1\r\n",
        "[a.b]\n[a]\n",
        "a = 1\na = 2\n",
        "a = 1 # \x01",
    ],
)
def test_declines_what_is_not_surely_in_the_subset(text: str) -> None:
    assert toml.subset(text.encode()) is None


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('a = "x"\nb = hunter2\n', 2, "text needs quotes"),
        ('a = "hunter2\nb = 1\n', 1, "closing quote"),
        ("a = 'hunter2\nb = 1\n", 1, "closing quote"),
        ('a = "x"\nhunter2\n', 2, "no = after the name"),
        ("a = 1\n\nhunter2 = 1\nhunter2 = 2\n", 4, "given twice"),
        ("[hunter2]\n[hunter2]\n", 2, "given twice"),
        ('a = ["hunter2"\nb = 1\n', 1, "closing bracket"),
        ('a = "x" hunter2\n', 1, "left over"),
        ("[hunter2\nb = 1\n", 1, "closing bracket"),
        ('a = 1\nb = ["hunter2"', 2, "closing bracket"),
        ("a = 1\r\nb = hunter2\r\n", 2, "text needs quotes"),
        ('a = "c:\\hunter2"', 1, "backslash"),
        ("a = 1\nb = 'hunter2\x07'\n", 2, "control character"),
    ],
)
def test_a_broken_document_names_the_line_and_never_quotes_it(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^dir/f.toml:{line}: .*{words}") as caught:
        explain.document(text.encode(), "dir/f.toml")
    assert "hunter2" not in str(caught.value)
    assert caught.value.status == 78


def test_octets_that_are_not_utf8_are_named_by_line() -> None:
    with pytest.raises(ConfigError, match=r"^f:2: not UTF-8$"):
        explain.document(b"a = 1\nb = '\xff'\n", "f")


def test_deep_nesting_is_an_error_of_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^f:1: nested too deep$"):
        explain.document(b"a = " + b"[" * 100_000, "f")


def test_a_control_character_in_the_name_of_the_file_stays_visible() -> None:
    with pytest.raises(ConfigError, match=r"^a\\nb:1: "):
        explain.document(b"x", "a\nb")


def test_knows_the_line_of_every_key_and_table() -> None:
    found = places.lines(DESIGN)
    lines = DESIGN.decode().split("\n")
    starts = {
        "delivery": "delivery",
        "identity": "[identity]",
        "identity.local_names": "local_names",
        "masquerade.users": "[masquerade.users]",
        "masquerade.users.www-data": "www-data",
        "masquerade.users.*": '"*"',
        "masquerade.users.john.doe": "'john.doe'",
        "smarthost[1]": "[[smarthost]]",
        "smarthost[1].timeout": "timeout",
        "smarthost[2]": "[[ smarthost ]]",
        "smarthost[2].host": "host",
    }
    for label, start in starts.items():
        assert lines[found[label] - 1].startswith(start), label


@pytest.mark.parametrize(
    ("text", "label", "line"),
    [
        ("a = 1\n[x]\nb = 2\n", "x.b", 3),
        ("a = 1\n[x]\nb = 2\n", "x.c", 2),
        ("a = 1\n\nx.'b' . c = 2\n", "x.b.c", 3),
        ("\nx = {b = 1}\n", "x.b", 2),
        ("[[h]]\n[[h]]\n", "h[2].a", 2),
        ("\n\n[[h]]\n", "h", 3),
        ('\n["x" ."y"]\nz=1', "x.y.z", 3),
        ("a = 1\n", "x", 1),
        ('a = "unclosed\n"b = 1', "b", 1),
    ],
)
def test_finds_the_line_of_a_key_or_of_what_is_around_it(text: str, label: str, line: int) -> None:
    assert places.line_of(text.encode(), label) == line


@given(st.text(max_size=80), st.text("ab.[]1", max_size=8))
def test_looking_for_a_line_never_fails(text: str, label: str) -> None:
    assert places.line_of(text.encode("utf-8", "surrogatepass"), label) >= 1


def test_a_name_of_very_many_parts_is_refused_at_once() -> None:
    """The library takes quadratic time for it."""
    with pytest.raises(ConfigError, match="x:2: a name of too many parts"):
        explain.document(b"\n" + b"a." * 100_000 + b"a = 1\n", "x")


# --- files -------------------------------------------------------------------------------------------------


def test_a_fifo_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for read in (toml.read, toml.read_if_there):
        with pytest.raises(ConfigError, match="fifo: cannot read it: a pipe into which nobody writes"):
            read(str(tmp_path / "fifo"))


def test_a_pipe_is_read_to_its_end_however_slow() -> None:
    """As `-C <(command)` has it."""
    reading, writing = os.pipe()

    def write() -> None:
        for piece in (b"a = 1\n", b"b = 2\n"):
            threading.Event().wait(0.05)
            os.write(writing, piece)
        os.close(writing)

    thread = threading.Thread(target=write)
    thread.start()
    assert toml.contents(f"/dev/fd/{reading}") == b"a = 1\nb = 2\n"
    thread.join()
    os.close(reading)
