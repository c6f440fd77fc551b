"""sendmail -q with the shared spool, as far as no process with other rights is needed."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sendmail_py.commands import shared_run
from sendmail_py.policy import homes
from sendmail_py.spool import shared


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A configuration with a smart host that does not rest, and a shared spool that is not there yet."""
    monkeypatch.setattr(homes, "STATE", str(tmp_path / "state"))
    queue = SimpleNamespace(shared=str(tmp_path / "spool"), retry_max=3600)
    return SimpleNamespace(queue=queue, smarthosts=[SimpleNamespace(name="isp")])


def test_roots_first_flush_makes_the_shared_spool(config: Any) -> None:
    assert not shared_run.is_due(config, force=False)
    made = Path(config.queue.shared)
    assert stat.S_IMODE(made.stat().st_mode) == 0o1733
    assert stat.S_IMODE((made / shared.WAKE).stat().st_mode) == 0o666
    assert not shared_run.is_due(config, force=True)


def test_where_it_cannot_be_made_the_flush_says_nothing(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(base: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system", base)

    monkeypatch.setattr(shared, "set_up", read_only)
    assert not shared_run.is_due(config, force=False)
