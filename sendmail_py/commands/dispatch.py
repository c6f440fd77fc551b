"""From a name and its arguments to a command: the mail commands' one entrance and one exit.

`main` is the only place that turns errors into an exit status and the only one that ends the process.
It never returns: posix._exit skips the interpreter's tidying up, a third of its run time.
"""

from __future__ import annotations

import posix
import sys

from sendmail_py import maillog
from sendmail_py.commands.options import Request, octets, parse
from sendmail_py.errors import EX_OK, EX_SOFTWARE, EX_TEMPFAIL, SendmailError, UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

STDIN = 0

# The door: a command's modules are loaded when the command is asked for.
DOORS = {
    "submit": "sendmail_py.commands.sendmail",
    "list": "sendmail_py.commands.mailq",
    "aliases": "sendmail_py.commands.newaliases",
    "flush": "sendmail_py.commands.queue_run",
    "smtp": "sendmail_py.commands.smtp",
    "verify": "sendmail_py.commands.verify",
    "help": "sendmail_py.commands.usage",
    "version": "sendmail_py.commands.usage",
}

WRITERS = ("list", "verify")  # what they write has foreign addresses in it
NAMES = {"mailq": "list", "newaliases": "aliases", "runq": "flush"}


def preload(mode: str) -> None:
    """The bundle (commands/preload.py) puts its function here; without one, modules are imported singly."""


def main() -> NoReturn:
    """Run the command that argument 0 and the options name, and exit."""
    stdin_open = guard_descriptors()
    posix.umask(0o022)  # our files say their modes; compiled modules that Python writes are for everybody
    program = sys.argv[0].rpartition("/")[2] or "sendmail"
    request = Request(program, NAMES.get(program.partition(".")[0], "submit"))  # mailq.sendmail-py, too
    leave(guarded(request, stdin_open))


def guarded(request: Request, stdin_open: bool) -> int:
    """The command's exit status; a fault costs one line on standard error, whatever it is."""
    try:
        status = run(request, stdin_open)
        sys.stdout.flush()  # output that cannot be written is no success
    except SendmailError as fault:
        complain(request, str(fault))
        return fault.status
    except KeyboardInterrupt:
        return EX_TEMPFAIL
    except BrokenPipeError:  # the reader of our output has seen enough
        return EX_OK
    except OSError as error:
        complain(request, f"{error.strerror or 'input or output error'}: {error.filename or ''}".rstrip(": "))
        return EX_TEMPFAIL
    except MemoryError:
        complain(request, "out of memory; try again")
        return EX_TEMPFAIL
    except Exception as error:  # never a traceback
        complain(request, f"internal error, please report it: {type(error).__name__} {origin(error)}")
        return EX_SOFTWARE
    return status


def run(request: Request, stdin_open: bool) -> int:
    """Parse the arguments and go through the door."""
    try:
        parse(request, [octets(word) for word in sys.argv[1:]])
        if request.mode not in ("submit", "verify", "help", "version"):
            forbid_message(request)
    except UsageError:
        if request.mode == "submit" and stdin_open:
            from sendmail_py.commands import patience  # noqa: PLC0415 (a named door: most calls are right)

            patience.drain_unless_silent(STDIN)
        raise
    if request.mode in WRITERS:
        be_readable()
    status = door(request.mode)(request, stdin_open)
    if request.then_flush:
        flush_afterwards(request, stdin_open)
    return status


def forbid_message(request: Request) -> None:
    """A command that reads no message must not look as if it had sent one: UsageError."""
    if request.operands:
        raise UsageError(f"{printable(request.operands[0], 64)}: no operands in this mode; see sendmail(8)")
    if request.from_header and request.mode != "smtp":
        raise UsageError("option -t: no message is read in this mode; see sendmail(8)")


def be_readable() -> None:
    """Have what the locale's character set lacks written as an escape, as on standard error."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def door(mode: str) -> Callable[[Request, bool], int]:
    """The `run` of the command for a mode."""
    preload(mode)
    run: Callable[[Request, bool], int] = __import__(DOORS[mode], fromlist=["run"]).run
    return run


def flush_afterwards(request: Request, stdin_open: bool) -> None:
    """Relay at once what was just queued. It is queued: no trouble here may look like a failure."""
    try:
        door("flush")(request, stdin_open)
    except SendmailError as fault:
        maillog.warning(str(fault))
    except OSError as error:
        maillog.warning(error.strerror or "input or output error")
    except Exception as error:  # as in guarded; who gets EX_SOFTWARE would send it again
        maillog.warning(f"internal error, please report it: {type(error).__name__} {origin(error)}")


def guard_descriptors() -> bool:
    """Make sure that 0, 1 and 2 are open, so that no queue file gets their number and everybody may print.

    Returns whether standard input was.
    """
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if None in streams:
        while posix.open("/dev/null", posix.O_RDWR) < 2:
            pass
        sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 (open to the end)
        sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    return sys.stdin is not None


def complain(request: Request, text: str) -> None:
    """One line on standard error, unless -oeq asked for silence."""
    if not request.quiet:
        line = f"{request.program}: {text}\n"
        try:
            posix.write(2, line.encode("utf-8", "backslashreplace"))
        except OSError:
            return


def origin(error: BaseException) -> str:
    """Where an internal error came from: `module:line`, for the report."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return "" if at is None else f"at {at.tb_frame.f_globals.get('__name__')}:{at.tb_lineno}"


def leave(status: int) -> NoReturn:
    """Flush and end the process at once."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass
    posix._exit(status)
