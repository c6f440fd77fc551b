"""Faults at each system call of a real command, by strace: errors that the kernel might give, and kill -9."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from support.launch import PATIENCE, Sandbox
from support.needs import needs

CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)")
TRACED = (
    "openat,read,write,pwrite64,fsync,fdatasync,close,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,"
    "flock,dup,fstat,newfstatat,getdents64,lseek,pread64,connect,sendto"
)


class Call:
    """A system call of the traced run: its name, and the how-manieth of that name it is."""

    def __init__(self, name: str, number: int, text: str) -> None:
        self.name = name
        self.number = number
        self.text = text


def traced(sandbox: Sandbox, command: list[str], stdin: bytes, marker: str) -> list[Call]:
    """The system calls of a run without faults, from the first that mentions `marker` to the end."""
    log = sandbox.folder / "strace"
    run(sandbox, ["-o", str(log), "-s", "200"], command, stdin)
    counts: dict[str, int] = {}
    calls: list[Call] = []
    for line in log.read_text(errors="replace").splitlines():
        match = CALL.match(line)
        if match is None:
            continue
        name = match[1]
        counts[name] = counts.get(name, 0) + 1
        if calls or marker in match[2]:
            calls.append(Call(name, counts[name], line))
    return calls


def inject(
    sandbox: Sandbox, command: list[str], stdin: bytes, call: Call, what: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command with `what` ("error=EIO", "signal=SIGKILL") at that call."""
    rule = f"inject={call.name}:{what}:when={call.number}"
    return run(sandbox, ["-o", "/dev/null", "-e", rule], command, stdin)


def run(
    sandbox: Sandbox, options: list[str], command: list[str], stdin: bytes
) -> subprocess.CompletedProcess[bytes]:
    """The command below strace."""
    strace = needs("strace")
    return subprocess.run(
        [strace, "-e", f"trace={TRACED}", *options, sandbox.path(command[0]), *command[1:]],
        input=stdin,
        capture_output=True,
        timeout=PATIENCE,
        env=sandbox.environment(),
        check=False,
    )


def files(folder: Path) -> list[str]:
    """What is in a folder, [] when there is none."""
    return sorted(one.name for one in folder.iterdir()) if folder.exists() else []
