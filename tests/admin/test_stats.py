"""sendmail-py queue stats and flush: numbers, thresholds as exit statuses, one run for a person."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sendmail_py.admin.cli import cli
from sendmail_py.mail.envelope import Envelope, Recipient
from sendmail_py.spool import draft
from sendmail_py.spool.breaker import Breaker, Pause
from sendmail_py.spool.queue import Spool

from support.launch import smarthost_table
from support.smarthost import SmartHost


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    configure(tmp_path, 9)
    monkeypatch.setenv("SENDMAIL_PY_CONFIG", str(tmp_path / "config.toml"))
    return Spool(str(tmp_path / "spool"))


def configure(folder: Path, port: int) -> None:
    table = smarthost_table(name="isp", port=port, tls="none", connect_timeout="1s")
    text = f'{table}[log]\nto = "{folder}/log"\n[queue]\ndirectory = "{folder}/spool"\nretry_min = "0s"\n'
    (folder / "config.toml").write_text(text)


def submit(spool: Spool, number: int, age: float = 0) -> None:
    for n in range(number):
        created = time.time() - age
        file = draft.begin(spool.directory, int(created * 1e9))
        file.envelope(Envelope(b"me@example.net", [Recipient(b"r%d@example.org" % n)], created))
        file.write(b"Subject: x\r\n\r\nbody\r\n")
        file.commit()


def queue(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["queue", *arguments])


def test_counts_what_is_there(spool: Spool) -> None:
    submit(spool, 3, age=7200)
    queue("hold", spool.listing()[0].queue_id)
    now = int(time.time())
    Breaker(spool.directory).set("isp", Pause(now + 100, 1, now, "refused"))
    numbers = json.loads(queue("stats", "--format", "json").stdout)
    assert numbers["octets"] > 300
    assert 7200 <= numbers["age"] < 7300
    del numbers["octets"], numbers["age"]
    assert numbers == {
        "messages": 3,
        "untried": 3,
        "due": 2,
        "held": 1,
        "failed": 0,
        "failed_octets": 0,
        "paused": 1,
        "refused": 0,
        "over": [],
    }
    text = queue("stats", "--format", "prometheus").stdout
    assert "\nsendmail_py_queue_messages 3\n" in text
    assert '\nsendmail_py_smarthost_paused_seconds{smarthost="isp"} ' in text
    assert "messages              3  messages in the queue" in queue("stats").stdout


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], 0),
        (["--warn", "messages=4"], 0),
        (["--warn", "messages=3"], 1),
        (["--warn", "messages=1", "--critical", "messages=3"], 2),
        (["--warn", "messages=1", "--critical", "age=3h"], 1),
        (["--critical", "age=1h"], 2),
        (["--critical", "octets=1G"], 0),
        (["--warn", "nonsense=1"], 64),
        (["--warn", "age=x"], 64),
        (["--warn", "messages"], 64),
    ],
)
def test_thresholds_become_the_exit_status(spool: Spool, options: list[str], status: int) -> None:
    submit(spool, 3, age=7200)
    assert queue("stats", *options).exit_code == status


def test_an_empty_queue_has_numbers_too(spool: Spool) -> None:
    assert json.loads(queue("stats", "--format", "json").stdout)["messages"] == 0


def test_a_flush_for_a_person_sends_and_says_what_is_left(spool: Spool, tmp_path: Path) -> None:
    submit(spool, 5)
    left = "messages left in the queue\n"
    with SmartHost(replies={b"RCPT TO:<r4@": b"450 4.2.0 later"}) as host:
        configure(tmp_path, host.port)
        result = queue("flush", "--limit", "2")
        assert (result.exit_code, result.stdout) == (75, f"2 delivered, 0 failed, 3 {left}")
        result = queue("flush", "--wait", "--timeout", "1s")
        assert (result.exit_code, result.stdout[:26]) == (75, "2 delivered, 0 failed, 1 m")
        host.script(b"RCPT TO:<r4@", None)
        result = queue("flush")
        assert (result.exit_code, result.stdout) == (0, f"1 delivered, 0 failed, 0 {left}")
    assert len(host.messages) == 5
