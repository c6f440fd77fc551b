"""What a reader and the relay say to each other over a socket pair: frames, and descriptors with them.

A frame is a list of octet strings, the first of them its kind: four octets with the length of the rest, then
each string behind four octets with its length. Guarantees: no frame longer than LONGEST and no more
descriptors than there may be are taken from the other side; whatever is malformed is a FrameError, after
which the connection is of no more use. Nothing is evaluated, unpickled or taken for a path; no program that
is started inherits what came.

The C half of socket does: a reader would pay more for the other half than for all else that it imports.
"""

from __future__ import annotations

import _socket
import posix
import select
import sys
from _socket import MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
else:
    from _collections import deque

LONGEST = 1 << 20  # octets
MOST_DESCRIPTORS = 4  # that were sent and not yet asked for; one comes with the first octets of its frame
MOST_STRINGS = 4096  # of a frame
PIECE = 65536
INT = 4  # octets of a descriptor, an int of C
ROOM = _socket.CMSG_LEN(MOST_DESCRIPTORS * INT)


class FrameError(Exception):
    """The other side said something that is no frame, or went away, or took too long."""


class Channel:
    """One end of the socket pair.

    `keep` sends later, with what else is said by then: each sending wakes the other side. `put` sends at
    once, and later what does not fit into the socket. Only a reader calls what waits: `wait`, `drain`, and
    `put` with a descriptor; its relay may be busy, and when it dies that shows at once.
    """

    __slots__ = ("descriptors", "inbox", "is_closed", "outbox", "sock")

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.descriptors: deque[int] = deque()
        self.is_closed = False  # by the other side

    def fileno(self) -> int:
        """For select.poll."""
        return self.sock.fileno()

    def close(self) -> None:
        """Give everything back."""
        self.sock.close()
        while self.descriptors:
            posix.close(self.descriptors.popleft())

    # --- out ---

    def put(self, frame: list[bytes], descriptor: int = -1) -> None:
        """Send a frame, as far as that goes at once; a descriptor goes with its first octet (FrameError)."""
        if descriptor >= 0:
            self.drain()
            octets = encode(frame)
            self.outbox += octets[self.send_with(octets, descriptor) :]
        else:
            self.keep(frame)
        self.push()

    def keep(self, frame: list[bytes]) -> None:
        """Send a frame with the next push (FrameError)."""
        octets = encode(frame)
        if len(self.outbox) + len(octets) > 4 * LONGEST:
            raise FrameError("does not take what is sent to it")
        self.outbox += octets

    def send_with(self, octets: bytes, descriptor: int) -> int:
        """Send the first octets of a frame with a descriptor; how many."""
        while True:
            try:
                rights = (SOL_SOCKET, SCM_RIGHTS, descriptor.to_bytes(INT, sys.byteorder))
                return self.sock.sendmsg([octets], [rights])
            except BlockingIOError:
                self.wait_for(select.POLLOUT)
            except OSError as error:
                raise FrameError(error.strerror or "gone") from None

    def push(self) -> None:
        """Send what was kept, as far as that goes at once."""
        while self.outbox:
            try:
                del self.outbox[: self.sock.send(self.outbox)]
            except BlockingIOError:
                return
            except OSError as error:
                raise FrameError(error.strerror or "gone") from None

    def drain(self) -> None:
        """Send all that was kept, however long it takes."""
        self.push()
        while self.outbox:
            self.wait_for(select.POLLOUT)
            self.push()

    # --- in ---

    def take(self) -> list[bytes] | None:
        """The next frame, None when there is no whole one yet; FrameError at the end of the connection."""
        frame = self.parse()
        while frame is None and self.pull():
            frame = self.parse()
        if frame is None and self.is_closed:
            raise FrameError("gone")
        return frame

    def pull(self) -> bool:
        """Read what is there; whether anything was."""
        try:
            octets, beside, _, _ = self.sock.recvmsg(PIECE, ROOM, MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        except OSError:
            self.is_closed = True
            return False
        for level, kind, rights in beside:
            if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
                self.descriptors.extend(read_descriptors(rights))
        if len(self.descriptors) > MOST_DESCRIPTORS:
            raise FrameError("sends too many descriptors")
        self.is_closed = self.is_closed or not octets
        self.inbox += octets
        return bool(octets)

    def parse(self) -> list[bytes] | None:
        """Cut the next frame off what was read."""
        if len(self.inbox) < 4:
            return None
        length = int.from_bytes(self.inbox[:4], "big")
        if length > LONGEST:
            raise FrameError("sends a frame that is too long")
        if len(self.inbox) < 4 + length:
            return None
        frame = decode(bytes(self.inbox[4 : 4 + length]))
        del self.inbox[: 4 + length]
        return frame

    def wait(self) -> list[bytes]:
        """The next frame, however long it takes; FrameError at the end of the connection."""
        self.push()
        while (frame := self.take()) is None:
            self.wait_for(select.POLLIN | (select.POLLOUT if self.outbox else 0))
            self.push()
        return frame

    def wait_for(self, events: int) -> None:
        """Wait until the socket can do that; also when the other side is gone."""
        poll = select.poll()
        poll.register(self.sock, events)
        poll.poll()

    def descriptor(self) -> int:
        """The next descriptor that came; FrameError when none did."""
        if not self.descriptors:
            raise FrameError("sends no descriptor with a message")
        return self.descriptors.popleft()


def pair() -> tuple[Channel, int]:
    """A socket pair: our end, and a descriptor of the other one."""
    mine, theirs = _socket.socketpair()
    return Channel(mine), theirs.detach()


def channel_of(descriptor: int) -> Channel:
    """The channel of a descriptor that was sent to us."""
    return Channel(_socket.socket(fileno=descriptor))


def wait_for_any(channels: list[Channel], seconds: float) -> set[Channel]:
    """Wait until one of them has something to read, or can write what it kept, or time is over; which can.

    When nobody waits (0 seconds), what is kept may wait, too.
    """
    poll = select.poll()
    known = {one.sock.fileno(): one for one in channels}
    for descriptor, one in known.items():
        poll.register(descriptor, select.POLLIN | (select.POLLOUT if one.outbox and seconds else 0))
    return {known[descriptor] for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)}


def read_descriptors(rights: bytes) -> list[int]:
    """The descriptors that came with a frame, as the kernel writes them."""
    whole = len(rights) - len(rights) % INT
    return [int.from_bytes(rights[at : at + INT], sys.byteorder) for at in range(0, whole, INT)]


def encode(frame: list[bytes]) -> bytes:
    """The octets of a frame. FrameError when it is too long."""
    body = b"".join([len(one).to_bytes(4, "big") + one for one in frame])
    if len(body) > LONGEST:
        raise FrameError("a frame of ours is too long")
    return len(body).to_bytes(4, "big") + body


def decode(body: bytes) -> list[bytes]:
    """The strings of a frame; FrameError when they do not fill it exactly, or there is none."""
    frame, at = [], 0
    while at < len(body):
        end = at + 4 + int.from_bytes(body[at : at + 4], "big")
        if end > len(body):
            raise FrameError("sends a frame that is cut off")
        frame.append(body[at + 4 : end])
        at = end
        if len(frame) > MOST_STRINGS:
            raise FrameError("sends a frame of too many pieces")
    if not frame:
        raise FrameError("sends an empty frame")
    return frame


def number(octets: bytes) -> int:
    """A number in a frame, 0 or more, below 10^15; FrameError."""
    if not octets.isdigit() or len(octets) > 15:
        raise FrameError("sends something else than a number")
    return int(octets)
