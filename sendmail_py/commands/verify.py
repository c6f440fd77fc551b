"""sendmail -bv: how each operand would be treated as a recipient. Sends nothing and reads no message."""

from __future__ import annotations

import posix
import sys

from sendmail_py.commands import setting
from sendmail_py.commands.options import Request
from sendmail_py.errors import EX_DATAERR, EX_OK, DataError, UsageError, printable
from sendmail_py.mail import address
from sendmail_py.policy.aliases import OTHERS, Aliases
from sendmail_py.policy.identity import Host
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.submission import recipients
from sendmail_py.submission.submit import known_aliases, sender_address, sender_rules

HERE = ", delivered here"


def run(request: Request, stdin_open: bool) -> int:
    """One line on standard output for each address that would get the message, or why there is none."""
    if not request.operands:
        raise UsageError("name the addresses to verify as arguments")
    config = setting.load(request)
    rules = sender_rules(config, posix.getuid())
    way = smart_hosts(request, rules)
    known = known_aliases(config, request.aliases)
    status = EX_OK
    for operand in request.operands:
        try:
            given = recipients.from_operands([operand])
            lines = [line for one in given for line in treated(one, rules.host, known)]
        except (DataError, UsageError) as fault:
            lines, status = [f"{printable(operand, 80)}: refused: {fault}"], EX_DATAERR
        else:
            lines = [f"{line}{'' if line.endswith(HERE) else ', ' + way})" for line in lines]
        sys.stdout.write("".join([line + "\n" for line in lines]))
    return status


def treated(given: bytes, host: Host, known: Aliases | None) -> list[str]:
    """`given: recipient (how` for each recipient that a given address leads to. Raises DataError."""
    lines = []
    for final in recipients.expand(given, host, known):
        if not address.is_local_target(final):
            address.check(final)
        lines.append(f"{printable(given)}: {printable(final)} ({how(given, final, host, known)}")
    return lines


def how(given: bytes, final: bytes, host: Host, known: Aliases | None) -> str:
    """Which rule made a recipient of a given address."""
    if address.is_local_target(final):
        return f"alias{HERE}"
    if final == given:
        return "as it is"
    if [final] == recipients.expand(given, host, None):
        return "completed"
    local, domain = address.split(given)
    here = not domain or host.is_local(domain)
    named = known is not None and (
        known.look_up(local, domain, here)[1] is not None or known.value(OTHERS) is not None
    )
    return "alias" if named else "aliases.default"


def smart_hosts(request: Request, rules: SenderRules) -> str:
    """The smart hosts that serve the envelope sender. Raises UsageError, NotPermittedError."""
    from sendmail_py.relay import smarthost  # noqa: PLC0415 (the door to the one who knows which are tried)

    sender = rules.default() if request.sender is None else rules.repair(sender_address(request.sender))[0]
    names = [one.name for one in rules.config.smarthosts if smarthost.serves(one, sender)]
    if not rules.config.smarthosts:
        return "no smart host is configured"
    return f"smart host {', '.join(names)}" if names else f"no smart host for <{printable(sender)}>"
