"""AppArmor: which profiles of a tree are about sendmail, and what they must allow for ours.

Only looks. A script is confined by its own path, like a program: a profile for /usr/sbin/sendmail, made for
another mailer, confines ours; a caller's profile does when its rule has sendmail run inside of it (ix) or in
a part of it (Cx). A rule that lets it go unconfined (Ux, PUx) needs nothing.
"""

from __future__ import annotations

import os
import re

from sendmail_py.admin import layout
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import printable

FOLDER = "/etc/apparmor.d"
LARGEST = 1 << 20

NAME = r'"?/[^\s"]*\bsendmail(?![\w.-])[^\s"/]*"?'  # and not sendmail.postfix, which is never ours
HEADER = re.compile(rf"^(?:profile\s+)?(?:[^\s/,]+\s+)?{NAME}[^,]*\{{\s*$", re.MULTILINE)
RULE = re.compile(
    rf"^\s*(?:(?:audit|allow|owner|file)\s+)*{NAME}\s+([a-zA-Z]+)(?:\s*->[^,]*)?,\s*$", re.MULTILINE
)
UNCONFINED = re.compile("[uU]x")

# What a submission opens (strace) beyond the three abstractions; utimensat(2) on the wake-up file is free.
RULES = """\
    include <abstractions/base>
    include <abstractions/nameservice>
    include <abstractions/python>
    /usr/{{bin,sbin}}/sendmail{{,.sendmail-py}} rix,
    {interpreter}* mrix,
    {library}/** r,
    /etc/{{aliases,mailname,machine-id}} r,
    {config}/{{,**}} r,
    {wake} w,
    {fifo} w,
    owner {spool}/** rwk,"""


def rules(interpreter: str, log: str) -> str:
    """What a profile must allow in which sendmail is run; `log`: our log file, "" none."""
    text = RULES.format(
        interpreter=interpreter,
        library=layout.LIBRARY,
        config=layout.CONFIG_FOLDER,
        spool=layout.SPOOL,
        wake=layout.WAKE_FILE,
        fifo=layout.FIFO,
    )
    return f"{text}\n    {log} w," if log else text


def told(tree: Tree, interpreter: str, log: str) -> list[str]:
    """What to say after an installation, [] when no profile is about sendmail."""
    found, callers = [], []
    for name, text in profiles(tree):
        path = f"{FOLDER}/{name}"
        if HEADER.search(text):
            found.append(f"AppArmor: {printable(path)} is for another sendmail and confines this one;")
            found.append(
                f"  without it: ln -s {printable(path)} {FOLDER}/disable/ && apparmor_parser -R {path}"
            )
            continue
        modes = [mode for mode in RULE.findall(text) if "x" in mode and not UNCONFINED.search(mode)]
        if modes:
            has_part = any("c" in mode.lower() for mode in modes)
            has_local = f"local/{name}" in text and not has_part
            place = f"{FOLDER}/local/{name}" if has_local else path
            callers.append(f"{place} (its profile for sendmail)" if has_part else place)
    if callers:
        found.append(f"AppArmor: so that confined programs can send, add to {printable(', '.join(callers))}")
        found.append("(and the files that your configuration names, then systemctl reload apparmor):")
        found.append(rules(interpreter, log))
    return found


def profiles(tree: Tree) -> list[tuple[str, str]]:
    """Name and text of the profiles that are in force, without comments."""
    try:
        names = sorted(os.listdir(tree.path(FOLDER)))
    except OSError:
        return []
    found = []
    for name in names:
        is_off = tree.status(f"{FOLDER}/disable/{name}") is not None
        if name.startswith(".") or name.endswith("~") or is_off or tree.is_folder(f"{FOLDER}/{name}"):
            continue
        try:
            with open(tree.path(f"{FOLDER}/{name}"), encoding="utf-8", errors="replace") as file:
                lines = file.read(LARGEST).splitlines()
        except OSError:
            continue
        found.append((name, "\n".join(re.sub(r"\s*#(?!include).*", "", line) for line in lines)))
    return found
