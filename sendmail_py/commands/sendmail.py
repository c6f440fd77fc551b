"""sendmail: a message from standard input into the queue."""

from __future__ import annotations

import gc
import posix
import sys
import time

from sendmail_py import maillog
from sendmail_py.commands import setting, signals
from sendmail_py.commands.options import Request, text
from sendmail_py.errors import EX_OK, InputError, SendmailError, printable
from sendmail_py.mail.envelope import Envelope
from sendmail_py.spool import draft, shared
from sendmail_py.submission.intake import Intake
from sendmail_py.submission.stdin import drain
from sendmail_py.submission.submit import Wish, submit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sendmail_py.policy.config import Config
    from sendmail_py.submission.submit import Begin

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
        kept = is_kept(request, config)
        begin = draft.begin if kept else relaying(request, config, signals.hold_off)
        last_moment = signals.hold_off if kept else do_nothing
        queue_ids, envelope = submit(
            wish(request), message, config, posix.getuid(), time.time_ns(), last_moment, begin
        )
    except SendmailError:
        if stdin_open:
            drain(STDIN)
        raise
    if request.verbose:
        say(request, f"{'queued' if kept else 'relayed'} as {', '.join(queue_ids)}", envelope)
    if config.delivery != "queue" and kept and not (request.queue_only or envelope.hold):
        relay_at_once(request, config, queue_ids)
    return EX_OK


def is_kept(request: Request, config: Config) -> bool:
    """Whether the message goes into a queue: not with delivery = "now" where there is no place for one."""
    wanted = config.delivery != "now" or request.queue_only or bool(request.long)
    return wanted or bool(config.queue.directory)


def relaying(request: Request, config: Config, settled: Callable[[], None]) -> Begin:
    """What begins a draft that is relayed and kept nowhere; `settled` is called when it has arrived.

    A signal may end it until then: the caller has his message again.
    """
    from sendmail_py.relay import direct  # noqa: PLC0415 (a door: the relay, for those without a queue)

    gc.enable()  # the launcher has switched it off for commands that end at once
    trace = transcript if request.verbose else None
    return lambda directory, nanoseconds, max_queue: direct.Direct(config, settled, trace)


def transcript(line: str) -> None:
    """A line of the SMTP dialogue, which holds no secret, for -v."""
    sys.stderr.write(line + "\n")


def do_nothing() -> None:
    """The moment after which nothing can be taken back is not known in advance."""


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


def say(request: Request, done: str, envelope: Envelope) -> None:
    """Notes of -v on standard error: what was done, and what was changed."""
    was = f", was <{printable(envelope.original)}>, rule {envelope.rule.decode()}" if envelope.rule else ""
    lines = [done, f"envelope sender <{printable(envelope.reverse_path)}>{was}"]
    lines += [f"recipient <{printable(one)}>" for one in envelope.forward_paths]
    try:
        for line in lines:
            sys.stderr.write(f"{request.program}: {line}\n")
    except OSError:  # it is queued; that nobody can read this is no failure
        return


def relay_at_once(request: Request, config: Config, queue_ids: list[str]) -> None:
    """Have these flushed when we are done: by root, by a child that nobody waits for, or by ourselves.

    The filters of -q must all hold, so for several, and by a child, everything that is due is flushed.
    """
    background = config.delivery == "background"
    if config.queue.shared:
        heard = shared.ring()
        if posix.geteuid() != 0 or (heard and background):
            return  # and no child: with the end of its service systemd would end it, too
    if background:
        try:
            if posix.fork():
                return
        except OSError:
            return  # it is queued; the next flush takes it
        detach()
    signals.restore()
    alone = len(queue_ids) == 1 and not background
    request.only = [("I", queue_ids[0].encode(), True)] if alone else []
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
