"""The queue's table keeps its columns."""

from __future__ import annotations

from sendmail_py.admin import table
from sendmail_py.mail.envelope import Recipient
from sendmail_py.spool.tries import Try


def test_no_messages_make_no_table() -> None:
    assert list(table.lines([], 0)) == []


def test_a_reply_is_one_line_and_cut() -> None:
    attempt = Try(1, 0, 0, "isp", "4.0.0", "451 one\r\ntwo \u202e" + "x" * 1000)
    text = table.to(Recipient(b"a@example.org"), attempt)
    assert text.startswith("a@example.org  451 one\\r\\ntwo \\u202exxx")
    assert len(text) < 260
