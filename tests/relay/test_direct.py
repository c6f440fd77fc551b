"""Delivery without any spool: exit 0 means the smart host's 250, everything else leaves nothing behind."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from support.launch import Sandbox, smarthost_table
from support.script import Action, Close, Stall
from support.smarthost import USUAL_EXTENSIONS, SmartHost

A, B = "a@example.org", "b@example.org"
MESSAGE = b"Subject: x\n\nhello\n"
BASE = (
    'delivery = "now"\n[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n[aliases]\nfiles = []\n'
)
NOWHERE = '[queue]\ndirectory = "none"\n'


def configure(box: Sandbox, *hosts: SmartHost | int, more: str = NOWHERE, **keys: object) -> None:
    """No queue; smart hosts without TLS (loopback), in this order."""
    ports = [one if isinstance(one, int) else one.port for one in hosts]
    tables = [smarthost_table(name=f"h{n}", port=port, tls="none", **keys) for n, port in enumerate(ports, 1)]
    box.configure(BASE + more + "".join(tables))


def sent(box: Sandbox, status: int, *words: str, text: bytes = MESSAGE) -> str:
    """Send; the exit status is `status` and nothing at all was left in any folder; returns standard error."""
    before = everything(box.folder)
    done = box.run("sendmail", "-f", "me@example.net", *words, stdin=text)
    assert done.returncode == status, done.stderr
    assert done.stdout == b""
    assert everything(box.folder) - before <= {box.log_file}
    return done.stderr.decode()


def everything(folder: Path) -> set[Path]:
    """All files and folders below."""
    return set(folder.rglob("*"))


def test_success_is_silent_and_means_that_the_smart_host_has_it(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        configure(sandbox, host)
        assert sent(sandbox, 0, A, B) == ""
        (message,) = host.messages
    assert message.mail_from == b"me@example.net"
    assert [one for one, _ in message.rcpts] == [A.encode(), B.encode()]
    assert message.data.endswith(b"Subject: x\r\n\r\nhello\r\n")
    assert host.violations == []
    assert "(relayed)" in sandbox.log()
    assert "(queued)" not in sandbox.log()


REFUSALS: list[tuple[dict[bytes, Action | list[Action]], int, str]] = [
    ({b"greeting": b"421 4.3.2 Closing"}, 75, "4.3.2 Closing"),
    ({b"greeting": b"554 5.3.2 Not you"}, 75, "5.3.2 Not you"),
    ({b"MAIL": b"451 4.3.0 Later"}, 75, "4.3.0 Later"),
    ({b"MAIL": b"550 5.7.1 Not your address"}, 75, "sender refused, look at [masquerade]"),
    ({b"MAIL": b"552 5.3.4 Too big"}, 69, "5.3.4 Too big"),
    ({b"RCPT": b"450 4.2.0 Greylisted"}, 75, "4.2.0 Greylisted"),
    ({b"RCPT": b"550 5.1.1 No such user"}, 69, "5.1.1 No such user"),
    ({b"DATA": b"451 4.3.0 Later"}, 75, "4.3.0 Later"),
    ({b"DATA": b"554 5.0.0 No"}, 69, "5.0.0 No"),
    ({b".": b"451 4.3.0 Later"}, 75, "4.3.0 Later"),
    ({b".": b"554 5.6.0 Spam"}, 69, "5.6.0 Spam"),
    ({b"DATA": Close()}, 75, "nothing was queued"),
    ({b".": Close()}, 75, "answer unknown, the message may have been delivered"),
]


@pytest.mark.parametrize(("replies", "status", "words"), REFUSALS)
def test_a_failure_is_75_and_a_refusal_69_with_the_servers_words(
    sandbox: Sandbox, replies: dict[bytes, Action | list[Action]], status: int, words: str
) -> None:
    with SmartHost(replies=replies) as host:
        configure(sandbox, host)
        said = sent(sandbox, status, A)
    assert words in said
    assert (said.count("\n"), host.messages) == (1, [])


def test_nobody_there_is_75(sandbox: Sandbox) -> None:
    configure(sandbox, 1)
    assert "refused" in sent(sandbox, 75, A)


def test_no_smart_host_is_78(sandbox: Sandbox) -> None:
    configure(sandbox)
    assert "no smart host" in sent(sandbox, 78, A)


def test_no_smart_host_for_the_sender_is_78(sandbox: Sandbox) -> None:
    configure(sandbox, 1, senders=["*@other.example"])
    assert "smarthost.senders" in sent(sandbox, 78, A)


def test_the_second_smart_host_is_tried_when_the_first_is_of_no_use(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        configure(sandbox, 1, host)
        assert sent(sandbox, 0, A) == ""
        assert len(host.messages) == 1


def test_who_has_the_message_and_who_has_not_is_told(sandbox: Sandbox) -> None:
    with SmartHost(replies={b"RCPT TO:<b@": b"550 5.1.1 No such user"}) as host:
        configure(sandbox, host)
        said = sent(sandbox, 69, A, B)
        assert [one for one, _ in host.messages[0].rcpts] == [A.encode()]
    assert f"<{B}>: 5.1.1 No such user" in said or f"<{B}>: 550 5.1.1 No such user" in said
    assert "1 other recipients have the message" in said


def test_more_recipients_than_a_transaction_takes_all_get_it(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        configure(sandbox, host)
        assert sent(sandbox, 0, *[f"r{n}@example.org" for n in range(250)]) == ""
        assert sorted(len(one.rcpts) for one in host.messages) == [50, 100, 100]
        assert host.connections == 1


def test_a_server_for_one_domain_in_a_session_gets_a_session_for_each(sandbox: Sandbox) -> None:
    with SmartHost(extensions=[*USUAL_EXTENSIONS, "LIMITS RCPTDOMAINMAX=1"]) as host:
        configure(sandbox, host)
        assert sent(sandbox, 0, "a@one.example", "b@two.example", "c@one.example") == ""
    assert [len(one.rcpts) for one in host.messages] == [2, 1]
    assert [one.session for one in host.messages] == [1, 2]


def test_a_big_message_arrives_and_memory_is_bounded_by_max_message(sandbox: Sandbox) -> None:
    body = b"x" * 78 + b"\n"
    with SmartHost() as host:
        configure(sandbox, host, more=NOWHERE + 'max_message = "4M"\n')
        assert sent(sandbox, 0, "-i", A, text=b"\n" + body * 50_000) == ""
        assert host.messages[0].data.endswith(body.replace(b"\n", b"\r\n") * 2)
        sent(sandbox, 65, "-i", A, text=b"\n" + body * 60_000)
        assert len(host.messages) == 1


def test_queueing_only_has_no_place(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        configure(sandbox, host)
        assert "queue.directory" in sent(sandbox, 73, "-odq", A)
        assert host.messages == []


def test_a_message_that_is_to_wait_is_refused(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        configure(sandbox, host)
        assert "no place" in sent(sandbox, 73, "--hold-for=1h", A)
        assert host.messages == []


def test_none_without_delivery_now_is_a_conflict(sandbox: Sandbox) -> None:
    sandbox.configure('[queue]\ndirectory = "none"\n')
    assert 'config.toml:2: queue.directory: "none" goes with delivery = "now" only' in sent(sandbox, 78, A)


def test_a_signal_while_the_server_thinks_gives_the_message_back(sandbox: Sandbox) -> None:
    with SmartHost(replies={b"MAIL": Stall()}) as host:
        configure(sandbox, host)
        process = sandbox.start("sendmail", A)
        assert process.stdin is not None
        process.stdin.write(MESSAGE)
        process.stdin.close()
        process.stdin = None
        wait_for(host, b"MAIL")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors.count(b"\n")) == (75, 1)
    assert host.messages == []


def wait_for(host: SmartHost, command: bytes) -> None:
    """Until the server has got a command."""
    end = time.monotonic() + 20
    while not any(one.startswith(command) for one in host.commands):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_other_commands_find_an_empty_queue(sandbox: Sandbox) -> None:
    configure(sandbox, 1)
    for words in (["mailq"], ["sendmail", "-q"], ["runq"]):
        done = sandbox.run(*words)
        assert (done.returncode, done.stderr) == (0, b""), words
    assert sandbox.queue() == []
    assert not sandbox.spool.exists()


def test_verbose_shows_the_dialogue(sandbox: Sandbox) -> None:
    with SmartHost() as host:
        configure(sandbox, host)
        said = sent(sandbox, 0, "-v", A)
    assert "RCPT TO:<a@example.org>" in said
    assert "relayed as " in said


DIALOGUE = (
    b"EHLO x\r\nMAIL FROM:<me@example.net>\r\nRCPT TO:<a@example.org>\r\nDATA\r\n\r\nhi\r\n.\r\nQUIT\r\n"
)


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        ({}, b"250 2.0.0 Ok: relayed as "),
        ({b"RCPT": b"550 5.1.1 No such user"}, b"554 5.0.0 "),
        ({b"RCPT": b"450 4.2.0 Greylisted"}, b"451 4.3.0 "),
    ],
)
def test_a_dialogue_passes_the_smart_hosts_answer_on(
    sandbox: Sandbox, replies: dict[bytes, Action | list[Action]], code: bytes
) -> None:
    with SmartHost(replies=replies) as host:
        configure(sandbox, host)
        done = sandbox.run("sendmail", "-bs", stdin=DIALOGUE)
        assert len(host.messages) == int(code[:1] == b"2")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[-2].startswith(code)
    assert not sandbox.spool.exists()


def test_the_admin_command_says_that_there_is_no_queue(sandbox: Sandbox) -> None:
    configure(sandbox, 1)
    assert b"spool: none" in sandbox.run("sendmail-py", "doctor", "--offline").stdout
    assert b'queue.directory = "none"' in sandbox.run("sendmail-py", "config", "show").stdout
    assert b"queue.directory" not in sandbox.run("sendmail-py", "config", "check").stdout
    done = sandbox.run("sendmail-py", "queue", "list")
    assert (done.returncode, done.stderr.count(b"\n")) == (78, 1)
    assert b"no queue" in done.stderr
