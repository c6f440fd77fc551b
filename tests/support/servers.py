"""Exim, OpenSMTPD and Dovecot on loopback: instances of their own with STARTTLS, TLS from the start, AUTH."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from . import debian
from .certificates import Authority
from .postfix import free_port

USER, PASSWORD = "greg", "se cret"
SECONDS_TO_START = 20.0

EXIM = """\
exim_user = nobody
exim_group = nogroup
never_users =
smtp_accept_queue_per_connection = 0
keep_environment =
spool_directory = {folder}/spool
log_file_path = {folder}/spool/log-%s
pid_file_path = {folder}/pid
primary_hostname = smtp.isp.example
local_interfaces = 127.0.0.1
tls_on_connect_ports = {tls_port}
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
acl_smtp_rcpt = recipients
host_lookup =
begin acl
recipients:
  deny local_parts = nobody
       message = 5.1.1 No such mailbox here
  accept authenticated = *
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  maildir_format
  directory = {folder}/mail
  create_directory
  user = nobody
  return_path_add
  envelope_to_add
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
"""

OPENSMTPD = """\
pki isp cert "{certificate}"
pki isp key "{key}"
table people file:{folder}/people
table boxes {{ "@" = "reader" }}
listen on 127.0.0.1 port {port} hostname "smtp.isp.example"
listen on 127.0.0.1 port {auth_port} tls-require pki isp auth <people> hostname "smtp.isp.example"
listen on 127.0.0.1 port {tls_port} smtps pki isp auth <people> hostname "smtp.isp.example"
action "box" maildir "{folder}/mail" virtual <boxes>
match from any for rcpt-to "nobody@isp.example" reject
match from any for any action "box"
"""
OPENSMTPD_FOLDERS = """set -e
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd/offline /var/spool/smtpd/purge /var/spool/smtpd/queue
chmod 711 /var/spool/smtpd
chmod 700 /var/spool/smtpd/purge /var/spool/smtpd/queue
chown opensmtpq /var/spool/smtpd/purge /var/spool/smtpd/queue
chgrp opensmtpq /var/spool/smtpd/offline
chmod 770 /var/spool/smtpd/offline
exec "$@"
"""

DOVECOT = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log-main
protocols = submission lmtp
listen = 127.0.0.1
hostname = smtp.isp.example
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = yes
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
mail_location = maildir:{folder}/mail
first_valid_uid = 1
submission_relay_host = 127.0.0.1
submission_relay_port = {behind}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail allow_all_users=yes
}}
service submission-login {{
  chroot =
  inet_listener submission {{
    port = {port}
  }}
  inet_listener submissions {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
"""


class Server:
    """A running instance between `with` and its end, on 127.0.0.1: `port` wants STARTTLS, `tls_port` has TLS.

    `ca_file` is what a client must trust.
    """

    packages: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.root = debian.unpack(*self.packages)
        self.folder = Path(tempfile.mkdtemp(prefix="server-"))
        self.folder.chmod(0o755)
        self.ca_file = str(self.folder / "ca.pem")
        self.port, self.tls_port = free_port(), free_port()
        authority = Authority()
        authority.write(self.ca_file)
        certificate, key = authority.write_pair(self.folder, rsa=True)
        self.places = {
            "folder": self.folder, "port": self.port, "tls_port": self.tls_port, "certificate": certificate,
            "key": key, "user": USER, "password": PASSWORD,
        }  # fmt: skip
        for name in ("mail", "spool"):
            (self.folder / name).mkdir()
            shutil.chown(self.folder / name, "nobody", "nogroup")
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Write the configuration; return what runs in the foreground."""
        raise NotImplementedError

    def write(self, name: str, text: str, mode: int = 0o644) -> str:
        """Write a file; returns its path."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def __enter__(self) -> Server:
        try:
            words = debian.inside(self.root, self.folder, self.users, self.command())
            with (self.folder / "log-out").open("wb") as out:
                self.process = subprocess.Popen(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
            self.wait_for_greeting()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_for_greeting(self) -> None:
        """Until it answers; AssertionError with its log."""
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end:
            assert self.process is not None
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as client:
                    if client.recv(4) == b"220 ":
                        return
            except OSError:
                if self.process.poll() is not None:
                    break
            time.sleep(0.05)
        raise AssertionError(self.log())

    def log(self) -> str:
        """Return what it said so far."""
        return "".join([path.read_text(errors="replace") for path in sorted(self.folder.rglob("log-*"))])

    def messages(self) -> list[bytes]:
        """Return the delivered messages with LF line ends."""
        box = self.folder / "mail" / "new"
        return [path.read_bytes() for path in sorted(box.iterdir())] if box.exists() else []

    def wait_for(self, count: int, seconds: float = 60.0) -> list[bytes]:
        """Return the delivered messages when there are `count`; AssertionError after `seconds`."""
        end = time.monotonic() + seconds
        while len(self.messages()) < count:
            if time.monotonic() > end:
                raise AssertionError(f"{len(self.messages())} of {count} arrived:\n{self.log()}")
            time.sleep(0.05)
        return self.messages()


class Exim(Server):
    """Debian's exim4-daemon-light."""

    packages = ("exim4-daemon-light", "exim4-base")
    users = ("Debian-exim",)

    def command(self) -> list[str]:
        """See Server."""
        path = self.write("exim.conf", EXIM.format(**self.places))
        os.chmod(str(self.places["key"]), 0o644)
        return ["/usr/sbin/exim4", "-C", path, "-bdf", "-oX", f"{self.port}:{self.tls_port}"]


class OpenSMTPD(Server):
    """Debian's opensmtpd, which knows no PIPELINING: `port` is clear, `auth_port` wants STARTTLS and AUTH.

    6.8 loses its private key with OpenSSL 3 (the mark that it leaves on a key stays on a copy): every
    handshake ends in "missing private key", whoever the client is. `has_tls` says so.
    """

    packages = ("opensmtpd",)
    users = ("opensmtpd", "opensmtpq", "reader")

    def __init__(self) -> None:
        super().__init__()
        self.auth_port = self.places["auth_port"] = free_port()

    def has_tls(self) -> bool:
        """Whether a client that is not ours gets an encrypted session."""
        client = ["openssl", "s_client", "-quiet", "-starttls", "smtp", "-connect"]
        done = subprocess.run(
            [*client, f"127.0.0.1:{self.auth_port}"],
            input=b"QUIT\r\n",
            capture_output=True,
            check=False,
            timeout=20,
        )
        return done.returncode == 0

    def command(self) -> list[str]:
        """See Server."""
        os.chown(self.folder / "mail", debian.FIRST_UID + self.users.index("reader"), -1)
        crypt = ["openssl", "passwd", "-6", "-stdin"]
        secret = subprocess.run(
            crypt, input=PASSWORD, capture_output=True, text=True, check=True
        ).stdout.strip()
        self.write("people", f"{USER} {secret}\n")
        path = self.write("smtpd.conf", OPENSMTPD.format(**self.places), 0o600)
        return ["sh", "-c", OPENSMTPD_FOLDERS, "sh", "/usr/sbin/smtpd", "-d", "-f", path]


class Dovecot(Server):
    """Debian's Dovecot: submission, which hands on to the port `behind`, and LMTP on the socket `lmtp`."""

    packages = ("dovecot-core", "dovecot-submissiond", "dovecot-lmtpd")
    users = ("dovecot", "dovenull")

    def __init__(self, behind: int) -> None:
        super().__init__()
        self.places["behind"] = behind
        self.lmtp = str(self.folder / "lmtp")

    def command(self) -> list[str]:
        """See Server."""
        self.write("users", f"{USER}:{{PLAIN}}{PASSWORD}\n")
        path = self.write("dovecot.conf", DOVECOT.format(**self.places))
        return ["env", "LD_LIBRARY_PATH=/usr/lib/dovecot", "/usr/sbin/dovecot", "-F", "-c", path]
