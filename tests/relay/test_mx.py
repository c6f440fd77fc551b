"""MX and SRV look-ups with a resolver that answers from a table; no name server is asked."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import dns.exception
import dns.name
import dns.resolver
import pytest
from sendmail_py.relay import dane, mx
from sendmail_py.relay.faults import TransportFault


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[tuple[str, str]]:
    """Have the resolver give `answer`, or raise it; returns what was asked."""
    asked: list[tuple[str, str]] = []

    def resolve(self: Any, name: str, kind: str, lifetime: float, search: bool) -> Any:
        assert lifetime <= 10
        assert not search
        asked.append((name, kind))
        if isinstance(answer, BaseException) or (
            isinstance(answer, type) and issubclass(answer, BaseException)
        ):
            raise answer
        return answer

    monkeypatch.setattr(dns.resolver.Resolver, "resolve", resolve)
    monkeypatch.setattr(dane, "is_proven", lambda resolver, answer: False)
    return asked


def exchanger(preference: int, host: str) -> SimpleNamespace:
    return SimpleNamespace(preference=preference, exchange=dns.name.from_text(host))


def server(priority: int, weight: int, host: str, port: int) -> SimpleNamespace:
    return SimpleNamespace(priority=priority, weight=weight, target=dns.name.from_text(host), port=port)


def test_exchangers_by_preference(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [exchanger(20, "b.example."), exchanger(10, "a.example."), exchanger(30, "c.example.")]
    asked = answer_with(monkeypatch, records)
    assert mx.exchangers("isp.example") == ["a.example", "b.example", "c.example"]
    assert asked == [("isp.example", "MX")]


def test_a_domain_without_mx_is_its_own_exchanger(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, dns.resolver.NoAnswer)
    assert mx.exchangers("isp.example") == ["isp.example"]


@pytest.mark.parametrize(
    "answer",
    [
        dns.resolver.NXDOMAIN,
        dns.resolver.NoNameservers,
        dns.exception.Timeout,
        dns.resolver.YXDOMAIN,
        OSError(101, "Network is unreachable"),
        ValueError("label"),
        [exchanger(0, ".")],
    ],
    ids=lambda answer: getattr(answer, "__name__", type(answer).__name__),
)
def test_whatever_goes_wrong_is_a_transport_fault(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, answer)
    with pytest.raises(TransportFault, match=r"isp\.example"):
        mx.exchangers("isp.example")


def test_services_by_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [server(20, 0, "b.example.", 1587), server(10, 5, "a.example.", 587)]
    asked = answer_with(monkeypatch, records)
    assert mx.services("isp.example", "_submission") == [("a.example", 587), ("b.example", 1587)]
    assert asked == [("_submission._tcp.isp.example", "SRV")]


@pytest.mark.parametrize(
    "answer", [dns.resolver.NoAnswer, dns.resolver.NXDOMAIN, [server(0, 0, ".", 0)]], ids=str
)
def test_a_service_that_is_not_offered_is_a_transport_fault(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, answer)
    with pytest.raises(TransportFault):
        mx.services("isp.example", "_submission")


def test_weights_share_the_load_within_a_priority() -> None:
    records = [(10, 90, "heavy", 1), (10, 10, "light", 2), (10, 0, "spare", 3), (20, 100, "later", 4)]
    orders = [mx.by_weight(list(records)) for _ in range(400)]
    assert all(order[3] == ("later", 4) and len(order) == 4 for order in orders)
    first = Counter(order[0][0] for order in orders)
    assert first["heavy"] > 250
    assert 0 < first["light"] < 150
