"""The real commands as processes: launchers by `sendmail-py install`, and a sealed place to run them in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

PATIENCE = 120.0  # seconds for one command; the slowest machine needs a fraction


def admin_command() -> str:
    """Return the path of the wheel's `sendmail-py` beside the running interpreter."""
    return os.path.join(sysconfig.get_path("scripts"), "sendmail-py")


def install(folder: str | os.PathLike[str]) -> Path:
    """Have `sendmail-py install` write launchers into `folder`; returns the folder."""
    command = [sys.executable, admin_command(), "install", "--bindir", os.fspath(folder)]
    done = subprocess.run(
        command, capture_output=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise RuntimeError(f"sendmail-py install ended with {done.returncode}: {done.stderr.decode()}")
    return Path(folder)


class Sandbox:
    """A home, a configuration, a spool and a log of their own for the installed commands.

    The environment of every command is `environ` (changes stay) plus the `env` of the call; nothing else
    of the caller's. A value of None takes a variable away.
    """

    def __init__(self, bindir: Path, folder: Path) -> None:
        self.bindir, self.folder = bindir, folder
        self.home = folder / "home"
        self.config = folder / "config.toml"
        self.log_file = folder / "mail.log"
        self.spool = folder / "state" / "sendmail-py" / "spool"
        self.home.mkdir(parents=True)
        self.environ = {
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": f"{bindir}:/usr/bin:/bin",
            "SENDMAIL_PY_CONFIG": str(self.config),
            "SENDMAIL_PY_MASQUERADE_DNS": "false",
            "TZ": "UTC",
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.configure("")

    def configure(self, text: str) -> None:
        """Write the configuration, readable by its owner only; a [log] table is added if it has none."""
        if "[log]" not in text:
            text = f'{text}\n[log]\nto = "{self.log_file}"\n'
        self.config.write_text(text)
        self.config.chmod(0o600)

    def run(
        self,
        name: str,
        *arguments: str | bytes,
        stdin: bytes | None = b"",
        env: dict[str, str | None] | None = None,
        timeout: float = PATIENCE,
        **keywords: Any,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run an installed command to its end; standard input is `stdin`, closed at its end."""
        command = [self.path(name), *arguments]
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            timeout=timeout,
            env=self.environment(env),
            check=False,
            **keywords,
        )

    def start(
        self, name: str, *arguments: str | bytes, env: dict[str, str | None] | None = None, **keywords: Any
    ) -> subprocess.Popen[bytes]:
        """Start an installed command with pipes on all three descriptors."""
        for pipe in ("stdin", "stdout", "stderr"):
            keywords.setdefault(pipe, subprocess.PIPE)
        return subprocess.Popen([self.path(name), *arguments], env=self.environment(env), **keywords)

    def path(self, name: str) -> str:
        """Return the path of an installed command; `sendmail-py` is the wheel's own without a launcher."""
        path = self.bindir / name
        return str(path) if path.exists() or name != "sendmail-py" else admin_command()

    def environment(self, changes: dict[str, str | None] | None = None) -> dict[str, str]:
        """Return the environment of a command."""
        merged: dict[str, str | None] = {**self.environ, **(changes or {})}
        return {key: value for key, value in merged.items() if value is not None}

    def queue(self) -> list[dict[str, Any]]:
        """Return what `mailq --json` says, one dictionary for each waiting message."""
        done = self.run("mailq", "--json")
        if done.returncode != 0:
            raise AssertionError(f"mailq --json ended with {done.returncode}: {done.stderr.decode()}")
        return [json.loads(line) for line in done.stdout.splitlines() if line]

    def log(self) -> str:
        """Return the log so far."""
        return self.log_file.read_text() if self.log_file.exists() else ""


def smarthost_table(**keys: object) -> str:
    """Return a `[[smarthost]]` table with these keys (text, number, list); host is 127.0.0.1 if not given."""
    keys = {"name": "here", "host": "127.0.0.1", **keys}
    return "[[smarthost]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
