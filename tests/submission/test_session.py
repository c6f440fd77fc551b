"""The commands of a dialogue as transactions: the rules of every submission, without the dialogue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sendmail_py import maillog
from sendmail_py.errors import ConfigError, DataError, NotPermittedError
from sendmail_py.policy import config
from sendmail_py.submission.session import MailData, Session
from sendmail_py.submission.smtp_command import Mail, Rcpt
from sendmail_py.submission.submit import sender_rules

NOW = 1_795_447_195_500_000_000
CONFIG = """\
[identity]
domain = "example.net"
[aliases]
files = ["ALIASES"]
[queue]
directory = "SPOOL"
max_message = "1K"
"""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A session of whoever runs the tests."""
    return made(tmp_path)


def made(folder: Path, more: str = "", aliases: bool = True) -> Session:
    """A session with this configuration."""
    (folder / "aliases").write_text("root: greg@isp.example\nteam: a@example.org, b@example.org\n")
    file = folder / "config.toml"
    text = CONFIG.replace("ALIASES", f"{folder}/aliases").replace("SPOOL", f"{folder}/spool")
    file.write_text(text + more)
    maillog.configure(str(folder / "log"), "text")
    return Session(sender_rules(config.load({"HOME": str(folder)}, str(file)), 0), aliases, "")


def content(*pieces: bytes) -> MailData:
    """Mail data in these pieces."""

    def each() -> Iterator[bytes]:
        yield from pieces

    return MailData(each(), 1024)


def recipients(session: Session) -> list[bytes]:
    """The forward-paths so far."""
    return [one.address for one in session.envelope.recipients]


def queue(session: Session, *pieces: bytes) -> bytes:
    """The mail data; the queue file."""
    name = session.queue(content(*pieces), NOW, lambda: None)
    directory = session.rules.config.queue.directory
    return (Path(directory) / "queue" / name).read_bytes()


def test_a_transaction_becomes_a_queue_file(session: Session) -> None:
    session.mail(Mail(b"me@example.org"))
    session.rcpt(Rcpt(b"a@example.org"))
    octets = queue(session, b"Subj", b"ect: x\r\n\r\nhel", b"lo\r\n")
    assert b"\nS me@example.org\n" in octets
    assert b" a@example.org\n\nReceived: " in octets
    assert b"\r\nSubject: x\r\n\r\nhello\r\n" in octets


def test_one_name_may_be_several_recipients_and_each_is_one_once(session: Session) -> None:
    session.mail(Mail(b""))
    for path in (b"team", b"A@EXAMPLE.org", b"b@Example.ORG", b"root", b"bob"):
        session.rcpt(Rcpt(path))
    assert recipients(session) == [
        b"a@example.org", b"b@example.org", b"A@EXAMPLE.org", b"greg@isp.example", b"bob@example.net",
    ]  # fmt: skip


def test_aliases_may_be_left_alone(tmp_path: Path) -> None:
    session = made(tmp_path, aliases=False)
    session.mail(Mail(b""))
    session.rcpt(Rcpt(b"root"))
    assert recipients(session) == [b"root@example.net"]


def test_parameters_are_for_their_recipient(session: Session) -> None:
    mail, one, two = Mail(b"me@example.org"), Rcpt(b"a@example.org"), Rcpt(b"b@example.org")
    mail.ret, mail.envid, mail.body = b"HDRS", b"id", b"8BITMIME"
    one.notify, two.orcpt = b"NEVER", b"rfc822;x@example.org"
    session.mail(mail)
    session.rcpt(one)
    session.rcpt(two)
    envelope = session.envelope
    assert (envelope.ret, envelope.envid, envelope.body) == (b"HDRS", b"id", b"8BITMIME")
    assert [(r.notify, r.orcpt) for r in envelope.recipients] == [
        (b"NEVER", b""),
        (b"", b"rfc822;x@example.org"),
    ]


def test_a_refused_recipient_leaves_the_others(session: Session) -> None:
    session.mail(Mail(b"me@example.org"))
    session.rcpt(Rcpt(b"a@example.org"))
    with pytest.raises(DataError):
        session.rcpt(Rcpt(b"a@-x.example"))
    assert recipients(session) == [b"a@example.org"]


def test_a_refused_sender_leaves_the_transaction_before(tmp_path: Path) -> None:
    session = made(
        tmp_path, '[masquerade]\noverride = "refuse"\n[masquerade.users]\n"*" = "me@isp.example"\n'
    )
    session.mail(Mail(b"me@isp.example"))
    with pytest.raises(NotPermittedError):
        session.mail(Mail(b"you@isp.example"))
    assert session.envelope.reverse_path == b"me@isp.example"


def test_a_sender_is_repaired_as_with_f(session: Session) -> None:
    session.mail(Mail(b"bob@localhost"))
    assert (session.envelope.reverse_path, session.envelope.original) == (
        b"bob@example.net",
        b"bob@localhost",
    )


def test_a_new_transaction_knows_nothing_of_the_last(session: Session) -> None:
    session.mail(Mail(b"me@example.org"))
    session.rcpt(Rcpt(b"a@example.org"))
    session.mail(Mail(b"you@example.org"))
    session.rcpt(Rcpt(b"b@example.org"))
    assert recipients(session) == [b"b@example.org"]


def test_alias_files_are_read_anew_for_each_transaction(session: Session, tmp_path: Path) -> None:
    session.mail(Mail(b""))
    session.rcpt(Rcpt(b"root"))
    (tmp_path / "aliases").write_text("root: other@isp.example\n")
    session.mail(Mail(b""))
    session.rcpt(Rcpt(b"root"))
    assert recipients(session) == [b"other@isp.example"]


def test_an_alias_file_that_cannot_be_believed_is_a_fault_of_the_host(
    session: Session, tmp_path: Path
) -> None:
    (tmp_path / "aliases").unlink()
    (tmp_path / "aliases").mkdir()
    session.mail(Mail(b""))
    with pytest.raises(ConfigError):
        session.rcpt(Rcpt(b"root"))


def test_what_is_too_large_is_not_queued(session: Session, tmp_path: Path) -> None:
    session.mail(Mail(b"me@example.org"))
    session.rcpt(Rcpt(b"a@example.org"))
    message = content(b"\r\n", b"x" * 1000, b"x" * 1000, b"x" * 1000)
    with pytest.raises(DataError, match="larger than max_message"):
        session.queue(message, NOW, lambda: None)
    assert message.too_large
    assert list((tmp_path / "spool" / "queue").iterdir()) == []


def test_the_last_moment_may_still_say_no(session: Session, tmp_path: Path) -> None:
    def refuse() -> None:
        raise DataError("no")

    session.mail(Mail(b"me@example.org"))
    session.rcpt(Rcpt(b"a@example.org"))
    with pytest.raises(DataError):
        session.queue(content(b"\r\nx\r\n"), NOW, refuse)
    assert list((tmp_path / "spool" / "queue").iterdir()) == []


# Paths, whose second is at a domain that the first has shown to be that of others, and what becomes of them.
ALIKE = [
    ([b"a@other.example", b"b@other.example", b"b@other.example"], [b"a@other.example", b"b@other.example"]),
    ([b"a@other.example", b"b@OTHER.example", b"a@OTHER.example"], [b"a@other.example", b"b@OTHER.example"]),
    ([b"a@other.example", b'"b c"@other.example'], [b"a@other.example", b'"b c"@other.example']),
    ([b"a@other.example", b"root", b"root@localhost"], [b"a@other.example", b"greg@isp.example"]),
    ([b"a@list.example", b"bob@list.example"], [b"a@list.example", b"eve@x.example"]),
]


@pytest.mark.parametrize(("paths", "wanted"), ALIKE)
def test_what_is_known_of_a_domain_decides_nothing_else(
    tmp_path: Path, paths: list[bytes], wanted: list[bytes]
) -> None:
    session = made(tmp_path)
    with (tmp_path / "aliases").open("a") as file:
        file.write("bob@list.example: eve@x.example\n")
    session.mail(Mail(b""))
    for path in paths:
        session.rcpt(Rcpt(path))
    assert recipients(session) == wanted


def test_an_address_that_is_too_long_is_refused_wherever_it_is(session: Session) -> None:
    session.mail(Mail(b""))
    session.rcpt(Rcpt(b"a@other.example"))
    with pytest.raises(DataError):
        session.rcpt(Rcpt(b"a" * 1000 + b"@other.example"))
