"""Layers, types and sense of the configuration; every error is one line with file, line and key."""

from __future__ import annotations

import ast
import os
import pwd
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.errors import ConfigError
from sendmail_py.policy import config, explain, homes, schema
from sendmail_py.policy.config import Config

from support.needs import needs_root

FULL = """\
delivery = "background"
dot_ends_message = false

[identity]
domain = "example.net"
helo = "[192.0.2.1]"
local_names = ["nas.lan"]

[masquerade]
domain = "example.net"
also = ["lan.example.net"]
exceptions = ["root"]
headers = false
override = "refuse"
dns = true

[masquerade.users]
root = "greg@isp.example"
www-data = ["shop@isp.example", "*@shop.example"]
"*" = "other@isp.example"

[aliases]
files = ["/etc/aliases", "~/.aliases"]
default = "greg@isp.example"
forward = true
maildir = true
agents = ["/usr/bin/procmail"]

[[smarthost]]
name = "isp"
host = "smtp.isp.example"
port = 2525
lookup = "srv"
protocol = "lmtp"
source = "192.0.2.1"
proxy = "socks5://127.0.0.1:9050"
proxy_user = "greg"
proxy_password_file = "/etc/sendmail-py/proxy.secret"
tls = "implicit"
user = "greg"
password_file = "/etc/sendmail-py/isp.secret"
auth = ["scram-sha-256", "PLAIN"]
ca_file = "/etc/ca.pem"
ca_path = "/etc/ca"
fingerprint = "AB:CD:EF:01:23:45:67:89:ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789"
key_fingerprint = "ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789"
dane = false
verify_name = "smtp.isp.example"
client_cert = "/etc/cert.pem"
client_key = "/etc/key.pem"
min_tls = "1.3"
senders = ["*@isp.example"]
require_tls = true
deliver_by = "2h"
hold_for = "10m"
priority = 3
max_connections = 4
max_messages_per_session = 100
max_rate = "60/m"
timeout = "90"
connect_timeout = "10s"

[[smarthost]]
host = "backup.isp.example"

[queue]
directory = "/var/spool/mine"
lifetime = "2d"
retry_min = "0s"
retry_max = "1h"
warn_after = ""
max_message = "10k"
max_queue = "2G"
report = "owner"
on_unknown = "hold"
coalesce = "10m"
failed_lifetime = "1d"

[log]
to = "stderr"
format = "json"
"""

SMARTHOST = '[[smarthost]]\nhost = "smtp.isp.example"\n'


class World:
    """A system file, a home with a user's file, and an environment."""

    def __init__(self, folder: Path) -> None:
        self.system = folder / "etc" / "config.toml"
        self.home = folder / "greg"
        self.user = self.home / ".config" / "sendmail-py" / "config.toml"
        self.user.parent.mkdir(parents=True)
        self.system.parent.mkdir()
        self.environ = {"HOME": str(self.home), "PATH": "/bin"}

    def load(self, system: str | None = None, user: str | None = None, option: str | None = None) -> Config:
        """The configuration with these texts in the files."""
        if system is not None:
            self.system.write_text(system)
        if user is not None:
            self.user.write_text(user)
        return config.load(self.environ, option, system_file=str(self.system))

    def fault(self, system: str | None = None, user: str | None = None, option: str | None = None) -> str:
        """The one line of the error that loading raises, the system file's path as FILE."""
        with pytest.raises(ConfigError) as caught:
            self.load(system, user, option)
        text = str(caught.value)
        assert caught.value.status == 78
        assert text.isprintable()
        return text.replace(str(self.system), "FILE").replace(str(self.user), "USER")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def no_passwd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without passwd entry."""

    def missing(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", missing)


# --- values ------------------------------------------------------------------------------------------------


def test_without_any_file_everything_has_its_default(world: World) -> None:
    found = world.load()
    assert (found.delivery, found.dot_ends_message) == ("queue", True)
    assert (found.identity.domain, found.identity.helo, found.identity.local_names) == ("", "", [])
    assert (found.masquerade.headers, found.masquerade.override, found.masquerade.users) == (True, "fix", {})
    assert (found.aliases.files, found.aliases.default) == (["/etc/aliases"], "")
    assert found.smarthosts == []
    assert found.queue.directory == f"{world.home}/.local/state/sendmail-py/spool"
    assert (found.queue.lifetime, found.queue.retry_min, found.queue.retry_max) == (432000, 300, 14400)
    assert (found.queue.max_message, found.queue.max_queue) == (50 << 20, 1 << 30)
    assert (found.queue.report, found.queue.on_unknown) == ("dsn", "resend")
    assert (found.queue.warn_after, found.queue.failed_lifetime) == (14400, 30 * 86400)
    assert (found.log.to, found.log.form) == ("syslog", "text")
    assert found.files == []


def test_every_key_of_a_full_file_arrives(world: World) -> None:
    found = world.load(FULL)
    assert (found.delivery, found.dot_ends_message) == ("background", False)
    assert (found.identity.domain, found.identity.helo) == ("example.net", "[192.0.2.1]")
    assert found.identity.local_names == ["nas.lan"]
    assert (found.masquerade.domain, found.masquerade.also) == ("example.net", ["lan.example.net"])
    assert (found.masquerade.exceptions, found.masquerade.headers) == (["root"], False)
    assert found.masquerade.override == "refuse"
    assert found.masquerade.users == {
        "root": ["greg@isp.example"],
        "www-data": ["shop@isp.example", "*@shop.example"],
        "*": ["other@isp.example"],
    }
    assert found.aliases.files == ["/etc/aliases", f"{world.home}/.aliases"]
    assert found.aliases.default == "greg@isp.example"
    assert (found.queue.directory, found.queue.lifetime) == ("/var/spool/mine", 2 * 86400)
    assert (found.queue.retry_min, found.queue.retry_max, found.queue.warn_after) == (0, 3600, 0)
    assert (found.queue.max_message, found.queue.max_queue) == (10 << 10, 2 << 30)
    assert (found.queue.report, found.queue.on_unknown) == ("owner", "hold")
    assert found.queue.failed_lifetime == 86400
    assert (found.log.to, found.log.form) == ("stderr", "json")
    assert found.files == [str(world.system)]


def test_every_key_of_a_smart_host_arrives(world: World) -> None:
    isp, backup = world.load(FULL).smarthosts
    assert (isp.name, isp.host, isp.port, isp.lookup) == ("isp", "smtp.isp.example", 2525, "srv")
    assert (isp.tls, isp.min_tls, isp.user) == ("implicit", "1.3", "greg")
    assert isp.password_file == "/etc/sendmail-py/isp.secret"
    assert isp.auth == ["SCRAM-SHA-256", "PLAIN"]
    assert (isp.ca_file, isp.ca_path) == ("/etc/ca.pem", "/etc/ca")
    assert isp.fingerprint == "abcdef0123456789" * 4
    assert isp.verify_name == "smtp.isp.example"
    assert (isp.client_cert, isp.client_key) == ("/etc/cert.pem", "/etc/key.pem")
    assert isp.senders == ["*@isp.example"]
    assert (isp.max_connections, isp.max_rate) == (4, "60/m")
    assert (isp.timeout, isp.connect_timeout) == (90, 10)
    assert (backup.name, backup.port, backup.tls) == ("backup.isp.example", 587, "starttls")
    assert (backup.user, backup.auth, backup.password_command) == ("", [], [])
    assert (backup.timeout, backup.connect_timeout) == (300, 30)


def test_the_full_file_of_this_test_has_every_key() -> None:
    keys = set(re.findall(r"^([a-z_]+) =", FULL, re.MULTILINE))
    other_sources = {"password_command", "password_credential", "password_env", "password"}
    other_sources |= {"users", "transport", "command"}
    assert {key for keys in schema.TABLES.values() for key in keys} - other_sources == keys - {"root"}


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("implicit", 465), ("none", 25)])
def test_the_port_follows_from_tls(world: World, tls: str, port: int) -> None:
    assert world.load(f'{SMARTHOST}tls = "{tls}"\n').smarthosts[0].port == port


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30s", 30), ("5m", 300), ("4h", 14400), ("5d", 432000), ("0s", 0), ("0", 0)],
)
def test_durations(world: World, text: str, seconds: int) -> None:
    assert world.load(f'[queue]\nlifetime = "{text}"\n').queue.lifetime == seconds


@pytest.mark.parametrize(
    ("text", "octets"), [('"50M"', 50 << 20), ('"1G"', 1 << 30), ('"10k"', 10240), ('"10"', 10), ("7", 7)]
)
def test_sizes(world: World, text: str, octets: int) -> None:
    assert world.load(f"[queue]\nmax_message = {text}\n").queue.max_message == octets


WRONG = [
    ("delivery", '"later"', 'must be "queue", "background" or "now"'),
    ("delivery", "true", 'must be "queue", "background" or "now"'),
    ("dot_ends_message", '"true"', "must be true or false"),
    ("dot_ends_message", "1", "must be true or false"),
    ("identity.domain", '"a b"', "must be a domain"),
    ("identity.domain", '"@example.net"', "must be a domain"),
    ("identity.domain", '"a..b"', "must be a domain"),
    ("identity.domain", '"a\\u0000b"', "must be a domain"),
    ("identity.domain", '["example.net"]', "must be a domain"),
    ("identity.helo", '"a b"', "must be a host name"),
    ("identity.helo", '"[]"', "must be a host name"),
    ("identity.local_names", '"nas.lan"', "must be an array of strings, each a domain"),
    ("identity.local_names", '["nas lan"]', "must be an array of strings, each a domain"),
    ("identity.local_names", '[""]', "must be an array of strings, each a domain"),
    ("identity.local_names", "[1]", "must be an array of strings, each a domain"),
    ("masquerade.override", '"fxi"', 'must be "allow", "fix" or "refuse"'),
    ("masquerade.users", '"greg@isp.example"', "must be a table [masquerade.users]"),
    ("masquerade.exceptions", '["a b"]', "must be an array of strings, each one word"),
    ("aliases.default", '"greg @isp.example"', "must be an address"),
    ("aliases.default", '"<greg@isp.example>"', "must be an address"),
    ("aliases.default", '"greg@"', "must be an address"),
    ("aliases.files", '["aliases"]', "must be an array of strings, each an absolute path"),
    ("queue.directory", '"spool"', 'must be "none", an absolute path'),
    ("queue.directory", '"/a\\u0000b"', 'must be "none", an absolute path'),
    ("queue.lifetime", "5", "must be a time"),
    ("queue.lifetime", '""', "must be a time"),
    ("queue.lifetime", '"5w"', "must be a time"),
    ("queue.lifetime", '"-5d"', "must be a time"),
    ("queue.lifetime", '"1.5h"', "must be a time"),
    ("queue.lifetime", '"\u0665d"', "must be a time"),
    ("queue.lifetime", '"9999999999999999d"', "must be a time"),
    ("queue.max_message", '"0"', "must be a size"),
    ("queue.max_message", "-5", "must be a size"),
    ("queue.max_message", "true", "must be a size"),
    ("queue.max_message", '"10T"', "must be a size"),
    ("queue.max_message", '"M"', "must be a size"),
    ("queue.max_message", "1.5", "must be a size"),
    ("queue.report", '"all"', 'must be "dsn", "owner" or "none"'),
    ("log.to", '"file"', 'must be "syslog", "stderr", an absolute path'),
    ("log.format", '"xml"', 'must be "text" or "json"'),
    ("smarthost.port", '"587"', "must be a whole number from 1 to 65535"),
    ("smarthost.port", "0", "must be a whole number from 1 to 65535"),
    ("smarthost.port", "65536", "must be a whole number from 1 to 65535"),
    ("smarthost.port", "true", "must be a whole number from 1 to 65535"),
    ("smarthost.host", '"smtp.isp.example:587"', "must be a name or an address such as"),
    ("smarthost.host", '"smtp isp"', "must be a name or an address"),
    ("smarthost.name", '"my isp"', "must be one word"),
    ("smarthost.name", '"../isp"', "must be one word"),
    (
        "smarthost.auth",
        '["PLAIN", "NTLM"]',
        "must be an array of strings, each AUTH mechanisms out of PLAIN,",
    ),
    ("smarthost.fingerprint", '"abcd"', "must be a SHA-256 fingerprint of 64 hexadecimal digits"),
    ("smarthost.min_tls", '"1.1"', 'must be "1.2" or "1.3"'),
    ("smarthost.timeout", '"0s"', "must be a time longer than zero"),
    ("smarthost.max_rate", '"60"', "must be a number in a time"),
    ("smarthost.max_rate", '"0/m"', "must be a number in a time"),
    ("smarthost.max_connections", "0", "must be a whole number from 1 to 100"),
    ("smarthost.password_command", '"pass isp"', "must be an array of strings"),
    ("smarthost.password", '"a\\nb"', "must be one line of text"),
]


@pytest.mark.parametrize(("key", "value", "words"), WRONG, ids=[f"{row[0]}={row[1]}" for row in WRONG])
def test_a_wrong_value_names_file_line_key_and_what_is_wanted(
    world: World, key: str, value: str, words: str
) -> None:
    table, _, name = key.rpartition(".")
    header = "# a line\n" + (f"[[{table}]]\n" if table == "smarthost" else f"[{table}]\n" if table else "\n")
    fault = world.fault(f"{header}{name} = {value}\n")
    assert fault.startswith(f"FILE:3: {key}: {words}")
    if len(value) > 8:
        assert value.strip('"') not in fault


UNKNOWN = [
    (
        '[masquerade]\ndomian = "x"\n',
        "FILE:2: masquerade.domian: unknown key; did you mean masquerade.domain?",
    ),
    ('[masquerad]\ndomain = "x"\n', "FILE:1: masquerad: unknown table; did you mean masquerade?"),
    ("\n[[smarthosts]]\n", "FILE:2: smarthosts: unknown table; did you mean smarthost?"),
    (
        '[[smarthost]]\nhost = "a"\nprot = 25\n',
        "FILE:3: smarthost.prot: unknown key; did you mean smarthost.port?",
    ),
    ('max_message = "1M"\n', "FILE:1: max_message: unknown key; did you mean queue.max_message?"),
    ('[queue]\nlife_time = "1d"\n', "FILE:2: queue.life_time: unknown key; did you mean queue.lifetime?"),
    ('[queue]\nxyzzy = "1d"\n', "FILE:2: queue.xyzzy: unknown key"),
    ('[queue]\n"a\\u000ab" = 1\n', "FILE:1: queue.a\\nb: unknown key"),
    ('[smarthost]\nhost = "a"\n', "FILE:1: smarthost: must be an array of tables, written [[smarthost]]"),
    ("[[queue]]\n", "FILE:1: queue: must be a table, written [queue]"),
    ("queue = 1\n", "FILE:1: queue: must be a table, written [queue]"),
    ("smarthost = [1]\n", "FILE:1: smarthost: must be an array of tables, written [[smarthost]]"),
    ("[smarthost.x]\n", "FILE:1: smarthost: must be an array of tables, written [[smarthost]]"),
    ('"" = 1\n', "FILE:1: : unknown key"),
]


@pytest.mark.parametrize(("text", "fault"), UNKNOWN)
def test_an_unknown_key_or_table_names_the_nearest_known_one(world: World, text: str, fault: str) -> None:
    assert world.fault(text) == fault


USERS = [
    ('root = ""', "root"),
    ("root = []", "root"),
    ('root = ["greg@isp.example", 5]', "root"),
    ('root = "greg@isp example"', "root"),
    ('"" = "greg@isp.example"', ""),
    ('"a b" = "greg@isp.example"', "a b"),
]


@pytest.mark.parametrize(("text", "login"), USERS)
def test_a_wrong_address_of_a_user_names_login_and_line(world: World, text: str, login: str) -> None:
    fault = world.fault(f'[masquerade.users]\nwww-data = "shop@isp.example"\n{text}\n')
    assert fault.startswith(f"FILE:3: masquerade.users.{login}: must be ")


CONFLICTS = [
    ("[[smarthost]]\nport = 25\n", "FILE:1: smarthost.host: missing"),
    (f'{SMARTHOST}user = "greg"\n', "FILE:3: smarthost.user: there is no password for it"),
    (f'{SMARTHOST}password = "geheim"\n', "FILE:3: smarthost.password: of no use without user"),
    (f'{SMARTHOST}client_key = "/k"\n', "FILE:3: smarthost.client_key: of no use without client_cert"),
    (
        f'{SMARTHOST}user = "greg"\npassword = "geheim"\npassword_file = "/x"\n',
        "FILE:4: smarthost.password: password_file is set, too; keep one of them",
    ),
    (
        f'{SMARTHOST}\n[[smarthost]]\nhost = "b"\nname = "smtp.isp.example"\n',
        "FILE:6: smarthost.name: another smart host has this name",
    ),
    (f"{SMARTHOST}\n{SMARTHOST}", "FILE:5: smarthost.host: another smart host has this name"),
    (
        '[queue]\nretry_min = "2h"\nretry_max = "1h"\n',
        "FILE:3: queue.retry_max: must not be shorter than queue.retry_min",
    ),
]


@pytest.mark.parametrize(("text", "fault"), CONFLICTS)
def test_settings_that_do_not_go_together_are_refused(world: World, text: str, fault: str) -> None:
    found = world.fault(text)
    assert found.startswith(fault)
    assert "geheim" not in found


LOOPBACK = ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]", "LOCALHOST"]
ELSEWHERE = [
    "smtp.isp.example",
    "127.0.0.1.isp.example",
    "127.isp.example.net",
    "128.0.0.1",
    "::2",
    "127.0.0",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_login_without_tls_is_allowed_on_the_loopback(world: World, host: str) -> None:
    text = f'[[smarthost]]\nhost = "{host}"\ntls = "none"\nuser = "greg"\npassword_env = "PW"\n'
    assert world.load(text).smarthosts[0].port == 25


@pytest.mark.parametrize("host", ELSEWHERE)
def test_a_login_without_tls_is_refused_elsewhere(world: World, host: str) -> None:
    text = f'[[smarthost]]\nhost = "{host}"\ntls = "none"\nuser = "greg"\npassword_env = "PW"\n'
    assert world.fault(text).startswith("FILE:3: smarthost.tls: ")


def test_a_login_without_tls_is_refused_when_the_host_is_looked_up(world: World) -> None:
    text = (
        '[[smarthost]]\nhost = "localhost"\nlookup = "mx"\ntls = "none"\nuser = "greg"\npassword_env = "PW"\n'
    )
    assert world.fault(text).startswith("FILE:4: smarthost.tls: ")


def test_without_a_login_tls_none_is_allowed_everywhere(world: World) -> None:
    assert world.load(f'{SMARTHOST}tls = "none"\n').smarthosts[0].tls == "none"


@pytest.mark.parametrize(
    ("text", "retry_min", "retry_max"),
    [('retry_min = "6h"', 21600, 21600), ('retry_max = "1m"', 60, 60), ('retry_max = "0s"', 0, 0)],
)
def test_the_default_gives_way_to_the_other_retry_time(
    world: World, text: str, retry_min: int, retry_max: int
) -> None:
    queue = world.load(f"[queue]\n{text}\n").queue
    assert (queue.retry_min, queue.retry_max) == (retry_min, retry_max)


@pytest.mark.parametrize(
    "text",
    ['identity.domain = "x"', 'masquerade = {domain = "x", users = {root = "a@b"}}', "delivery='now'\r\n"],
)
def test_files_beyond_the_subset_are_read_all_the_same(world: World, text: str) -> None:
    assert len(world.load(text).files) == 1


def test_a_broken_file_names_file_and_line_and_nothing_of_it(world: World) -> None:
    fault = world.fault(f'{SMARTHOST}password = hunter2"\n')
    assert fault == "FILE:3: not TOML: this value is not TOML; text needs quotes"


def test_a_wrong_key_of_a_file_beyond_the_subset_names_its_line(world: World) -> None:
    assert world.fault("\nqueue.lifetime = 5\n").startswith("FILE:2: queue.lifetime: must be a time")
    assert world.fault("\n\nqueue = {lifetime = 5}\n").startswith("FILE:3: queue.lifetime: must be a time")


PIECES = st.sampled_from(
    ["", "[", "]", "'", '"', "=", "5", "true", "[[smarthost]]\n", "{", "}", ".", "\\u0000", "\n"]
)


@given(st.lists(st.tuples(st.integers(0, len(FULL)), st.integers(0, 9), PIECES), min_size=1, max_size=3))
def test_a_damaged_file_is_read_or_an_error_of_one_line(damage: list[tuple[int, int, str]]) -> None:
    text = FULL
    for at, length, piece in damage:
        text = text[:at] + piece + text[at + length :]
    found = Config({"HOME": "/home/greg"})
    try:
        found.add_file("FILE", text.encode())
        config.complete(found, "/nowhere")
        assert explain.settings(found)
    except ConfigError as problem:
        assert re.match("FILE:[0-9]+: ", str(problem))
        assert str(problem).isprintable()


@given(st.sampled_from(list(explain.HELP)), st.text(st.characters(min_codepoint=1), max_size=12))
def test_a_variable_is_taken_or_an_error_of_one_line(label: str, text: str) -> None:
    environ = {"HOME": "/home/greg", explain.variable(label): text, "SENDMAIL_PY_CONFIG": "/dev/null"}
    try:
        assert explain.settings(config.load(environ))
    except ConfigError as problem:
        assert str(problem).startswith("environment SENDMAIL_PY_")
        assert str(problem).isprintable()


# --- layers ------------------------------------------------------------------------------------------------


def test_the_user_comes_after_the_system_and_the_environment_last(world: World) -> None:
    world.environ["SENDMAIL_PY_QUEUE_RETRY_MAX"] = "3h"
    system = '[queue]\nlifetime = "1d"\nretry_min = "1m"\nretry_max = "1h"\n'
    found = world.load(system, '[queue]\nretry_min = "2m"\nretry_max = "2h"\n')
    assert (found.queue.lifetime, found.queue.retry_min, found.queue.retry_max) == (86400, 120, 10800)
    assert found.files == [str(world.system), str(world.user)]
    assert found.origins["queue.lifetime"] == f"{world.system}:2"
    assert found.origins["queue.retry_min"] == f"{world.user}:2"
    assert found.origins["queue.retry_max"] == "environment SENDMAIL_PY_QUEUE_RETRY_MAX"
    assert found.origins["queue.report"] == "default"


def test_the_users_smart_hosts_replace_the_systems(world: World) -> None:
    found = world.load(FULL, '[[smarthost]]\n\nhost = "mine.example"\n')
    assert [one.host for one in found.smarthosts] == ["mine.example"]
    assert found.origins["smarthost[1].host"] == f"{world.user}:3"
    assert found.origins["smarthost[1].port"] == "default"
    assert found.smarthosts[0].user == ""


def test_the_systems_smart_hosts_stay_when_the_user_has_none(world: World) -> None:
    found = world.load(FULL, 'delivery = "now"\n')
    assert [one.name for one in found.smarthosts] == ["isp", "backup.isp.example"]


def test_an_error_in_the_users_file_names_that_file(world: World) -> None:
    assert world.fault(FULL, "\ndelivery = 1\n").startswith("USER:2: delivery: ")


def test_an_error_between_layers_names_the_one_that_counts(world: World) -> None:
    assert world.fault(FULL, "\n[[smarthost]]\nport = 1\n").startswith("USER:2: smarthost.host: missing")


def test_users_of_both_files_are_joined_by_login(world: World) -> None:
    system = '[masquerade.users]\nroot = "a@x.example"\ngreg = "b@x.example"\n'
    found = world.load(system, '[masquerade.users]\ngreg = "c@x.example"\n')
    assert found.masquerade.users == {"root": ["a@x.example"], "greg": ["c@x.example"]}
    assert found.origins["masquerade.users.greg"] == f"{world.user}:2"


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_named_file_is_used_instead_of_both(world: World, tmp_path: Path, by: str) -> None:
    named = tmp_path / "named.toml"
    named.write_text('[log]\nto = "stderr"\n')
    if by == "variable":
        world.environ["SENDMAIL_PY_CONFIG"] = str(named)
    found = world.load('delivery = "now"\n', 'delivery = "now"\n', str(named) if by == "option" else None)
    assert (found.delivery, found.log.to, found.files) == ("queue", "stderr", [str(named)])


def test_the_option_wins_over_the_variable(world: World, tmp_path: Path) -> None:
    world.environ["SENDMAIL_PY_CONFIG"] = str(tmp_path / "missing")
    assert world.load('delivery = "now"\n', None, str(world.system)).delivery == "now"


@pytest.mark.parametrize("name", ["missing.toml", "", "."])
def test_a_named_file_must_be_readable(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert world.fault(option=name).startswith(f"{name}: cannot read it: ")


def test_an_empty_variable_names_no_file(world: World) -> None:
    world.environ["SENDMAIL_PY_CONFIG"] = ""
    assert world.load('delivery = "now"\n').delivery == "now"


def test_an_endless_file_is_refused(world: World) -> None:
    assert world.fault(option="/dev/zero") == "/dev/zero: too long for a configuration (at most 1 MiB)"


def as_nobody(world: World, code: str) -> str:
    """What `code` prints when a user without rights runs it; `environ` and `system` are there."""
    needs_root()
    text = (
        f"import os, sys; sys.path[:0] = {sys.path!r}; from sendmail_py.policy import config, explain, homes;"
        f"os.setgid(65534); os.setuid(65534); environ, system = {world.environ!r}, {str(world.system)!r}\n"
    )
    done = subprocess.run([sys.executable, "-c", text + code], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr.strip().rpartition("\n")[2]


@pytest.fixture
def open_world(world: World) -> World:
    """A world whose folders everybody may search."""
    folder = world.home
    while folder != folder.parent:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(0o711)
        folder = folder.parent
    return world


def test_a_system_file_that_may_not_be_read_is_an_error(open_world: World) -> None:
    open_world.system.write_text("")
    open_world.system.chmod(0o600)
    said = as_nobody(open_world, "config.load(environ, system_file=system)")
    assert said.endswith(f"{open_world.system}: cannot read it: Permission denied")


def test_a_users_file_that_may_not_be_read_is_an_error(open_world: World) -> None:
    open_world.user.write_text("")
    open_world.user.chmod(0o600)
    said = as_nobody(open_world, "config.load(environ, system_file=system)")
    assert said.endswith(f"{open_world.user}: cannot read it: Permission denied")


def test_a_users_file_in_a_home_of_somebody_else_counts_as_missing(open_world: World) -> None:
    open_world.user.write_text("broken")
    open_world.home.chmod(0o700)
    assert as_nobody(open_world, "print(config.load(environ, system_file=system).files)") == "[]\n"


@pytest.mark.parametrize("home", ["/nonexistent", "/dev/null"])
def test_a_home_that_is_not_there_is_no_error(world: World, home: str) -> None:
    world.environ["HOME"] = home
    assert world.load().queue.directory == f"{home}/.local/state/sendmail-py/spool"


# --- folders -----------------------------------------------------------------------------------------------

FOLDERS = [
    {"HOME": "/home/greg"},
    {"HOME": "/home/greg/"},
    {"HOME": "/nowhere"},
    {"HOME": "/home/greg", "XDG_CONFIG_HOME": "/x", "XDG_STATE_HOME": "/y/"},
    {"HOME": "/home/greg", "XDG_CONFIG_HOME": "x", "XDG_STATE_HOME": "./y"},
    {"HOME": "/home/greg", "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""},
    {},
]


@pytest.mark.parametrize("environ", FOLDERS)
def test_the_folders_are_those_of_platformdirs(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    folder = homes.base_folder(environ, "XDG_CONFIG_HOME", "/.config")
    assert Path(folder + "/sendmail-py") == platformdirs.user_config_path("sendmail-py")
    state = config.load(environ, "/dev/null").queue.directory
    assert Path(state) == platformdirs.user_state_path("sendmail-py") / "spool"


@pytest.mark.parametrize("home", [None, "", "somewhere", "/"])
def test_without_a_usable_home_passwd_knows_it(world: World, home: str | None) -> None:
    world.environ.pop("HOME")
    if home is not None:
        world.environ["HOME"] = home
    own = pwd.getpwuid(os.getuid()).pw_dir.rstrip("/")
    assert world.load().queue.directory == f"{own}/.local/state/sendmail-py/spool"


def test_the_home_of_somebody_else_is_not_taken_for_ours(open_world: World) -> None:
    """Unless the account has none of its own either: then it is what the caller wants."""
    said = as_nobody(open_world, "print(homes.home({'HOME': '/root'}), homes.home({'HOME': '/'}))")
    assert said == "/root /\n"


def test_with_a_home_passwd_is_not_asked(world: World, no_passwd: None) -> None:
    assert world.load().queue.directory


def test_a_user_whom_nobody_knows_has_no_spool(world: World, no_passwd: None) -> None:
    world.environ.pop("HOME")
    assert world.load().queue.directory == ""
    world.environ["XDG_STATE_HOME"] = "/state"
    assert world.load().queue.directory == "/state/sendmail-py/spool"


def test_a_path_below_a_home_that_nobody_knows_is_an_error(world: World, no_passwd: None) -> None:
    world.environ.pop("HOME")
    fault = world.fault('[queue]\ndirectory = "~/spool"\n')
    assert fault == "FILE:2: queue.directory: there is no home folder for ~/; write the whole path"


def test_the_configured_spool_wins(world: World) -> None:
    world.environ["XDG_STATE_HOME"] = "/state"
    assert world.load('[queue]\ndirectory = "~/mine"\n').queue.directory == f"{world.home}/mine"


# --- environment -------------------------------------------------------------------------------------------


def test_a_container_needs_no_file(world: World, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("geheim")
    world.environ.update(
        SENDMAIL_PY_DELIVERY="now",
        SENDMAIL_PY_DOT_ENDS_MESSAGE="no",
        SENDMAIL_PY_IDENTITY_LOCAL_NAMES="nas.lan, tv.lan,",
        SENDMAIL_PY_MASQUERADE_USERS="root=greg@isp.example, www=a@shop.example,www=*@shop.example",
        SENDMAIL_PY_SMARTHOST_HOST="smtp.isp.example",
        SENDMAIL_PY_SMARTHOST_PORT="2525",
        SENDMAIL_PY_SMARTHOST_USER="greg",
        SENDMAIL_PY_SMARTHOST_PASSWORD_FILE="/run/secrets/pw",
        SENDMAIL_PY_SMARTHOST_AUTH="plain,login",
        SENDMAIL_PY_QUEUE_DIRECTORY="/spool",
        SENDMAIL_PY_LOG_TO="stderr",
    )
    found = world.load()
    assert (found.delivery, found.dot_ends_message) == ("now", False)
    assert found.identity.local_names == ["nas.lan", "tv.lan"]
    assert found.masquerade.users == {
        "root": ["greg@isp.example"],
        "www": ["a@shop.example", "*@shop.example"],
    }
    (isp,) = found.smarthosts
    assert (isp.host, isp.name, isp.port, isp.user) == ("smtp.isp.example", "smtp.isp.example", 2525, "greg")
    assert (isp.password_file, isp.auth) == ("/run/secrets/pw", ["PLAIN", "LOGIN"])
    assert (found.queue.directory, found.log.to) == ("/spool", "stderr")
    assert found.origins["masquerade.users.www"] == "environment SENDMAIL_PY_MASQUERADE_USERS"
    assert found.origins["smarthost[1].host"] == "environment SENDMAIL_PY_SMARTHOST_HOST"


def test_the_environment_speaks_of_the_first_smart_host(world: World) -> None:
    world.environ["SENDMAIL_PY_SMARTHOST_PORT"] = "26"
    found = world.load(FULL)
    assert [one.port for one in found.smarthosts] == [26, 587]
    assert found.origins["smarthost[1].host"] == f"{world.system}:31"
    assert found.origins["smarthost[1].port"] == "environment SENDMAIL_PY_SMARTHOST_PORT"


def test_a_password_of_the_environment_replaces_the_files_source(world: World) -> None:
    world.environ["SENDMAIL_PY_SMARTHOST_PASSWORD"] = "geheim"
    isp = world.load(FULL).smarthosts[0]
    assert (isp.password, isp.password_file) == ("geheim", "")


@pytest.mark.parametrize(
    ("content", "value"), [("geheim\n", "geheim"), ("geheim", "geheim"), ("a\r\n", "a"), (" a ", " a ")]
)
def test_a_value_can_come_from_a_file(world: World, tmp_path: Path, content: str, value: str) -> None:
    (tmp_path / "user").write_bytes(content.encode())
    world.environ["SENDMAIL_PY_SMARTHOST_USER_FILE"] = str(tmp_path / "user")
    assert world.load(FULL).smarthosts[0].user == value
    assert world.load(FULL).origins["smarthost[1].user"] == "environment SENDMAIL_PY_SMARTHOST_USER_FILE"


def test_an_empty_variable_and_an_empty_file_count_as_unset(world: World, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    world.environ.update(SENDMAIL_PY_DELIVERY="", SENDMAIL_PY_LOG_TO_FILE=str(tmp_path / "empty"))
    found = world.load(FULL)
    assert (found.delivery, found.log.to) == ("background", "stderr")


VARIABLES = [
    ("QUEUE_RETRYMIN", "5m", "unknown name; did you mean SENDMAIL_PY_QUEUE_RETRY_MIN?"),
    ("SMARTHOST_HOTS", "x", "unknown name; did you mean SENDMAIL_PY_SMARTHOST_HOST?"),
    ("queue_lifetime", "1d", "unknown name"),
    ("XYZZY", "1d", "unknown name"),
    ("XYZZY_FILE", "/etc/passwd", "unknown name"),
    ("DELIVERY", "geheim", 'delivery: must be "queue", "background" or "now"'),
    ("DOT_ENDS_MESSAGE", "geheim", "dot_ends_message: must be true or false"),
    ("SMARTHOST_PORT", "geheim", "smarthost.port: must be a whole number from 1 to 65535"),
    ("SMARTHOST_USER", "greg", "smarthost.user: there is no password for it"),
    ("MASQUERADE_USERS", "geheim", "masquerade.users: must be login=address"),
    ("MASQUERADE_USERS", "root=geheim <", "masquerade.users.root: must be a login, or"),
    ("DELIVERY_FILE", "/nonexistent", "/nonexistent: cannot read it: No such file or directory"),
]


@pytest.mark.parametrize(("name", "value", "fault"), VARIABLES)
def test_a_wrong_variable_is_named(world: World, name: str, value: str, fault: str) -> None:
    world.environ[f"SENDMAIL_PY_{name}"] = value
    if name == "SMARTHOST_USER":
        world.environ["SENDMAIL_PY_SMARTHOST_HOST"] = "smtp.isp.example"
    found = world.fault()
    assert found.startswith(f"environment SENDMAIL_PY_{name}: {fault}")
    assert "geheim" not in found


def test_a_missing_host_is_asked_for_by_the_name_of_its_variable(world: World) -> None:
    world.environ["SENDMAIL_PY_SMARTHOST_PORT"] = "25"
    assert world.fault().startswith("environment SENDMAIL_PY_SMARTHOST_HOST: smarthost.host: missing")


def test_a_value_and_its_file_exclude_each_other(world: World) -> None:
    world.environ.update(SENDMAIL_PY_DELIVERY="now", SENDMAIL_PY_DELIVERY_FILE=str(world.system))
    fault = world.fault('delivery = "now"\n')
    assert fault.endswith("is set, too; keep one of them")


# --- for people --------------------------------------------------------------------------------------------


def test_no_secret_is_shown(world: World) -> None:
    found = world.load(f'{SMARTHOST}user = "greg"\npassword = "geheim"\n')
    assert ("smarthost[1].password", '"***"', f"{world.system}:4") in explain.settings(found)
    assert "geheim" not in repr(explain.settings(found)) + repr(found.origins) + repr(found)


def test_the_settings_are_shown_as_toml(world: World) -> None:
    shown = {label: text for label, text, _ in explain.settings(world.load(FULL))}
    assert shown["delivery"] == '"background"'
    assert shown["dot_ends_message"] == "false"
    assert shown["masquerade.users.www-data"] == '["shop@isp.example", "*@shop.example"]'
    assert shown["queue.lifetime"] == '"2d"'
    assert shown["queue.max_message"] == '"10K"'
    assert shown["smarthost[1].timeout"] == '"90s"'
    assert shown["smarthost[2].port"] == "587"
    assert shown["aliases.files"] == f'["/etc/aliases", "{world.home}/.aliases"]'


def test_what_is_shown_can_be_read_again(world: World) -> None:
    tables: dict[str, list[str]] = {}
    for label, text, _ in explain.settings(world.load(FULL)):
        table, _, key = label.rpartition(".")
        if not label.startswith("smarthost"):
            tables.setdefault(table, []).append(f"'{key}' = {text}")
    lines = [line for table, keys in tables.items() for line in ([f"[{table}]"] if table else []) + keys]
    world.system.unlink()
    again = {label: text for label, text, _ in explain.settings(world.load("\n".join(lines)))}
    assert again == {
        label: text
        for label, text, _ in explain.settings(world.load(FULL))
        if not label.startswith("smarthost")
    }


def test_every_key_has_a_help_text_in_the_order_of_the_table() -> None:
    rows = explain.rows()
    assert [row[0] for row in rows] == list(explain.HELP)
    for name, kind, default, wanted, text in rows:
        assert text
        assert wanted or kind == "users", name
        assert default or kind == "users", name


def test_the_defaults_are_values_of_their_rows() -> None:
    for name, kind, default, _, _ in explain.rows():
        table, _, key = name.rpartition(".")
        row = schema.TABLES[table][key]
        if kind not in ("users", "int"):
            raw = tomllib.loads(f"raw = {default}")["raw"]
            assert schema.convert(row, raw) == (raw if kind in ("array", "paths") else row[1]), name


def test_the_examples_of_the_page_can_be_loaded(world: World) -> None:
    page = (Path(__file__).resolve().parents[2] / "man" / "sendmail-py.toml.5").read_text()
    blocks = re.findall(r"^\.Bd .*?\n(.*?)^\.Ed", page, re.MULTILINE | re.DOTALL)
    files = [block for block in blocks if "\n[" in "\n" + block]
    assert [len(world.load(text).smarthosts) for text in files] == [0, 1, 2]
    world.system.unlink()
    world.environ.update(line.split("=", 1) for line in blocks[-2].splitlines())
    assert world.load().smarthosts[0].host == "smtp.isp.example"
    assert world.load().queue.directory == "/var/spool/mail-out"
    world.environ.update(line.split("=", 1) for line in blocks[-1].splitlines())
    assert (world.load().delivery, world.load().queue.directory) == ("now", "")


def test_the_type_checker_knows_every_key() -> None:
    tree = ast.parse(Path(config.__file__).read_text())
    declared = {
        node.name.lower(): [
            one.target.id
            for one in node.body
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        ]
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    for table, rows in schema.TABLES.items():
        known = [key for key in declared[table or "config"] if key not in ("form", "shared")]
        assert known == list(rows), table


def test_loading_a_usual_file_imports_nothing_costly(world: World) -> None:
    world.system.write_text(FULL)
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; before = set(sys.modules);"
        "from sendmail_py.policy import config;"
        f"config.load({world.environ!r}, system_file={str(world.system)!r});"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    found = ast.literal_eval(done.stdout)
    ours = [name for name in found if name.startswith("sendmail_py")]
    assert [name.removeprefix("sendmail_py") for name in ours] == [
        "",
        ".errors",
        ".policy",
        ".policy.config",
        ".policy.homes",
        ".policy.schema",
        ".policy.smarthosts",
        ".policy.toml",
    ]
    assert set(found) - set(ours) <= {"__future__", "errno", "pwd"}
