"""The sendmail-py command: one group, one place that turns faults into a line and an exit status.

Every fault is one line on standard error and a status of sysexits(3); no traceback, whatever happens. An
interrupt and a reader that has seen enough are no faults and are quiet.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, NoReturn

import click

from sendmail_py import __version__
from sendmail_py.admin.config import config
from sendmail_py.admin.doctor import doctor
from sendmail_py.admin.explain import explain
from sendmail_py.admin.install import install
from sendmail_py.admin.queue import queue
from sendmail_py.admin.run import flush
from sendmail_py.admin.timer import timer
from sendmail_py.admin.uninstall import uninstall
from sendmail_py.errors import EX_IOERR, EX_NOPERM, EX_OK, EX_SOFTWARE, EX_USAGE, SendmailError, printable

NAME = "sendmail-py"
INTERRUPTED = 130  # as shells report a command that SIGINT ended
LONGEST_LINE = 2000


class Front(click.Group):
    """The command group as the process sees it: `main` never returns and never lets an exception out."""

    def main(self, *arguments: Any, **options: Any) -> NoReturn:
        """Run a command and exit."""
        options["standalone_mode"] = False  # click would print several lines and exit with 1 or 2
        show_everything()
        status = self.guarded(*arguments, **options)
        try:
            click.echo(nl=False)  # flushes
        except OSError:
            abandon_output()
        sys.exit(status)

    def guarded(self, *arguments: Any, **options: Any) -> int:
        """The exit status of a command; its faults are told."""
        try:
            status = super().main(*arguments, **options)
            return status if isinstance(status, int) else EX_OK
        except click.Abort:
            return INTERRUPTED
        except click.ClickException as fault:
            return complain(EX_USAGE, fault.format_message() + hint(fault))
        except SendmailError as fault:
            return complain(fault.status, str(fault))
        except OSError as error:
            status = EX_NOPERM if isinstance(error, PermissionError) else EX_IOERR
            text = f"{error.strerror or 'input or output error'}: {error.filename or ''}"
            return complain(status, text.rstrip(": "))
        except Exception as error:  # never a traceback
            return complain(EX_SOFTWARE, f"internal error, please report it: {origin(error)}")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a closed pipe ends it quietly, before click makes a failure of it."""
        try:
            status = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            abandon_output()
            return EX_OK
        return status


def show_everything() -> None:
    """Characters that the terminal's encoding does not have are escaped, never a fault."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon_output() -> None:
    """Let what is left in the buffer go nowhere; the interpreter would complain about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 1)


def complain(status: int, text: str) -> int:
    """One line on standard error; returns the status."""
    try:
        click.echo(f"{NAME}: {printable(' '.join(text.split()), LONGEST_LINE)}", err=True)
    except OSError:
        return status
    return status


def hint(fault: click.ClickException) -> str:
    """Where to read on after a usage error."""
    context = fault.ctx if isinstance(fault, click.UsageError) else None
    return f" See {context.command_path if context else NAME} --help."


def origin(error: BaseException) -> str:
    """Kind and place of an internal error: `KeyError at module:line`."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = "" if at is None else f" at {at.tb_frame.f_globals.get('__name__')}:{at.tb_lineno}"
    return type(error).__name__ + place


@click.group(cls=Front, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sendmail_py", message="%(prog)s %(version)s")
def cli() -> None:
    """Set up and look after sendmail_py, the sendmail for machines that only send mail.

    Mail itself goes through the commands that `install` writes: sendmail, mailq, newaliases and
    runq. See sendmail-py(8) and sendmail-py(7).
    """


for command in (install, uninstall, timer, config, doctor, explain, queue, flush):
    cli.add_command(command)


def main() -> NoReturn:
    """Entry point."""
    cli.main(prog_name=NAME)
