"""Frames over a socket pair: what goes in comes out, and what nobody may do ends the connection."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.shared import frames
from sendmail_py.shared.frames import Channel, FrameError, decode, encode

FRAMES = st.lists(st.binary(max_size=300), min_size=1, max_size=20)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """Our end, and the raw one of the other side."""
    mine, theirs = socket.socketpair()
    channel = Channel(mine)
    yield channel, theirs
    channel.close()
    theirs.close()


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(1, 400), min_size=1))
def test_frames_come_out_as_they_went_in_wherever_they_are_cut(
    sent: list[list[bytes]], cuts: list[int]
) -> None:
    mine, theirs = socket.socketpair()
    channel, octets, got = Channel(mine), b"".join(map(encode, sent)), []
    n = 0
    while octets:
        cut = cuts[n % len(cuts)]
        theirs.sendall(octets[:cut])
        octets, n = octets[cut:], n + 1
        while (frame := channel.take()) is not None:
            got.append(frame)
    theirs.close()
    with pytest.raises(FrameError, match="gone"):
        channel.take()
    channel.close()
    assert got == sent


@given(st.binary(max_size=200))
def test_whatever_octets_make_a_body_it_is_read_or_refused(body: bytes) -> None:
    try:
        frame = decode(body)
    except FrameError:
        return
    assert encode(frame) == len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    "octets",
    [
        (frames.LONGEST + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        bytes(4),
        b"\0\0\0\x05\0\0\0\x02x",
        b"\0\0\0\x03\0\0\0",
        (8 * frames.MOST_STRINGS).to_bytes(4, "big") + bytes(8 * frames.MOST_STRINGS),
    ],
    ids=["too-long", "far-too-long", "empty", "cut-off", "half-a-length", "too-many-pieces"],
)
def test_what_is_no_frame_is_refused(ends: tuple[Channel, socket.socket], octets: bytes) -> None:
    ends[1].sendall(octets)
    with pytest.raises(FrameError):
        ends[0].take()


def test_a_frame_of_ours_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameError):
        encode([bytes(frames.LONGEST)])


def test_what_does_not_fit_is_sent_later_and_not_without_end(ends: tuple[Channel, socket.socket]) -> None:
    piece = [bytes(300_000)]
    for _ in range(5):
        ends[0].put(piece)
    assert ends[0].outbox
    with pytest.raises(FrameError, match="does not take"):
        for _ in range(20):
            ends[0].put(piece)


def test_a_descriptor_comes_with_its_frame(ends: tuple[Channel, socket.socket]) -> None:
    channel = Channel(ends[1].dup())
    for n in range(3):
        read, write = os.pipe()
        os.write(write, b"%d" % n)
        channel.put([b"mail", b"%d" % n], read)
        os.close(read)
        os.close(write)
    for n in range(3):
        assert ends[0].take() == [b"mail", b"%d" % n]
        fd = ends[0].descriptor()
        assert os.read(fd, 9) == b"%d" % n
        os.close(fd)
    with pytest.raises(FrameError, match="no descriptor"):
        ends[0].descriptor()
    channel.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("in_one", [frames.MOST_DESCRIPTORS + 1, 100, 253])
def test_too_many_descriptors_end_it_and_none_stays_open(in_one: int) -> None:
    before = open_descriptors()
    mine, theirs = socket.socketpair()
    channel = Channel(mine)
    with pytest.raises(FrameError, match="descriptors"):
        for _ in range(3):
            socket.send_fds(theirs, [b"\0"], [0] * in_one)
            channel.take()
    channel.close()
    theirs.close()
    assert open_descriptors() == before


def test_one_who_talks_faster_than_we_listen_does_not_hold_us(ends: tuple[Channel, socket.socket]) -> None:
    def talk() -> None:
        try:
            while True:
                ends[1].sendall(octets)
        except OSError:
            return

    octets = encode([b"log", b"x"]) * 1000
    thread = threading.Thread(target=talk)
    thread.start()
    for _ in range(1000):
        frames.wait_for_any([ends[0]], 1.0)
        ends[0].take()
    assert len(ends[0].inbox) < frames.LONGEST + 2 * frames.PIECE
    ends[0].close()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("octets", [b"", b"-1", b" 1", b"1e3", b"\xb2", b"1" * 16, b"0x1"])
def test_what_is_no_number_is_refused(octets: bytes) -> None:
    with pytest.raises(FrameError):
        frames.number(octets)


def test_numbers() -> None:
    assert [frames.number(one) for one in (b"0", b"007", b"9" * 15)] == [0, 7, 10**15 - 1]
