"""More than a hundred recipients, each with a fate of its own, and servers with limits of every kind.

Whatever the server mixes: who can have the message gets it once, who cannot is reported once.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from relay.flushing import World, smarthost
from support.script import Action
from support.smarthost import Session, SmartHost

TOO_MANY = [b"452 4.5.3 Too many recipients", b"452 Too many", b"552 5.5.3 too many", b"552 too many"]
FATES = ["good"] * 13 + ["bad"] * 2 + ["grey"] * 4 + ["never"]
RECIPIENT = re.compile(rb"RCPT TO:<(u\d+@y\.example)>")


class Mixed:
    """A server's mind: what it says to whom, and how many recipients it takes at a time (0: any number)."""

    def __init__(self, host: SmartHost, dice: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dice = dice
        self.usual = host.action_for
        self.most = dice.choice([0, 1, 7, 60, 99, 100, 101])
        self.too_many = dice.choice(TOO_MANY)
        self.fates = {b"u%03d@y.example" % n: dice.choice(FATES) for n in range(dice.choice([130, 250, 333]))}
        self.tries: Counter[bytes] = Counter()
        monkeypatch.setattr(host, "action_for", self.action_for)
        rcpt = Session.rcpt

        def limited(session: Session, line: bytes) -> None:
            full = self.most and session.message is not None and len(session.message.rcpts) >= self.most
            if full and RECIPIENT.match(line):
                session.answer(b"too many", self.too_many)
            else:
                rcpt(session, line)

        monkeypatch.setattr(Session, "rcpt", limited)

    def action_for(self, line: bytes) -> Action:
        """The answer to a line; in place of one final dot in seven a wish to hear it later."""
        found = RECIPIENT.match(line)
        if found is None:
            return b"451 4.3.0 later" if line == b"." and self.dice.random() < 0.15 else self.usual(line)
        self.tries[found[1]] += 1
        fate = self.fates[found[1]]
        if fate == "bad":
            return self.dice.choice([b"550 5.1.1 No such user", b"553 no"])
        if fate == "never" or (fate == "grey" and self.tries[found[1]] < 3):
            return b"450 4.2.0 Greylisted"
        return self.usual(line)

    def those(self, *fates: str) -> dict[bytes, int]:
        """Everybody with one of these fates, once."""
        return {address: 1 for address, fate in self.fates.items() if fate in fates}


@pytest.mark.parametrize("seed", range(8))
def test_everybody_gets_it_once_or_is_reported_once(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)  # noqa: S311 (the same for everybody who repeats it)
    more = [["PIPELINING"], ["DSN"], [f"LIMITS RCPTMAX={dice.choice([3, 50, 200])}"], ["CHUNKING"]]
    extensions = ["8BITMIME", *(one for some in more if dice.random() < 0.6 for one in some)]
    with smarthost(extensions=extensions) as host:
        mind = Mixed(host, dice, monkeypatch)
        world = World.beside(tmp_path, host)
        world.config.queue.report = "dsn"
        world.config.identity.domain = "x.example"
        world.put(*mind.fates)
        for _ in range(60):
            world.now += 4 * 3600
            world.flush(force=True)
            if not world.files():
                break
    got = Counter(to for one in host.messages if one.mail_from for to, _ in one.rcpts)
    assert got == mind.those("good", "grey")
    reports = b"".join([one.data for one in host.messages if not one.mail_from])
    assert Counter(re.findall(rb"Final-Recipient: rfc822; (\S+)", reports)) == mind.those("bad", "never")
    assert world.files() == []
    assert host.violations == []
