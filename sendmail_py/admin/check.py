"""What a configuration that loads leaves to wish for: one line for each finding, with its cure.

Nothing here opens a connection, runs a command or reads a secret; files are looked at, no more.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping

from sendmail_py.errors import printable
from sendmail_py.mail import address
from sendmail_py.policy import identity, validity
from sendmail_py.policy.config import Config, SmartHost
from sendmail_py.policy.masquerade import SenderRules

READABLE_BY_OTHERS = stat.S_IROTH  # a group is the choice of whoever gave it the file


def warnings(config: Config, environ: Mapping[str, str]) -> Iterator[str]:
    """The findings, the worst first."""
    if not config.smarthosts:
        yield "no smart host: mail waits in the queue until a [[smarthost]] is configured"
    if not config.queue.directory and config.delivery != "now":
        yield "no home and no queue.directory: there is no place for a spool, nothing can be queued"
    for smarthost in config.smarthosts:
        for text in [*password(smarthost, environ), *files(smarthost)]:
            yield f"smart host {printable(smarthost.name)}: {text}"
    yield from open_configuration(config)
    yield from domains(config)


def password(smarthost: SmartHost, environ: Mapping[str, str]) -> Iterator[str]:
    """Whether the password can be had, without reading it."""
    if smarthost.password_file:
        yield from secret_file("password_file", smarthost.password_file)
    if smarthost.password_credential:
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if folder:
            yield from secret_file("password_credential", f"{folder}/{smarthost.password_credential}")
        else:
            yield "password_credential: systemd has set no CREDENTIALS_DIRECTORY for this command"
    if smarthost.password_env and smarthost.password_env not in environ:
        yield f"password_env: the variable {printable(smarthost.password_env)} is not set here"
    if smarthost.password_command and not shutil.which(smarthost.password_command[0]):
        yield f"password_command: {printable(smarthost.password_command[0])} is no command that can be run"


def secret_file(key: str, path: str) -> Iterator[str]:
    """Faults of a file that holds a secret."""
    shown = printable(path, 4096)
    try:
        status = os.stat(path)
    except OSError as error:
        yield f"{key}: {shown}: {error.strerror}"
        return
    if not stat.S_ISREG(status.st_mode):
        yield f"{key}: {shown} is not a regular file"
    elif not os.access(path, os.R_OK):
        yield f"{key}: {shown} cannot be read by {login()}; only a flush by somebody who may read it logs in"
    elif not status.st_size:
        yield f"{key}: {shown} is empty"
    elif status.st_mode & READABLE_BY_OTHERS:
        yield f"{key}: {shown} can be read by everybody; run: chmod o-r {shown}"


def files(smarthost: SmartHost) -> Iterator[str]:
    """Certificates and keys that are not there or can be read by others."""
    if smarthost.client_key:
        yield from secret_file("client_key", smarthost.client_key)
    for key in ("ca_file", "ca_path", "client_cert"):
        path: str = getattr(smarthost, key)
        if path and not os.access(path, os.R_OK):
            there = "cannot be read" if os.path.exists(path) else "does not exist"
            yield f"{key}: {printable(path, 4096)} {there}"


def open_configuration(config: Config) -> Iterator[str]:
    """Configuration files that hold a password and can be read by everybody."""
    for layer in config.layers:
        given = layer.tree.get("smarthost")
        if layer.names or not isinstance(given, list) or not any("password" in one for one in given):
            continue
        if os.stat(layer.source).st_mode & READABLE_BY_OTHERS:
            shown = printable(layer.source, 4096)
            yield f"{shown} holds a password and can be read by everybody; run: chmod o-r {shown}"


def domains(config: Config) -> Iterator[str]:
    """Mail domain and sender that nobody out there can answer."""
    host = identity.host(config)
    fault = validity.fault(host.mail_domain, host.local_names)
    if fault:
        yield f"mail domain {printable(host.mail_domain)}: {fault}; nobody can answer; set identity.domain"
    sender = SenderRules(config, host, identity.of(os.getuid())).default()
    domain = address.split(sender)[1]
    if domain != host.mail_domain:
        fault = validity.fault(domain, host.local_names)
        if fault:
            yield f"sender <{printable(sender)}>: {fault}; nobody can answer; set masquerade.domain"


def login() -> str:
    """The name of whoever asks."""
    return printable(identity.of(os.getuid()).login)
