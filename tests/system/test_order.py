"""What a power failure may meet: the order of the calls that change the queue, recorded from a real flush.

The sections "ORDER OF SYSTEM CALLS", "REPORTS" and "DIGESTS" of sendmail-py-spool(5), executed. A name counts
as durable when its folder was synced after it appeared, content when the file was.
"""

from __future__ import annotations

import re

import pytest

from support import faults
from support.launch import Sandbox, smarthost_table
from support.smarthost import SmartHost

BASE = '[identity]\ndomain = "example.net"\nhelo = "host.example.net"\n'
CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (\d+|0)(?:<.*>)?$")
QUEUE_ID = re.compile(r"[0-9A-F]{12}")
NAMES = {"pwrite64": "mark", "fdatasync": "sync", "fsync": "sync", "unlink": "remove", "unlinkat": "remove"}


def flush(box: Sandbox) -> list[str]:
    """What a flush does to the queue and says to the server, in order: `mark 1 U`, `sync queue`.

    Queue ids are numbered by their first appearance; `send` is a write to the server, `hear` a reply.
    """
    log = box.folder / "strace"
    options = ["-y", "-s", "120", "-o", str(log), "-e", f"trace={faults.TRACED},recvfrom"]
    done = faults.run(box, options, ["sendmail", "-q"], b"")
    assert (done.returncode, done.stderr) == (0, b"")
    found: list[str] = []
    ids: dict[str, str] = {}
    for line in log.read_text().splitlines():
        match = CALL.match(line)
        step = told(match[1], match[2], str(box.spool)) if match else ""
        if step:
            found.append(QUEUE_ID.sub(lambda one: ids.setdefault(one[0], str(len(ids) + 1)), step))
    return found


def told(call: str, words: str, spool: str) -> str:
    """One step, "" when it does not matter here."""
    if call in ("sendto", "recvfrom"):
        return ("send " if call == "sendto" else "hear ") + re.split(r"[\"\\]", words + '""')[1]
    if spool not in words:
        return ""
    paths = [one.removeprefix(f"{spool}/").replace("queue/", "") for one in re.findall(r"<([^>]*)>", words)]
    texts = re.findall(r'"([^"]*)"', words)
    if call in NAMES:
        what = texts[0] if call != "fsync" and texts else ""
        name = {"pwrite64": f"{paths[0]} {what}", "unlinkat": what}.get(call, paths[0])
        return f"{NAMES[call]} {name}".replace("usage", "")
    if call.startswith("rename") and len(paths) == 2:
        place = "failed/" if paths[1].startswith("failed") and paths[0] != paths[1] else ""
        return f"rename {texts[0]} {place}{texts[1]}"
    if call == "write" and "queue/" in words:
        return f"write {paths[0]}"
    return ""


def in_order(steps: list[str], *wanted: str) -> None:
    """Assert that these steps (regular expressions) come in this order, others between them."""
    at = 0
    for pattern in wanted:
        hits = [n for n in range(at, len(steps)) if re.fullmatch(pattern, steps[n])]
        assert hits, (pattern, steps)
        at = hits[0] + 1


def queue(box: Sandbox, host: SmartHost, *recipients: str, more: str = "", count: int = 1) -> None:
    """Queue small messages."""
    table = smarthost_table(port=host.port, tls="none")
    box.configure(f'{BASE}[queue]\nretry_min = "0s"\nretry_max = "0s"\n{more}\n{table}')
    for _ in range(count):
        done = box.run("sendmail", "-f", "me@example.net", *recipients, stdin=b"Subject: x\n\nbody\n")
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("on_unknown", ["resend", "hold"])
def test_a_delivered_message(sandbox: Sandbox, on_unknown: str) -> None:
    """Unknown before the end is sent, gone only after the answer, durably gone at the end of the run."""
    with SmartHost() as host:
        queue(sandbox, host, "a@x.example", more=f'on_unknown = "{on_unknown}"')
        steps = flush(sandbox)
    answer = ["send .*", "hear 250.*", "remove 1", "sync queue"]
    if on_unknown == "hold":
        in_order(steps, "mark 1 U", "sync 1", *answer)
    else:
        in_order(steps, "mark 1 U", *answer)
    removed = steps.index("remove 1")
    assert [one for one in steps[removed:] if one.startswith("mark 1")] == []
    assert steps[:removed].count("mark 1 U") == 1


def test_what_left_the_queue_is_durably_gone_before_another_word_is_said(sandbox: Sandbox) -> None:
    """Messages whose answers came together leave it together, with one sync for all."""
    with SmartHost() as host:
        queue(sandbox, host, "a@x.example", count=5)
        steps = flush(sandbox)
    gone = [n for n, step in enumerate(steps) if re.fullmatch(r"remove \d", step)]
    assert len(gone) == 5
    for at in gone:
        rest = steps[at + 1 :]
        talk = next((n for n, step in enumerate(rest) if step.startswith(("send ", "hear "))), len(rest))
        assert "sync queue" in rest[:talk], steps
    for number in range(1, 6):
        assert steps.index(f"mark {number} U") < steps.index(f"remove {number}")


def test_a_failed_message_and_its_report(sandbox: Sandbox) -> None:
    """The failure is durable before the report, report and promise before its name, that before the marks."""
    with SmartHost(replies={b"RCPT TO:<bad@": b"550 5.1.1 No such user"}) as host:
        queue(sandbox, host, "bad@x.example")
        steps = flush(sandbox)
    in_order(steps, "mark 1 F", "sync 1", "write .2", "sync .2", "sync queue")
    in_order(steps, "sync .2", "sync queue", "write .2.tries", "sync .2.tries", "rename .2.tries 1.failure-2")
    in_order(
        steps, "rename .2.tries 1.failure-2", "sync queue", "rename .2 2", "sync queue", "mark 1 R", "sync 1"
    )
    in_order(
        steps, "mark 1 R", "sync 1", "remove 1.failure-2", "rename 1 failed/1", "sync failed", "sync queue"
    )


def test_a_digest(sandbox: Sandbox) -> None:
    """The digest is durable before its messages lose their names, its name before they go."""
    with SmartHost() as host:
        queue(sandbox, host, "a@x.example", more='coalesce = "10m"', count=2)
        steps = flush(sandbox)
    digest = next(re.findall(r"\d+", one)[0] for one in steps if one.startswith("write ."))
    first, second = [one for one in ("1", "2", "3") if one != digest]
    in_order(
        steps,
        rf"write \.{digest}",
        rf"sync \.{digest}",
        "sync queue",
        f"rename {first} digest-{digest}-{first}",
    )
    in_order(steps, f"rename {second} .*", "sync queue", rf"rename \.{digest} {digest}", "sync queue")
    in_order(
        steps, rf"rename \.{digest} {digest}", "sync queue", f"remove digest-{digest}-{first}", "send MAIL.*"
    )
