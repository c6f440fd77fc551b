"""Mail that waits in the queue of another mailer: who takes its name away must not leave it behind.

Only looks: each mailer's queue is folders with a file or folder for each message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from sendmail_py.admin import layout
from sendmail_py.admin.tree import Tree

MOST = 100_000  # messages that are counted
DEPTH = 3  # folders below a queue's: hashed ones


class Mailer:
    """A mailer's queue: its folders (`~` for every home), how a message's file is called, how to empty it."""

    def __init__(self, name: str, folders: list[str], pattern: str, cure: str) -> None:
        self.name = name
        self.folders = folders
        self.pattern = re.compile(pattern)
        self.cure = cure


POSTFIX = [f"/var/spool/postfix/{name}" for name in ("maildrop", "incoming", "active", "deferred", "hold")]
NULLMAILER = ["/var/spool/nullmailer/queue", "/var/lib/nullmailer/queue"]
EXIM = ["/var/spool/exim4/input", "/var/spool/exim/input"]

POSTFIX_CURE = "postqueue -f sends it, postqueue -p lists it, postsuper -d ALL deletes it"
NULLMAILER_CURE = "mailq lists it; nullmailer-send sends it; rm deletes it"
MQUEUE = ["/var/spool/mqueue", "/var/spool/mqueue-client"]
MSMTP = ["~/.msmtp.queue", "~/.msmtpqueue"]

MAILERS = (
    Mailer("Postfix", POSTFIX, r"[0-9A-Za-z]{6,}", POSTFIX_CURE),
    Mailer("Exim", EXIM, r".*-H", "exim -qff sends it, exim -bp lists it"),
    Mailer("nullmailer", NULLMAILER, r"[^.].*", NULLMAILER_CURE),
    Mailer("dma", ["/var/spool/dma"], r"M.*", "dma -q sends it, dma -bp lists it"),
    Mailer("Sendmail", MQUEUE, r"[qh]f.*", "sendmail -q -v and sendmail -Ac -q -v send it"),
    Mailer("OpenSMTPD", ["/var/spool/smtpd/queue"], r"[0-9a-f]{8}", "smtpctl schedule all sends it"),
    Mailer("masqmail", ["/var/spool/masqmail/input"], r".*-H", "masqmail -qo sends it"),
    Mailer("msmtp", MSMTP, r".*\.(mail|msmtp)", "msmtp-queue -r or msmtp-runqueue.sh sends it"),
)


def waiting(tree: Tree) -> list[tuple[Mailer, str, int]]:
    """The mailers whose queue is not empty: each with the folder and the number of messages in it."""
    found = []
    for mailer in MAILERS:
        for folder in mailer.folders:
            for place in places(tree, folder):
                number = count(tree.path(place), mailer.pattern)
                if number:
                    found.append((mailer, place, number))
    return found


def places(tree: Tree, folder: str) -> list[str]:
    """The folder, or for `~` that folder of every home."""
    if not folder.startswith("~"):
        return [folder]
    return [home.rstrip("/") + folder[1:] for home in homes(tree)]


def homes(tree: Tree) -> list[str]:
    """The home folders in passwd(5), each once."""
    try:
        with open(tree.path("/etc/passwd"), encoding="utf-8", errors="surrogateescape") as file:
            words = [line.split(":") for line in file]
    except OSError:
        return []
    return sorted({fields[5] for fields in words if len(fields) > 6 and fields[5].startswith("/")})


def count(folder: str, pattern: re.Pattern[str]) -> int:
    """The number of messages below a folder."""
    number = 0
    for name in entries(folder, DEPTH):
        number += bool(pattern.fullmatch(name))
        if number >= MOST:
            break
    return number


def entries(folder: str, depth: int) -> Iterator[str]:
    """The names of the files below a folder, a few folders deep; nothing behind links."""
    try:
        listing = list(os.scandir(folder))
    except OSError:
        return
    for one in listing:
        if one.is_file(follow_symlinks=False):
            yield one.name
        elif depth and one.is_dir(follow_symlinks=False):
            yield from entries(one.path, depth - 1)


def own(tree: Tree) -> tuple[int, int]:
    """Messages in our shared spool that wait, and that failed; opens no file of anybody."""
    queued = failed = 0
    for owner in folders_in(tree.path(layout.SPOOL)):
        queued += messages(f"{owner}/queue")
        failed += messages(f"{owner}/failed")
    return queued, failed


def folders_in(path: str) -> list[str]:
    """The folders in a folder, links apart."""
    try:
        return [one.path for one in os.scandir(path) if one.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def messages(path: str) -> int:
    """The number of queue files in a folder of a spool."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return sum(re.fullmatch("[0-9A-F]{8,12}", name) is not None for name in os.listdir(folder))
    finally:
        os.close(folder)
