"""The readers of a flush as processes: started with their owner's rights, ended whatever they do.

Guarantees: a reader is a fresh interpreter with a clean environment that gets nothing of ours but its end of
a socket pair; one that cannot be started, or does not end, costs only its owner's mail. It gives up root's
rights itself, as the first thing it does: a process that is still ours in part must not have an owner who may
stop it, because we wait until the new program has begun.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import sendmail_py
from sendmail_py import maillog
from sendmail_py.shared import frames, rights

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.shared.frames import Channel
    from sendmail_py.spool.tenants import Owner

PACKAGE = (sendmail_py.__file__ or "").rpartition("/")[0].rpartition("/")[0]
# The bundles are those of admin/bundle.py, and used as by a launcher of the mail commands.
BECOME = """import posix, sys
package, uid, gid, bundle = sys.argv[1:5]
del sys.argv[1:5]
posix.setgroups([])
posix.setresgid(*[int(gid)] * 3)
posix.setresuid(*[int(uid)] * 3)
sys.path.insert(0, package)
try:
    path = package.replace("%", "%%") + "/sendmail_py/__pycache__/bundle-%s."
    path += sys.implementation.cache_tag + ".pyc"
    with open(path % bundle, "rb") as file:
        octets = file.read()
    magic = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER
    if octets.startswith(magic):
        import marshal
        body, *first = marshal.loads(octets[len(magic):])
        space = {"__name__": "sendmail_py.commands.preload"}
        exec(body, space)
        space["begin"](magic, path, package + "/sendmail_py", *first)
except (OSError, EOFError, TypeError, ValueError):
    pass
"""
READER = "from sendmail_py.shared import reader; reader.main()"
READER_BUNDLE = "reader"
COMMAND_BUNDLE = "start"
MOST_READERS = 32  # at a time
LAST_WORDS = 2.0  # seconds that a reader has to end when its relay has let go of it
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


class Seats:
    """The readers of a slice, by the uid of their owner."""

    def __init__(self) -> None:
        self.taken: dict[int, tuple[Owner, subprocess.Popen[bytes]]] = {}
        self.leaving: list[tuple[Owner, subprocess.Popen[bytes], float]] = []  # and since when

    @property
    def free(self) -> int:
        """How many readers can be started."""
        return MOST_READERS - len(self.taken) - len(self.leaving)

    def busy(self) -> set[int]:
        """Who has a reader."""
        return {*self.taken, *[owner.uid for owner, _, _ in self.leaving]}

    def start(self, owner: Owner, settings: bytes) -> Channel | None:
        """Start a reader; our end of the line to it, None when that failed."""
        mine, theirs = frames.pair()
        try:
            self.taken[owner.uid] = (owner, start_reader(owner, theirs))
            mine.outbox += frames.encode([settings])
        except (OSError, subprocess.SubprocessError, frames.FrameError) as fault:
            maillog.warning(f"no reader can be started for uid {owner.uid}: {fault}; that user's mail waits")
            mine.close()
            return None
        finally:
            os.close(theirs)
        return mine

    def leave(self, uid: int) -> Owner | None:
        """The relay has let go of a reader; its owner, None when there is no such reader."""
        seat = self.taken.pop(uid, None)
        if seat is None:
            return None
        self.leaving.append((*seat, time.monotonic()))
        return seat[0]

    def reap(self) -> None:
        """See who has ended; kill who takes too long."""
        now = time.monotonic()
        late = [one for one in self.leaving if one[1].poll() is None and now - one[2] > LAST_WORDS]
        for owner, process, _ in late:
            process.kill()
            process.wait()
            maillog.warning(f"the reader of uid {owner.uid} did not end and was killed")
        self.leaving = [one for one in self.leaving if one[1].returncode is None]

    def clear(self) -> list[Owner]:
        """Wait for all of them to end; the owners whose readers had not been let go."""
        left = [owner for uid in list(self.taken) if (owner := self.leave(uid)) is not None]
        while self.leaving:
            self.reap()
            if self.leaving:
                time.sleep(0.005)
        return left


def start_reader(owner: Owner, end: int) -> subprocess.Popen[bytes]:
    """A fresh interpreter with the owner's rights and nothing of ours but its end of the socket pair."""
    return subprocess.Popen(  # noqa: S603 (our own interpreter and code)
        as_owner(owner.uid, READER_BUNDLE, READER),
        stdin=end,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
        preexec_fn=rights.confine,  # noqa: PLW1509 (no threads here)
    )


def as_owner(uid: int, bundle: str, code: str, *arguments: str) -> list[str]:
    """The command line of an interpreter that has that user's rights before it reads anything of ours.

    bundle  the one that holds the modules of the code
    """
    return [
        sys.executable,
        "-IS",
        "-c",
        BECOME + code,
        PACKAGE,
        str(uid),
        str(rights.group_of(uid)),
        bundle,
        *arguments,
    ]
