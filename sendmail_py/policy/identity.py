"""Who is sending, and what this host is called: from the system's own tables, never from the network.

Guarantees:

- no look-up by DNS or any other network service of ours, so that a submission works offline and at once;
- nothing is read before it is needed: with `identity.domain` and `identity.helo` configured a submission
  opens neither /etc/mailname nor /etc/hosts;
- a missing, unreadable or nonsensical file counts as absent: sending never fails for want of a name.

The names of this host (`local_names`) are its node name, whole and up to the first dot, the FQDN that
/etc/hosts gives to a bare node name, localhost and its kin with the loopback addresses, and the
configuration's `identity.local_names`. A configured mail domain is not one of them, even if the node bears
it: its mailboxes live at the provider, not here.
"""

from __future__ import annotations

import posix  # os would cost a submission as much as all rooms of ours together
import pwd
import sys

from sendmail_py.mail import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sendmail_py.policy.config import Config

MAILNAME = "/etc/mailname"
HOSTS = "/etc/hosts"
READ_LIMIT = 1 << 20  # octets; some people keep lists of unwanted hosts in /etc/hosts
LOCALHOST = frozenset(
    (
        b"localhost", b"localhost.localdomain", b"localhost4", b"localhost4.localdomain4",
        b"localhost6", b"localhost6.localdomain6", b"ip6-localhost", b"ip6-loopback",
        b"[127.0.0.1]", b"[ipv6:::1]",
    )
)  # fmt: skip


class Person:
    """The sending user: uid (int), login (bytes), full_name (str, "" if the account has none)."""

    __slots__ = ("full_name", "login", "uid")

    def __init__(self, uid: int, login: bytes, full_name: str) -> None:
        self.uid = uid
        self.login = login
        self.full_name = full_name


def of(uid: int, hint: str = "") -> Person:
    """The person of a user id; without an account its login is `uid54321`.

    `hint` (the environment's LOGNAME, say) chooses between several logins of the same uid and is worth
    nothing else.
    """
    account = by_name(hint, uid)
    if account is None:
        try:
            account = pwd.getpwuid(uid)
        except KeyError:
            return Person(uid, b"uid%d" % uid, "")
    login = octets(account.pw_name)
    return Person(uid, login, full_name(octets(account.pw_gecos or ""), login))


def octets(text: str) -> bytes:
    """What the system calls a thing that Python has as text (os.fsencode)."""
    return text.encode(sys.getfilesystemencoding(), "surrogateescape")


def by_name(login: str, uid: int) -> pwd.struct_passwd | None:
    """The account called `login` if it has this uid."""
    try:
        account = pwd.getpwnam(login) if login else None
    except (KeyError, ValueError):  # a name with a NUL is a ValueError
        return None
    return account if account and account.pw_uid == uid else None


def full_name(gecos: bytes, login: bytes) -> str:
    """The name in an account's comment field: up to the first comma, `&` being the login (finger(1))."""
    name = gecos.partition(b",")[0].replace(b"&", login.capitalize())
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = name.decode("latin-1")
    return " ".join("".join([c if c.isprintable() else " " for c in text]).split())


class LocalNames:
    """The names of this host, as a container that reads /etc/hosts only when the answer depends on it.

    `domain in names` takes bytes in any letter case, with or without a final dot.
    """

    __slots__ = ("hidden", "host", "names")

    def __init__(self, host: Host, configured: list[str], mail_domains: list[str]) -> None:
        self.host = host
        self.names = {plain(name) for name in configured}
        self.hidden = {plain(name) for name in mail_domains} - self.names
        self.names |= {host.name, host.name.partition(b".")[0]}

    def __contains__(self, domain: object) -> bool:
        name = plain(domain) if isinstance(domain, bytes) else b""
        if name in LOCALHOST:
            return True
        if name in self.hidden:
            return False
        return bool(name) and (name in self.names or self.is_fqdn(name))

    def is_fqdn(self, name: bytes) -> bool:
        """The FQDN begins with the node name, so most names are ruled out without reading a file."""
        return name.startswith(self.host.name + b".") and name == self.host.fqdn.lower()

    def may_hold(self, domains: set[bytes]) -> bool:
        """Whether one of these, in lower case without final dots, can be this host's name; reads no file."""
        node = self.host.name + b"."
        known = LOCALHOST | self.names
        return not known.isdisjoint(domains) or any([one.startswith(node) for one in domains])  # noqa: C419

    def __iter__(self) -> Iterator[bytes]:
        return iter(sorted((LOCALHOST | self.names | {self.host.fqdn.lower()}) - self.hidden - {b""}))


def plain(name: bytes | str) -> bytes:
    """A host's name for comparison: lower case, without final dot."""
    as_bytes = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    return as_bytes.strip().lower().removesuffix(b".")


class Host:
    """What this host is called; every answer is worked out when it is first wanted.

    name: bytes, the kernel's node name in lower case (`localhost` if that is no name); local_names:
    LocalNames.
    """

    __slots__ = ("config", "found_fqdn", "found_own", "hosts", "local_names", "mailname", "name")

    def __init__(self, config: Config, node: bytes, hosts: str, mailname: str) -> None:
        self.config = config
        self.name = plain(node)
        if address.domain_fault(self.name):
            self.name = b"localhost"
        self.hosts = hosts
        self.mailname = mailname
        self.found_fqdn = self.found_own = b""
        mail_domains = [config.identity.domain, config.masquerade.domain]
        self.local_names = LocalNames(self, list(config.identity.local_names), mail_domains)

    def is_local(self, domain: bytes) -> bool:
        """Whether mail for this domain belongs to this host's aliases."""
        return domain in self.local_names

    @property
    def fqdn(self) -> bytes:
        """The node name, completed from /etc/hosts if it has no dot and if that knows more."""
        if not self.found_fqdn:
            self.found_fqdn = self.name if b"." in self.name else complete(self.name, self.hosts)
        return self.found_fqdn

    @property
    def own_domain(self) -> bytes:
        """The mail domain before masquerading: identity.domain, else /etc/mailname, else the FQDN."""
        if not self.found_own:
            configured = self.config.identity.domain.encode()
            self.found_own = configured or mail_name(self.mailname) or self.fqdn
        return self.found_own

    @property
    def mail_domain(self) -> bytes:
        """What completes bare names: identity.domain, else masquerade.domain, else as own_domain."""
        if self.config.identity.domain or not self.config.masquerade.domain:
            return self.own_domain
        return self.config.masquerade.domain.encode()

    @property
    def helo(self) -> bytes:
        """The name for EHLO: identity.helo, else the FQDN; b"" if that has no dot or is localhost's."""
        if self.config.identity.helo:
            return self.config.identity.helo.encode()
        name = self.fqdn
        fit = b"." in name and name.isascii() and name not in LOCALHOST and not name.endswith(b".localdomain")
        return name if fit else b""


def host(config: Config, node: bytes | None = None, hosts: str = HOSTS, mailname: str = MAILNAME) -> Host:
    """What this host is called under a configuration; the other arguments are for tests."""
    return Host(config, octets(posix.uname().nodename) if node is None else node, hosts, mailname)


def complete(node: bytes, hosts: str) -> bytes:
    """The FQDN that hosts(5) gives to a bare node name: a name on its line that begins with it and a dot."""
    text = read(hosts).lower()
    at = text.find(node)
    while at >= 0:
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        words = text[text.rfind(b"\n", 0, at) + 1 : end].partition(b"#")[0].split()[1:]
        for word in words if node in words else []:
            if word.startswith(node + b".") and not address.domain_fault(word):
                return word
        at = text.find(node, end)
    return node


def mail_name(path: str) -> bytes:
    """The first line of mailname(5), b"" if it is no domain."""
    name = read(path).partition(b"\n")[0].strip()
    return b"" if address.domain_fault(name) else name


def read(path: str) -> bytes:
    """The first octets of a small system file; b"" if it cannot be read."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return posix.read(fd, READ_LIMIT)
    except OSError:
        return b""
    finally:
        posix.close(fd)
