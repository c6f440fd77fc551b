"""Every example can be used as it stands, and says what its comments say."""

from __future__ import annotations

import configparser
import os
import subprocess
from pathlib import Path

import pytest
from sendmail_py.admin import layout, units
from sendmail_py.commands import options
from sendmail_py.errors import NotPermittedError
from sendmail_py.policy import aliases, config, identity
from sendmail_py.policy.config import Config
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.relay import smarthost

from support.needs import needs

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
HOME = "/home/greg"


def load(name: str) -> Config:
    """An example's configuration, for a person whose home is HOME and nothing else in the environment."""
    return config.load({"HOME": HOME}, str(EXAMPLES / name))


def host_of(found: Config, node: bytes) -> identity.Host:
    """A host of that name that has neither /etc/hosts nor /etc/mailname."""
    return identity.host(found, node, "/nowhere/hosts", "/nowhere/mailname")


def rules(found: Config, login: bytes, node: bytes = b"web1.lan") -> SenderRules:
    """The sender rules for an account."""
    return SenderRules(found, host_of(found, node), identity.Person(1000, login, ""))


def routes(found: Config, sender: bytes) -> list[str]:
    """The smart hosts that take a sender's messages, in order."""
    return [one.name for one in found.smarthosts if smarthost.serves(one, sender)]


# --- configurations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_every_configuration_loads(path: Path) -> None:
    assert load(path.name).smarthosts


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_no_password_goes_over_a_connection_without_tls(path: Path) -> None:
    assert all(one.tls in ("starttls", "implicit") for one in load(path.name).smarthosts)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_only_names_that_are_reserved_for_examples_stand_in_them(path: Path) -> None:
    found = load(path.name)
    hosts = [one.host for one in found.smarthosts]
    senders = [address for entry in found.masquerade.users.values() for address in entry]
    assert all(name.endswith((".example", "example.net")) for name in hosts + senders)


def test_the_home_user_always_sends_from_the_mailbox() -> None:
    for_greg = rules(load("home-user.toml"), b"greg", b"laptop")
    assert for_greg.default() == b"greg@isp.example"
    for sender in (b"root", b"greg@laptop.lan", b"root@localhost", b"somebody@example.org"):
        assert for_greg.repair(sender)[0] == b"greg@isp.example"


def test_the_home_user_gets_mail_to_bare_names() -> None:
    found = load("home-user.toml")
    known = aliases.load(["/nowhere/aliases"], found.aliases.default)
    assert known.resolve(b"root", host_of(found, b"laptop")) == [b"greg@isp.example"]


def test_the_home_user_logs_in_over_tls() -> None:
    (isp,) = load("home-user.toml").smarthosts
    assert (isp.name, isp.host, isp.port, isp.tls, isp.user) == (
        "isp",
        "smtp.isp.example",
        587,
        "starttls",
        "greg",
    )
    assert isp.password_file == f"{HOME}/.config/sendmail-py/isp.secret"


def test_the_home_user_retries_between_a_minute_and_an_hour() -> None:
    queue = load("home-user.toml").queue
    assert (queue.retry_min, queue.retry_max, queue.lifetime) == (60, 3600, 5 * 86400)


@pytest.mark.parametrize(
    ("login", "sender", "result"),
    [
        (b"root", b"root@web1.lan", b"root@example.net"),
        (b"root", b"root@db.lan.example.net", b"root@example.net"),
        (b"backup", b"backup@web1.lan", b"backup@web1.lan"),
        (b"root", b"ops@example.org", b"ops@example.org"),
        (b"www-data", b"orders@shop.example", b"orders@shop.example"),
    ],
)
def test_the_server_repairs_what_its_comments_say(login: bytes, sender: bytes, result: bytes) -> None:
    assert rules(load("server.toml"), login).repair(sender)[0] == result


def test_the_server_refuses_an_account_that_claims_to_be_somebody_else() -> None:
    for_shop = rules(load("server.toml"), b"www-data")
    assert for_shop.default() == b"shop@shop.example"
    with pytest.raises(NotPermittedError):
        for_shop.repair(b"ceo@example.net")


def test_the_server_has_a_second_smart_host_and_trusts_its_own_authority() -> None:
    found = load("server.toml")
    assert [one.host for one in found.smarthosts] == ["mail.example.net", "mail2.example.net"]
    assert {(one.port, one.tls, one.ca_file) for one in found.smarthosts} == {
        (465, "implicit", "/etc/ssl/example-net-ca.pem")
    }
    assert host_of(found, b"web1").helo == b"web1.example.net"


@pytest.mark.parametrize(
    ("sender", "names"),
    [
        (b"greg@work.example", ["work", "isp"]),
        (b"greg@isp.example", ["isp"]),
        (b"hello@greg.example", ["isp"]),
    ],
)
def test_each_address_leaves_by_its_own_smart_host(sender: bytes, names: list[str]) -> None:
    found = load("several-addresses.toml")
    assert routes(found, sender) == names
    assert rules(found, b"greg").repair(sender) == (sender, "")


def test_the_first_of_several_addresses_is_the_default() -> None:
    assert rules(load("several-addresses.toml"), b"greg").default() == b"greg@isp.example"


# Example, login, node name, sender, what leaves.
SENDERS = [
    ("home-user.toml", b"greg", b"laptop", b"greg@laptop.fritz.box", b"greg@isp.example"),
    ("home-user.toml", b"root", b"laptop", b"root@isp.example", b"greg@isp.example"),
    ("several-addresses.toml", b"greg", b"laptop", b"greg@laptop.lan", b"greg@isp.example"),
    ("several-addresses.toml", b"greg", b"laptop", b"shop@greg.example", b"shop@greg.example"),
    ("several-addresses.toml", b"greg", b"laptop", b"gregory@isp.example", b"greg@isp.example"),
    ("family-server.toml", b"ann", b"nas", b"ann", b"ann@isp.example"),
    ("family-server.toml", b"ann", b"nas", b"ann@family.example", b"ann@family.example"),
    ("family-server.toml", b"ann", b"nas", b"bob@mail.example", b"ann@isp.example"),
    ("family-server.toml", b"bob", b"nas", b"bob@nas.fritz.box", b"bob@mail.example"),
    ("family-server.toml", b"root", b"nas", b"root", b"ann@isp.example"),
    ("family-server.toml", b"backup", b"nas", b"backup@nas.fritz.box", b"backup@family.example"),
    ("family-server.toml", b"www-data", b"nas", b"photos@old-family.example", b"photos@family.example"),
    ("family-server.toml", b"www-data", b"nas", b"visitor@example.net", b"visitor@example.net"),
    ("dynamic-dns.toml", b"greg", b"greg.dyn.example", b"greg", b"greg@isp.example"),
    ("dynamic-dns.toml", b"greg", b"greg.dyn.example", b"greg@greg.dyn.example", b"greg@isp.example"),
    (
        "dynamic-dns.toml",
        b"root",
        b"greg.dyn.example",
        b"root@dip-192-0-2-7.isp.example",
        b"greg@isp.example",
    ),
    ("dynamic-dns.toml", b"root", b"greg.dyn.example", b"root@localhost", b"greg@isp.example"),
]


@pytest.mark.parametrize(("name", "login", "node", "sender", "result"), SENDERS)
def test_each_example_sends_from_an_address_that_can_be_answered(
    name: str, login: bytes, node: bytes, sender: bytes, result: bytes
) -> None:
    here = rules(load(name), login, node)
    assert here.repair(sender)[0] == result
    assert not here.fault(result.rpartition(b"@")[2])


def test_the_three_names_of_the_dynamic_machine_are_three_things() -> None:
    host = host_of(load("dynamic-dns.toml"), b"greg.dyn.example")
    assert (host.helo, host.mail_domain) == (b"greg.dyn.example", b"isp.example")
    assert host.is_local(b"dip-192-0-2-7.isp.example")
    assert host.is_local(b"greg.dyn.example")


def test_the_family_is_reached_by_login_and_list(tmp_path: Path) -> None:
    found = load("family-server.toml")
    text = (EXAMPLES / "family-server.toml").read_text()
    lines = [line[2:].strip() for line in text.partition("In /etc/aliases:")[2].splitlines()[1:5]]
    first = text.partition("In /etc/aliases:")[2].splitlines()[0].strip()
    (tmp_path / "family").write_text("ann, bob\n")
    content = "\n".join([first, *lines]).replace("/etc/sendmail-py/family", str(tmp_path / "family"))
    (tmp_path / "aliases").write_text(content + "\n")
    host = host_of(found, b"nas")
    known = aliases.load([str(tmp_path / "aliases")], found.aliases.default)
    assert known.resolve(b"root@nas.fritz.box", host) == [b"ann@isp.example"]
    assert known.resolve(b"backup", host) == [b"ann@isp.example"]
    fresh = aliases.load([str(tmp_path / "aliases")], found.aliases.default)
    assert fresh.resolve(b"family", host) == [b"ann@isp.example", b"bob@mail.example"]
    assert fresh.owners == [b"owner-family"] * 2
    assert fresh.owner(b"owner-family", host) == b"ann@isp.example"


# --- callers ------------------------------------------------------------------------------------------------


def parsed(words: list[str]) -> options.Request:
    """The arguments after the program's name as sendmail reads them."""
    request = options.Request("sendmail", "submit")
    options.parse(request, [word.encode() for word in words])
    return request


def test_the_crontab_flushes_every_minute_and_at_the_start() -> None:
    lines = [line for line in (EXAMPLES / "crontab").read_text().splitlines() if line and line[0] != "#"]
    every_minute, at_start, daily = lines
    assert every_minute.split()[:5] == ["*"] * 5
    assert at_start.startswith("@reboot")
    assert every_minute == units.crontab('"$HOME/bin/sendmail"', 21)
    assert at_start.endswith('"$HOME/bin/sendmail" -q')
    assert len(daily.split(None, 5)) == 6
    assert parsed(["-q"]).mode == "flush"


def test_the_crontab_reports_only_what_waits() -> None:
    command = (EXAMPLES / "crontab").read_text().splitlines()[-1].split(None, 5)[5]
    replaced = command.replace('"$HOME/bin/mailq"', "echo Mail queue is empty")
    assert subprocess.run(["sh", "-c", replaced], capture_output=True, check=False).stdout == b""


def unit(name: str) -> configparser.ConfigParser:
    """A systemd unit."""
    found = configparser.ConfigParser(interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read(EXAMPLES / "systemd" / name)
    return found


INSTALLED = {f"systemd/{name}": text for name, text in {**units.user_units(), **units.system_units()}.items()}
INSTALLED |= {
    "network/NetworkManager-dispatcher": units.hooks()[layout.DISPATCHER],
    "network/if-up": units.hooks()[layout.IF_UP],
    "cron.d": units.cron(21),
}


@pytest.mark.parametrize("name", INSTALLED)
def test_what_is_installed_is_what_the_example_shows(name: str) -> None:
    assert (EXAMPLES / name).read_text() == INSTALLED[name]


def test_the_timer_starts_the_service_that_flushes() -> None:
    service, timer = unit("sendmail-py-flush.service"), unit("sendmail-py-flush.timer")
    assert service["Service"]["ExecStart"] == "%h/bin/sendmail -q"
    assert service["Service"]["Type"] == "oneshot"
    assert timer["Timer"]["OnUnitInactiveSec"] == "1min"
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.parametrize("name", sorted(path.name for path in (EXAMPLES / "systemd").glob("*.socket")))
def test_no_burst_has_systemd_give_a_socket_up(name: str) -> None:
    """After 20 starts, or 200 connections, in two seconds it would never listen again."""
    assert unit(name)["Socket"]["TriggerLimitIntervalSec"] == "0"


def test_mutt_calls_sendmail_with_options_that_are_known() -> None:
    settings = [
        line for line in (EXAMPLES / "muttrc").read_text().splitlines() if line.startswith("set sendmail =")
    ]
    command = settings[0].split('"')[1].split()
    assert command[0] == "$HOME/bin/sendmail"
    assert parsed([*command[1:], "-f", "greg@isp.example", "--", "ops@example.net"]).dot is False


def test_git_reads_its_example() -> None:
    git = needs("git")
    command = [git, "config", "--file", str(EXAMPLES / "gitconfig"), "--list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "sendemail.sendmailcmd=~/bin/sendmail",
        "sendemail.envelopesender=auto",
    ]


def test_the_shell_snippet_puts_our_folder_first() -> None:
    script = f'. "{EXAMPLES}/msmtp-users.sh"; echo "$PATH $SENDMAIL"'
    done = subprocess.run(
        ["sh", "-c", script],
        env={"HOME": HOME, "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{HOME}/bin:")
    assert done.stdout.endswith(f" {HOME}/bin/sendmail\n")
