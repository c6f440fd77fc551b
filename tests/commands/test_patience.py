"""commands/patience.py: input that is taken from whoever called wrongly."""

from __future__ import annotations

import os
import subprocess
import threading
import time

import pytest
from sendmail_py.commands import patience

from support.launch import PATIENCE, Sandbox


def test_what_comes_is_taken_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SILENCE", 30.0)
    out, into = os.pipe()
    writer = threading.Thread(target=lambda: (os.write(into, b"x" * 1_000_000), os.close(into)))
    writer.start()
    patience.drain_unless_silent(out)
    writer.join(PATIENCE)
    assert not writer.is_alive()
    os.close(out)


def test_an_input_that_nobody_writes_or_closes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SILENCE", 0.1)
    out, into = os.pipe()
    os.write(into, b"x")
    patience.drain_unless_silent(out)
    time.sleep(0.2)  # no alarm is left
    os.close(out)
    os.close(into)


def test_an_option_can_be_tried_out_where_standard_input_stays_open(sandbox: Sandbox) -> None:
    """As netdata does, which reads the first line and waits for the end."""
    tried = sandbox.start("sendmail", "-F", stderr=subprocess.STDOUT)
    assert tried.stdout is not None
    assert tried.stdout.read() == b"sendmail: option -F needs a value\n"
    assert tried.wait(PATIENCE) == 64
    tried.stdout.close()
    assert tried.stdin is not None
    tried.stdin.close()
