"""The text of a launcher: the few lines that start a mail command fast, whatever the caller's environment.

Guarantees: the interpreter runs isolated and without site (`-IS`), so PYTHONHOME, PYTHONPATH, the current
folder and .pth files change nothing; our package is found in its own folder and every other module in the
standard library first; a package that cannot be loaded costs one line and EX_TEMPFAIL (75), so that the
caller tries again after an upgrade. Pure: paths in, octets out.
"""

from __future__ import annotations

import shlex
import sys

from sendmail_py.admin import bundle
from sendmail_py.errors import EX_TEMPFAIL, UnavailableError, printable

NAMES = ("sendmail", "mailq", "newaliases", "runq")
MARKER = b"# Written by sendmail-py install; changes will be lost."
LONGEST_SHEBANG = 127  # octets, `#!` included; Linux before 5.1 cuts the rest off without a word
OPTIONS = "-IS"

# While the package is looked up its folder alone is the path. Millions of instructions by callgrind for
# `sendmail --version` (bare `python3 -IS -c pass`: 20.8), the folder with few entries and with 300:
#
#     sys.path.append(folder)               25.37  25.67  the standard library's folder is listed first
#     sys.path.insert(0, folder)            25.28  25.53
#     sys.path = [folder], then the rest    25.27  25.54  as cheap, and a stray socket.py beside our package
#                                                         never comes before the standard library's
#     a package object made by hand         25.01  25.04  no listing, but no __init__ and no version either
#
# The garbage collector finds nothing in a process that lives for ten milliseconds, but looks five times: 0.6.
#
# Whatever else a submission imports is built in or frozen and needs no path. dnspython's folder comes last:
# only a flush with `lookup = "mx"` or "srv" looks there. The `except` costs 0.15.
BODY = """\
import gc, sys
gc.disable()
try:
    try:
        tag = sys.implementation.cache_tag + ".pyc"
        with open({bundle} + tag, "rb") as file:
            octets = file.read()
        magic = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER
        if octets.startswith(magic):
            import marshal
            body, *first = marshal.loads(octets[len(magic):])
            space = {{"__name__": "sendmail_py.commands.preload"}}
            exec(body, space)
            space["begin"](magic, {bundles} + tag, {package} + "/sendmail_py", *first)
    except (OSError, EOFError, TypeError, ValueError):
        pass
    path, sys.path = sys.path, [{package}]
    import sendmail_py
    sys.path = path{others}
    from sendmail_py.commands.dispatch import main
except Exception as error:
    print("sendmail_py:", error, "(try again; if it stays, sendmail-py install)", file=sys.stderr)
    sys.exit({status})
main()
"""


def text(interpreter: str, package: str, others: list[str]) -> bytes:
    """A launcher; the name that it is called by makes it sendmail, mailq, newaliases or runq.

    interpreter  absolute path of the Python
    package      folder that holds sendmail_py; others: folders to search last
    Raises UnavailableError when the interpreter's path cannot be written down.
    """
    more = f" + {others!a}" if others else ""
    body = BODY.format(
        package=ascii(package),
        bundle=ascii(untagged(package, bundle.START)),
        bundles=ascii(untagged(package.replace("%", "%%"), "%s")),
        others=more,
        status=EX_TEMPFAIL,
    )
    return b"\n".join([start(interpreter), MARKER, body.encode("ascii")])


def untagged(package: str, command: str) -> str:
    """The path of a bundle but for its end, the kind of interpreter: that may be another one day."""
    path = bundle.path_of(f"{package}/sendmail_py", command)
    return path.removesuffix(f"{sys.implementation.cache_tag}.pyc")


def start(interpreter: str) -> bytes:
    """`#!` and the interpreter, or a start by /bin/sh when that is more than the kernel takes."""
    if "\\" in interpreter or not interpreter.isprintable():
        raise UnavailableError(
            f"{printable(interpreter)}: backslashes and control characters cannot be in an interpreter's path"
        )
    try:
        line = f"#!{interpreter} {OPTIONS}".encode()
    except UnicodeEncodeError:
        raise UnavailableError(f"{printable(interpreter)}: an interpreter's path must be UTF-8") from None
    if len(line) <= LONGEST_SHEBANG and " " not in interpreter:
        return line
    # For sh a command, for Python a string: `exec` and its words stand between triple quotes.
    return f"#!/bin/sh\n'''exec' {shlex.quote(interpreter)} {OPTIONS} \"$0\" \"$@\"\n' '''".encode()


def is_ours(octets: bytes) -> bool:
    """Whether a file that begins with these octets is a launcher of ours."""
    return octets.startswith(b"#!") and MARKER in octets
