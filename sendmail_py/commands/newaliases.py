"""newaliases, sendmail -bi: there is nothing to build, so check what there is."""

from __future__ import annotations

import sys

from sendmail_py.commands import setting
from sendmail_py.commands.options import Request
from sendmail_py.errors import EX_DATAERR, EX_OK
from sendmail_py.policy import alias_check, aliases, identity


def run(request: Request, stdin_open: bool) -> int:
    """One line on standard error for each bad line; silent and 0 when all is well."""
    faulty = False
    config = setting.load(request)
    names = identity.host(config).local_names
    known = aliases.load(config.aliases.files)
    known.maildir, known.agents = config.aliases.maildir, config.aliases.agents
    for file in config.aliases.files:
        for problem in alias_check.check(file, names, known):
            faulty = faulty or problem.fault
            kind = "" if problem.fault else "note: "
            sys.stderr.write(f"{request.program}: {file}:{problem.line}: {kind}{problem.text}\n")
    return EX_DATAERR if faulty else EX_OK
