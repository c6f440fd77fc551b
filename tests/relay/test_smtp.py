"""The dialogue: every page of tests/dialogues, and every mix of answers to recipients."""

from __future__ import annotations

import base64
import itertools
from pathlib import Path

import pytest
from sendmail_py.relay import sasl

from relay import dialogue
from relay.dialogue import FOLDER, MemoryLine, Script, check, over_socket, play

FILES = sorted(FOLDER.glob("*.txt"))
REPLIES = {
    "2": ("250 2.1.5 ok", "delivered 2.0.0"),
    "4": ("450 4.2.0 later", "deferred 4.2.0"),
    "5": ("550 5.1.1 unknown", "failed 5.1.1"),
}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_plays_the_page_in_memory(path: Path, size: int) -> None:
    script = Script(path.read_text())
    line = MemoryLine(script.talk, size)
    check(play(script, line), script.end)
    assert [one for one in line.talk if one != "CLOSED"] == []


def is_for_a_socket(path: Path) -> bool:
    """Whether a page needs neither a real handshake nor replies in one packet."""
    return not ("\nTLS\n" in path.read_text() or "extra" in path.stem or "injection" in path.stem)


SOCKET_FILES = [path for path in FILES if is_for_a_socket(path)]


@pytest.mark.parametrize("path", SOCKET_FILES, ids=[path.stem for path in SOCKET_FILES])
def test_plays_the_page_over_a_socket(path: Path) -> None:
    script = Script(path.read_text())
    results = over_socket(script)
    check(next(results), script.end)
    assert next(results) == []


def group(pipelining: bool, answers: tuple[str, ...]) -> str:
    """A page with three recipients that are answered as told, and a second message behind it."""
    names = ["r1", "r2", "r3"]
    accepted = "2" in answers
    head = "message: <a@x.example> <r1@y.example> <r2@y.example> <r3@y.example>\nmessage: <> <z@y.example>\n"
    talk = ["S: 220 hi", "C: EHLO client.example.net", "S: 250-hi" if pipelining else "S: 250 hi"]
    mail, recipients = ["C: MAIL FROM:<a@x.example>"], [f"C: RCPT TO:<{name}@y.example>" for name in names]
    replies = [f"S: {REPLIES[one][0]}" for one in answers]
    data = "S: 354 go" if accepted else "S: 554 5.5.1 no valid recipients"
    reset = [] if accepted else ["C: RSET"]
    next_mail, next_data = ["C: MAIL FROM:<>", "C: RCPT TO:<z@y.example>"], ["C: DATA"]
    content, end = (["CONTENT"], ["S: 250 2.0.0 ok"]) if accepted else ([], [])
    if pipelining:
        talk += ["S: 250 PIPELINING", *mail, *recipients, "C: DATA", "S: 250 ok", *replies, data, *content]
        talk += [*reset, *next_mail, *next_data, *end, *["S: 250 ok" for _ in reset]]
        talk += ["S: 250 ok", "S: 250 ok", "S: 354 go"]
    else:
        talk += [*mail, "S: 250 ok"]
        talk += [line for pair in zip(recipients, replies, strict=True) for line in pair]
        talk += ["C: DATA", "S: 354 go", "CONTENT", *end] if accepted else ["C: RSET", "S: 250 ok"]
        talk += [next_mail[0], "S: 250 ok", next_mail[1], "S: 250 ok", "C: DATA", "S: 354 go"]
    talk += ["CONTENT", "S: 250 2.0.0 ok", "C: QUIT", "S: 221 bye"]
    results = [f"{name}@y.example: {REPLIES[one][1]}" for name, one in zip(names, answers, strict=True)]
    return "\n".join([head + "---", *talk, "---", *results, "z@y.example: delivered 2.0.0", ""])


@pytest.mark.parametrize("answers", list(itertools.product("245", repeat=3)), ids="".join)
@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "lock-step"])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_every_mix_of_answers_to_three_recipients(
    answers: tuple[str, ...], pipelining: bool, size: int
) -> None:
    script = Script(group(pipelining, answers))
    line = MemoryLine(script.talk, size)
    check(play(script, line), script.end)
    assert not line.talk


def test_the_transcript_shows_no_secret() -> None:
    for path in FILES:
        script = Script(path.read_text())
        lines: list[str] = []
        play(script, MemoryLine(script.talk, 1 << 20), lines.append)
        shown = "\n".join(lines)
        for secret in ("secret", "c2VjcmV0", "AGdyZWcAc2VjcmV0", "Z3JlZ"):
            assert secret not in shown, path.stem
        if "AUTH" in "\n".join(line for line in script.talk if line.startswith("C: ")):
            assert "C: AUTH ***" in lines, path.stem


def test_a_long_response_is_not_put_on_the_command_line() -> None:
    script = Script("wish: private login\nauth: PLAIN\n---\n\n---\n")
    password = b"p" * 600
    answer = base64.b64encode(b"\0greg\0" + password).decode()
    script.talk = ["S: 220 hi", "C: EHLO client.example.net", "S: 250-hi", "S: 250 AUTH PLAIN"]
    script.talk += ["C: AUTH PLAIN", "S: 334 ", f"C: {answer}", "S: 235 welcome", "C: QUIT", "S: 221 bye"]
    usual, dialogue.LOGIN = dialogue.LOGIN, sasl.Login(b"greg", password)
    try:
        assert play(script, MemoryLine(script.talk, 1 << 20)) == []
    finally:
        dialogue.LOGIN = usual
