"""sendmail-py queue stats and flush: numbers, thresholds as exit statuses, one run for a person."""

from __future__ import annotations

import json
import re
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
        "failed_reports": 0,
        "paused": 1,
        "refused": 0,
        "over": [],
    }
    text = queue("stats", "--format", "prometheus").stdout
    assert "\nsendmail_py_queue_messages 3\n" in text
    assert '\nsendmail_py_smarthost_paused_seconds{smarthost="isp"} ' in text
    assert "messages              3  messages in the queue" in queue("stats").stdout


def test_reports_that_failed_are_counted(spool: Spool) -> None:
    """Nobody was told of what is in them."""
    submit(spool, 2)
    file = draft.begin(spool.directory, time.time_ns())
    file.envelope(Envelope(b"", [Recipient(b"me@example.net")], time.time()))
    file.write(b"Subject: Undelivered\r\n\r\n")
    file.commit()
    for one in spool.listing():
        claim = spool.claim(one)
        assert claim is not None
        claim.mark({0: b"F"})
        spool.finish(claim)
    assert queue("stats", "--critical", "failed_reports=2").exit_code == 0
    done = queue("stats", "--critical", "failed_reports=1", "--format", "json")
    numbers = json.loads(done.stdout)
    assert (numbers["failed"], numbers["failed_reports"], done.exit_code) == (3, 1, 2)


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


METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABELS = re.compile(r'\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\}')


def exposed(text: str) -> dict[str, dict[str, float]]:
    """The values by metric and labels, read as strictly as Prometheus' text format 0.0.4 is written down."""
    found: dict[str, dict[str, float]] = {}
    kinds: dict[str, str] = {}
    helped: set[str] = set()
    assert text.endswith("\n")
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            name, _, meaning = line[7:].partition(" ")
            assert METRIC.fullmatch(name)
            assert name not in helped
            assert meaning
            helped.add(name)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name in helped
            assert name not in kinds
            assert kind in ("counter", "gauge", "histogram", "summary", "untyped")
            kinds[name] = kind
        else:
            name = METRIC.match(line)[0]  # type: ignore[index]
            assert kinds[name] == "gauge"
            assert list(kinds)[-1] == name, "the samples of a metric stand together, behind its type"
            labels = LABELS.match(line, len(name))
            rest = line[labels.end() if labels else len(name) :]
            assert rest[:1] == " "
            of = labels[0] if labels else ""
            assert of not in found.setdefault(name, {})
            found[name][of] = float(rest[1:])
    return found


def test_prometheus_can_read_it(spool: Spool, tmp_path: Path) -> None:
    submit(spool, 3, age=7200)
    file = tmp_path / "config.toml"
    table = smarthost_table(name='is"p', host="127.0.0.1", tls="none")
    file.write_text(f"{file.read_text()}\n{table}")
    found = exposed(queue("stats", "--format", "prometheus").stdout)
    assert found["sendmail_py_queue_messages"] == {"": 3}
    assert set(found["sendmail_py_smarthost_paused_seconds"]) == {'{smarthost="isp"}', '{smarthost="is\\"p"}'}
    assert len(found) == 12


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
