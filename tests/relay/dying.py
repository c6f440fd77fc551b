"""A flush that dies at a call of its own choice, in a child, as a kill -9 would have it."""

from __future__ import annotations

import contextlib
import os
import posix
import warnings
from collections.abc import Callable

from relay.flushing import World


def in_a_process_of_its_own(run: Callable[[], object]) -> bool:
    """Do it in a child; whether that died in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside the server's threads
        child = os.fork()
    if not child:
        with contextlib.suppress(Exception):
            run()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def dying(world: World, at: int) -> bool:
    """A flush that dies at the so manieth call of those that change the spool; whether it came so far."""

    def run() -> None:
        calls = 0
        for name in ("rename", "unlink", "fsync", "fdatasync", "pwrite", "write", "open"):
            real = getattr(os, name)

            def counted(*words: object, real: Callable[..., object] = real, **more: object) -> object:
                nonlocal calls
                calls += 1
                if calls == at:
                    os._exit(1)
                return real(*words, **more)

            setattr(posix, name, counted)
            setattr(os, name, counted)
        world.flush()

    return in_a_process_of_its_own(run)
