"""A system of its own for tests that run as root: accounts, /etc, /var/spool, /var/lib, the shared spool.

A mount namespace that a process holds; what is mounted there is in memory, nobody outside sees it, and when
the holder ends, which the end of a pipe tells it, all of it is gone. Files of the system are seen from here
below `root`. The network is the machine's: 127.0.0.1.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sendmail_py

from .launch import smarthost_table
from .needs import missing, needs, needs_root
from .smarthost import SmartHost

PATIENCE = 120.0  # seconds for one command
RELAY = 901  # uid of the account _sendmail-py
USERS = range(2001, 2041)  # uids of the accounts u2001, u2002, ...
GROUP = 2000  # of all of them
BASE = "/var/spool/sendmail-py"
STATE = "/var/lib/sendmail-py"
BIN = "/opt/bin"
LIB = "/opt/lib"
LOG = "/var/log/sendmail-py.log"
PASSWORD = "hushhush-9f3c1d-nobody-may-know"
LAUNCHER = """#!{python} -IS
import sys
sys.path.insert(0, "{lib}")
from sendmail_py.commands import dispatch
dispatch.main()
"""
SET_UP = """set -e
for folder in /var/spool /var/lib /var/log; do mount -t tmpfs -o mode=755,size=512m tmpfs $folder; done
mount -t tmpfs -o mode=755 tmpfs /opt
mkdir /opt/etc /opt/bin /opt/lib
cp -a /etc/. /opt/etc
mount --bind /opt/etc /etc
rm -rf /etc/sendmail-py
mkdir -m 755 /etc/sendmail-py
echo ready
exec cat
"""


class System:
    """See the module. `accounts` False leaves out the relay's account."""

    def __init__(self, accounts: bool = True) -> None:
        words = [needs("unshare", "util-linux"), "-m", "--propagation", "private", "sh", "-c", SET_UP]
        self.nsenter = needs("nsenter", "util-linux")
        pipe = subprocess.PIPE
        self.holder = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/")
        assert self.holder.stdout is not None
        assert self.holder.stderr is not None
        if self.holder.stdout.readline() != b"ready\n":
            missing(f"no mount namespace can be made: {self.holder.stderr.read().decode()}")
        self.root = Path(f"/proc/{self.holder.pid}/root")
        self.started: list[subprocess.Popen[bytes]] = []
        self.furnish(accounts)

    def close(self) -> None:
        """End what was started, and let the namespace go."""
        for process in self.started:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        self.holder.communicate(timeout=PATIENCE)

    def furnish(self, accounts: bool) -> None:
        """Accounts, the package where all may read it, launchers."""
        lines = [f"u{uid}:x:{uid}:{GROUP}::/nonexistent:/bin/sh\n" for uid in USERS]
        if accounts:
            lines.append(f"_sendmail-py:x:{RELAY}:{RELAY}::/nonexistent:/usr/sbin/nologin\n")
        with self.at("/etc/passwd").open("a") as out:
            out.writelines(lines)
        source = Path(sendmail_py.__file__).parent
        shutil.copytree(source, self.at(f"{LIB}/sendmail_py"), ignore=shutil.ignore_patterns("*.bundle"))
        subprocess.run(["chmod", "-R", "a+rX", self.at(LIB)], check=True)
        text = LAUNCHER.format(python=os.path.realpath(sys.executable), lib=LIB)
        for name in ("sendmail", "mailq"):
            self.at(f"{BIN}/{name}").write_text(text)
            self.at(f"{BIN}/{name}").chmod(0o755)
        self.at(LOG).touch()

    def at(self, path: str) -> Path:
        """A path of the system as it is seen from here."""
        return self.root / path.lstrip("/")

    def configure(self, host: SmartHost, text: str = "", **keys: object) -> None:
        """The system's configuration, with a login at the smart host; `text` goes in front of it."""
        secret, ca_file = "/etc/sendmail-py/here.secret", "/etc/sendmail-py/ca.pem"
        with open(os.open(self.at(secret), os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
            out.write(PASSWORD + "\n")
        keys = {"port": host.port, "tls": "none", **keys}
        if host.users:
            keys = {"user": "greg", "password_file": secret, **keys}
        if host.ca_pem:
            self.at(ca_file).write_text(host.ca_pem)
            keys = {"ca_file": ca_file, "verify_name": "localhost", **keys}
        text = text if "[identity]" in text else f'[identity]\ndomain = "example.net"\n{text}'
        log = f'[log]\nto = "{LOG}"\n'
        self.at("/etc/sendmail-py/config.toml").write_text(f"{text}\n{smarthost_table(**keys)}{log}")

    # --- commands ---

    def words(self, uid: int, command: tuple[str | bytes, ...]) -> list[str | bytes]:
        """The command line that runs a command in the system as that user."""
        who = [] if uid == 0 else ["-S", str(uid), "-G", str(GROUP)]
        return [self.nsenter, "-m", "-t", str(self.holder.pid), *who, "--", *command]

    def start(self, *command: str | bytes, uid: int = 0, **keywords: Any) -> subprocess.Popen[bytes]:
        """Start a command in the system; its process id is that of the command itself."""
        for pipe in ("stdin", "stdout", "stderr"):
            keywords.setdefault(pipe, subprocess.PIPE)
        keywords.setdefault("env", {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"})
        process = subprocess.Popen(self.words(uid, command), **keywords)
        self.started.append(process)
        return process

    def run(
        self, *command: str | bytes, uid: int = 0, stdin: bytes = b"", timeout: float = PATIENCE
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command in the system to its end; one that takes too long is killed."""
        process = self.start(*command, uid=uid)
        try:
            out, err = process.communicate(stdin, timeout)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def python(self, code: str, uid: int, timeout: float = PATIENCE) -> str:
        """Run Python code in the system as that user; what it prints."""
        done = self.run(os.path.realpath(sys.executable), "-IS", "-c", code, uid=uid, timeout=timeout)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def submit(self, uid: int, *recipients: str, body: bytes = b"text\n", sender: str = "") -> None:
        """Queue a message as that user; it must be accepted."""
        words = ["-f", sender] if sender else []
        recipients = recipients or (f"to{uid}@example.org",)
        done = self.run("sendmail", *words, *recipients, uid=uid, stdin=b"Subject: x\n\n" + body)
        assert (done.returncode, done.stderr, done.stdout) == (0, b"", b""), done

    def flush(self, timeout: float = PATIENCE) -> None:
        """Root's flush; it must end well and without a word."""
        done = self.run("sendmail", "-q", timeout=timeout)
        assert (done.returncode, done.stderr, done.stdout) == (0, b"", b""), done

    # --- what became of it ---

    def log(self) -> str:
        """The log so far."""
        return self.at(LOG).read_text()

    def queued(self, uid: int) -> list[str]:
        """The ids of the messages in the folders of a user."""
        names = self.at(BASE).glob(f"{uid}.*/queue/*") if self.at(BASE).exists() else ()
        return sorted(one.name for one in names if len(one.name) == 12)

    def processes(self, uid: int = -1) -> list[int]:
        """The processes in the system, of a user if one is named, but for the one that holds it."""
        mine = namespace_of(self.holder.pid)
        found = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        found = [pid for pid in found if pid != self.holder.pid and namespace_of(pid) == mine]
        return [pid for pid in found if uid in (-1, real_uid(pid))]

    def wait_for_process(self, uid: int, seconds: float = 30.0) -> int:
        """The first process of a user in the system, as soon as there is one."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.processes(uid)
            if found:
                return found[0]
            time.sleep(0.002)
        raise AssertionError(f"no process of uid {uid} came to be")


def real_uid(pid: int) -> int:
    """Whose a process is, -1 when it is gone."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("Uid:"))
    except (OSError, StopIteration):
        return -1


def namespace_of(pid: int) -> int:
    """The number of a process's mount namespace, 0 when it is gone."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except OSError:
        return 0


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process of ours that may have ended meanwhile."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


@contextmanager
def new_system(accounts: bool = True) -> Iterator[System]:
    """A system for one test; skips the test, or fails it in CI, where none can be made."""
    needs_root()
    made = System(accounts)
    try:
        yield made
    finally:
        for pid in made.processes():
            kill(pid)
        made.close()
