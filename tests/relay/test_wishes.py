"""NOTIFY, RET, ENVID and ORCPT (RFC 3461) in every combination, with servers that know them and others.

Three recipients: one gets the message, one is refused, one waits until the lifetime is over.
"""

from __future__ import annotations

import email
import email.policy
import itertools
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest
from sendmail_py.mail.envelope import Envelope

from relay.flushing import World, smarthost
from support.smarthost import SmartHost

REPLIES = {b"RCPT TO:<bad": b"550 5.1.1 No such user", b"RCPT TO:<grey": b"450 4.2.0 Greylisted"}
NOTIFY = ["", "NEVER", *map(",".join, itertools.chain.from_iterable(
    itertools.combinations(("SUCCESS", "FAILURE", "DELAY"), n) for n in (1, 2, 3)))]  # fmt: skip
OTHERS = [(b"", b"", b""), (b"FULL", b"id+2B1", b"rfc822;o+40rig@z.example"), (b"HDRS", b"x", b"")]


def wants(notify: str, server_reports: bool) -> list[tuple[str, str]]:
    """Who is to be told what (RFC 3461 4.1, 5.2)."""
    asked = notify.split(",") if notify else ["FAILURE", "DELAY"]
    told = []
    if "DELAY" in asked:
        told.append(("delayed", "rfc822; grey@y.example"))
    if "FAILURE" in asked:
        told += [("failed", "rfc822; bad@y.example"), ("failed", "rfc822; grey@y.example")]
    if "SUCCESS" in asked and not server_reports:
        told.append(("relayed", "rfc822; good@y.example"))
    return told


def reports(host: SmartHost) -> Iterator[EmailMessage]:
    """The reports that arrived."""
    for one in host.messages:
        if not one.mail_from:
            found = email.message_from_bytes(one.data, policy=email.policy.SMTP)
            assert not found.defects
            yield cast(EmailMessage, found)


def blocks(report: EmailMessage) -> list[EmailMessage]:
    """The groups of fields of its delivery-status part."""
    return cast("list[EmailMessage]", list(report.iter_parts())[1].get_payload())


@pytest.mark.parametrize(("ret", "envid", "orcpt"), OTHERS)
@pytest.mark.parametrize("notify", NOTIFY)
@pytest.mark.parametrize("knows", [True, False])
def test_everybody_hears_what_was_asked_for(
    knows: bool, notify: str, ret: bytes, envid: bytes, orcpt: bytes, tmp_path: Path
) -> None:
    def wish(envelope: Envelope) -> None:
        envelope.ret, envelope.envid = ret, envid
        for one in envelope.recipients:
            one.notify, one.orcpt = notify.encode(), orcpt

    extensions = ["PIPELINING", "8BITMIME", *(["DSN"] if knows else [])]
    with smarthost(extensions=extensions, replies=REPLIES) as host:
        world = World.beside(tmp_path, host)
        world.config.queue.report, world.config.queue.warn_after = "dsn", 4 * 3600
        world.config.identity.domain = "x.example"
        world.put(b"good@y.example", b"bad@y.example", b"grey@y.example", change=wish)
        for _ in range(20):
            world.flush(force=True)
            world.now += 8 * 3600
        world.flush(force=True)
    said = [(str(one["Action"]), str(one["Final-Recipient"])) for r in reports(host) for one in blocks(r)[1:]]
    assert sorted(said) == wants(notify, knows)
    first = host.messages[0]
    asked = {b"RET": ret, b"ENVID": envid} if knows else {}
    given = [one for one in first.mail_params if one.partition(b"=")[0] in (b"RET", b"ENVID")]
    assert sorted(given) == sorted(name + b"=" + value for name, value in asked.items() if value)
    asked = {b"NOTIFY": notify.encode(), b"ORCPT": orcpt} if knows else {}
    assert sorted(first.rcpts[0][1]) == sorted(name + b"=" + value for name, value in asked.items() if value)
    for report in reports(host):
        about, *people = blocks(report)
        assert about["Original-Envelope-Id"] == (envid.decode().replace("+2B", "+") or None)
        assert {one["Original-Recipient"] for one in people} == {"rfc822;o@rig@z.example" if orcpt else None}
        whole = ret == b"FULL" and people[0]["Action"] == "failed"
        kind = "message/rfc822" if whole else "text/rfc822-headers"
        assert list(report.iter_parts())[2].get_content_type() == kind
    assert world.files() == []
    assert host.violations == []
