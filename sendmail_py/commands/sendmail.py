"""sendmail: a message from standard input into the queue."""

from __future__ import annotations

import posix
import sys
import time

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
    if config.delivery != "queue" and not request.queue_only:
        relay_at_once(request, queue_id, config.delivery == "background")
    return EX_OK


def wish(request: Request) -> Wish:
    """What the options say about the message."""
    wanted = Wish(request.operands, request.sender, request.from_header)
    wanted.full_name = text(request.full_name or posix.environ.get(b"NAME", b""))
    wanted.aliases = request.aliases
    wanted.body, wanted.notify = request.body, request.notify
    wanted.ret, wanted.envid = request.ret, request.envid
    return wanted


def say(request: Request, queue_id: str, envelope: Envelope) -> None:
    """Notes of -v on standard error: what was done, and what was changed."""
    was = f", was <{printable(envelope.original)}>, rule {envelope.rule.decode()}" if envelope.rule else ""
    lines = [f"queued as {queue_id}", f"envelope sender <{printable(envelope.reverse_path)}>{was}"]
    lines += [f"recipient <{printable(one.address)}>" for one in envelope.recipients]
    for line in lines:
        sys.stderr.write(f"{request.program}: {line}\n")


def relay_at_once(request: Request, queue_id: str, background: bool) -> None:
    """Have this message flushed when we are done: in a child that nobody waits for, or by ourselves."""
    try:
        if background and posix.fork():
            return
        if background:
            detach()
    except OSError:
        return  # it is queued; the next flush takes it
    signals.restore()
    request.only = [("I", queue_id.encode(), True)]
    request.then_flush = True


def detach() -> None:
    """Let go of the caller's session, folder and pipes: it reads them to their end."""
    posix.setsid()
    posix.chdir("/")
    nowhere = posix.open("/dev/null", posix.O_RDWR)
    for fd in (0, 1, 2):
        posix.dup2(nowhere, fd)
