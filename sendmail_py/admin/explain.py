"""sendmail-py explain: what the rules make of a message's addresses, and why. Sends and queues nothing."""

from __future__ import annotations

import json
import os
import pwd
import sys
from typing import Any

import click

from sendmail_py.admin import domains, explanation, setting
from sendmail_py.admin.explanation import Explanation, Line
from sendmail_py.errors import UsageError, printable
from sendmail_py.mail import address
from sendmail_py.policy import identity
from sendmail_py.policy.config import Config
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.relay.resolver import Resolver
from sendmail_py.submission.intake import Intake
from sendmail_py.submission.submit import Wish

Request = Any  # commands.options.Request, which stands behind a door

STDIN = 0


@click.command(
    short_help="Show what the rules make of a message.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--as", "login", metavar="USER", help="Explain for this user, not for yourself.")
@click.option("--dns", is_flag=True, help="Ask DNS about the envelope sender's domain, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@setting.file_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[--] [SENDMAIL ARGUMENTS]")
def explain(login: str | None, dns: bool, as_json: bool, file: str | None, arguments: tuple[str, ...]) -> int:
    """Show for every address in envelope and header which rule applies, and what would leave.

    Takes the arguments of sendmail and a message on standard input, or none from a terminal. Sends and queues
    nothing. Exits with the status that sendmail would have.
    """
    request = parsed(arguments)
    found = setting.load(file if request.config is None else os.fsdecode(request.config))
    person = person_of(login)
    rules = SenderRules(found, identity.host(found), person)
    fields = header_fields(request, found)
    result = explanation.explain(wish_of(request, rules), fields, rules)
    asked = domains.remarks(found, rules.host, result.reverse_path or b"", Resolver()) if dns else []
    click.echo(json.dumps(as_object(result, asked)) if as_json else "\n".join(as_text(result, asked)))
    return result.status


def parsed(arguments: tuple[str, ...]) -> Request:
    """The arguments as sendmail reads them. Raises UsageError."""
    from sendmail_py.commands import options  # noqa: PLC0415 (a door: who knows sendmail's arguments)

    request = options.Request("sendmail", "submit")
    options.parse(request, [os.fsencode(word) for word in arguments])
    if request.mode not in ("submit", "verify"):
        raise UsageError("only a submission can be explained: sender, -t, recipients")
    return request


def wish_of(request: Request, rules: SenderRules) -> Wish:
    """What the arguments ask for."""
    wanted = Wish(request.operands, request.sender, request.from_header)
    wanted.aliases = request.aliases
    return wanted


def person_of(login: str | None) -> identity.Person:
    """The user to explain for. Raises UsageError for one that does not exist."""
    if login is None:
        return identity.of(os.getuid())
    try:
        return identity.of(pwd.getpwnam(login).pw_uid, login)
    except KeyError:
        if login.isdigit():
            return identity.of(int(login))
        raise UsageError(f"{printable(login, 64)}: no such user") from None


def header_fields(request: Request, found: Config) -> list[bytes]:
    """The header on standard input, none from a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return []
    message = Intake(STDIN, request.dot and found.dot_ends_message, found.queue.max_message)
    fields = message.header()
    message.drain()
    return fields


def as_text(result: Explanation, asked: list[str]) -> list[str]:
    """The explanation for people."""
    rules = result.rules
    host = rules.host
    helo = printable(host.helo, 255) or "an address"
    lines = [
        f"user             {printable(rules.person.login, 64)} (uid {rules.person.uid})",
        f"mail domain      {printable(host.mail_domain, 255)}, EHLO {helo}",
    ]
    for one in [*result.sender, *result.header, *result.recipients]:
        lines += of_line(one)
    names = ", ".join([printable(name, 64) for name in result.smarthosts])
    lines.append(f"smart host       {names or 'none takes this sender'}")
    lines += [f"DNS              {text}" for text in asked]
    if result.status:
        lines.append(f"sendmail would exit with {result.status} and queue nothing")
    return lines


def of_line(one: Line) -> list[str]:
    """Two lines for people: the address, and why."""
    before, after = one.before or "<>", one.after or "<>"
    if one.rule == "refused":
        return [f"{one.what:<16} {before}", f"                   refused: {one.reason}"]
    changed = f"{before} -> {after}" if one.before != one.after else before
    return [f"{one.what:<16} {changed}", f"                   {one.rule or 'stays'}: {one.reason}"]


def as_object(result: Explanation, asked: list[str]) -> dict[str, object]:
    """The explanation for programs."""
    rules = result.rules
    return {
        "login": printable(rules.person.login, 64),
        "uid": rules.person.uid,
        "mail_domain": printable(rules.host.mail_domain, 255),
        "helo": printable(rules.host.helo, 255),
        "sender": [one.as_dict() for one in result.sender],
        "header": [one.as_dict() for one in result.header],
        "recipients": [one.as_dict() for one in result.recipients],
        "smart_hosts": [printable(name, 64) for name in result.smarthosts],
        "sender_domain": printable(address.split(result.reverse_path or b"")[1], 255),
        "dns": asked,
        "status": result.status,
    }
