"""Servers of every kind that misbehave at random: no mail is lost, misdirected, or wrongly called sent."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from relay.flushing import World, smarthost
from support.script import Action, Close, Drip, Extra, Flood, Garbage
from support.smarthost import USUAL_EXTENSIONS, SmartHost

KINDS: dict[str, tuple[tuple[str, ...], dict[bytes, bytes]]] = {
    "chunks": ((*USUAL_EXTENSIONS, "CHUNKING"), {}),
    "pipelining": (USUAL_EXTENSIONS, {}),
    "lock-step": (("SIZE 1000000", "8BITMIME"), {}),
    "bare": ((), {}),
    "helo": ((), {b"EHLO": b"502 5.5.1 what?"}),
    "few-recipients": ((*USUAL_EXTENSIONS, "LIMITS RCPTMAX=2 RCPTDOMAINMAX=1 MAILMAX=3"), {}),
}
LONG = b"450 4.2.0 " + b"z" * 5000 + b"\r\n"
MISDEEDS: list[Action] = [
    b"450 4.2.1 later",
    b"451-4.3.0 several\r\n451-4.3.0 lines\r\n451 4.3.0 of it",
    b"452 4.5.3 too many",
    b"421 4.3.2 closing",
    b"550 5.1.1 no such user",
    b"503 5.5.1 bad sequence",
    Close(),
    Close(reset=True),
    Close(after=b"45"),
    Garbage(b"what?\r\n"),
    Garbage(LONG),
    Garbage(b"250\x00 \xff\xfe\r\n"),
    Garbage(b"251-no end\r\n"),
    Flood(limit=1 << 20),
    Drip(b"451 4.3.0 slowly\r\n", 0.005),
]
EXTRA: list[Action] = [Extra(b"450 4.2.1 later", b"450 4.2.1 later"), Extra(b"451 4.3.0 no", b"421 bye")]
PLACES = (b"greeting", b"EHLO", b"MAIL", b"RCPT", b"RCPT TO:<r1-", b"DATA", b"BDAT", b".", b"RSET")
MESSAGES = 12
RUNS = 30


def script(chance: random.Random, fixed: dict[bytes, bytes]) -> dict[bytes, Action | list[Action]]:
    """At some places misdeeds among usual answers, then usual ones only."""
    found: dict[bytes, Action | list[Action]] = {}
    for place in chance.sample(PLACES, 4):
        # an answer more than there are questions can be told from an answer only where the next one is known
        misdeeds = MISDEEDS + (EXTRA if place in (b"MAIL", b"DATA", b".") else [])
        found[place] = [chance.choice([None, None, chance.choice(misdeeds)]) for _ in range(8)]
    return found | fixed


def put(world: World, chance: random.Random) -> dict[bytes, int]:
    """Queue messages; the message of each recipient."""
    whose: dict[bytes, int] = {}
    for number in range(MESSAGES):
        recipients = [
            b"r%d-%d@%c.example" % (n, number, chance.choice(b"abc")) for n in range(chance.randint(1, 4))
        ]
        whose |= dict.fromkeys(recipients, number)
        filler = b"x" * 70 + b"\r\n"
        content = b"Subject: number %d\r\n\r\n" % number + filler * chance.choice([1, 10, 2000])
        world.put(*recipients, content=content + b".end\r\n")
    return whose


def arrivals(host: SmartHost) -> Counter[tuple[bytes, int]]:
    """Who got which message how often."""
    found: Counter[tuple[bytes, int]] = Counter()
    for message in host.messages:
        number = re.match(rb"Subject: number (\d+)\r\n", message.data)
        assert number is not None
        assert message.data.endswith(b"\r\n.end\r\n")
        found.update([(address, int(number[1])) for address, _ in message.rcpts])
    return found


def logged(world: World, status: str) -> Counter[bytes]:
    """Who got that outcome how often, by the log."""
    return Counter(one.encode() for one in re.findall(rf"to=<([^>]+)>.*status={status}", world.log))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_lost_or_mixed_up(kind: str, seed: int, tmp_path: Path) -> None:
    chance = random.Random(f"{kind} {seed}")  # noqa: S311 (the same in each run)
    extensions, fixed = KINDS[kind]
    with smarthost(
        extensions=extensions, replies=script(chance, fixed), one_octet_at_a_time=seed % 3 == 0
    ) as host:
        world = World.beside(tmp_path, host, max_connections=chance.choice([1, 2]))
        whose = put(world, chance)
        for _ in range(RUNS):
            world.flush(force=True)
            if not world.files():
                break
    arrived = arrivals(host)
    sent, bounced = logged(world, "sent"), logged(world, "bounced")
    unknown = {one.encode() for one in re.findall(r"to=<([^>]+)>.*answer unknown", world.log)}
    waiting = {address for states in world.states("queue", "U").values() for address in states}
    assert waiting <= unknown  # thrice, then a person has to look
    assert not any(world.queued().values())
    assert set(arrived) <= set(whose.items())
    assert {address for address, _ in arrived} >= set(sent)
    assert set(sent) | set(bounced) | waiting == set(whose)
    assert not set(sent) & set(bounced) and not waiting & (set(sent) | set(bounced))
    assert max(sent.values(), default=1) == 1
    twice = {address for (address, _), times in arrived.items() if times > 1}
    assert twice <= unknown
    assert {address for address, _ in arrived} & set(bounced) <= unknown
