"""What is known of servers outlives a run, not a month, and never a damaged line."""

from __future__ import annotations

from pathlib import Path

import pytest
from sendmail_py.spool import servers
from sendmail_py.spool.servers import Known, Servers

NOW = 1_800_000_000


def test_several_makes_of_one_smart_host_are_kept_apart(tmp_path: Path) -> None:
    written = Servers(str(tmp_path))
    written.set("isp", Known("aa", True, 1000, NOW))
    written.set("isp", Known("bb", False, 500, NOW))
    found = Servers(str(tmp_path))
    for digest, chunks, size in (("aa", True, 1000), ("bb", False, 500)):
        known = found.get("isp", digest, NOW)
        assert known is not None
        assert (known.chunks, known.size) == (chunks, size)
    assert found.get("isp", "cc", NOW) is None
    assert found.get("other", "aa", NOW) is None


@pytest.mark.parametrize("chunks", [True, False])
def test_an_answer_grows_old(chunks: bool, tmp_path: Path) -> None:
    found = Servers(str(tmp_path))
    found.set("isp", Known("aa", chunks, 0, NOW))
    assert found.get("isp", "aa", NOW + servers.STALE[chunks] - 1)
    assert found.get("isp", "aa", NOW + servers.STALE[chunks]) is None
    assert found.get("isp", "aa", NOW - 1) is None


def test_the_newest_answers_are_kept(tmp_path: Path) -> None:
    found = Servers(str(tmp_path))
    for number in range(20):
        found.set("isp", Known(f"{number:02}", True, 0, NOW))
    again = Servers(str(tmp_path))
    assert [one.digest for one in again.known["isp"]] == [f"{n:02}" for n in range(19, 11, -1)]


@pytest.mark.parametrize(
    "text", ["", "something else\nisp\taa\tyes\t1\t2\n", "sendmail-py servers 1\nisp\taa\n\xff"]
)
def test_what_cannot_be_read_is_not_known(text: str, tmp_path: Path) -> None:
    (tmp_path / "servers").write_bytes(text.encode("latin-1"))
    assert Servers(str(tmp_path)).known == {}


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    found = Servers(str(tmp_path / "nowhere"))
    found.set("isp", Known("aa", True, 0, NOW))
    assert found.get("isp", "aa", NOW)


@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ({"isp": [1000]}, 1000),
        ({"isp": [1000, 500]}, 1000),
        ({"isp": [1000], "other": [3000]}, 3000),
        ({"isp": [1000], "other": [0]}, 0),
        ({"isp": [1000], "other": []}, 0),
    ],
)
def test_the_biggest_message_that_anybody_takes(
    sizes: dict[str, list[int]], most: int, tmp_path: Path
) -> None:
    found = Servers(str(tmp_path))
    for name, several in sizes.items():
        for number, size in enumerate(several):
            found.set(name, Known(f"{number:02}", True, size, NOW))
    assert servers.largest(str(tmp_path), list(sizes), NOW + 60) == most
    assert servers.largest(str(tmp_path), list(sizes), NOW + 40 * 86400) == 0  # too long ago
    assert servers.largest(str(tmp_path / "nowhere"), list(sizes), NOW) == 0
