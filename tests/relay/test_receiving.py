"""Claims about domains that can receive mail, asked of a real DNS server on loopback."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sendmail_py.policy import verdicts
from sendmail_py.relay import receiving
from sendmail_py.relay.resolver import EMPTY, FOUND, NOWHERE, UNKNOWN, Answer, Resolver

from support.dnsserver import BROKEN, FAILING, SILENT, TRUNCATED, dns_server

RECORDS = """
mx.example MX 10 mail.mx.example.
mail.mx.example A 192.0.2.1
six.example MX 10 mail.six.example.
mail.six.example AAAA 2001:db8::1
some.example MX 10 gone.some.example.
some.example MX 20 mail.mx.example.
dead.example MX 10 gone.dead.example.
null.example MX 0 .
null.example A 192.0.2.1
host.example A 192.0.2.1
host6.example AAAA 2001:db8::1
text.example TXT "nothing else"
half.example MX 10 mail.silent.example.
mail.silent.example A 192.0.2.1
silent.example MX 10 mail.mx.example.
broken.example MX 10 mail.mx.example.
failing.example MX 10 mail.mx.example.
quiet.example TXT "x"
big.example MX 10 mail.mx.example.
xn--bcher-kva.example MX 10 mail.mx.example.
"""
MOODS = {
    "silent.example": SILENT,
    "mail.silent.example": SILENT,
    "broken.example": BROKEN,
    "failing.example": FAILING,
    "big.example": TRUNCATED,
}


@pytest.mark.parametrize(
    ("domain", "wanted"),
    [
        ("mx.example", receiving.YES),
        ("MX.Example.", receiving.YES),
        ("six.example", receiving.YES),
        ("some.example", receiving.YES),
        ("host.example", receiving.YES),
        ("host6.example", receiving.YES),
        ("big.example", receiving.YES),
        ("bücher.example", receiving.YES),
        ("null.example", receiving.NO),
        ("dead.example", receiving.NO),
        ("text.example", receiving.NO),
        ("nowhere.example", receiving.NO),
        ("silent.example", UNKNOWN),
        ("half.example", UNKNOWN),
        ("broken.example", UNKNOWN),
        ("failing.example", UNKNOWN),
        ("a" * 70 + ".example", UNKNOWN),
    ],
)
def test_the_verdict_is_what_dns_says_and_no_answer_is_never_a_no(domain: str, wanted: str) -> None:
    with dns_server(RECORDS, MOODS) as server:
        found, reason = receiving.verdict(server.resolver(one=0.3), domain)
    assert found == wanted
    assert bool(reason) == (wanted != receiving.YES)


@pytest.mark.parametrize(
    ("name", "kind", "state"),
    [
        ("mx.example", "MX", FOUND),
        ("mx.example", "TXT", EMPTY),
        ("nowhere.example", "MX", NOWHERE),
        ("failing.example", "MX", UNKNOWN),
    ],
)
def test_an_answer_is_of_one_of_four_kinds(name: str, kind: str, state: str) -> None:
    with dns_server(RECORDS, MOODS) as server:
        assert server.resolver(one=0.3).ask(name, kind).state == state


def test_a_check_ends_in_time_though_nobody_answers() -> None:
    names = [f"n{number}.example" for number in range(20)]
    with dns_server(RECORDS, dict.fromkeys(names, SILENT)) as server:
        resolver = server.resolver(one=0.2, total=0.5)
        begin = time.monotonic()
        assert {resolver.ask(name, "MX").state for name in names} == {UNKNOWN}
    assert time.monotonic() - begin < 2


def test_the_same_question_is_asked_once() -> None:
    with dns_server(RECORDS) as server:
        resolver = server.resolver()
        assert [resolver.ask("mx.example", "MX").state for _ in range(3)] == [FOUND] * 3
        assert server.asked == ["mx.example MX"]


def test_without_a_server_every_answer_is_unknown() -> None:
    assert Resolver([("127.0.0.1", 1)], one=0.2).ask("mx.example", "MX").state == UNKNOWN
    assert Resolver([]).ask("mx.example", "MX").state == UNKNOWN


def test_verdicts_are_kept_in_the_spool_with_their_time(tmp_path: Path) -> None:
    now = time.time()
    with dns_server(RECORDS, MOODS) as server:
        asked = ["mx.example", "Nowhere.example", "silent.example"]
        found = receiving.refresh(str(tmp_path), asked, server.resolver(one=0.3), now)
        assert found == {"mx.example": "", "Nowhere.example": "DNS knows no such domain"}
        kept = verdicts.lines(verdicts.read(str(tmp_path)))
        assert kept == [
            (b"mx.example", int(now), ""),
            (b"nowhere.example", int(now), "DNS knows no such domain"),
        ]
        server.asked.clear()
        receiving.refresh(str(tmp_path), asked, server.resolver(one=0.3), now + 3600)
        assert set(server.asked) == {"silent.example MX"}
        server.asked.clear()
        receiving.refresh(str(tmp_path), asked[:2], server.resolver(), now + 2 * 86400)
        assert server.asked == ["nowhere.example MX", ". NS"]
        server.asked.clear()
        receiving.refresh(str(tmp_path), asked[:1], server.resolver(), now + 8 * 86400)
        assert server.asked[0] == "mx.example MX"
    assert list(verdicts.load(str(tmp_path))) == []  # they are of the future now


def test_a_spool_that_is_not_there_keeps_nothing_and_harms_nothing(tmp_path: Path) -> None:
    with dns_server(RECORDS) as server:
        found = receiving.refresh(str(tmp_path / "none"), ["nowhere.example"], server.resolver())
    assert found == {"nowhere.example": "DNS knows no such domain"}
    assert not (tmp_path / "none").exists()


def test_a_resolver_that_denies_even_the_root_is_not_believed() -> None:
    class ShutOff(Resolver):
        def fresh(self, name: str, kind: str) -> Answer:
            return Answer(NOWHERE, [])

    state, why = receiving.verdict(ShutOff(), "isp.example")
    assert (state, "root" in why) == (UNKNOWN, True)
