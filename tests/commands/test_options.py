"""The command line as getopt(3) reads it: bundles, values, operands, and what is refused."""

from __future__ import annotations

import pytest
from sendmail_py.commands.options import ACTIONS, OPTIONS, Request, parse
from sendmail_py.errors import UsageError


def parsed(*words: str, mode: str = "submit") -> Request:
    """The request for these arguments."""
    request = Request("sendmail", mode)
    parse(request, [word.encode() for word in words])
    return request


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-t", "-i"], {"from_header": True, "dot": False}),
        (["-ti"], {"from_header": True, "dot": False}),
        (["-it"], {"from_header": True, "dot": False}),
        (["-fa@b"], {"sender": b"a@b"}),
        (["-f", "a@b"], {"sender": b"a@b"}),
        (["-tifa@b"], {"sender": b"a@b", "from_header": True, "dot": False}),
        (["-tif", "a@b"], {"sender": b"a@b", "from_header": True, "dot": False}),
        (["-f", ""], {"sender": b""}),
        (["-f<>"], {"sender": b"<>"}),
        (["-f", "a@b", "-r", "c@d"], {"sender": b"c@d"}),
        (
            ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"],
            {"full_name": b"CronDaemon", "body": b"8BITMIME"},
        ),
        (["-F", "-i"], {"full_name": b"-i", "dot": True}),
        (["-B", "8bitmime"], {"body": b"8BITMIME"}),
        (["-oi"], {"dot": False}),
        (["-o", "i"], {"dot": False}),
        (["-oitrue"], {"dot": False}),
        (["-odq"], {"queue_only": True}),
        (["-odb"], {"queue_only": False}),
        (["-oeq"], {"quiet": True}),
        (["-eq"], {"quiet": True}),
        (["-oee"], {"quiet": False}),
        (["-o7", "-o8", "-oT1h", "-oMrSMTP", "-oQ/tmp/x"], {"dot": True}),
        (["-b", "m"], {"mode": "submit"}),
        (["-bp"], {"mode": "list"}),
        (["-bi"], {"mode": "aliases"}),
        (["-bs", "-odb", "-oem", "-om"], {"mode": "smtp"}),
        (["-bv", "root", "a@b"], {"mode": "verify", "operands": [b"root", b"a@b"]}),
        (["-I"], {"mode": "aliases"}),
        (["-q"], {"mode": "flush", "only": []}),
        (["-vq"], {"mode": "flush", "verbose": True}),
        (["-q30m"], {"mode": "flush"}),
        (["-qp1h30m"], {"mode": "flush"}),
        (["-qf"], {"mode": "flush"}),
        (["-qRexample.org"], {"only": [("R", b"example.org", True)]}),
        (["-q!Sbob", "-qI1A"], {"only": [("S", b"bob", False), ("I", b"1A", True)]}),
        (["-q", "30m"], {"mode": "flush", "operands": [b"30m"]}),
        (["-d", "a@b"], {"operands": [b"a@b"]}),
        (["-d0.1", "a@b"], {"operands": [b"a@b"]}),
        (["-N", "never"], {"notify": b"NEVER"}),
        (["-Nsuccess, failure"], {"notify": b"SUCCESS,FAILURE"}),
        (["-R", "hdrs"], {"ret": b"HDRS"}),
        (["-V", "id-1"], {"envid": b"id-1"}),
        (
            ["-X", "/tmp/log", "-O", "Timeout=1", "-OErrorMode=m", "-p", "SMTP:x", "-h", "3", "a@b"],
            {"operands": [b"a@b"]},
        ),
        (["-Am", "-Ac", "-G", "-U", "-c", "-m", "-E", "-x", "a@b"], {"operands": [b"a@b"]}),
        (["-n"], {"aliases": False}),
        (["-C", "/x"], {"config": b"/x"}),
        (["-L", "tag"], {"tag": b"tag"}),
        (["a@b", ""], {"operands": [b"a@b"]}),
        (["--", "-dash@example.org"], {"operands": [b"-dash@example.org"]}),
        (["a@b", "-dash@example.org"], {"operands": [b"a@b", b"-dash@example.org"]}),
        (["--help"], {"mode": "help"}),
        (["--version"], {"mode": "version"}),
    ],
)
def test_takes_what_real_callers_write(words: list[str], expected: dict[str, object]) -> None:
    """As getopt(3) would, and nothing is misread."""
    request = parsed(*words)
    assert {key: getattr(request, key) for key in expected} == expected


@pytest.mark.parametrize(
    "words",
    [
        ["-Z"], ["-s", "Subject"], ["-S"], ["-T", "x"], ["-J"], ["-M", "x"], ["-D", "/tmp/x"], ["-Q"],
        ["-f"], ["-F"], ["-B", "9BIT"], ["-bd"], ["-bD"], ["-bl"], ["-bt"], ["-bh"], ["-bz"], ["-b", ""],
        ["-A", "x"], ["-h", "many"], ["-N", "sometimes"], ["-N", "never,success"], ["-N", ""], ["-R", "some"],
        ["-V", ""], ["-V", "a b"], ["-V", "x" * 101], ["-ex"], ["-oex"], ["-qG"], ["-qx"], ["-q30x"],
        ["--unknown"], ["--json"], ["-"], ["a@b", "-t"], ["a@b", "-"], ["--", "-t"], ["a@b", "--"],
    ],
)  # fmt: skip
def test_refuses_the_rest_with_one_line_that_names_it(words: list[str]) -> None:
    """EX_USAGE, before anything is queued."""
    with pytest.raises(UsageError) as fault:
        parsed(*words)
    assert fault.value.status == 64
    assert "\n" not in str(fault.value)


def test_json_is_for_the_listing() -> None:
    """`mailq --json`."""
    assert parsed("--json", mode="list").json


def test_octets_that_are_no_text_do_no_harm() -> None:
    """Arguments are octets."""
    request = Request("sendmail", "submit")
    parse(request, [b"-f\xff@x", b"\xfe@y"])
    assert (request.sender, request.operands) == (b"\xff@x", [b"\xfe@y"])
    with pytest.raises(UsageError, match=r"\\xff|ÿ"):
        parse(request, [b"-\xff"])


def test_every_row_of_the_table_has_an_action_and_a_meaning() -> None:
    """No row is a dead letter."""
    for kind, action, meaning in OPTIONS.values():
        assert kind in (0, 1, 2)
        assert action in ACTIONS
        assert meaning
