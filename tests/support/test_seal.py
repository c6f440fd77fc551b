"""The seal itself: what the other tests rely on."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from support.network import OutsideError, loopback_only


def test_home_and_folders_are_the_tests_own(tmp_path: Path) -> None:
    assert Path(os.environ["HOME"]).parent == tmp_path == Path.cwd()
    ours = {key: value for key, value in os.environ.items() if key.startswith("SENDMAIL_PY_")}
    assert ours == {"SENDMAIL_PY_MASQUERADE_DNS": "false"}  # no name server is asked either


@pytest.mark.parametrize("swallow", [True, False])
def test_nothing_leaves_the_machine(swallow: bool) -> None:
    with pytest.raises(OutsideError, match=r"192\.0\.2\.1"), loopback_only():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
            try:
                outside.connect(("192.0.2.1", 9))
            except OutsideError:
                if not swallow:
                    raise


def test_names_are_not_looked_up() -> None:
    with pytest.raises(OutsideError, match=r"smtp\.isp\.example"), loopback_only():
        socket.getaddrinfo("smtp.isp.example", 25)


def test_loopback_stays_open() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        socket.create_connection(("localhost", listener.getsockname()[1])).close()
