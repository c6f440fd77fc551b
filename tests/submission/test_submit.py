"""Claims about a submission as a whole: the queue when it succeeds, and nothing when not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sendmail_py import maillog
from sendmail_py.errors import DataError, NotPermittedError, SendmailError, TemporaryError, UsageError
from sendmail_py.mail.envelope import Envelope
from sendmail_py.policy import config
from sendmail_py.spool import reading
from sendmail_py.spool.servers import Known, Servers
from sendmail_py.submission.session import MailData
from sendmail_py.submission.submit import Wish, submit

NOW = 1_795_447_195_500_000_000
CONFIG = """\
[identity]
domain = "isp.example"
[masquerade]
MASQUERADE
[masquerade.users]
"*" = "greg@isp.example"
[aliases]
files = ["HERE/aliases"]
[queue]
directory = "HERE/spool"
[[smarthost]]
name = "isp"
host = "smtp.isp.example"
"""
MESSAGE = b"Subject: x\r\n\r\nhello\r\n"
TWO = [b"a@x.example", b"b@y.example"]


class Desk:
    """Where messages are submitted: a configuration and a spool of its own."""

    def __init__(self, folder: Path, masquerade: str = "") -> None:
        self.folder = folder
        (folder / "aliases").write_text(
            "root: ann@a.example\nlist: a@x.example\nowner-list: boss@x.example\n"
        )
        file = folder / "config.toml"
        file.write_text(CONFIG.replace("HERE", str(folder)).replace("MASQUERADE", masquerade))
        maillog.configure(str(folder / "log"), "text")
        self.config = config.load({"HOME": str(folder)}, str(file))

    def submit(self, wish: Wish, message: bytes = MESSAGE) -> list[str]:
        """Submit it as uid 0; the queue ids."""
        return submit(wish, data(message), self.config, 0, NOW, lambda: None)[0]

    def file(self, queue_id: str) -> bytes:
        """The octets of a queue file."""
        return (self.folder / "spool" / "queue" / queue_id).read_bytes()

    def envelope(self, queue_id: str) -> Envelope:
        """The envelope in a queue file."""
        octets = self.file(queue_id)
        return reading.decode(octets[: octets.index(b"\n\n") + 2]).envelope

    def queued(self) -> list[str]:
        """The names in the queue."""
        folder = self.folder / "spool" / "queue"
        return sorted(os.listdir(folder)) if folder.exists() else []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def data(message: bytes) -> MailData:
    def each() -> Iterator[bytes]:
        yield message

    return MailData(each(), 4 << 20)


def to(*operands: bytes, sender: bytes | None = None, from_header: bool = False) -> Wish:
    return Wish(list(operands), sender, from_header)


def test_one_message_is_one_file_for_all_recipients(desk: Desk) -> None:
    (queue_id,) = desk.submit(to(*TWO))
    envelope = desk.envelope(queue_id)
    assert envelope.forward_paths == TWO
    assert envelope.reverse_path == b"greg@isp.example"
    assert desk.queued() == [queue_id]


# Options of the caller, and what the envelope has of them; with and without the way for many plain addresses.
@pytest.mark.parametrize("recipients", [TWO, [b"root"], [b"root", *TWO]])
def test_the_wishes_hold_for_each_recipient(desk: Desk, recipients: list[bytes]) -> None:
    wish = to(*recipients)
    wish.notify, wish.ret, wish.envid, wish.body = b"NEVER", b"HDRS", b"id-1", b"8BITMIME"
    envelope = desk.envelope(desk.submit(wish)[0])
    assert {one.notify for one in envelope.recipients} == {b"NEVER"}
    assert (envelope.ret, envelope.envid, envelope.body) == (b"HDRS", b"id-1", b"8BITMIME")


@pytest.mark.parametrize(
    ("wish", "message", "wanted"),
    [
        (to(b"a@x.example,b@y.example"), MESSAGE, TWO),
        (to(b"Ann <a@x.example>", b'"B, C" <b@y.example>'), MESSAGE, TWO),
        (to(b"a@x.example", b"a@X.EXAMPLE"), MESSAGE, TWO[:1]),
        (to(b"root"), MESSAGE, [b"ann@a.example"]),
        (to(b"\\root"), MESSAGE, [b"root@isp.example"]),
        (to(from_header=True), b"To: a@x.example\r\nBcc: b@y.example\r\n\r\n", TWO),
        (to(b"a@x.example", from_header=True), b"Cc: b@y.example\r\n\r\n", TWO),
        (to(from_header=True), b"To: c@z.example\r\nResent-To: a@x.example, b@y.example\r\n\r\n", TWO),
    ],
)
def test_recipients_come_from_operands_and_header(
    desk: Desk, wish: Wish, message: bytes, wanted: list[bytes]
) -> None:
    (queue_id,) = desk.submit(wish, message)
    assert desk.envelope(queue_id).forward_paths == wanted
    assert b"\r\nBcc:" not in desk.file(queue_id)


def test_the_log_counts_plain_recipients_too(desk: Desk) -> None:
    (queue_id,) = desk.submit(to(*TWO))
    (line,) = (desk.folder / "log").read_text().splitlines()
    assert f"{queue_id}: uid=0, size=" in line
    assert "from=<greg@isp.example>, nrcpt=2" in line


@pytest.mark.parametrize(
    ("sender", "reverse_path", "original"),
    [
        (b"", b"", b""),
        (b"<>", b"", b""),
        (b"greg@isp.example", b"greg@isp.example", b""),
        (b"x@nas.lan", b"greg@isp.example", b"x@nas.lan"),
    ],
)
def test_the_reverse_path_is_the_callers_or_repaired(
    desk: Desk, sender: bytes, reverse_path: bytes, original: bytes
) -> None:
    envelope = desk.envelope(desk.submit(to(b"a@x.example", sender=sender))[0])
    assert (envelope.reverse_path, envelope.original) == (reverse_path, original)


def test_a_list_with_an_owner_is_a_file_of_its_own(desk: Desk) -> None:
    queue_ids = desk.submit(to(b"list", b"b@y.example"))
    found = {desk.envelope(one).reverse_path: desk.envelope(one).forward_paths for one in queue_ids}
    assert found == {b"greg@isp.example": [b"b@y.example"], b"boss@x.example": [b"a@x.example"]}
    assert len({desk.file(one).partition(b"Message-ID: ")[2][:30] for one in queue_ids}) == 1


@pytest.mark.parametrize(
    ("wish", "message", "fault"),
    [
        (to(), MESSAGE, UsageError),
        (to(from_header=True), MESSAGE, UsageError),
        (to(b"a@x.example", sender=b"no address"), MESSAGE, UsageError),
        (to(b"a@x.example\nb@y.example"), MESSAGE, UsageError),
        (to(b"a@x.example", b"a@b@c"), MESSAGE, DataError),
        (to(b"a@-x.example"), MESSAGE, DataError),
        (to(b"|/bin/sh"), MESSAGE, DataError),
        (to(from_header=True), b"To: <a@x.example\r\n\r\n", DataError),
        (to(b"a@x.example"), b"Received: x\r\n" * 101 + b"\r\n", DataError),
        (to(b"a@x.example"), b"Subject: x\r\n\r\n" + b"x" * (4 << 20), DataError),
    ],
)
def test_a_fault_leaves_nothing_behind(
    desk: Desk, wish: Wish, message: bytes, fault: type[SendmailError]
) -> None:
    with pytest.raises(fault):
        desk.submit(wish, message)
    assert desk.queued() == []


def test_a_sender_that_is_not_ours_is_refused_where_that_is_wanted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 'override = "refuse"')
    with pytest.raises(NotPermittedError):
        desk.submit(to(b"a@x.example", sender=b"eve@elsewhere.example"))
    assert desk.queued() == []


def test_until_the_last_moment_everything_can_be_taken_back(desk: Desk) -> None:
    def stop() -> None:
        assert len(desk.queued()) == 1  # a reservation, which no flush takes for a message
        raise TemporaryError("a signal")

    with pytest.raises(TemporaryError, match="signal"):
        submit(to(*TWO), data(MESSAGE), desk.config, 0, NOW, stop)
    assert desk.queued() == []


def test_a_large_message_that_no_smart_host_takes_is_refused_at_once(desk: Desk) -> None:
    desk.submit(to(b"a@x.example"))
    large = b"Subject: x\r\n\r\n" + b"x" * (2 << 20)
    Servers(str(desk.folder / "spool")).set("isp", Known("aa", True, 1 << 20, NOW // 1_000_000_000))
    with pytest.raises(DataError, match="larger than the smart host takes"):
        desk.submit(to(b"a@x.example"), large)
    assert len(desk.queued()) == 1
