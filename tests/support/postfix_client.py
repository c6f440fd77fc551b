"""Debian's Postfix in its default configuration as the client: a yardstick for the flush.

An instance of its own in a temporary folder: main.cf names the folders and the smart host, nothing else.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from .needs import needs, needs_root
from .smarthost import SmartHost

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = client.isp.example
mydestination =
alias_maps =
relayhost = [127.0.0.1]:{port}
"""
SERVICES = re.compile(r"^(smtp|submission|smtps)\s+inet\b.*\n(?:\s+.*\n)*", re.MULTILINE)
CHROOT = re.compile(r"^(\S+\s+(?:unix|unix-dgram)\s+\S+\s+\S+\s+)y\b", re.MULTILINE)


class PostfixClient:
    """An instance between `with` and its end that relays to a scripted smart host."""

    def __init__(self, host: SmartHost) -> None:
        needs_root()
        self.host = host
        self.command = needs("postfix")
        self.folder = Path(tempfile.mkdtemp(prefix="postfix-client-"))
        self.waiting = 0

    def __enter__(self) -> PostfixClient:
        owner = pwd.getpwnam("postfix")
        self.folder.chmod(0o755)
        for name in ("etc", "queue", "data"):
            (self.folder / name).mkdir()
        os.chown(self.folder / "data", owner.pw_uid, owner.pw_gid)
        self._configure("defer_transports = smtp\n")
        usual = Path("/usr/share/postfix/master.cf.dist")
        text = (usual if usual.exists() else Path("/etc/postfix/master.cf")).read_text()
        (self.folder / "etc" / "master.cf").write_text(CHROOT.sub(r"\1n", SERVICES.sub("", text)))
        self._run(self.command, "start")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(
            [self.command, "-c", str(self.folder / "etc"), "stop"], capture_output=True, check=False
        )
        shutil.rmtree(self.folder, ignore_errors=True)

    def submit(self, path: str, *recipients: str) -> None:
        """Queue the message at `path`; it waits."""
        words = [
            needs("sendmail"),
            "-C",
            str(self.folder / "etc"),
            "-oi",
            "-f",
            "greg@isp.example",
            *recipients,
        ]
        with open(path, "rb") as message:
            subprocess.run(words, stdin=message, check=True)
        self.waiting += 1

    def flush(self, count: int) -> float:
        """Have everything sent that waits; returns the seconds until the host has `count` recipients."""
        end = time.monotonic() + 120
        while sum(one.is_file() for one in (self.folder / "queue/deferred").rglob("*")) < self.waiting:
            if time.monotonic() > end:
                raise AssertionError("Postfix does not defer the messages")
            time.sleep(0.2)
        self._configure("")
        self._run(self.command, "reload")
        time.sleep(1)
        begin = time.perf_counter()
        self._run(needs("postqueue"), "-f")
        while len(self.host.recipients()) < count:
            if time.perf_counter() - begin > 300:
                raise AssertionError(f"{len(self.host.recipients())} of {count} arrived")
            time.sleep(0.01)
        return time.perf_counter() - begin

    def _configure(self, more: str) -> None:
        text = MAIN.format(folder=self.folder, port=self.host.port)
        (self.folder / "etc" / "main.cf").write_text(text + more)

    def _run(self, command: str, *words: str) -> None:
        done = subprocess.run(
            [command, "-c", str(self.folder / "etc"), *words], capture_output=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"{command}: {done.stderr.decode()}")
