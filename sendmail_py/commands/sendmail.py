"""sendmail: a message from standard input into the queue."""

from __future__ import annotations

import posix
import sys
import time

from sendmail_py import maillog
from sendmail_py.commands import setting, signals
from sendmail_py.commands.options import Request, text
from sendmail_py.errors import EX_OK, InputError, SendmailError, printable
from sendmail_py.mail.envelope import Envelope
from sendmail_py.submission.intake import Intake
from sendmail_py.submission.stdin import drain
from sendmail_py.submission.submit import Wish, submit

STDIN = 0


def run(request: Request, stdin_open: bool) -> int:
    """Queue the message, then relay it if the configuration says so. Returns the exit status."""
    try:
        if not stdin_open:
            raise InputError("standard input is closed; nothing was queued")
        signals.watch()
        config = setting.load(request)
        dot = request.dot and config.dot_ends_message
        message = Intake(STDIN, dot, config.queue.max_message)
        queue_id, envelope = submit(
            wish(request), message, config, posix.getuid(), time.time_ns(), signals.hold_off
        )
    except SendmailError:
        if stdin_open:
            drain(STDIN)
        raise
    if request.verbose:
        say(request, queue_id, envelope)
    if config.delivery != "queue" and not (request.queue_only or envelope.hold):
        relay_at_once(request, queue_id, config.delivery == "background")
    return EX_OK


def wish(request: Request) -> Wish:
    """What the options say about the message."""
    wanted = Wish(request.operands, request.sender, request.from_header)
    wanted.full_name = text(request.full_name or posix.environ.get(b"NAME", b""))
    wanted.aliases = request.aliases
    wanted.body, wanted.notify = request.body, request.notify
    wanted.ret, wanted.envid = request.ret, request.envid
    if request.long:
        from sendmail_py.commands import later  # noqa: PLC0415 (a named door: hardly anybody wants to wait)

        wanted.hold = later.until(request.long, int(time.time()))
    return wanted


def say(request: Request, queue_id: str, envelope: Envelope) -> None:
    """Notes of -v on standard error: what was done, and what was changed."""
    was = f", was <{printable(envelope.original)}>, rule {envelope.rule.decode()}" if envelope.rule else ""
    lines = [f"queued as {queue_id}", f"envelope sender <{printable(envelope.reverse_path)}>{was}"]
    lines += [f"recipient <{printable(one)}>" for one in envelope.forward_paths]
    for line in lines:
        sys.stderr.write(f"{request.program}: {line}\n")


def relay_at_once(request: Request, queue_id: str, background: bool) -> None:
    """Have this message flushed when we are done: in a child that nobody waits for, or by ourselves."""
    if background:
        try:
            if posix.fork():
                return
        except OSError:
            return  # it is queued; the next flush takes it
        detach()
    signals.restore()
    request.only = [("I", queue_id.encode(), True)]
    request.then_flush = True


def detach() -> None:
    """Let go of the caller's session, folder, pipes and locks, whose end somebody may wait for.

    What fails is left as it is: this is a child, and must not go on as its parent does.
    """
    posix.setsid()
    maillog.close()
    try:
        for fd in posix.listdir("/proc/self/fd"):
            if int(fd) > 2:
                close(int(fd))
        posix.chdir("/")
        nowhere = posix.open("/dev/null", posix.O_RDWR)
        for standard in (0, 1, 2):
            posix.dup2(nowhere, standard)
    except OSError:
        return


def close(fd: int) -> None:
    """Close a descriptor, unless it was that of the listing itself."""
    try:
        posix.close(fd)
    except OSError:
        return
