"""One message in a run: who is in the next transaction, what a verdict writes down, what is logged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sendmail_py.mail.envelope import Envelope
from sendmail_py.relay import transaction
from sendmail_py.relay.delivery import Delivery, Via
from sendmail_py.relay.reply import Reply
from sendmail_py.relay.transaction import Transaction, Verdict
from sendmail_py.spool.claim import Claim

from relay.flushing import World

VIA = Via("isp", "isp[192.0.2.1]:25")


@contextmanager
def delivery(folder: Path, *recipients: bytes, notify: bytes = b"") -> Iterator[Delivery]:
    """A message that was claimed, with these recipients due."""

    def ask(envelope: Envelope) -> None:
        for one in envelope.recipients:
            one.notify = notify

    world = World(folder)
    world.put(*(recipients or (b"r0@y.example", b"r1@y.example")), change=ask)
    with world.spool() as spool:
        (waiting,) = spool.listing()
        claim = spool.claim(waiting)
        assert claim is not None
        due = list(range(len(claim.envelope.recipients)))
        yield Delivery(claim, waiting, due, world.config.queue, lambda: world.now, lambda: 0.0)


def states(claim: Claim) -> list[bytes]:
    """The states on the disk."""
    with open(claim.fd, "rb", closefd=False) as file:
        file.seek(0)
        octets = file.read()
    return [octets[at : at + 1] for at in claim.entry.states]


def answered(made: Transaction, *codes: int) -> Transaction:
    """The transaction with these replies, one for each recipient, the last one for the rest."""
    made.stage = transaction.JUDGED
    made.mail_accepted = True
    verdicts = [Verdict(transaction.END, Reply(code, [b"said"])) for code in codes]
    made.verdicts = [verdicts[min(n, len(codes) - 1)] for n in range(len(made.indices))]
    return made


def test_no_recipient_is_in_two_transactions(tmp_path: Path) -> None:
    with delivery(tmp_path, *[b"r%d@y.example" % n for n in range(250)]) as one:
        made = [one.next_transaction() for _ in range(3)]
        assert [len(each.indices) for each in made] == [100, 100, 50]
        assert sorted(index for each in made for index in each.indices) == list(range(250))
        assert not one.to_try
        assert not one.idle
        for each in made:
            one.judged(answered(each, 250), VIA)
        assert one.idle


def test_the_file_says_that_the_end_may_be_sent_before_it_is(tmp_path: Path) -> None:
    with delivery(tmp_path) as one:
        made = one.next_transaction()
        list(made.chunks())  # somebody looks at it before it is offered
        assert states(one.claim) == [b"T", b"T"]
        made.stage = transaction.CONTENT
        made.verdicts[0] = Verdict(transaction.RCPT, Reply(550, [b"no"]))
        for _ in made.chunks():
            assert states(one.claim) == [b"T", b"U"]


def test_a_big_message_is_marked_before_its_last_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with delivery(tmp_path) as one:
        made = one.next_transaction()
        made.stage = transaction.CONTENT
        made.content.octets = None
        made.content.size = 3
        made.content.chunks = lambda: [b"a", b"b", b"c"]
        assert [states(one.claim)[0] for _ in made.chunks()] == [b"T", b"T", b"U"]


@pytest.mark.parametrize(
    ("codes", "left", "kinds"),
    [
        ((250,), [b"D", b"D"], (2, 0, 0)),
        ((250, 550), [b"D", b"F"], (1, 0, 1)),
        ((450, 250), [b"T", b"D"], (1, 1, 0)),
        ((450,), [b"T", b"T"], (0, 2, 0)),
        ((550,), [b"F", b"F"], (0, 0, 2)),
    ],
)
def test_each_verdict_is_on_the_disk(
    codes: tuple[int, ...], left: list[bytes], kinds: tuple[int, int, int], tmp_path: Path
) -> None:
    with delivery(tmp_path) as one:
        made = one.next_transaction()
        made.stage = transaction.CONTENT
        list(made.chunks())
        progress = one.judged(answered(made, *codes), VIA)
        assert states(one.claim) == left
        assert tuple(one.counts.values()) == kinds
        assert progress == bool(kinds[0] or kinds[2])


def test_only_a_message_that_all_have_at_once_may_leave_without_marks(tmp_path: Path) -> None:
    with delivery(tmp_path) as one:
        made = one.next_transaction()
        assert one.is_all_delivered(answered(made, 250, 250)) is None  # LMTP: a verdict for each
        assert one.is_all_delivered(answered(made, 450)) is None
        assert one.is_all_delivered(answered(made, 250)) is made.verdicts[0]
        made.verdicts[0] = Verdict(transaction.RCPT, Reply(250, [b"odd"]))
        assert one.is_all_delivered(made) is None
        one.claim.beside.append("0.failure-0")
        assert one.is_all_delivered(answered(made, 250)) is None


def test_nor_one_whose_sender_is_to_be_told(tmp_path: Path) -> None:
    with delivery(tmp_path, notify=b"SUCCESS,FAILURE") as one:
        assert one.is_all_delivered(answered(one.next_transaction(), 250)) is None


def test_nor_one_with_other_recipients(tmp_path: Path) -> None:
    with delivery(tmp_path) as one:
        one.batch = 1
        assert one.is_all_delivered(answered(one.next_transaction(), 250)) is None


def test_what_was_not_decided_is_as_it_was(tmp_path: Path) -> None:
    with delivery(tmp_path) as one:
        made = one.next_transaction()
        made.stage = transaction.CONTENT
        list(made.chunks())
        made.verdicts[0] = Verdict(transaction.RCPT, Reply(550, [b"no"]))
        one.put_back(made, VIA)
        assert states(one.claim) == [b"F", b"T"]
        assert list(one.to_try) == [1]


def test_one_recipient_too_many_goes_on_in_the_same_run(tmp_path: Path) -> None:
    with delivery(tmp_path, *[b"r%d@y.example" % n for n in range(4)]) as one:
        made = one.next_transaction()
        answered(made, 250)
        made.verdicts[2] = made.verdicts[3] = Verdict(transaction.RCPT, Reply(452, [b"too many"]))
        assert one.judged(made, VIA)
        assert list(one.to_try) == [2, 3]
        assert one.batch == 2
