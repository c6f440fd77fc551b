"""sendmail-py doctor: one look at everything that keeps mail from leaving, in the order of its way.

Each check yields findings of three kinds: "ok", "warn" (mail leaves, or may leave, in a way that is not
meant) and "bad" (it does not leave). A finding other than "ok" names its cure. Nothing is changed but the
verdicts on domains that the spool keeps; no secret is read, no server but DNS is asked.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator

import click

from sendmail_py.admin import bundle, check, domains, launcher, setting, shared_spool, timer, timers
from sendmail_py.admin.install import package_folder
from sendmail_py.admin.setting import count, span
from sendmail_py.errors import EX_CONFIG, EX_OK, EX_UNAVAILABLE, ConfigError, SendmailError, printable
from sendmail_py.policy import homes, identity
from sendmail_py.policy.config import Config
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.relay.resolver import Resolver
from sendmail_py.spool import breaker
from sendmail_py.spool.queue import Spool
from sendmail_py.submission import recipients, submit

OK, WARN, BAD = "ok", "warn", "bad"
HEAD = 4096  # octets of a file that say whether it is a launcher of ours
OLD = 4 * 3600  # seconds; a message that waits longer is worth a word
MOUNTS = "/proc/self/mounts"
FLEETING = ("tmpfs", "ramfs", "overlay", "fuse.fuse-overlayfs")

Finding = tuple[str, str]


@click.command(short_help="Find out why mail does not leave.")
@click.option("--offline", is_flag=True, help="Do not ask DNS.")
@setting.file_option
def doctor(offline: bool, file: str | None) -> int:
    """Check the installation, the configuration, the sender, DNS and the queue.

    One line for each finding, "warn" and "bad" with the cure. Exits with 0 when mail can leave, 69 when
    something keeps it from leaving, 78 when the configuration is wrong.
    """
    status = EX_OK
    for kind, text in findings(file, None if offline else Resolver()):
        click.echo(f"{kind:<5} {text}")
        status = EX_UNAVAILABLE if kind == BAD else status
    return status


def findings(file: str | None, resolver: Resolver | None) -> Iterator[Finding]:
    """Everything there is to say; resolver None asks nobody."""
    yield from installation()
    try:
        found = setting.load(file)
    except ConfigError as fault:
        click.echo(f"{BAD:<5} {fault}")
        raise click.exceptions.Exit(EX_CONFIG) from None
    yield from configuration(found)
    yield from spool(found)
    yield from shared_spool.findings(found)
    yield from caller(found)
    yield from sender(found)
    yield from local_mail(found)
    if resolver is not None:
        yield from network(found, resolver)
    yield from health(found)
    yield from queue(found)


def installation() -> Iterator[Finding]:
    """Whether the first sendmail of the path is ours, and starts as fast as it can."""
    path = shutil.which("sendmail", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib")
    if path is None:
        yield WARN, "no command sendmail in PATH; run: sendmail-py install --bindir DIR"
        return
    shown = printable(path, 4096)
    with open(path, "rb") as opened:
        head = opened.read(HEAD)
    if not launcher.is_ours(head):
        yield WARN, f"{shown} is not a launcher of ours: callers may reach another mail system"
        return
    interpreter = head.partition(b"\n")[0].removeprefix(b"#!").split(b" ")[0]
    if not os.access(interpreter, os.X_OK):
        yield BAD, f"{shown}: {printable(interpreter)} cannot be run; run: sendmail-py install again"
        return
    yield OK, f"sendmail is {shown}"
    package = os.path.join(package_folder(), "sendmail_py")
    if repr(package.rpartition("/")[0]).encode() not in head:
        yield WARN, f"{shown} starts another copy of sendmail_py than this; run: sendmail-py install again"
    elif not os.path.exists(bundle.path_of(package, bundle.START)):
        yield WARN, "the modules are not linked, every command starts slower; run: sendmail-py install again"


def configuration(found: Config) -> Iterator[Finding]:
    """What the configuration leaves to wish for; see sendmail-py config check."""
    read = ", ".join([printable(path, 4096) for path in found.files])
    yield OK, f"configuration: {read or 'no file; the defaults hold'}"
    if not found.smarthosts:
        yield BAD, "no smart host: mail waits; add a [[smarthost]] to the configuration"
    senders = set(check.domains(found))  # told by the check of the sender
    for text in check.warnings(found, os.environ):
        if not text.startswith("no smart host") and text not in senders:
            yield WARN, text


def spool(found: Config) -> Iterator[Finding]:
    """Whether the spool can be written, by its owner only, and is on a disk."""
    folder = found.queue.directory
    if not folder:  # else the configuration's check says so
        if found.delivery == "now":
            yield OK, "spool: none; the smart host's answer is the exit status, nothing waits here"
        return
    shown = printable(folder, 4096)
    try:
        status = os.stat(folder)
    except FileNotFoundError:
        yield from writable(parent_of(folder), f"spool: {shown} is made by the first message")
        yield from lasting(found, parent_of(folder))
        return
    except OSError as error:
        yield BAD, f"spool: {shown}: {error.strerror}; set queue.directory or HOME"
        return
    if not stat.S_ISDIR(status.st_mode):
        yield BAD, f"spool: {shown} is no folder; move it away"
        return
    yield from writable(folder, f"spool: {shown}")
    if status.st_mode & 0o077:
        yield WARN, f"spool: {shown} is open to others; run: chmod 700 {shown}"
    yield from lasting(found, folder)


def lasting(found: Config, folder: str) -> Iterator[Finding]:
    """Whether what is in a folder outlives a restart."""
    kind = file_system(folder)
    if kind in FLEETING:
        shared = found.queue.shared
        shown = printable(shared or found.queue.directory, 4096)
        cure = f"mount a disk or volume on {shown}" if shared else "set queue.directory"
        yield WARN, f"spool: {shown} is on {kind} and may be gone after a restart; {cure}"


def parent_of(folder: str) -> str:
    """The nearest folder above that exists."""
    while not os.path.isdir(folder) and folder != "/":
        folder = os.path.dirname(folder)
    return folder


def writable(folder: str, good: str) -> Iterator[Finding]:
    """Whether files can be made in a folder; `good` is said if so."""
    if os.access(folder, os.W_OK | os.X_OK):
        yield OK, good
    else:
        yield BAD, f"{printable(folder, 4096)} cannot be written by {check.login()}; set queue.directory"


def caller(found: Config) -> Iterator[Finding]:
    """Whether anything calls the flush."""
    if found.delivery == "now":
        return
    callers = timer.callers(bool(found.queue.shared))
    if callers:
        yield OK, f"the queue is flushed by {', '.join(callers)}"
        if found.queue.shared and "systemd" in callers and not timers.service_writes(found.log.to):
            text = "the service of systemd may not write to it, nothing is logged"
            yield WARN, f"log.to {printable(found.log.to, 4096)}: {text}; run: sendmail-py install again"
    else:
        user = "" if found.queue.shared else " --user"
        yield WARN, f"nothing seems to flush the queue every minute; run: sendmail-py timer install{user}"


def file_system(folder: str) -> str:
    """The kind of file system a folder is on, "" if the system does not say."""
    try:
        with open(MOUNTS, encoding="utf-8", errors="replace") as opened:
            mounts = [line.split(" ")[1:3] for line in opened]
    except OSError:
        return ""
    whole = os.path.realpath(folder) + "/"
    deepest, found = 0, ""
    for at, kind in mounts:
        place = at.replace("\\040", " ").rstrip("/") + "/"
        if whole.startswith(place) and len(place) >= deepest:  # of several on one folder the last is seen
            deepest, found = len(place), kind
    return found


def sender(found: Config) -> Iterator[Finding]:
    """Whether anybody will be able to answer."""
    rules = SenderRules(found, identity.host(found), identity.of(os.getuid()))
    bad = list(check.domains(found))
    for text in bad:
        yield WARN, text
    if not bad:
        yield OK, f"sender: {printable(rules.default())} for {check.login()}"


def local_mail(found: Config) -> Iterator[Finding]:
    """Where root's mail goes: cron and its like write there, and at a provider's domain it is a stranger."""
    host = identity.host(found)
    try:
        reached = recipients.expand(b"root", host, submit.known_aliases(found, True))
    except SendmailError as fault:
        yield WARN, f"mail for root is refused: {fault}"
        return
    shown = ", ".join([printable(one, 80) for one in reached[:3]]) + (", ..." if reached[3:] else "")
    if reached == [recipients.complete(b"root", host)]:
        yield (
            WARN,
            f"mail for root goes to {shown}; if that is not yours: an alias for root, or aliases.default",
        )
    else:
        yield OK, f"mail for root goes to {shown}"


def network(found: Config, resolver: Resolver) -> Iterator[Finding]:
    """What DNS says about the sender's domain, the smart hosts and our own name."""
    host = identity.host(found)
    rules = SenderRules(found, host, identity.of(os.getuid()))
    bad = domains.remarks(found, host, rules.default(), resolver)
    for text in bad:
        yield WARN, text
    if not bad:
        yield OK, "DNS: the sender's domain can receive mail, its SPF allows the smart host, EHLO has a name"


def health(found: Config) -> Iterator[Finding]:
    """The smart hosts that rest after a fault, which is bad when no other one is left."""
    now, known = time.time(), breaker.read(homes.memory(found))
    resting = [one.name for one in found.smarthosts if one.name in known and known[one.name].until > now]
    others = "" if len(resting) == len(found.smarthosts) else "; meanwhile mail goes by the others"
    for name in resting:
        left, reason = span(known[name].until - now), printable(known[name].reason, 300)
        text = f"smart host {printable(name, 64)} is left alone for {left} after a fault: {reason}{others}"
        yield WARN if others else BAD, text


def queue(found: Config) -> Iterator[Finding]:
    """What waits, since when, and what holds it up."""
    folder = found.queue.directory
    if not folder or not os.path.isdir(folder):
        return
    opened = Spool(folder)
    now = time.time()
    waiting = opened.listing()
    failed, reports = opened.count_failed()
    if failed:
        told = f", {reports} of them reports that nobody got" if reports else ""
        yield WARN, f"{count(failed)} failed for good{told}; see: sendmail-py queue list --failed"
    ages = [now - os.stat(os.path.join(folder, "queue", one.queue_id)).st_mtime for one in waiting[:1]]
    if ages and ages[0] > OLD:
        text = f"{count(len(waiting))} waiting, the oldest for {span(ages[0])}; does cron run sendmail -q?"
        yield WARN, f"{text} see: sendmail-py queue list"
    else:
        yield OK, f"queue: {count(len(waiting))} waiting"
