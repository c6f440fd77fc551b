"""Claims about sendmail-py doctor: what keeps mail from leaving is found, with its cure."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sendmail_py.admin import doctor as command
from sendmail_py.admin.cli import cli
from sendmail_py.policy import verdicts
from sendmail_py.relay.resolver import Resolver
from sendmail_py.spool.breaker import Breaker, Pause

from support.dnsserver import SILENT, dns_server
from support.launch import Sandbox

GOOD = """\
[identity]
domain = "isp.example"
helo = "host.isp.example"
[masquerade.users]
"*" = "greg@isp.example"
[[smarthost]]
name = "isp"
host = "smtp.isp.example"
[aliases]
files = ["FOLDER/aliases"]
default = "greg@isp.example"
[queue]
directory = "FOLDER/spool"
[log]
to = "stderr"
"""
RECORDS = """
isp.example TXT "v=spf1 ip4:192.0.2.25 -all"
isp.example MX 10 smtp.isp.example.
smtp.isp.example A 192.0.2.25
host.isp.example A 192.0.2.7
7.2.0.192.in-addr.arpa PTR host.isp.example.
"""


@pytest.fixture
def file(tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATH", str(installed), prepend=os.pathsep)
    monkeypatch.setattr(command, "file_system", lambda folder: "ext4")
    monkeypatch.setattr(command.timer, "callers", lambda shared: ["cron"])
    (tmp_path / "config.toml").write_text(GOOD.replace("FOLDER", str(tmp_path)))
    return str(tmp_path / "config.toml")


def doctor(file: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", "-C", file, *arguments])


def bad(result: Result) -> list[str]:
    """The lines that are not ok."""
    return [line for line in result.stdout.splitlines() if not line.startswith("ok ")]


def test_a_machine_that_is_well_gets_nothing_but_ok(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with dns_server(RECORDS) as server:
        monkeypatch.setattr(command, "Resolver", server.resolver)
        result = doctor(file)
    assert (result.exit_code, bad(result)) == (0, [])
    assert len(result.stdout.splitlines()) >= 5


def test_a_queue_that_nothing_flushes_is_told_with_its_cure(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.timer, "callers", lambda shared: [])
    (line,) = bad(doctor(file, "--offline"))
    assert line.startswith("warn")
    assert line.endswith("run: sendmail-py timer install --user")


def test_offline_asks_nobody(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Resolver, "fresh", lambda *_: pytest.fail("asked"))
    assert doctor(file, "--offline").exit_code == 0


def test_a_wrong_configuration_is_78(file: str) -> None:
    Path(file).write_text('[masquerade]\ndomian = "x"\n')
    result = doctor(file, "--offline")
    assert result.exit_code == 78
    assert any(line.startswith("bad   ") and "domian" in line for line in bad(result))


@pytest.mark.parametrize(
    ("old", "new", "status", "words"),
    [
        ("[[smarthost]]\nname", "[log2]\nname", 78, "log2"),
        ('[[smarthost]]\nname = "isp"\nhost = "smtp.isp.example"\n', "", 69, "no smart host"),
        ('"*" = "greg@isp.example"', '"*" = "greg@nas.lan"', 0, "greg@nas.lan"),
        ('domain = "isp.example"', 'domain = "nas.lan"', 0, "nas.lan"),
        (
            'host = "smtp.isp.example"',
            'host = "smtp.isp.example"\nuser = "g"\npassword_file = "/nowhere"',
            0,
            "/nowhere",
        ),
        ("FOLDER/spool", "/dev/null/spool", 69, "Not a directory"),
        (
            'default = "greg@isp.example"',
            "",
            0,
            "mail for root goes to root@isp.example; if that is not yours",
        ),
        ('default = "greg@isp.example"', 'default = "|x"', 0, "mail for root is refused"),
    ],
)
def test_what_is_wrong_is_said_with_its_status(
    file: str, tmp_path: Path, old: str, new: str, status: int, words: str
) -> None:
    text = GOOD.replace(old, new).replace("FOLDER", str(tmp_path))
    Path(file).write_text(text)
    result = doctor(file, "--offline")
    assert result.exit_code == status, result.output
    assert any(words in line for line in bad(result)), result.output


def test_a_foreign_sendmail_is_noticed(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sendmail").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "sendmail").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert any("not a launcher of ours" in line for line in bad(doctor(file, "--offline")))


def test_a_spool_that_others_can_read_or_that_will_be_gone_is_noticed(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spool").mkdir(mode=0o755)
    monkeypatch.setattr(command, "file_system", lambda folder: "tmpfs")
    lines = bad(doctor(file, "--offline"))
    assert [word for word in ("chmod 700", "tmpfs") if any(word in line for line in lines)] == [
        "chmod 700",
        "tmpfs",
    ]


def test_a_spool_that_will_be_gone_is_noticed_before_the_first_message(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(command, "file_system", lambda folder: asked.append(folder) or "overlay")
    lines = bad(doctor(file, "--offline"))
    assert any("is on overlay and may be gone after a restart; set queue.directory" in line for line in lines)
    assert [os.path.isdir(one) for one in asked] == [True]
    assert not (tmp_path / "spool").exists()


def test_the_file_system_is_that_of_the_deepest_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounts").write_text(
        f"a / ext4 rw 0 0\nb {tmp_path} tmpfs rw 0 0\nc {tmp_path}/x overlay rw 0 0\n"
    )
    monkeypatch.setattr(command, "MOUNTS", str(tmp_path / "mounts"))
    assert command.file_system(str(tmp_path / "spool")) == "tmpfs"
    assert command.file_system("/") == "ext4"


def test_of_several_mounts_on_one_folder_the_last_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, whose root is first a rootfs and then an overlay; blanks are escaped."""
    (tmp_path / "a b").mkdir()
    (tmp_path / "mounts").write_text(
        f"rootfs / rootfs rw 0 0\noverlay / overlay rw 0 0\n/dev/vda {tmp_path}/a\\040b ext4 rw 0 0\n"
    )
    monkeypatch.setattr(command, "MOUNTS", str(tmp_path / "mounts"))
    assert command.file_system("/") == "overlay"
    assert command.file_system(str(tmp_path / "a b")) == "ext4"


def test_a_pause_and_old_mail_are_told(file: str, sandbox: Sandbox, tmp_path: Path) -> None:
    run = sandbox.run("sendmail", "x@example.org", stdin=b"\n", env={"SENDMAIL_PY_CONFIG": file})
    assert run.returncode == 0, run.stderr
    (message,) = (tmp_path / "spool" / "queue").iterdir()
    os.utime(message, (time.time() - 86400,) * 2)
    now = int(time.time())
    Breaker(str(tmp_path / "spool")).set("isp", Pause(now + 600, 1, now, "535 5.7.8 wrong password"))
    result = doctor(file, "--offline")
    assert result.exit_code == 69
    assert any("535 5.7.8 wrong password" in line for line in bad(result))
    assert any("the oldest for 1d" in line for line in bad(result))


def test_a_smart_host_that_rests_beside_another_one_is_a_warning(file: str, tmp_path: Path) -> None:
    spare = '\n[[smarthost]]\nname = "spare"\nhost = "spare.isp.example"\n'
    Path(file).write_text(Path(file).read_text() + spare)
    os.makedirs(tmp_path / "spool", exist_ok=True)
    now = int(time.time())
    Breaker(str(tmp_path / "spool")).set("isp", Pause(now + 600, 1, now, "421 busy"))
    lines = [line for line in doctor(file, "--offline").stdout.splitlines() if "421 busy" in line]
    assert [line.split()[0] for line in lines] == ["warn"]
    assert lines[0].endswith("meanwhile mail goes by the others")


def test_a_domain_that_cannot_receive_is_remembered_for_submissions(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spool").mkdir(mode=0o700)
    with dns_server("other.example A 192.0.2.1\n") as server:
        monkeypatch.setattr(command, "Resolver", server.resolver)
        result = doctor(file)
    assert result.exit_code == 0
    assert any("isp.example: DNS knows no such domain" in line for line in bad(result))
    assert list(verdicts.load(str(tmp_path / "spool"))) == [b"isp.example"]


def test_no_answer_is_no_verdict(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spool").mkdir(mode=0o700)
    names = ["isp.example", "smtp.isp.example", "host.isp.example"]
    with dns_server(RECORDS, dict.fromkeys(names, SILENT)) as server:
        monkeypatch.setattr(command, "Resolver", lambda: server.resolver(one=0.2))
        result = doctor(file)
    assert "isp.example: no answer" in result.stdout
    assert "SPF" not in result.stdout
    assert verdicts.load(str(tmp_path / "spool")) == {}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("7.2.0.192.in-addr.arpa PTR host.isp.example.\n", "", "192.0.2.7 has no PTR record"),
        (
            "PTR host.isp.example.",
            "PTR dyn-7.isp.example.",
            "of 192.0.2.7 is dyn-7.isp.example",
        ),
        ("A 192.0.2.7", "A 192.168.1.7", "192.168.1.7 is no address of the Internet"),
        ("host.isp.example A 192.0.2.7\n", "", "EHLO host.isp.example: DNS has no address for it"),
    ],
)
def test_an_ehlo_name_that_strict_servers_doubt_is_hinted_at(
    file: str, monkeypatch: pytest.MonkeyPatch, old: str, new: str, words: str
) -> None:
    with dns_server(RECORDS.replace(old, new)) as server:
        monkeypatch.setattr(command, "Resolver", server.resolver)
        (line,) = bad(doctor(file))
    assert words in line and line.startswith("warn")


def test_a_ptr_record_matters_to_nobody_who_knows_us_by_a_login(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("x\n")
    (tmp_path / "secret").chmod(0o600)
    login = f'host = "smtp.isp.example"\nuser = "greg"\npassword_file = "{tmp_path}/secret"'
    Path(file).write_text(Path(file).read_text().replace('host = "smtp.isp.example"', login))
    with dns_server(RECORDS.replace("host.isp.example.", "dyn-7.isp.example.")) as server:
        monkeypatch.setattr(command, "Resolver", server.resolver)
        assert bad(doctor(file)) == []
        assert not [one for one in server.asked if one.endswith("PTR")]


@pytest.mark.parametrize(
    ("lookup", "records"),
    [
        ("mx", "out.example MX 20 b.out.example.\nout.example MX 10 a.out.example.\n"),
        ("srv", "_submission._tcp.out.example SRV 0 1 587 a.out.example.\n"),
        ("mx", "out.example A 192.0.2.99\n"),
    ],
)
def test_spf_is_checked_for_servers_that_dns_names(
    file: str, monkeypatch: pytest.MonkeyPatch, lookup: str, records: str
) -> None:
    text = Path(file).read_text()
    setting = f'host = "out.example"\nlookup = "{lookup}"\nuser = "g"\npassword_env = "X"'
    Path(file).write_text(text.replace('host = "smtp.isp.example"', setting))
    more = records + "a.out.example A 192.0.2.99\nb.out.example A 192.0.2.25\n"
    monkeypatch.setenv("X", "secret")
    with dns_server(RECORDS + more) as server:
        monkeypatch.setattr(command, "Resolver", server.resolver)
        lines = [line for line in bad(doctor(file)) if "SPF" in line]
    assert len(lines) == 1
    assert "SPF of isp.example: fail (-all) for 192.0.2.99 of smart host isp" in lines[0]
