"""User and password of a smart host.

Guarantees: a password is read when a session needs it and never before; it leaves this module inside a
sasl.Login, which does not print; no fault, log line or child process gets to see it.
"""

from __future__ import annotations

import os
import stat

from sendmail_py import maillog
from sendmail_py.errors import printable
from sendmail_py.relay.faults import LoginFault
from sendmail_py.relay.hurry import NEVER, Hurry
from sendmail_py.relay.sasl import Login

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sendmail_py.policy.config import SmartHost

LONGEST = 4096  # octets of a password
HOMES = ("/root/", "/home/", "/run/user/")  # systemd.exec(5), ProtectHome=
# What a password command may need of our environment; secrets can stand in any other variable.
PASSED_ON = (
    "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME", "GPG_AGENT_INFO", "HOME", "LANG", "LOGNAME", "PATH",
    "PASSWORD_STORE_DIR", "SSH_AUTH_SOCK", "USER", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
)  # fmt: skip

warned: set[str] = set()


def login(setting: SmartHost, environ: Mapping[str, str], stop: Hurry = NEVER) -> Login | None:
    """User and password; None when the smart host wants none. LoginFault when the password cannot be had.

    StoppedFault when the run is to end before a command has said it.
    """
    if not setting.user:
        return None
    for key, read in SOURCES:
        if getattr(setting, key):
            try:
                password = read(setting, environ, stop)
            except (OSError, ValueError) as error:
                raise LoginFault(f"smart host {setting.name}: {key}: {reason(error)}") from None
            return Login(setting.user.encode("utf-8", "surrogateescape"), password)
    raise LoginFault(f"smart host {setting.name}: user is set, but no password")


def proxy_login(setting: SmartHost) -> Login | None:
    """User and password for the proxy, None for none. LoginFault when the password cannot be had."""
    if not setting.proxy_user:
        return None
    try:
        password = read_secret(setting.proxy_password_file)
    except (OSError, ValueError) as error:
        raise LoginFault(f"smart host {setting.name}: proxy_password_file: {reason(error)}") from None
    return Login(setting.proxy_user.encode("utf-8", "surrogateescape"), password)


def reason(error: Exception) -> str:
    """Why a password cannot be read; never what was read or printed."""
    if isinstance(error, OSError):
        path = str(error.filename or "")
        is_hidden = path.startswith(HOMES) and os.geteuid() == 0 and "INVOCATION_ID" in os.environ
        cure = "; sendmail-py.service sees no home folders, see ProtectHome= in it" if is_hidden else ""
        return printable(f"{path}: {error.strerror}{cure}".lstrip(": "))
    return str(error)


def from_file(setting: SmartHost, environ: Mapping[str, str], stop: Hurry) -> bytes:
    """First line of a file."""
    return read_secret(setting.password_file)


def from_credential(setting: SmartHost, environ: Mapping[str, str], stop: Hurry) -> bytes:
    """First line of a credential that systemd gave to the service (systemd.exec(5), LoadCredential=)."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        raise ValueError("CREDENTIALS_DIRECTORY is not set; is LoadCredential= in the unit?")
    return read_secret(os.path.join(folder, setting.password_credential))


def from_environment(setting: SmartHost, environ: Mapping[str, str], stop: Hurry) -> bytes:
    """An environment variable."""
    value = environ.get(setting.password_env, "")
    if not value:
        raise ValueError(f"the environment variable {printable(setting.password_env, 80)} is not set")
    return first_line(value.encode("utf-8", "surrogateescape"))


def from_command(setting: SmartHost, environ: Mapping[str, str], stop: Hurry) -> bytes:
    """First line that a command prints."""
    from sendmail_py.relay import password_command  # noqa: PLC0415 (a named door: processes take 15 ms)

    return first_line(password_command.run(setting.password_command, environment(environ), stop))


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a command gets of our environment."""
    return {name: environ[name] for name in PASSED_ON if name in environ}


def from_configuration(setting: SmartHost, environ: Mapping[str, str], stop: Hurry) -> bytes:
    """As it stands in the configuration."""
    return first_line(setting.password.encode("utf-8", "surrogateescape"))


SOURCES: tuple[tuple[str, Callable[[SmartHost, Mapping[str, str], Hurry], bytes]], ...] = (
    ("password_file", from_file),
    ("password_command", from_command),
    ("password_credential", from_credential),
    ("password_env", from_environment),
    ("password", from_configuration),
)


def read_secret(path: str) -> bytes:
    """First line of the file at `path`; one that others can read is used, with a warning once per run."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{printable(path)} is not a regular file")
        if status.st_mode & 0o004 and path not in warned:
            warned.add(path)
            maillog.warning(f"{printable(path)} can be read by everybody; run: chmod o-r {printable(path)}")
        return first_line(os.read(fd, LONGEST + 2))
    finally:
        os.close(fd)


def first_line(text: bytes) -> bytes:
    """The first line without its line end; blanks are part of a password."""
    line = text.split(b"\n", 1)[0].removesuffix(b"\r")
    if not line or len(line) > LONGEST or b"\0" in line:
        raise ValueError("empty" if not line else "not a password")
    return line
