"""Claims about what DNS said before: read cheaply, believed for a week, nonsense ignored."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sendmail_py.policy import verdicts

NOW = int(time.time())


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (None, []),
        (b"", []),
        (b"nonsense", []),
        (b"sendmail-py domains 2\na.example\t%d\tgone\n" % NOW, []),
        (b"sendmail-py domains 1\na.example\t%d\tgone\nb.example\t%d\t\n" % (NOW, NOW), [b"a.example"]),
        (b"sendmail-py domains 1\na.example\t%d\tgone\nb.exa" % NOW, [b"a.example"]),
        (b"sendmail-py domains 1\na.example\n\nx\ty\tz\nb.example\t%d\tgone\n" % NOW, [b"b.example"]),
        (b"sendmail-py domains 1\na.example\t%d\tgone\n" % (NOW - 8 * 86400), []),
        (b"sendmail-py domains 1\na.example\t%d\tgone\n" % (NOW + 86400), []),
    ],
)
def test_only_a_bad_word_that_is_fresh_and_whole_counts(
    tmp_path: Path, content: bytes | None, wanted: list[bytes]
) -> None:
    if content is not None:
        (tmp_path / "domains").write_bytes(content)
    assert list(verdicts.load(str(tmp_path))) == wanted


def test_without_a_spool_nobody_said_anything() -> None:
    assert verdicts.load("") == {}


def test_reads_what_it_writes(tmp_path: Path) -> None:
    known = {b"a.example": (NOW, "gone"), b"b.example": (NOW - 5, "")}
    (tmp_path / "domains").write_bytes(verdicts.encode(known))
    assert verdicts.lines(verdicts.read(str(tmp_path))) == [
        (b"a.example", NOW, "gone"),
        (b"b.example", NOW - 5, ""),
    ]
    assert verdicts.load(str(tmp_path))[b"a.example"].startswith("gone (DNS, 20")
