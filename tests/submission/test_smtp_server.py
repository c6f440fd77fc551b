"""The dialogue in memory: whole and one octet at a time, both line ends, and nothing can be smuggled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.submission import smtp_command
from sendmail_py.submission.smtp_command import Mail, Rcpt
from sendmail_py.submission.smtp_data import Chunk, Unstuffer
from sendmail_py.submission.smtp_reply import CommandError, Reply
from sendmail_py.submission.smtp_server import (
    ABANDONED,
    BEGIN,
    CLOSED,
    END,
    LONGEST_LINE,
    MOST_FAULTS,
    NEED,
    Server,
)

Message = tuple[bytes, list[bytes], bytes]  # reverse-path, forward-paths, mail data


class Played:
    """What came of a dialogue: the replies as (code, text), the messages, and what the server ended with."""

    def __init__(self, octets: bytes, step: int = 1 << 20, limit: int = 1000) -> None:
        self.server = Server(b"host.example", limit)
        self.messages: list[Message] = []
        self.abandoned = 0
        self.answers = b""
        self.sender, self.recipients, self.data = b"", list[bytes](), b""
        pieces = [octets[at : at + step] for at in range(0, len(octets), step)]
        while (event := self.server.next()) is not CLOSED:
            self.answers += self.server.output()
            if event is NEED:
                self.server.feed(pieces.pop(0) if pieces else b"")
            else:
                self.take(event)
        self.answers += self.server.output()

    def take(self, event: object) -> None:
        """Accept everything but addresses with `bad` in them and mail data over the limit."""
        if isinstance(event, bytes):
            self.data += event
            if len(self.data) > self.server.limit:
                self.server.fail(Reply(552, "5.3.4", "too large"))
        elif event is BEGIN:
            self.data = b""
        elif event is ABANDONED:
            self.abandoned += 1
        elif event is END:
            self.end()
        elif isinstance(event, Mail):
            self.sender, self.recipients = event.path, []
            self.server.answer(Reply(550 if b"bad" in event.path else 250, "", "sender"))
        elif isinstance(event, Rcpt):
            good = b"bad" not in event.path
            self.recipients += [event.path] if good else []
            self.server.answer(Reply(250 if good else 550, "", "recipient"))

    def end(self) -> None:
        """The mail data is whole."""
        if len(self.data) > self.server.limit:
            self.server.answer(Reply(552, "5.3.4", "too large"))
        else:
            self.messages.append((self.sender, self.recipients, self.data))
            self.server.answer(Reply(250, "", "queued"))

    @property
    def codes(self) -> list[int]:
        """The codes of the replies, one for each reply."""
        lines = self.answers.split(b"\r\n")[:-1]
        return [int(line[:3]) for line in lines if line[3:4] == b" "]


def both_ways(octets: bytes) -> Played:
    """Played whole and one octet at a time, with the same result."""
    whole, single = Played(octets), Played(octets, step=1)
    assert (whole.answers, whole.messages) == (single.answers, single.messages)
    assert whole.answers.count(b"\n") == whole.answers.count(b"\r\n")
    return whole


START = b"EHLO client\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
LF_START = START.replace(b"\r\n", b"\n")
ENVELOPE = (b"a@b.example", [b"c@d.example"])

# --- commands, one after the other ------------------------------------------------------------------------

COMMANDS = [
    # a command after EHLO, its code
    (b"EHLO again", 250),
    (b"ehlo x", 250),
    (b"EHLO", 501),
    (b"HELO ", 501),
    (b"HELO x", 250),
    (b"LHLO x", 500),
    (b"NOOP", 250),
    (b"noop with words", 250),
    (b"RSET", 250),
    (b"RSET now", 501),
    (b"VRFY root", 252),
    (b"VRFY", 501),
    (b"HELP", 214),
    (b"HELP MAIL", 214),
    (b"EXPN list", 502),
    (b"AUTH PLAIN x", 502),
    (b"STARTTLS", 502),
    (b"TURN", 502),
    (b"", 500),
    (b"NONSENSE", 500),
    (b"Subject: hello", 500),
    (b"MAIL", 501),
    (b"MAIL FROM:", 501),
    (b"MAIL FROM", 501),
    (b"MAIL TO:<a@b.example>", 501),
    (b"MAIL FROM:<>", 250),
    (b"MAIL FROM: <a@b.example>", 250),
    (b"MAIL FROM:a@b.example", 250),
    (b"mail from:<a@b.example>   ", 250),
    (b"MAIL\tFROM:<a@b.example>", 250),
    (b"MAIL FROM:<bob>", 250),
    (b"MAIL FROM:<@x.example,@y.example:a@b.example>", 250),
    (b'MAIL FROM:<"a > b"@c.example>', 250),
    (b"MAIL FROM:<a@b.example", 501),
    (b"MAIL FROM:<a b@c.example>", 501),
    (b"MAIL FROM:<a@b@c.example>", 501),
    (b"MAIL FROM:<a@b.example,c@d.example>", 501),
    (b"MAIL FROM:<bad@b.example>", 550),
    (b"MAIL FROM:<a@b.example>x", 555),
    (b"MAIL FROM:<a@b.example> SIZE=1000", 250),
    (b"MAIL FROM:<a@b.example> SIZE=1001", 552),
    (b"MAIL FROM:<a@b.example> SIZE=-1", 501),
    (b"MAIL FROM:<a@b.example> SIZE=" + b"9" * 20, 552),
    (b"MAIL FROM:<a@b.example> SIZE=" + b"9" * 21, 501),
    (b"MAIL FROM:<a@b.example> BODY=8bitmime", 250),
    (b"MAIL FROM:<a@b.example> body=7BIT", 250),
    (b"MAIL FROM:<a@b.example> BODY=BINARYMIME", 501),
    (b"MAIL FROM:<a@b.example> SMTPUTF8", 250),
    (b"MAIL FROM:<a@b.example> SMTPUTF8=1", 501),
    ("MAIL FROM:<ü@b.example> SMTPUTF8".encode(), 250),
    (b"MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+2B1", 250),
    (b"MAIL FROM:<a@b.example> RET=SOME", 501),
    (b"MAIL FROM:<a@b.example> ENVID=", 501),
    (b"MAIL FROM:<a@b.example> ENVID=a+b", 501),
    (b"MAIL FROM:<a@b.example> ENVID=a=b", 501),
    (b"MAIL FROM:<a@b.example> ENVID=" + b"x" * 101, 501),
    (b"MAIL FROM:<a@b.example> SIZE=1 SIZE=1", 501),
    (b"MAIL FROM:<a@b.example> AUTH=<>", 555),
    (b"RCPT TO:<a@b.example>", 503),
    (b"DATA now", 501),
    (b"BDAT", 501),
    (b"BDAT x", 501),
    (b"BDAT 1 LAST 2", 501),
    (b"BDAT -1", 501),
    (b"BDAT " + b"9" * 21, 501),
    (b"MAIL FROM:<a@b.example>\0", 500),
    (b"MAIL FROM:<a@b.example>\rDATA", 500),
    (b"MAIL FROM:<a\x7f@b.example>", 500),
    (b"NOOP " + b"x" * LONGEST_LINE, 500),
    (b"NOOP " + b"x" * (LONGEST_LINE - 5), 250),
    (b"NOOP " + b"x" * 1_000_000, 500),
]


@pytest.mark.parametrize(("command", "code"), COMMANDS)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_command_gets_its_reply_and_never_ends_the_dialogue(command: bytes, code: int, end: bytes) -> None:
    played = Played(b"EHLO x" + end + command + end + b"NOOP" + end + b"QUIT" + end)
    assert played.codes == [220, 250, code, 250, 221]


RECIPIENTS = [
    (b"RCPT TO:<c@d.example>", 250),
    (b"RCPT TO:<bad@d.example>", 550),
    (b"RCPT TO:<>", 501),
    (b"RCPT TO:<postmaster>", 250),
    (b"RCPT FROM:<c@d.example>", 501),
    (b"RCPT TO:<c@d.example> NOTIFY=NEVER", 250),
    (b"RCPT TO:<c@d.example> NOTIFY=success,Failure,DELAY ORCPT=rfc822;Bob+2B1@d.example", 250),
    (b"RCPT TO:<c@d.example> NOTIFY=NEVER,SUCCESS", 501),
    (b"RCPT TO:<c@d.example> NOTIFY=", 501),
    (b"RCPT TO:<c@d.example> ORCPT=rfc822", 501),
    (b"RCPT TO:<c@d.example> ORCPT=rfc822;a b", 555),
    (b"RCPT TO:<c@d.example> ORCPT=rfc822;a=b", 501),
    (b"RCPT TO:<c@d.example> ORCPT=rfc822;" + b"x" * 500, 501),
    (b"RCPT TO:<c@d.example> SIZE=1", 555),
    (b"MAIL FROM:<second@b.example>", 503),
]


@pytest.mark.parametrize(("command", "code"), RECIPIENTS)
def test_a_recipient_gets_its_reply(command: bytes, code: int) -> None:
    assert both_ways(b"HELO x\r\nMAIL FROM:<a@b.example>\r\n" + command + b"\r\n").codes == [
        220,
        250,
        250,
        code,
    ]


def test_the_extensions_are_offered_after_ehlo_only() -> None:
    offered = Played(b"EHLO x\r\nQUIT\r\n").answers
    words = b"PIPELINING SIZE 8BITMIME SMTPUTF8 DSN ENHANCEDSTATUSCODES CHUNKING".split()
    assert [word for word in words if word not in offered] == []
    assert b"250-SIZE 1000\r\n" in offered
    assert b"PIPELINING" not in Played(b"HELO x\r\nQUIT\r\n").answers


@pytest.mark.parametrize(
    ("parameters", "wishes", "hold"),
    [
        (b"REQUIRETLS", [b"REQUIRETLS"], (0, 0)),
        (b"MT-PRIORITY=-3 BY=120;r", [b"MT-PRIORITY=-3", b"BY=120;R"], (0, 0)),
        (b"by=-5;nt", [b"BY=-5;NT"], (0, 0)),
        (b"HOLDFOR=600", [], (600, 0)),
        (b"HOLDUNTIL=2026-11-24T12:00:00Z", [], (0, 1795521600)),
        (b"HOLDUNTIL=2028-02-29T23:59:59Z", [], (0, 1835481599)),
    ],
)
def test_more_parameters_of_mail(parameters: bytes, wishes: list[bytes], hold: tuple[int, int]) -> None:
    command = smtp_command.mail(b"FROM:<a@x.example> " + parameters)
    assert (command.wishes, (command.hold_for, command.hold_until)) == (wishes, hold)


@pytest.mark.parametrize(
    "parameter",
    [
        b"REQUIRETLS=1", b"MT-PRIORITY=10", b"MT-PRIORITY=", b"BY=0;R", b"BY=5", b"BY=x;R", b"BY=5;Q",
        b"HOLDFOR=-1", b"HOLDFOR=", b"HOLDUNTIL=tomorrow", b"HOLDUNTIL=2026-13-01T00:00:00Z",
        b"HOLDUNTIL=2026-11-24T12:00:00+01:00",
    ],
)  # fmt: skip
def test_bad_values_of_them(parameter: bytes) -> None:
    with pytest.raises(CommandError, match="bad value"):
        smtp_command.mail(b"FROM:<a@x.example> " + parameter)


def test_no_reply_line_is_longer_than_512_octets() -> None:
    answers = Played(b"MAIL FROM:<" + b"x" * 3000 + b"@>\r\nQUIT\r\n").answers
    assert max(len(line) + 2 for line in answers.split(b"\r\n")) <= 512


def test_replies_are_printable_ascii_whatever_the_client_sent() -> None:
    played = Played("MAIL FROM:<\u202e ü@>\nMAIL FROM:<a\xff@>\n".encode() + b"MAIL FROM:<\xfe@ >\r\n")
    assert not played.answers.translate(None, bytes(range(32, 127)) + b"\r\n")


# --- mail data ----------------------------------------------------------------------------------------------

DATA = [
    # after DATA, line ends of the commands being CRLF: the mail data, what follows is obeyed
    (b".\r\n", b""),
    (b"x\r\n.\r\n", b"x\r\n"),
    (b"\r\n.\r\n", b"\r\n"),
    (b"..\r\n.\r\n", b".\r\n"),
    (b"..x\r\n...y\r\n.\r\n", b".x\r\n..y\r\n"),
    (b".x\r\n.\r\n", b"x\r\n"),
    (b"x.\r\n.\r\n", b"x.\r\n"),
    (b". \r\n.\r\n", b" \r\n"),
    (b"x\n.\ny\r\n.\r\n", b"x\n.\ny\r\n"),
    (b"x\n.\r\ny\r\n.\r\n", b"x\n.\r\ny\r\n"),
    (b"x\r\n.\ny\r\n.\r\n", b"x\r\n\ny\r\n"),
    (b"x\r.\r\ny\r\n.\r\n", b"x\r.\r\ny\r\n"),
    (b"x\r.\ry\r\n.\r\n", b"x\r.\ry\r\n"),
    (b"x\r\n.\r\r\n.\r\n", b"x\r\n\r\r\n"),
    (b"x\r\n.\ry\r\n.\r\n", b"x\r\n\ry\r\n"),
    (b"x\r\r\n.\r\n", b"x\r\r\n"),
    (b"x\n\r\n.\r\n", b"x\n\r\n"),
    (b"x\r\n\0.\r\n.\r\n", b"x\r\n\0.\r\n"),
    (b"\n.\n\r\n.\r\n", b"\n.\n\r\n"),
]


@pytest.mark.parametrize(("sent", "data"), DATA)
def test_mail_data_ends_at_crlf_dot_crlf_only(sent: bytes, data: bytes) -> None:
    played = both_ways(START + b"DATA\r\n" + sent + b"QUIT\r\n")
    assert played.messages == [(*ENVELOPE, data)]
    assert played.codes[-2:] == [250, 221]


LF_DATA = [
    (b".\n", b""),
    (b"x\n.\n", b"x\n"),
    (b"..\n.\n", b".\n"),
    (b"x\r\n.\r\n", b"x\r\n"),
    (b"x\r\n.\n", b"x\r\n"),
    (b"x\n.\r\n", b"x\n"),
    (b"x\r.\ry\n.\n", b"x\r.\ry\n"),
    (b"x\n.\ry\n.\n", b"x\n\ry\n"),
    (b"x\n.y\n.\n", b"x\ny\n"),
]


@pytest.mark.parametrize(("sent", "data"), LF_DATA)
def test_a_dialogue_of_bare_lf_may_end_its_data_so(sent: bytes, data: bytes) -> None:
    played = both_ways(LF_START + b"DATA\n" + sent + b"QUIT\n")
    assert played.messages == [(*ENVELOPE, data)]
    assert played.codes[-1] == 221


@pytest.mark.parametrize("at", range(4))
def test_one_crlf_in_any_command_makes_lf_dot_lf_text(at: int) -> None:
    lines = (LF_START + b"DATA\n").split(b"\n")[:-1]
    start = b"".join([line + (b"\r\n" if n == at else b"\n") for n, line in enumerate(lines)])
    played = both_ways(start + b"x\n.\nMAIL FROM:<evil@b.example>\n\r\n.\r\nQUIT\r\n")
    assert [message[2] for message in played.messages] == [b"x\n.\nMAIL FROM:<evil@b.example>\n\r\n"]


SECOND = [
    b"MAIL FROM:<evil@b.example>",
    b"RCPT TO:<victim@d.example>",
    b"DATA",
    b"Subject: smuggled",
    b"",
]


ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n\0.\r\n",
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_no_other_end_of_data_smuggles_a_message(end: bytes, line_end: bytes) -> None:
    """The sequences of CVE-2023-51764, -51765, -51766 and their kin."""
    inside = b"x" + end + line_end.join(SECOND) + line_end + b"y"
    played = both_ways(START + b"DATA\r\n" + inside + b"\r\n.\r\nQUIT\r\n")
    assert [message[0] for message in played.messages] == [b"a@b.example"]
    assert played.codes == [220, 250, 250, 250, 354, 250, 221]


REFUSED = [
    b"MAIL FROM\r\n",
    b"MAIL FROM:<a\x01@b.example>\r\nRCPT TO:<c@d.example>\r\n",
    b"MAIL FROM:<" + b"a" * LONGEST_LINE + b"@b.example>\r\nRCPT TO:<c@d.example>\r\n",
    b"MAILFROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n",
    b"MAIL FROM:<a@b.example>\r\n",
    b"MAIL FROM:<bad@b.example>\r\nRCPT TO:<c@d.example>\r\n",
    b"MAIL FROM:<a@b.example>\r\nRCPT TO:<bad@d.example>\r\n",
]


@pytest.mark.parametrize("start", REFUSED)
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_a_refused_message_is_never_read_as_commands(start: bytes, line_end: bytes) -> None:
    """Whoever writes the whole dialogue at once does not see the refusal in time."""
    dialogue = b"EHLO x\r\n" + start + b"DATA\r\n" + b"\r\n".join(SECOND) + b"\r\n.\r\nQUIT\r\n"
    played = Played(dialogue.replace(b"\r\n", line_end))
    assert played.messages == []
    assert played.codes[-3] == 354
    assert played.codes[-2] in (503, 554)
    assert played.codes[-1] == 221


@pytest.mark.parametrize("start", REFUSED)
def test_a_client_that_waits_is_refused_at_data(start: bytes) -> None:
    """One that sends commands in groups (RFC 2920), too; some hang up on 354, or hang."""
    for step in (1, len(start) + len(b"DATA\r\n")):
        played = Played(start + b"DATA\r\nRSET\r\n" + START + b"DATA\r\nx\r\n.\r\nQUIT\r\n", step)
        assert played.messages == [(*ENVELOPE, b"x\r\n")]
        codes = played.codes
        assert codes[-8] in (503, 554)
        assert codes[-7:] == [250, 250, 250, 250, 354, 250, 221]


def test_who_does_not_wait_is_known_by_what_follows_ehlo() -> None:
    """So the message is not obeyed that comes much later."""
    refused = START.replace(b"<c@", b"<bad@") + b"DATA\r\n"
    played = Played(refused + b"RSET\r\n" + START + b"DATA\r\nx\r\n.\r\nQUIT\r\n", len(refused))
    assert played.messages == []
    assert played.codes[-3:] == [354, 554, 221]


def test_data_before_mail_is_refused_at_once() -> None:
    """No client that means to send a message leaves MAIL out."""
    played = both_ways(b"EHLO x\r\nDATA\r\nRSET\r\n" + START + b"RSET\r\nDATA\r\nQUIT\r\n")
    assert played.codes == [220, 250, 503, 250, 250, 250, 250, 250, 503, 221]


def test_the_transaction_after_a_refused_one_is_whole() -> None:
    bad = START.replace(b"<c@", b"<bad@") + b"DATA\r\nfirst\r\n.\r\n"
    played = Played(bad + START + b"DATA\r\nsecond\r\n.\r\nQUIT\r\n")
    assert played.messages == [(*ENVELOPE, b"second\r\n")]


def test_pipelined_messages_come_one_after_the_other() -> None:
    one = START[len(b"EHLO client\r\n") :] + b"DATA\r\nx\r\n.\r\n"
    played = both_ways(b"EHLO x\r\n" + one * 3 + b"QUIT\r\n")
    assert played.messages == [(*ENVELOPE, b"x\r\n")] * 3
    assert played.codes == [220, 250, *[250, 250, 354, 250] * 3, 221]


def test_a_transaction_without_greeting_is_accepted() -> None:
    assert both_ways(START.partition(b"\n")[2] + b"DATA\r\nx\r\n.\r\n").messages == [(*ENVELOPE, b"x\r\n")]


@pytest.mark.parametrize("again", [b"RSET", b"EHLO x", b"HELO x"])
def test_a_transaction_can_be_given_up(again: bytes) -> None:
    played = both_ways(START + again + b"\r\nDATA\r\nQUIT\r\n")
    assert played.messages == []
    assert played.codes[-2:] == [503, 221]


def test_what_is_too_large_is_refused_after_its_end() -> None:
    played = both_ways(START + b"DATA\r\n" + b"x\r\n" * 500 + b".\r\nNOOP\r\nQUIT\r\n")
    assert played.messages == []
    assert played.codes[-3:] == [552, 250, 221]


# --- BDAT ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "data", "codes"),
    [
        (b"BDAT 4 LAST\r\nabcd", b"abcd", [250]),
        (b"BDAT 2\r\nabBDAT 2\r\ncdBDAT 0 LAST\r\n", b"abcd", [250, 250, 250]),
        (b"bdat 5 last\r\n\r\n.\r\n", b"\r\n.\r\n", [250]),
        (b"BDAT 3\r\n.\r\nNOOP\r\nBDAT 1 LAST\r\n.", b".\r\n.", [250, 250, 250]),
        (b"BDAT 0 LAST\r\n", b"", [250]),
        (b"BDAT 6 LAST\r\nQUIT\r\n", b"QUIT\r\n", [250]),
        (b"BDAT 2\r\nabDATA\r\nBDAT 0 LAST\r\n", b"ab", [250, 503, 250]),
        (b"BDAT 2\r\nabMAIL FROM:<x@y>\r\nRCPT TO:<x@y>\r\nBDAT 0 LAST\r\n", b"ab", [250, 503, 503, 250]),
    ],
)
def test_chunks_are_counted_and_not_looked_into(sent: bytes, data: bytes, codes: list[int]) -> None:
    played = both_ways(START + sent + b"QUIT\r\n")
    assert played.messages == [(*ENVELOPE, data)]
    assert played.codes == [220, 250, 250, 250, *codes, 221]


@pytest.mark.parametrize("again", [b"RSET", b"EHLO x", b"QUIT"])
def test_a_message_in_chunks_can_be_given_up(again: bytes) -> None:
    played = both_ways(START + b"BDAT 2\r\nab" + again + b"\r\nQUIT\r\n")
    assert (played.messages, played.abandoned, played.server.cut) == ([], 1, False)


def test_a_chunk_that_was_refused_makes_the_message_refused() -> None:
    """RFC 3030: nobody may get the message without its beginning."""
    start = START.replace(b"<c@", b"<bad@")
    good = b"RCPT TO:<c@d.example>\r\n"
    played = both_ways(start + b"BDAT 4\r\nQUIT" + good + b"BDAT 2 LAST\r\nxyNOOP\r\nQUIT\r\n")
    assert played.messages == []
    assert played.codes == [220, 250, 250, 550, 554, 250, 554, 250, 221]


def test_chunks_that_are_too_large_are_all_refused() -> None:
    chunk = b"BDAT 600\r\n" + b"x" * 600
    played = both_ways(START + chunk * 3 + b"BDAT 0 LAST\r\nQUIT\r\n")
    assert played.messages == []
    assert played.codes[4:] == [250, 552, 552, 552, 221]


# --- ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "cut"),
    [
        (b"", False),
        (b"EHLO x\r\n", False),
        (START, False),
        (b"EHLO", False),
        (b"QUIT", False),
        (START + b"DATA\r\n", True),
        (START + b"DATA\r\nx\r\n.", True),
        (START + b"DATA\r\nx\r\n.\r", True),
        (START + b"DATA\r\nx\n.\n", True),
        (START + b"BDAT 5\r\nab", True),
        (START + b"BDAT 2\r\nab", True),
        (LF_START + b"DATA\nx\n.", True),
    ],
)
def test_an_end_of_input_queues_nothing_and_is_told_apart(sent: bytes, cut: bool) -> None:
    played = both_ways(sent)
    assert (played.messages, played.server.cut, played.server.quit) == ([], cut, False)


def test_after_quit_nothing_is_obeyed() -> None:
    played = Played(b"QUIT\r\n" + START + b"DATA\r\nx\r\n.\r\n")
    assert (played.messages, played.codes, played.server.quit) == ([], [220, 221], True)


def test_after_too_many_bad_commands_we_hang_up() -> None:
    played = both_ways(b"Subject: x\r\n" * 1000)
    assert played.codes == [220, *[500] * (MOST_FAULTS + 1), 421]


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1", b"get /", b"CONNECT x:25 HTTP/1.0"])
def test_a_form_that_a_browser_sends_is_no_dialogue(line: bytes) -> None:
    form = b"Host: localhost\r\nContent-Type: text/plain\r\n\r\n" + START + b"DATA\r\nx\r\n.\r\n"
    played = both_ways(line + b"\r\n" + form)
    assert (played.messages, played.codes) == ([], [220, 421])


def test_a_queued_message_makes_bad_commands_forgotten() -> None:
    one = b"nonsense\r\n" * MOST_FAULTS + START + b"DATA\r\nx\r\n.\r\n"
    played = Played(one * 3 + b"QUIT\r\n")
    assert len(played.messages) == 3
    assert played.codes[-1] == 221


# --- properties ---------------------------------------------------------------------------------------------

ATOMS = [b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"x", b"\0"]


def stuffed(data: bytes) -> bytes:
    """Mail data as a client sends it: CRLF lines, dots stuffed, the lone dot."""
    lines = data.split(b"\r\n")
    return b"\r\n".join([b"." + line if line.startswith(b".") else line for line in lines]) + b".\r\n"


@given(st.lists(st.sampled_from(ATOMS), max_size=30), st.integers(1, 7))
def test_what_a_client_stuffs_comes_back_octet_for_octet(parts: list[bytes], step: int) -> None:
    data = b"".join(parts) + b"\r\n"
    sent = stuffed(data) + b"rest"
    unstuffer, out = Unstuffer(bare=False), b""
    for at in range(0, len(sent), step):
        out += unstuffer.feed(sent[at : at + step])
        if unstuffer.ended:
            assert unstuffer.rest + sent[at + step :] == b"rest"
            break
    assert (out, unstuffer.ended) == (data, True)


@given(st.lists(st.sampled_from(ATOMS), max_size=30), st.integers(1, 7), st.booleans())
def test_the_end_does_not_depend_on_how_the_octets_come(parts: list[bytes], step: int, bare: bool) -> None:
    octets = b"".join(parts)
    whole, pieces = Unstuffer(bare), Unstuffer(bare)
    expected = whole.feed(octets)
    got = b""
    for at in range(0, len(octets), step):
        got += pieces.feed(octets[at : at + step])
        if pieces.ended:
            break
    assert (got, pieces.ended) == (expected, whole.ended)
    if not bare and b"\r\n.\r\n" not in b"\r\n" + octets:
        assert not whole.ended


@given(st.binary(max_size=200), st.integers(1, 9))
def test_no_input_ever_raises_or_hangs(octets: bytes, step: int) -> None:
    Played(START + b"DATA\r\n" + octets, step)
    Played(octets, step)


def test_a_chunk_takes_no_octet_more_than_its_own() -> None:
    chunk = Chunk(3)
    assert (chunk.feed(b"ab"), chunk.ended, chunk.feed(b"cde"), chunk.ended, chunk.rest) == (
        b"ab", False, b"c", True, b"de",
    )  # fmt: skip


def test_an_endless_line_is_not_kept() -> None:
    server = Server(b"x", 10)
    for _ in range(100):
        server.feed(b"x" * 65536)
        assert server.next() is NEED
        assert len(server.buffer) <= LONGEST_LINE + 65536
