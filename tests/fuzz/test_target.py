"""The fuzz target holds for the corpus and for random octets; tests/fuzz/run goes on from there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from corpus import CORPUS
from target import fuzz_one

PIECES = st.sampled_from(
    [b"\r", b"\n", b".", b"\0", b"(", b")", b'"', b"\\", b"<", b">", b"@", b":", b";", b",", b" ", b"a"]
)


@pytest.mark.parametrize("octets", CORPUS)
def test_every_promise_holds_for_the_corpus(octets: bytes) -> None:
    fuzz_one(octets)


@given(st.integers(0, 9), st.lists(PIECES, max_size=60))
def test_every_promise_holds_for_specials_in_any_order(cut: int, pieces: list[bytes]) -> None:
    fuzz_one(bytes([cut]) + b"".join(pieces))


@given(st.binary(max_size=300))
def test_every_promise_holds_for_any_octets(octets: bytes) -> None:
    fuzz_one(octets)
