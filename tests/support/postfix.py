"""Debian's Postfix as an instance of its own: submission on loopback, all mail into one Maildir.

Nothing of the system's Postfix is touched: configuration, queue, data, log, passwords and mail lie in one
temporary folder. Starting a master process needs root; no systemd, no syslog. Debian's Cyrus SASL looks for
smtpd.conf below the configuration folder, whatever cyrus_sasl_config_path says.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .certificates import Authority
from .needs import needs, needs_root

REALM = "isp.example"
MECHANISMS = "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256"
REFUSED = "nobody@isp.example"
SECONDS_TO_START = 30.0

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = smtp.isp.example
mynetworks =
mydestination =
local_recipient_maps =
alias_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:box/
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nogroup}
virtual_minimum_uid = 100
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
cyrus_sasl_config_path = {folder}/etc/sasl
smtpd_sasl_local_domain = {realm}
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions =
 check_recipient_access inline:{{ {{ {refused} = 550 5.1.1 No such mailbox here }} }},
 permit_sasl_authenticated, reject
"""

SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {folder}/data/users
mech_list: {mechanisms}
"""

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A running instance, between `with` and its end, on 127.0.0.1.

    `port` demands STARTTLS, `tls_port` speaks TLS from the start; both want a login. `ca_file` is what a
    client must trust; `users` are the logins and passwords.
    """

    def __init__(self, users: dict[str, str]) -> None:
        needs_root()
        self.command = needs("postfix")
        self.saslpasswd = needs("saslpasswd2", "sasl2-bin")
        self.users = users
        self.folder = Path(tempfile.mkdtemp(prefix="postfix-"))
        self.ca_file = str(self.folder / "ca.pem")
        self.port, self.tls_port = free_port(), free_port()

    def __enter__(self) -> Postfix:
        try:
            self._lay_out()
            self._control("start")
            self._wait_for_greeting()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if (self.folder / "queue" / "pid" / "master.pid").exists():
            self._control("stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def abort(self) -> None:
        """End it at once, whatever it is doing."""
        self._control("abort")

    def start_again(self) -> None:
        """Go on with what is in its queue."""
        self._control("start")

    def log(self) -> str:
        """Return the instance's log so far."""
        path = self.folder / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def sessions(self) -> int:
        """Return how many clients have connected (the look whether it is up does not count)."""
        return len(re.findall(r"smtpd\[\d+\]: connect from", self.log())) - 1

    def messages(self) -> list[bytes]:
        """Return the delivered messages with LF line ends, in the order of delivery."""
        box = self.folder / "mail" / "box" / "new"
        paths = sorted(box.iterdir(), key=lambda path: path.stat().st_mtime_ns) if box.exists() else []
        return [path.read_bytes() for path in paths]

    def wait_for(self, count: int, seconds: float = 60.0) -> list[bytes]:
        """Return the delivered messages when there are `count`; AssertionError after `seconds`."""
        end = time.monotonic() + seconds
        while len(self.messages()) < count:
            if time.monotonic() > end:
                raise AssertionError(f"{len(self.messages())} of {count} arrived:\n{self.log()}")
            time.sleep(0.05)
        return self.messages()

    def _lay_out(self) -> None:
        owner, nobody = pwd.getpwnam("postfix"), pwd.getpwnam("nobody")
        self.folder.chmod(0o755)
        for name in ("etc", "etc/sasl", "queue", "data", "mail"):
            (self.folder / name).mkdir()
        os.chown(self.folder / "data", owner.pw_uid, owner.pw_gid)
        os.chown(self.folder / "mail", nobody.pw_uid, nobody.pw_gid)
        authority = Authority()
        authority.write(self.ca_file)
        certificate, key = authority.write_pair(self.folder / "etc")
        values = {
            "folder": self.folder,
            "nobody": nobody.pw_uid,
            "nogroup": nobody.pw_gid,
            "certificate": certificate,
            "key": key,
            "realm": REALM,
            "refused": REFUSED,
            "port": self.port,
            "tls_port": self.tls_port,
            "mechanisms": MECHANISMS,
        }
        for path, text in (("etc/main.cf", MAIN), ("etc/master.cf", MASTER), ("etc/sasl/smtpd.conf", SASL)):
            (self.folder / path).write_text(text.format(**values))
        self._add_users(owner.pw_uid)

    def _add_users(self, owner: int) -> None:
        users = self.folder / "data" / "users"
        for name, password in self.users.items():
            command = [self.saslpasswd, "-f", str(users), "-p", "-c", "-u", REALM, name]
            subprocess.run(command, input=password.encode(), check=True, capture_output=True, timeout=30)
        os.chown(users, owner, -1)

    def _control(self, word: str) -> None:
        command = [self.command, "-c", str(self.folder / "etc"), word]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise AssertionError(f"postfix {word}: {done.stderr.decode()}\n{self.log()}")

    def _wait_for_greeting(self) -> None:
        end = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                with socket.create_connection(
                    ("127.0.0.1", self.port), timeout=SECONDS_TO_START
                ) as connection:
                    if connection.recv(1024).startswith(b"220"):
                        return
            except OSError:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"Postfix does not answer:\n{self.log()}")
            time.sleep(0.1)


def free_port() -> int:
    """Return a port on 127.0.0.1 that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
