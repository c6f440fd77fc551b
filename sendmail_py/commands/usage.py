"""--help and --version."""

from __future__ import annotations

import sys

from sendmail_py import __version__
from sendmail_py.commands.options import ATTACHED, FLAG, LONG_OPTIONS, OPTIONS, Request

SHAPES = {FLAG: "", ATTACHED: "[value]"}

HEAD = """\
usage: sendmail [options] [recipient ...] < message
       mailq [--json]    newaliases    sendmail -q    sendmail-py --help
"""


def run(request: Request, stdin_open: bool) -> int:
    """Print it on standard output."""
    if request.mode == "version":
        sys.stdout.write(f"sendmail_py {__version__}\n")
    else:
        sys.stdout.write(HEAD + "".join([line(letter) for letter in sorted(OPTIONS, key=str.lower)]))
        sys.stdout.write("".join([long_line(name) for name in LONG_OPTIONS]))
    return 0


def long_line(name: bytes) -> str:
    """One row of the table of long options."""
    _, what, meaning = LONG_OPTIONS[name]
    return f"  --{name.decode() + '=...':<16}with {what}: {meaning}\n"


def line(letter: str) -> str:
    """One row of the option table."""
    kind, action, meaning = OPTIONS[letter]
    note = {"ignore": " (ignored)", "refuse": " (refused)"}.get(action, "")
    return f"  -{letter}{SHAPES.get(kind, ' value'):<9}{meaning}{note}\n"
