"""What readers say about mail: written and read back, and nothing in it can end a command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.relay import outcome, transaction
from sendmail_py.relay.delivery import Via
from sendmail_py.relay.outcome import Outcome
from sendmail_py.relay.reply import Reply
from sendmail_py.relay.transaction import Transaction, Verdict
from sendmail_py.shared import dialect
from sendmail_py.shared.dialect import Offer
from sendmail_py.shared.frames import FrameError


def a_frame(**changes: bytes) -> list[bytes]:
    """A good frame, with changes by the name of the field."""
    names = [
        "kind",
        "number",
        "left",
        "queue_id",
        "offset",
        "size",
        "created",
        "sender",
        "rule",
        "body",
        "ret",
        "envid",
        "bits",
        "wishes",
    ]
    names += ["to", "notify", "orcpt"]
    words = dict.fromkeys(names, b"")
    words |= {"kind": b"mail", "number": b"1", "left": b"2", "queue_id": b"6B0569ACE7BF", "offset": b"100"}
    words |= {"size": b"30", "created": b"1700000000", "sender": b"a@x.example", "bits": b"7"}
    words |= {"to": b"b@y.example"} | changes
    return list(words.values())


def test_an_offer_comes_back_as_it_was() -> None:
    people = [Recipient(b"b@y.example", b"NEVER", b"rfc822;b@y.example"), Recipient(b"c@z.example")]
    envelope = Envelope(b"a@x.example", people, 1700000000.0)
    envelope.rule, envelope.body, envelope.ret, envelope.envid = b"users", b"8BITMIME", b"HDRS", b"id"
    envelope.eight_bit = True
    offer = Offer((7, 3), "6B0569ACE7BF", (123, 4567), envelope)
    read = dialect.read_mail(dialect.mail_frame(offer, people))
    assert (read.number, read.left, read.queue_id, read.offset, read.size) == (
        7,
        3,
        "6B0569ACE7BF",
        123,
        4567,
    )
    got = read.envelope
    assert (got.reverse_path, got.rule, got.body, got.ret, got.envid, got.eight_bit, got.created) == (
        (b"a@x.example", b"users", b"8BITMIME", b"HDRS", b"id", True, 1700000000.0)
    )
    told = [(one.address, one.notify, one.orcpt, one.state) for one in got.recipients]
    assert told == [(b"b@y.example", b"NEVER", b"rfc822;b@y.example", b"T"), (b"c@z.example", b"", b"", b"T")]


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": b"a@x.example>\r\nRSET"},
        {"sender": b"a@x.example\n"},
        {"sender": b"a b@x.example"},
        {"to": b""},
        {"to": b"<>"},
        {"to": b"b@y.example\r"},
        {"to": b"b@y.example> SIZE=1"},
        {"to": b"b\x00@y.example"},
        {"to": b"b@" + b"y" * 2000},
        {"notify": b"NEVER X=Y"},
        {"notify": b"\r\n"},
        {"orcpt": b"rfc822;\xc3\xa9"},
        {"envid": b"a\x7f"},
        {"ret": b"FULL\n"},
        {"body": b"8BITMIME\tX"},
        {"rule": b"a b"},
        {"queue_id": b"6b0569ace7bf"},
        {"queue_id": b"../../../../"},
        {"queue_id": b"6B0569ACE7BF6"},
        {"size": b"-1"},
        {"offset": b"1" * 16},
        {"number": b""},
        {"created": b"nan"},
        {"envid": b"x" * 1200},
        {"wishes": b"x\r\nRSET"},
    ],
)
def test_what_could_end_a_command_or_name_a_file_is_refused(changes: dict[str, bytes]) -> None:
    with pytest.raises(FrameError):
        dialect.read_mail(a_frame(**changes))


@pytest.mark.parametrize("length", [1, 12, 13, 14, 15, 16, 18, 14 + 3 * 1001])
def test_a_frame_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(FrameError):
        dialect.read_mail((a_frame() + [b"c@z.example", b"", b""] * 1100)[:length])


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=20))
def test_any_frame_is_read_or_refused(frame: list[bytes]) -> None:
    for read in (dialect.read_mail, dialect.read_outcome, lambda words: dialect.read_verdicts(words, 2)):
        try:
            read(frame)
        except (FrameError, ValueError):
            continue


VERDICTS = st.one_of(
    st.none(),
    st.builds(
        lambda phase, code, text: Verdict(phase, Reply(code, [text.encode()])),
        st.sampled_from(dialect.PHASES),
        st.integers(200, 599),
        st.text("abc 5.1=", max_size=30).map(str.strip),
    ),
)


@given(st.lists(VERDICTS, min_size=1, max_size=5))
def test_verdicts_come_back_as_they_were(verdicts: list[Verdict | None]) -> None:
    envelope = Envelope(b"", [Recipient(b"a@x.example") for _ in verdicts], 1.0)
    done = Transaction(envelope, list(range(len(verdicts))), 0, lambda: iter(()))
    done.verdicts = verdicts
    frame = dialect.verdict_frame(b"judged", 5, Via("isp", "mx[1]:25", True), [b"1"], done)
    assert frame[:2] == [b"judged", b"5"]
    via = dialect.read_via(frame[2:5])
    assert (via.name, via.relay, via.dsn) == ("isp", "mx[1]:25", True)
    read = dialect.read_verdicts(frame[6:], len(verdicts))
    told = [one and (one.phase, one.reply.code, one.reply.text) for one in read]
    assert told == [one and (one.phase, one.reply.code, one.reply.text) for one in verdicts]


@pytest.mark.parametrize(
    "words",
    [[b"9", b"250", b"ok"], [b"0", b"100", b"ok"], [b"0", b"600", b""], [b"x", b"250", b""], [b""] * 4],
)
def test_a_verdict_that_there_is_not_is_refused(words: list[bytes]) -> None:
    with pytest.raises(FrameError):
        dialect.read_verdicts(words, 1)


@pytest.mark.parametrize("kind", dialect.KINDS)
@pytest.mark.parametrize("cause", dialect.CAUSES)
def test_outcomes_come_back_as_they_were(kind: str, cause: str) -> None:
    one = dialect.read_outcome(dialect.outcome_words(Outcome(kind, "4.4.2", "gone", cause)))
    assert (one.kind, one.status, one.text, one.cause) == (kind, "4.4.2", "gone", cause)


def test_an_outcome_that_there_is_not_is_refused() -> None:
    for words in ([b"eaten", b"", b"", b""], [outcome.FAILED.encode(), b"", b"", b"whim"]):
        with pytest.raises(FrameError):
            dialect.read_outcome(words)


def test_all_phases_can_be_said() -> None:
    said = {getattr(transaction, name) for name in ("MAIL", "RCPT", "DATA", "END", "UNSENT")}
    assert said == set(dialect.PHASES)
