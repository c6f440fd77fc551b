"""The pages are held equal to the code: options, keys, record letters, commands; mandoc finds no fault."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
from pathlib import Path

import click
import pytest
import sendmail_py
from sendmail_py import errors
from sendmail_py.admin import cli
from sendmail_py.commands import mailq, options
from sendmail_py.mail.envelope import STATES
from sendmail_py.policy import explain, schema
from sendmail_py.spool import breaker, entry, reading, tries

from support.needs import needs

PACKAGE = Path(sendmail_py.__file__).parent
MAN = Path(__file__).resolve().parent.parent / "man"
PAGES = (
    "mailq.1",
    "newaliases.1",
    "sendmail-py-spool.5",
    "sendmail-py.7",
    "sendmail-py.8",
    "sendmail-py.toml.5",
    "sendmail.8",
)
TABLE = re.compile(r"^\.S[hs] .*?\[+([a-z]+)(?:\.[a-z]+)?\]+")


def page(name: str) -> str:
    """The source of a page without the escapes that only roff needs."""
    return (MAN / name).read_text().replace("\\&", "").replace("\\-", "-")


def part(text: str, heading: str) -> str:
    """What stands under a section's or subsection's heading, up to the next section."""
    found = re.search(rf"^\.S[hs] {re.escape(heading)}\n(.*?)(?=^\.Sh |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section {heading}"
    return found[1]


def items(text: str) -> list[str]:
    """The arguments of every .It line."""
    return re.findall(r"^\.It (.*)$", text, re.MULTILINE)


# --- all pages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_mandoc_finds_nothing_to_warn_of(name: str) -> None:
    mandoc = needs("mandoc")
    command = [mandoc, "-T", "lint", "-W", "warning", str(MAN / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


def test_no_other_page_is_shipped() -> None:
    assert sorted(path.name for path in MAN.iterdir() if not path.name.startswith(".")) == sorted(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_of_ours_that_is_referred_to_exists(name: str) -> None:
    referred = re.findall(r"^\.Xr ((?:sendmail|mailq|newaliases|runq)\S*) (\d)", page(name), re.MULTILINE)
    assert {f"{title}.{section}" for title, section in referred} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_the_title_is_the_name_of_the_file(name: str) -> None:
    title = re.search(r"^\.Dt (\S+) (\d)$", page(name), re.MULTILINE)
    assert title and f"{title[1].lower()}.{title[2]}" == name


# --- sendmail.8 ---------------------------------------------------------------------------------------------


def long_options() -> set[str]:
    """The long options that options.py compares with."""
    tree = ast.parse(inspect.getsource(options))
    words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {word.decode() for word in words if isinstance(word, bytes) and re.fullmatch(rb"--[a-z]+", word)}


def documented_options(text: str) -> dict[str, str]:
    """Each option that has an entry of its own, with the rest of that line."""
    found = {}
    for item in items(part(text, "OPTIONS")):
        entry_of = re.match(r"Fl (-[a-z-]+|[A-Za-z])(?: (.*))?$", item)
        if entry_of:
            assert entry_of[1] not in found, f"-{entry_of[1]} stands twice"
            found[entry_of[1]] = entry_of[2] or ""
    return found


def test_every_option_has_its_entry_and_no_other() -> None:
    known = set(options.OPTIONS) | {word[1:] for word in long_options()}
    known |= {f"-{word.decode()}" for word in options.LONG_OPTIONS}
    assert set(documented_options(page("sendmail.8"))) == known


def test_an_option_is_shown_with_a_value_if_it_takes_one() -> None:
    shown = documented_options(page("sendmail.8"))
    for letter, (kind, _, _) in options.OPTIONS.items():
        shape = {options.FLAG: r"", options.VALUE: r"Ar .+", options.ATTACHED: r"Ns Op Ar .+"}[kind]
        assert re.fullmatch(shape, shown[letter]), f"-{letter}: {shown[letter]!r}"


@pytest.mark.parametrize(
    ("heading", "actions"),
    [
        ("Options that are accepted and ignored", ("ignore", "hops", "mode_files")),
        ("Options that are refused", ("refuse",)),
    ],
)
def test_options_without_effect_stand_under_their_heading(heading: str, actions: tuple[str, ...]) -> None:
    text = part(page("sendmail.8"), "OPTIONS")
    below = re.search(rf"^\.Ss {heading}\n(.*?)(?=^\.S[sh] |\Z)", text, re.MULTILINE | re.DOTALL)
    assert below
    shown = {item.split()[1] for item in items(below[1])}
    assert shown == {letter for letter, row in options.OPTIONS.items() if row[1] in actions}


def test_every_mode_of_b_is_described() -> None:
    text = part(page("sendmail.8"), "OPTIONS")
    assert {item[3:] for item in items(text) if re.fullmatch("Cm [a-z]", item)} == set(options.MODES)


def test_every_exit_status_is_described() -> None:
    from_code = {error.status for error in errors_raised()} | {0}
    assert from_code <= {int(item) for item in items(part(page("sendmail.8"), "EXIT STATUS"))}


def errors_raised() -> list[type[errors.SendmailError]]:
    """The errors that the modules of the mail commands name."""
    rooms = [PACKAGE / room for room in ("mail", "policy", "spool", "submission", "commands")]
    text = "".join([path.read_text() for room in rooms for path in room.glob("*.py")])
    known = [
        one for one in vars(errors).values() if isinstance(one, type) and one is not errors.SendmailError
    ]
    return [one for one in known if re.search(rf"\b{one.__name__}\b", text)]


# --- sendmail-py-spool.5 ------------------------------------------------------------------------------------


def test_every_record_letter_is_described_and_no_other() -> None:
    compared = [
        node.comparators[0].value
        for function in (reading.decode, reading.record)
        for node in ast.walk(ast.parse(inspect.getsource(function)))
        if isinstance(node, ast.Compare) and isinstance(node.comparators[0], ast.Constant)
    ]
    letters = {value.decode() for value in [*compared, *reading.TEXTS] if isinstance(value, bytes)}
    shown = re.findall(r"^\.It Cm ([A-Z])\b", part(page("sendmail-py-spool.5"), "Records"), re.MULTILINE)
    assert sorted(shown) == sorted(letters)


def test_every_state_of_a_recipient_is_described_and_no_other() -> None:
    shown = re.findall(r"^\.It Sq ([A-Z])$", part(page("sendmail-py-spool.5"), "Records"), re.MULTILINE)
    assert "".join(shown).encode() == STATES


def test_the_version_lines_are_the_ones_that_are_written() -> None:
    text = page("sendmail-py-spool.5")
    for line in (entry.VERSION.decode().strip(), tries.VERSION, breaker.VERSION):
        assert line in text


def test_the_example_of_a_queue_file_can_be_read() -> None:
    found = re.search(
        r"^(sendmail-py queue file .*?\n\n)(.*?)^END", page("sendmail-py-spool.5"), re.MULTILINE | re.DOTALL
    )
    assert found
    envelope = reading.decode(found[1].encode()).envelope
    assert (envelope.reverse_path, envelope.rule, envelope.original) == (
        b"greg@isp.example",
        b"users",
        b"root@nas.lan",
    )
    assert [(one.address, one.state) for one in envelope.recipients] == [
        (b"ops@example.net", b"T"),
        (b"greg@isp.example", b"D"),
    ]


def test_the_length_of_the_trailer_is_told() -> None:
    assert len(entry.trailer(0, 0, False)) == entry.TRAILER_OCTETS
    assert f"{entry.TRAILER_OCTETS} octets" in part(page("sendmail-py-spool.5"), "Trailer")


# --- mailq.1 ------------------------------------------------------------------------------------------------


def test_every_key_of_mailq_json_is_described_and_no_other() -> None:
    source = inspect.getsource(mailq.as_json)
    written = set(re.findall(r'\("([a-z_]+)", ', source))
    assert (
        set(re.findall(r"^(?:\.It )?\.?Cm ([a-z_]+)", page("mailq.1").replace(".It Cm", "Cm"), re.MULTILINE))
        == written
    )


# --- sendmail-py.toml.5 -------------------------------------------------------------------------------------


def documented_keys() -> dict[str, str]:
    """Every entry of the configuration's page: "table.key" -> its text."""
    found: dict[str, str] = {}
    table = key = ""
    for line in page("sendmail-py.toml.5").splitlines():
        heading = TABLE.match(line)
        if heading or line.startswith((".Sh ", ".Ss ")):
            table, key = heading[1] + "." if heading else "", ""
        entry_of = re.match(r"^\.It (?:Ic|Cm|Va|Li|Ql) ([a-z_]+)(?: |$)", line)
        if entry_of:
            key = table + entry_of[1]
            assert key not in found, f"{key} stands twice"
            found[key] = ""
        elif key:
            found[key] += line + "\n"
    return found


def test_every_key_has_its_entry_and_no_other() -> None:
    assert sorted(documented_keys()) == sorted(row[0] for row in explain.rows())


def test_every_name_that_a_key_may_have_as_its_value_is_told() -> None:
    text = page("sendmail-py.toml.5")
    names = [
        (key, str(name))
        for keys in schema.TABLES.values()
        for key, row in keys.items()
        if row[0] == "enum" and isinstance(row[2], tuple)
        for name in row[2]
    ]
    assert names
    assert [
        pair for pair in names if not re.search(rf'(?:Cm|Li|Ql|Dq|"){{1}} ?"?{re.escape(pair[1])}\b', text)
    ] == []


# --- sendmail-py.8 ------------------------------------------------------------------------------------------


def commands(group: click.Group, way: str = "") -> dict[str, click.Command]:
    """Every command by its words: "queue list"."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found[f"{way}{name}"] = command
        if isinstance(command, click.Group):
            found.update(commands(command, f"{way}{name} "))
    return found


def admin_commands() -> dict[str, click.Command]:
    """Every command of sendmail-py that people may call."""
    return {name: one for name, one in commands(cli.cli).items() if not one.hidden}


def test_every_command_of_sendmail_py_is_described() -> None:
    text = page("sendmail-py.8")
    for name, command in admin_commands().items():
        if not isinstance(command, click.Group):
            words = r"(?: Cm)? ".join(name.split())
            assert re.search(rf"^\.(?:Cm|Ic) {words}$", text, re.MULTILINE), name


def test_every_option_of_sendmail_py_is_described() -> None:
    shown = set(re.findall(r"Fl (-?[A-Za-z][A-Za-z-]*)", page("sendmail-py.8")))
    for name, command in admin_commands().items():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                missing = [one for one in parameter.opts if one[1:] not in shown]
                assert not missing, f"{name}: {missing}"


def test_no_option_of_sendmail_py_is_described_that_is_not_there() -> None:
    shown = {
        f"-{word}"
        for word in re.findall(r"^\.It Fl (-?[A-Za-z][A-Za-z-]*)", page("sendmail-py.8"), re.MULTILINE)
    }
    known = {one for command in admin_commands().values() for option in command.params for one in option.opts}
    assert shown - {"--help", "--version", "-h"} <= known
