"""Smart host settings to endpoints, and whom a smart host serves."""

from __future__ import annotations

from typing import Any

import pytest
from sendmail_py.relay import mx, smarthost
from sendmail_py.relay.faults import TransportFault

from relay.flushing import setting


def endpoints(**values: Any) -> list[tuple[str, int, str]]:
    return [(one.host, one.port, one.name) for one in smarthost.endpoints(setting(**values))]


@pytest.mark.parametrize(
    ("host", "expected"), [("isp.example", "isp.example"), ("192.0.2.1", "192.0.2.1"), ("[::1]", "::1")]
)
def test_without_a_look_up_it_is_the_host_itself(host: str, expected: str) -> None:
    assert endpoints(host=host) == [(expected, 587, expected)]


def test_mx_gives_hosts_and_the_configured_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "exchangers", lambda domain: ["mx1.isp.example", "mx.elsewhere.example"])
    assert endpoints(lookup="mx", port=25) == [
        ("mx1.isp.example", 25, "mx1.isp.example"),
        ("mx.elsewhere.example", 25, "isp.example"),
    ]


@pytest.mark.parametrize(("tls", "service"), [("starttls", "_submission"), ("implicit", "_submissions")])
def test_srv_gives_hosts_and_ports(tls: str, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def services(domain: str, wanted: str) -> list[tuple[str, int]]:
        asked.append((domain, wanted))
        return [("smtp.isp.example", 10587)]

    monkeypatch.setattr(mx, "services", services)
    assert endpoints(lookup="srv", tls=tls) == [("smtp.isp.example", 10587, "smtp.isp.example")]
    assert asked == [("isp.example", service)]


@pytest.mark.parametrize(
    ("domain", "target", "name"),
    [
        ("isp.example", "smtp.isp.example", "smtp.isp.example"),
        ("isp.example", "ISP.example", "ISP.example"),
        ("isp.example", "evil.example", "isp.example"),
        ("isp.example", "evilisp.example", "isp.example"),
        ("isp.example", "isp.example.evil.example", "isp.example"),
    ],
)
def test_dns_cannot_choose_the_name_of_the_certificate(domain: str, target: str, name: str) -> None:
    assert smarthost.certificate_name(domain, target) == name


@pytest.mark.parametrize(
    ("patterns", "sender", "served"),
    [
        ([], b"a@x.example", True),
        ([], b"", True),
        (["*@x.example"], b"a@x.example", True),
        (["*@X.example"], b"A@x.EXAMPLE", True),
        (["*@x.example"], b"a@y.example", False),
        (["*@x.example"], b"a@sub.x.example", False),
        (["*@x.example"], b"", False),
        (["*"], b"", True),
        (["a@x.example", "b@x.example"], b"b@x.example", True),
        (["*@x.example"], b"\xff@x.example", True),
    ],
)
def test_serves(patterns: list[str], sender: bytes, served: bool) -> None:
    assert smarthost.serves(setting(senders=patterns), sender) == served


def test_a_fault_of_dns_is_a_fault_of_the_smart_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_answer(*_: object, **__: object) -> None:
        raise TransportFault("look-up of MX isp.example: no such domain")

    monkeypatch.setattr(mx, "look_up", no_answer)
    with pytest.raises(TransportFault):
        endpoints(lookup="mx")
