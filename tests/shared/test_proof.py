"""The sender rules applied by the relay: whatever the queue file says, its owner is the sender."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.errors import DataError, NotPermittedError
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.policy import identity
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.shared import proof
from sendmail_py.shared.copies import Copy

MISSING = "/nonexistent/file"
MINE = b"eve@example.net"


def rules(
    override: str, users: dict[str, list[str]] | None = None, files: tuple[str, ...] = ()
) -> SenderRules:
    """The rules for eve at example.net, with these alias files."""
    users = {"*": ["*@example.net"], "eve": ["eve@example.net"]} if users is None else users
    config: Any = SimpleNamespace(
        identity=SimpleNamespace(domain="example.net", helo="", local_names=[]),
        masquerade=SimpleNamespace(
            domain="", also=[], exceptions=[], users=users, override=override, headers=True
        ),
        queue=SimpleNamespace(directory=""),
        aliases=SimpleNamespace(files=list(files), default=""),
    )
    host = identity.host(config, b"box", MISSING, MISSING)
    return SenderRules(config, host, identity.Person(1000, b"eve", ""))


def envelope(sender: bytes, rule: bytes = b"") -> Envelope:
    made = Envelope(sender, [Recipient(b"x@example.org")], 1.0)
    made.rule = rule
    return made


class Pieces(Copy):
    """A copy whose content is cut into pieces of that size."""

    __slots__ = ("cut",)

    def __init__(self, octets: bytes, cut: int = 65536) -> None:
        super().__init__(len(octets))
        self.octets, self.cut = octets, cut

    def chunks(self) -> Any:
        """The content in pieces of `cut` octets."""
        for at in range(0, len(self.octets), self.cut):
            yield self.octets[at : at + self.cut]


def proven(octets: bytes, override: str = "fix", cut: int = 65536) -> bytes:
    """The content as it leaves."""
    copy = Pieces(octets, cut)
    head = proof.content(copy, rules(override))
    return octets if head is None else b"".join(head) + b"".join(proof.body(copy))


@pytest.mark.parametrize("rule", [b"", b"users", b"owner", b"override"])
@pytest.mark.parametrize(
    "sender", [b"ceo@example.net", b"ceo@bank.example", b"owner-x@bank.example", b"root"]
)
def test_the_envelope_names_the_owner_whatever_the_file_says(sender: bytes, rule: bytes) -> None:
    one = envelope(sender, rule)
    assert proof.prove(one, rules("fix"))
    assert one.reverse_path == MINE
    with pytest.raises(NotPermittedError):
        proof.prove(envelope(sender, rule), rules("refuse"))


def test_reports_about_a_list_go_to_who_owns_it(tmp_path: Path) -> None:
    file = tmp_path / "aliases"
    file.write_text("staff: a@x.example\nowner-staff: boss@x.example\nboss: ceo@bank.example\n")
    one = envelope(b"boss@x.example", b"owner")
    assert proof.prove(one, rules("fix", files=(str(file), MISSING))) == ""
    assert one.reverse_path == b"boss@x.example"
    other = envelope(b"ceo@bank.example", b"owner")
    assert proof.prove(other, rules("fix", files=(str(file),)))
    assert other.reverse_path == MINE


@pytest.mark.parametrize("override", ["fix", "refuse", "allow"])
@pytest.mark.parametrize("sender", [b"", MINE])
def test_what_the_owner_may_use_stays(sender: bytes, override: str) -> None:
    one = envelope(sender)
    assert proof.prove(one, rules(override)) == ""
    assert one.reverse_path == sender


def test_reports_about_a_list_of_this_host_go_to_who_owns_it() -> None:
    one = envelope(b"owner-staff@example.net", b"owner")
    assert proof.prove(one, rules("fix")) == ""
    assert one.reverse_path == b"owner-staff@example.net"
    one = envelope(b"owner-staff@example.net")  # without the alias it is an address like any other
    proof.prove(one, rules("fix"))
    assert one.reverse_path == MINE


BODY = b"text\r\nFrom: in the body\r\n"


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (b"From: ceo@example.net\r\n", b"From: eve@example.net\r\n"),
        (b"FROM :\r\n ceo@example.net\r\n", b"FROM :\r\n eve@example.net\r\n"),
        (b'From: "The CEO" <ceo@bank.example>\r\n', b'From: "The CEO" <eve@example.net>\r\n'),
        (b"Sender: ceo@example.net\r\n", b"Sender: eve@example.net\r\n"),
        (b"Resent-From: ceo@example.net\r\n", b"Resent-From: eve@example.net\r\n"),
        (b"From: eve@example.net\r\nFrom: ceo@example.net\r\n", b"From: eve@example.net\r\n" * 2),
        (b"From: ((((\r\n ceo@example.net\r\n", b"From: eve@example.net\r\n"),
        (b"From: ceo@example.net (\r\n", b"From: eve@example.net\r\n"),
        (b"From: (ceo@example.net)\r\n", b"From: eve@example.net\r\n"),
        (b"From:\r\n", b"From: eve@example.net\r\n"),
    ],
)
@pytest.mark.parametrize("cut", [1, 7, 65536])
def test_a_field_that_names_an_author_names_the_owner(head: bytes, wanted: bytes, cut: int) -> None:
    more = b"Subject: x\r\n"
    assert proven(more + head + b"\r\n" + BODY, cut=cut) == more + wanted + b"\r\n" + BODY
    with pytest.raises(NotPermittedError):
        proven(more + head + b"\r\n" + BODY, "refuse")


@pytest.mark.parametrize(
    "octets",
    [
        b"Subject: x\r\nFrom: ceo@example.net",
        b"From: ceo@example.net\r\n",
        b"Subject: x\r\nno field\r\nFrom: ceo@example.net\r\n\r\ntext\r\n",
        b" blank first\r\nFrom: ceo@example.net\r\n\r\ntext\r\n",
        b"Subject: x\r\nFrom\x00: ceo@example.net\r\n\r\ntext\r\n",
        b"From x\r\nFrom: ceo@example.net\r\n\r\ntext\r\n",
        b"Subject: x\r\nx\r\nFrom: ceo@example.net\r\n",  # the line that is no field is as short as can be
    ],
)
@pytest.mark.parametrize("cut", [1, 2, 3, 5, 65536])
def test_no_trick_with_the_end_of_the_header_hides_an_author(octets: bytes, cut: int) -> None:
    got = proven(octets, cut=cut)
    header = got.split(b"\r\n\r\n")[0] + b"\r\n" if not got.startswith(b"\r\n") else b""
    assert b"ceo" not in header
    assert b"\r\n\r\n" in b"\r\n" + got


@given(
    st.lists(
        st.sampled_from([b"From: ", b"ceo@x.example", b"eve@example.net", b"\r\n", b" ", b"x", b"(", b":"])
    ),
    st.integers(1, 9),
)
def test_the_cut_does_not_matter_and_what_was_proven_stays(parts: list[bytes], cut: int) -> None:
    octets = b"".join(parts)
    once = proven(octets)
    assert proven(octets, cut=cut) == once
    assert proven(once) == once


@pytest.mark.parametrize(
    "octets",
    [
        b"From: " + b"a@b.example, " * 700_000 + b"x@y.example\r\n\r\n",
        b"From: ceo@example.net\r\n" * 10_000 + b"\r\n",
        b"a:\r\n" * 2_000_000 + b"\r\n",
        b"a:" + b"x" * 30_000_000 + b"\r\n\r\n",
        b"a:" + b"\r\n x" * 5_000_000 + b"\r\n\r\n",
    ],
    ids=["authors", "author-fields", "fields", "line", "folded"],
)
def test_a_header_that_would_take_long_is_refused_at_once(octets: bytes) -> None:
    began = time.process_time()
    with pytest.raises(DataError, match="too long"):
        proven(octets)
    assert time.process_time() - began < 2.0


def test_good_content_stays_octet_for_octet() -> None:
    octets = b"From: Eve <eve@example.net>\r\nTo: a@b.example\r\n\r\n" + BODY
    assert proof.content(Pieces(octets), rules("fix")) is None
    assert proof.content(Pieces(octets), rules("refuse")) is None


def test_without_an_entry_everybody_may_use_everything() -> None:
    free = rules("fix", users={})
    assert proof.content(Pieces(b"From: ceo@bank.example\r\n\r\n"), free) is None
    assert proof.content(Pieces(b"From: Nightly Backup\r\nSender: <x\r\n\r\n"), free) is None
    assert proof.content(Pieces(b"From: Nightly Backup\r\n\r\n"), rules("allow")) is None
