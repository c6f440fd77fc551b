"""The fixture of every test here: a machine whose sendmail is ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from callers import ground
from callers.machine import Machine
from support.smarthost import SmartHost


@pytest.fixture(scope="session")
def shared_ground() -> Iterator[Path]:
    """What is made once: our sendmail for all users of the machine, a copy of /etc."""
    with ground.ground() as folder:
        yield folder


@pytest.fixture
def caller_world(shared_ground: Path) -> Iterator[Machine]:
    """A machine of its own for the test, and its smart host."""
    with SmartHost() as host, Machine.on(shared_ground, host) as machine:
        yield machine
