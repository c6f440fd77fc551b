"""A machine whose sendmail is ours, for the programs that call it by its path.

Each command runs in a mount namespace of its own: a copy of /etc with our configuration, an account called
`caller`, a host called `nas.lan`, our launcher in the place of the machine's mail commands, and private
folders for the shared spool and for what schedulers write. Nothing outside changes. The queue is flushed by
`sendmail -q` of root, and what comes out at the smart host is what counts.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sendmail_py.policy import homes
from sendmail_py.spool import shared

from callers.arrived import Arrived
from callers.ground import CALLER, CALLER_ID, SENDMAIL, USERS
from support.launch import PATIENCE
from support.smarthost import SmartHost

COMMANDS = (SENDMAIL, "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases")
PRIVATE = ("/var/spool/cron", "/var/mail")  # copied, so that what is written there stays private
SOON = 8.0  # seconds in which a program that sends behind our back must have done so

ENTER = """\
set -eu
world=$1 user=$2
shift 2
echo nas >/proc/sys/kernel/hostname
while read -r source target; do
	mount --bind "$source" "$target"
done <"$world/mounts"
cd "$world/$user"
if [ "$user" != root ]; then
	set -- setpriv --reuid="$user" --regid="$user" --init-groups --inh-caps=-all -- "$@"
fi
exec "$@"
"""

CONFIG = """\
[identity]
domain = "example.net"
helo = "nas.example.net"

[masquerade]
domain = "example.net"
dns = false

[masquerade.users]
root = "owner@isp.example"

[[smarthost]]
name = "isp"
host = "127.0.0.1"
port = PORT
tls = "none"

[log]
to = "LOG"
"""

# What the launcher has more: it writes down the arguments that it was called with.
RECORDER = """\
import posix, sys
posix.write(posix.open({path!a}, posix.O_WRONLY | posix.O_APPEND), ascii(sys.argv).encode() + b"\\n")
"""


class Machine:
    """See the module. `folder` is its own, with a home for each user; `host` is the smart host."""

    def __init__(self, ground: Path, host: SmartHost) -> None:
        self.folder, self.host = ground / "machine", host
        self.log_file, self.record = self.folder / "log", self.folder / "record"
        self.mounts: list[tuple[Path, str]] = []
        self.new_folder("")
        for user in USERS:
            self.new_folder(user)
        os.chown(self.folder / CALLER, CALLER_ID, CALLER_ID)
        for path in (self.log_file, self.record):
            path.touch()
            path.chmod(0o666)
        self.mount(ground / "etc", "/etc")
        self.mount(self.new_folder("config"), "/etc/sendmail-py")
        self.mount(self.new_folder("run"), "/run")
        shared.set_up(str(self.folder / "spool"))
        self.mount(self.folder / "spool", homes.SHARED_SPOOL)
        self.mount(self.new_folder("state"), homes.STATE)
        for target in filter(os.path.isdir, PRIVATE):
            copy = self.folder / target.strip("/").replace("/", "-")
            subprocess.run(["cp", "-a", target, copy], check=True, timeout=PATIENCE)
            self.mount(copy, target)
        self.mount_launcher((ground / "bin" / "sendmail").read_text())
        self.configure(CONFIG)

    @classmethod
    @contextmanager
    def on(cls, ground: Path, host: SmartHost) -> Iterator[Machine]:
        """A machine that is gone after the block."""
        with mount_points(homes.SHARED_SPOOL, homes.STATE):
            machine = cls(ground, host)
            try:
                yield machine
            finally:
                shutil.rmtree(machine.folder)

    def mount(self, source: Path, target: str) -> None:
        """Have commands see `source` where `target` is."""
        self.mounts.append((source, target))
        (self.folder / "mounts").write_text("".join(f"{source} {target}\n" for source, target in self.mounts))

    def new_folder(self, name: str) -> Path:
        """A new folder that everybody may read."""
        path = self.folder / name
        path.mkdir()
        path.chmod(0o755)
        return path

    def mount_launcher(self, text: str) -> None:
        """Put ours where the machine's mail commands are; links among those are followed."""
        before, begin, after = text.partition("gc.disable()\n")
        assert begin, "the launcher does not begin as it did"
        ours = self.folder / "sendmail"
        ours.write_text(before + RECORDER.format(path=str(self.record)) + begin + after)
        ours.chmod(0o755)
        for target in sorted({os.path.realpath(path) for path in COMMANDS if os.path.exists(path)}):
            self.mount(ours, target)

    def configure(self, text: str) -> None:
        """Write the system's configuration; PORT and LOG are filled in."""
        text = text.replace("PORT", str(self.host.port)).replace("LOG", str(self.log_file))
        (self.folder / "config" / "config.toml").write_text(text)

    def replace(self, path: str, text: str, mode: int) -> None:
        """Have commands see a file of root's with this text."""
        file = self.folder / path.strip("/").replace("/", "-")
        file.write_text(text)
        file.chmod(mode)
        self.mount(file, path)

    def write(self, user: str, name: str, text: str) -> str:
        """Write a file into a user's home; returns its path."""
        home = self.folder / user
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if user != "root":
            for part in (path, *path.parents[: -len(home.parents) - 1]):
                os.chown(part, CALLER_ID, CALLER_ID)
        return str(path)

    def command(self, words: tuple[str, ...], user: str) -> list[str]:
        """The command that runs these words on this machine, in the user's home."""
        enter = ["unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", ENTER, "sh"]
        return [*enter, str(self.folder), user, *words]

    def environment(self, user: str, more: dict[str, str] | None = None) -> dict[str, str]:
        """What a login gives to a program."""
        usual = {
            "HOME": str(self.folder / user),
            "LANG": "C.UTF-8",
            "LOGNAME": user,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SHELL": "/bin/sh",
            "TZ": "UTC",
            "USER": user,
        }
        return {**usual, **(more or {})}

    def run(
        self, *words: str, stdin: bytes = b"", user: str = CALLER, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end."""
        return subprocess.run(
            self.command(words, user),
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            env=self.environment(user, env),
            check=False,
        )

    def sends(
        self, *words: str, stdin: bytes = b"", user: str = CALLER, env: dict[str, str] | None = None
    ) -> None:
        """Run a program that must end with status 0 and must not have anything to say."""
        done = self.run(*words, stdin=stdin, user=user, env=env)
        assert (done.returncode, done.stderr, done.stdout) == (0, b"", b""), self.told(done)

    @contextmanager
    def running(self, *words: str, env: dict[str, str] | None = None) -> Iterator[None]:
        """Run a daemon of root's in the foreground, as long as the block lasts.

        Its environment is that of a system service, without HOME, USER and LOGNAME; `env` is added.
        """
        usual = self.environment("root")
        process = subprocess.Popen(
            self.command(words, "root"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"LANG": usual["LANG"], "PATH": usual["PATH"], **(env or {})},
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)

    def arrived(self, count: int = 1) -> list[Arrived]:
        """Flush the queues of both users until so many messages have come out at the smart host."""
        deadline = time.monotonic() + SOON
        while True:
            for user in USERS:
                self.sends(SENDMAIL, "-q", user=user)
            if len(self.host.messages) >= count or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert self.host.violations == []
        assert len(self.host.messages) == count, f"log:\n{self.log()}\ncalls: {self.calls()}"
        return [Arrived(message) for message in self.host.messages]

    def only(self) -> Arrived:
        """The only message that came out."""
        (message,) = self.arrived()
        return message

    def calls(self) -> list[list[str]]:
        """How sendmail was called so far, flushes apart: argument 0 and the arguments of each call."""
        calls: list[list[str]] = [ast.literal_eval(line) for line in self.record.read_text().splitlines()]
        return [call for call in calls if call[1:] != ["-q"]]

    def call(self) -> list[str]:
        """The arguments of the only call."""
        (call,) = self.calls()
        return call[1:]

    def log(self) -> str:
        """Our log so far."""
        return self.log_file.read_text()

    def told(self, done: subprocess.CompletedProcess[bytes]) -> str:
        """What a failing program said, for the report of the test."""
        return f"{done.returncode}: {done.stdout!r} {done.stderr!r}\nlog:\n{self.log()}\n{self.calls()}"


@contextmanager
def mount_points(*paths: str) -> Iterator[None]:
    """Have folders to mount something on; those that were not there go again."""
    made = [path for path in paths if not os.path.exists(path)]
    for path in made:
        os.mkdir(path)
    try:
        yield
    finally:
        for path in made:
            os.rmdir(path)
