"""The shared spool under attack: another user, with all that an account may do, and what it does to others.

Each attack leaves three things as they are: the mail of the others goes out in the same flush, no foreign
file is read or changed, and nobody sees a traceback.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.launch import admin_command
from support.needs import needs
from support.script import Close, Stall
from support.smarthost import USUAL_EXTENSIONS, SmartHost
from support.system import BASE, BIN, LIB, PASSWORD, RELAY, STATE, System, kill, new_system

ATTACKER, VICTIM, BYSTANDER = 2001, 2002, 2003
PYTHON = os.path.realpath(sys.executable)


@pytest.fixture
def host() -> Iterator[SmartHost]:
    with SmartHost(users={"greg": PASSWORD}) as running:
        yield running


@pytest.fixture
def system(host: SmartHost) -> Iterator[System]:
    with new_system() as made:
        made.configure(host)
        yield made


def ready(system: System, *uids: int) -> None:
    """Root's first flush made the spool, with a message of each user."""
    system.flush()
    assert system.at(BASE).is_dir()
    for uid in uids:
        system.submit(uid)


def arrived(host: SmartHost, *uids: int) -> bool:
    """Whether a message of each of these users arrived, once."""
    got = host.recipients()
    return all(got.count(b"to%d@example.org" % uid) == 1 for uid in uids)


def senders_of(host: SmartHost, recipient: bytes) -> set[bytes]:
    """From whom a recipient got mail."""
    return {one.mail_from for one in host.messages if one.rcpts[0][0] == recipient}


def no_traceback(system: System) -> bool:
    """Whether nobody sees a fault of ours: neither a traceback nor the name of an exception."""
    words = [line for line in system.log().splitlines() if "Traceback" in line or "Error" in line]
    assert words == []
    return True


def test_a_shared_spool_sends_the_mail_of_everybody_with_one_login(system: System, host: SmartHost) -> None:
    ready(system, ATTACKER, VICTIM, BYSTANDER)
    system.flush()
    assert arrived(host, ATTACKER, VICTIM, BYSTANDER)
    assert host.logins == 1
    assert {one.login for one in host.messages} == {"greg"}
    assert not any(system.queued(uid) for uid in (0, ATTACKER, VICTIM, BYSTANDER))
    assert "warning" not in system.log()


def test_a_shared_spool_gives_turns_to_who_submits_during_a_long_run(system: System, host: SmartHost) -> None:
    ready(system, *[ATTACKER] * 20)
    host.script(b"RCPT TO:<to2001", Stall(0.3))
    flush = system.start("sendmail", "-q")
    time.sleep(1)
    system.submit(VICTIM)
    wait_until(lambda: arrived(host, VICTIM), 3)
    system.submit(VICTIM, "again@example.org")
    wait_until(lambda: b"again@example.org" in host.recipients(), 5)
    assert host.recipients().count(b"to2001@example.org") < 20
    assert flush.wait(60) == 0


def test_a_shared_spool_refuses_at_once_what_the_smart_host_is_known_not_to_take() -> None:
    small = ["PIPELINING", "8BITMIME", "SIZE 1500000"]
    with SmartHost(users={"greg": PASSWORD}, extensions=small) as host, new_system() as system:
        system.configure(host)
        ready(system, VICTIM)
        system.flush()
        assert arrived(host, VICTIM)
        told = system.at(STATE) / "servers"
        assert (told.stat().st_uid, told.stat().st_mode & 0o777) == (0, 0o644)
        big = b"Subject: x\n\n" + b"text\n" * 400_000
        done = system.run("sendmail", "to@example.org", uid=BYSTANDER, stdin=big)
        assert done.returncode == 65
        assert b"larger than the smart host takes (1500000 octets)" in done.stderr
        assert system.queued(BYSTANDER) == []


def test_a_shared_spool_keeps_to_the_limits_of_the_server() -> None:
    limited = [*USUAL_EXTENSIONS, "LIMITS RCPTMAX=2 RCPTDOMAINMAX=1 MAILMAX=5"]
    with SmartHost(users={"greg": PASSWORD}, extensions=limited) as host, new_system() as system:
        system.configure(host)
        ready(system)
        everybody = [f"r{n}@{domain}.example" for n in range(3) for domain in ("one", "two")]
        for uid in (VICTIM, BYSTANDER):
            system.submit(uid, *everybody)
            system.submit(uid, "alone@three.example")
        system.flush()
    got = host.recipients()
    expected = [*everybody, "alone@three.example"] * 2
    assert sorted(got) == sorted(one.encode() for one in expected)
    for message in host.messages:
        assert len(message.rcpts) <= 2
    domains: dict[int, set[bytes]] = {}
    for message in host.messages:
        domains.setdefault(message.session, set()).update(one.partition(b"@")[2] for one, _ in message.rcpts)
    assert all(len(one) == 1 for one in domains.values())


SQUAT = """
import os, socket
os.umask(0)
base, victim = "/var/spool/sendmail-py", 2002
def name(n): return f"{base}/{victim}.{n}"
os.mkdir(name(0), 0o777)
os.mkdir(name(0) + "/queue", 0o777)
os.mkdir(name(1), 0o700)
open(name(2), "w").close()
os.symlink("/etc", name(3))
os.symlink(name(9), name(4))
os.symlink(f"{base}/2003.0", name(5))
os.mkfifo(name(6))
socket.socket(socket.AF_UNIX).bind(name(7))
os.link(name(2), name(8))
"""


def test_a_squatted_name_is_stepped_over_whatever_it_is(system: System, host: SmartHost) -> None:
    ready(system, BYSTANDER)
    system.python(SQUAT, ATTACKER)
    before = listing(system, "2002.[0-8]")
    system.submit(VICTIM)
    assert (system.at(BASE) / "2002.9" / "queue").stat().st_uid == VICTIM
    system.flush()
    assert arrived(host, VICTIM, BYSTANDER)
    assert listing(system, "2002.[0-8]") == before
    assert no_traceback(system)


def test_sixteen_squatted_names_are_an_error_that_the_submission_tells(
    system: System, host: SmartHost
) -> None:
    ready(system, BYSTANDER)
    system.python("import os\nfor n in range(16): os.mkdir(f'/var/spool/sendmail-py/2002.{n}')", ATTACKER)
    done = system.run("sendmail", "x@example.org", uid=VICTIM, stdin=b"Subject: x\n\n")
    assert (done.returncode, len(done.stderr.splitlines())) == (75, 1)
    assert b"others took all names" in done.stderr
    system.flush()
    assert arrived(host, BYSTANDER)


def test_a_folder_that_bears_a_number_is_not_that_users_for_it(system: System, host: SmartHost) -> None:
    """A queue file in a folder that bears the victim's number is not sent, in whoever's name."""
    ready(system, ATTACKER)
    code = """
        import os, shutil
        base = "/var/spool/sendmail-py"
        shutil.copytree(f"{base}/2001.0", f"{base}/2002.0")
        os.chmod(f"{base}/2002.0", 0o700)
        shutil.copytree(f"{base}/2001.0", f"{base}/0.1")
        shutil.copytree(f"{base}/2001.0", f"{base}/2001.99")
        shutil.copytree(f"{base}/2001.0", f"{base}/2001.7")
        """
    system.python(textwrap.dedent(code), ATTACKER)
    system.flush()
    assert host.recipients().count(b"to2001@example.org") == 1
    assert {one.mail_from for one in host.messages} == {b"u2001@example.net"}


def test_a_squatted_wake_up_file_is_put_away_and_nothing_behind_it_is_touched(
    system: System,
) -> None:
    """Root makes the spool, or finds one that was made without the file."""
    base = system.at(BASE)
    base.mkdir(0o755)
    base.chmod(0o1733)
    shadow = system.at("/var/spool/precious")
    shadow.write_text("precious")
    shadow.chmod(0o600)
    kinds = ["os.symlink(to, wake)", "os.link(to, wake)", "os.mkfifo(wake)", "open(wake, 'w')"]
    for kind in kinds:
        code = f"import os\nto, wake = '/var/spool/precious', '{BASE}/.wake'\n{kind}"
        system.run(PYTHON, "-c", code, uid=ATTACKER if "link(to" not in kind else 0)
        assert (base / ".wake").is_symlink() or (base / ".wake").exists()
        system.run(PYTHON, "-ISc", SET_UP)
        status = (base / ".wake").lstat()
        assert (oct(status.st_mode), status.st_uid, status.st_nlink) == ("0o100666", 0, 1)
        assert oct(shadow.stat().st_mode) == "0o100600"
        (base / ".wake").unlink()


def test_a_wake_up_file_that_somebody_filled_is_emptied_and_does_no_harm(
    system: System, host: SmartHost
) -> None:
    """Its room would be root's, whatever quota the user has."""
    ready(system, VICTIM)
    system.python(f"open('{BASE}/.wake', 'wb').write(b'x' * 100000)", ATTACKER)
    system.python(f"import os; os.truncate('{BASE}/.wake', 1 << 42)", ATTACKER)
    began = time.monotonic()
    system.flush()
    assert time.monotonic() - began < 20
    assert arrived(host, VICTIM)
    status = system.at(f"{BASE}/.wake").lstat()
    assert (oct(status.st_mode), status.st_uid, status.st_size, status.st_blocks) == ("0o100666", 0, 0, 0)


def test_whatever_stands_in_place_of_the_wake_up_file_is_not_written_to(system: System) -> None:
    ready(system, VICTIM)
    precious = system.at("/var/spool/precious")
    precious.write_text("precious")
    wake = system.at(f"{BASE}/.wake")
    for make in (
        lambda: wake.symlink_to("../precious"),
        lambda: os.link(precious, wake),
        lambda: os.mkfifo(wake),
    ):
        wake.unlink()
        make()
        system.submit(VICTIM)
        system.flush(timeout=30)
        assert precious.read_text() == "precious"


OWN = """
import fcntl, os, socket, struct, sys, time
home = "/var/spool/sendmail-py/2001.0"
queue, other, precious = home + "/queue", "../../2002.0/queue", "/var/spool/precious"
ids = sorted(n for n in os.listdir(queue) if len(n) == 12)
one, two = [f"{queue}/{n}" for n in ids]
os.umask(0)
MEMORY = ("due", "pauses", "refused", "owed", "expired")
def put(path, kind):
    if os.path.lexists(path):
        os.rename(path, path + "~")
    {"link": lambda: os.symlink(precious, path), "other": lambda: os.symlink(other, path),
     "fifo": lambda: os.mkfifo(path), "socket": lambda: socket.socket(socket.AF_UNIX).bind(path),
     "folder": lambda: os.mkdir(path), "hard": lambda: os.link(precious, path),
     "file": lambda: open(path, "w").close(), "tty": lambda: os.symlink("/dev/zero", path)}[kind]()
"""

ATTACKS = {
    "queue-is-a-link": 'put(queue, "other")',
    "queue-is-a-fifo": 'put(queue, "fifo")',
    "queue-is-a-file": 'put(queue, "file")',
    "queue-is-open-to-all": "os.chmod(queue, 0o777)",
    "message-is-a-link": 'put(one, "link")',
    "message-is-a-link-into-another-queue": 'put(one, "other")',
    "message-is-a-fifo": 'put(one, "fifo")',
    "message-is-a-socket": 'put(one, "socket")',
    "message-is-a-folder": 'put(one, "folder")',
    "message-is-a-hard-link": 'put(one, "hard")',
    "message-is-an-endless-device": 'put(one, "tty")',
    "messages-are-one-file": "os.unlink(one); os.link(two, one)",
    "tries-are-a-fifo": 'put(one + ".00000001", "fifo")',
    "tries-are-a-link": 'put(one + ".00000001", "link")',
    "failed-is-a-link": 'put(home + "/failed", "other"); put(one, "link")',
    "failed-is-a-fifo": 'put(home + "/failed", "fifo"); put(one, "hard")',
    "usage-is-a-link": 'put(home + "/usage", "link")',
    "memory-is-a-link": 'for n in MEMORY: put(f"{home}/{n}", "link")',
    "memory-is-a-fifo": 'for n in MEMORY: put(f"{home}/{n}", "fifo")',
    "huge-message": "os.truncate(one, 1 << 40)",
    "memory-without-end": 'for n in MEMORY: open(f"{home}/{n}", "wb").truncate(1 << 42)',
    "memory-of-odd-numbers": 'open(home + "/pauses", "wb").write(b"sendmail-py pauses 1\\nhere\\t" + b"9" * 600 + b"\\t-1\\t1\\t\\x1b\\xff")',  # noqa: E501
    "folders-in-folders": "os.chdir(queue)\nfor n in range(3000): os.mkdir('d'); os.chdir('d')",
    "leases": "print(flush=True)\nfor n in ids: fcntl.fcntl(os.open(f'{queue}/{n}', os.O_RDWR), 1024, 1)\ntime.sleep(60)",  # noqa: E501
    "huge-records": 'open(one, "wb").write(b"sendmail-py queue file 1\\n" + b"R" * 90_000_000)',
    "cut-off": "os.truncate(one, 40)",
    "names-without-end": "for n in range(3000): open(os.fsencode(queue) + b'/\\xff%d' % n, 'w').close()",
    "folders-without-end": "for n in range(3000): os.mkdir(b'/var/spool/sendmail-py/\\xff\\n%d' % n)",
    "folders-like-ours": "for n in range(3000): os.mkdir(f'/var/spool/sendmail-py/2001.{n + 1}', 0o700)",
    "locked": "f = open(one, 'rb+'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); time.sleep(60)",
    "newer": 'open(one, "wb").write(b"sendmail-py queue file 9\\n\\n")',
    "open-to-all": "os.chmod(home, 0o777)",
    "closed": "os.chmod(home, 0)",
    "gone": "os.rename(home, home + '~')",
    "grows": "print(flush=True)\nwhile True: open(one, 'ab').write(b'x' * 4096); time.sleep(0.001)",
    "shrinks": "print(flush=True)\nwhile True:\n for n in range(900, 0, -1): os.truncate(one, n)",
    "queue-comes-and-goes": "print(flush=True)\nto = home + '/q'\nwhile True: os.rename(queue, to); os.rename(to, queue)",  # noqa: E501
    "folder-comes-and-goes": "print(flush=True)\nto = home + '~'\nwhile True: os.rename(home, to); os.rename(to, home)",  # noqa: E501
    "changes-all-the-time": "print(flush=True)\nwhile True: os.utime(home); os.utime(home + '/../.wake')",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_hostile_folder_costs_only_its_owner(system: System, host: SmartHost, attack: str) -> None:
    precious = system.at("/var/spool/precious")
    precious.write_text("precious")
    precious.chmod(0o666)  # else the system may forbid the hard link
    ready(system, ATTACKER, ATTACKER, VICTIM, BYSTANDER)
    theirs = system.start(PYTHON, "-ISc", OWN + attack, uid=ATTACKER)
    assert theirs.stdout is not None
    if "print(" in attack:
        theirs.stdout.readline()
    else:
        assert theirs.communicate() == (b"", b"")
    before = (precious.read_text(), precious.stat().st_mtime_ns, precious.stat().st_mode)
    began = time.monotonic()
    system.flush(timeout=60)
    assert time.monotonic() - began < 40
    assert arrived(host, VICTIM, BYSTANDER)
    assert (precious.read_text(), precious.stat().st_mtime_ns, precious.stat().st_mode) == before
    assert not any(b"precious" in one.data for one in host.messages)
    assert senders_of(host, b"to2001@example.org") <= {b"u2001@example.net"}
    assert no_traceback(system)


LIAR = """
import errno, fcntl, os, resource, socket, stat, sys, threading, time
from sendmail_py.shared import dialect
from sendmail_py.shared.frames import Channel, encode, decode
sock = socket.socket(fileno=0)
channel = Channel(sock)
channel.wait()
sock.setblocking(True)
home = "/var/spool/sendmail-py/2001.0"
TEXT = b"Subject: lie\\r\\n\\r\\nlie\\r\\n"
def say(*words): sock.sendall(encode(list(words)))
ME, YOU = b"u2001@example.net", b"to2001@example.org"
def mail(n=1, size=len(TEXT), sender=ME, to=YOU, offset=0, many=1, **other):
    words = [b"mail", b"%d" % n, b"1", b"6B0569ACE7BF", b"%d" % offset, b"%d" % size, b"1700000000", sender]
    words += [other.get(x, b"") for x in ("rule", "body", "ret", "envid")] + [b"7", b""]
    return words + [to, other.get("notify", b""), other.get("orcpt", b"")] * many
def file(text=TEXT, name="lie", flags=os.O_RDONLY):
    with open(f"{home}/{name}", "wb") as out: out.write(text)
    return os.open(f"{home}/{name}", flags)
def show(words, *fds): socket.send_fds(sock, [encode(words)], fds)
def heard(kind):
    while True:
        frame = channel.wait()
        sock.setblocking(True)
        if frame[0] == kind: return frame
def wanted(): return heard(b"want")
def linger(): time.sleep(100)
LIE = home + "/lie"
"""

LIES = {
    "says-nothing": "linger()",
    "goes-away": "os._exit(0)",
    "goes-away-in-the-middle": "wanted(); sock.sendall(encode(mail())[:50])",
    "frame-too-long": "sock.sendall(b'\\x7f' * 100); linger()",
    "frame-without-end": "x = b'\\0\\x0f\\xff\\xff'\nwhile True: sock.sendall(x); x = b'x'; time.sleep(0.05)",
    "frame-of-nothing": "sock.sendall(bytes(4)); linger()",
    "frame-of-many-pieces": "say(b'log', *[b''] * 200_000); linger()",
    "unknown-word": "say(b'password'); linger()",
    "numbers-that-are-none": "wanted(); show(mail(n=-1), file()); linger()",
    "queue-id-that-is-none": "wanted(); w = mail(); w[3] = b'../../../etc'; show(w, file()); linger()",
    "line-break-in-recipient": "wanted(); show(mail(to=b'a@b.example>\\r\\nDATA'), file()); linger()",
    "line-break-in-sender": "wanted(); show(mail(sender=b'a@b.example>\\r\\nRSET'), file()); linger()",
    "line-break-in-a-parameter": "wanted(); show(mail(envid=b'x\\r\\nRSET'), file()); linger()",
    "blank-in-a-parameter": "wanted(); show(mail(notify=b'NEVER SIZE=1'), file()); linger()",
    "recipient-that-is-none": "wanted(); show(mail(to=b''), file()); linger()",
    "recipients-without-end": "wanted(); show(mail(many=4000), file()); linger()",
    "no-descriptor": "wanted(); say(*mail()); linger()",
    "ten-thousand-descriptors": "fds = [file()] * 250\nfor _ in range(40): socket.send_fds(sock, [b'x'], fds)\nlinger()",  # noqa: E501
    "foreign-file": "wanted(); show(mail(size=8), os.open('/var/spool/precious', 0)); linger()",
    "system-file": "wanted(); show(mail(size=8), os.open('/etc/passwd', 0)); linger()",
    "fifo": "os.mkfifo(home + '/f'); wanted(); show(mail(), os.open(home + '/f', os.O_RDWR)); linger()",
    "folder": "wanted(); show(mail(), os.open(home, 0)); linger()",
    "memory": "fd = os.memfd_create('x'); os.write(fd, TEXT); wanted(); show(mail(), fd); linger()",
    "socket": "wanted(); show(mail(), 0); linger()",
    "process-memory": "wanted(); show(mail(), os.open('/proc/self/mem', 0)); linger()",
    "file-on-another-device": "x = '/dev/shm/lie2001'; open(x, 'wb').write(TEXT); fd = os.open(x, 0)\n"
    "os.unlink(x); wanted(); show(mail(), fd); linger()",
    "file-with-two-names": "fd = file(); os.link(home + '/lie', home + '/2'); wanted(); show(mail(), fd); linger()",  # noqa: E501
    "file-for-writing-only": "wanted(); show(mail(), file(flags=os.O_WRONLY)); linger()",
    "file-that-is-shorter": "wanted(); show(mail(size=10_000), file()); linger()",
    "size-without-end": "wanted(); show(mail(size=10**14), file()); linger()",
    "offset-without-end": "wanted(); show(mail(offset=10**15 - 1), file()); linger()",
    "sparse-file": "fd = file(); os.truncate(LIE, 1 << 40); wanted(); show(mail(size=1 << 39), fd); linger()",
    "header-without-end": "text = b'From: ' + b'a@b.example, ' * 700_000 + b'x@y.example\\r\\n\\r\\n'\n"
    "wanted(); show(mail(size=len(text)), file(text)); linger()",
    "offers-that-nobody-wants": "fd = file()\nfor n in range(1, 1000): show(mail(n), fd)\nlinger()",
    "offers-the-same-twice": "wanted(); fd = file(); show(mail(1), fd); show(mail(1), fd); linger()",
    "offers-one-and-stalls": "wanted(); show(mail(1), file()); linger()",
    "drips": "n = 0\nwhile True: wanted(); n += 1; show(mail(n), file()); time.sleep(5)",
    "refuses-what-nobody-wants": "while True: say(b'none', b'1')",
    "is-done-too-early": "say(b'done', b'0', b''); linger()",
    "never-ends": "w = wanted(); say(b'none', w[2]); heard(b'end'); linger()",
    "is-never-done": "w = wanted(); say(b'none', w[2]); heard(b'end'); say(b'done', b'0', b'1:1')",
    "has-a-due-time-that-is-none": "w = wanted(); say(b'none', w[2]); heard(b'end'); say(b'done', b'9' * 15, b' \\n')",  # noqa: E501
    "talks-without-end": "x = encode([b'log', b'warning: ' + b'x' * 3000]) * 20\nwhile True: sock.sendall(x)",
    "talks-in-control-characters": "say(b'log', b'\\x1b[2J\\n\\nNov 24 evil\\r')\n"
    "say(b'log', b'X: to=<a>, relay=isp, sent'); linger()",
    "does-not-listen": "wanted(); fd = file()\nfor n in range(1, 9**6): show(mail(n), fd); time.sleep(0.001)",
}


def shorten(system: System, module: str, name: str, seconds: float) -> None:
    """Change one of the waits of the system's own copy of the package."""
    path = system.at(f"{LIB}/sendmail_py/shared/{module}.py")
    text = path.read_text()
    assert f"\n{name} = " in text
    path.write_text(re.sub(rf"(?m)^{name} = [0-9.]+", f"{name} = {seconds}", text))


def let_lie(system: System, code: str) -> None:
    """Give the attacker's reader another mind, as he could with ptrace(2); the relay is less patient."""
    shorten(system, "peer", "PATIENCE", 3.0)
    shorten(system, "crowd", "LAST_WORDS", 3.0)
    shorten(system, "seats", "LAST_WORDS", 0.3)
    system.at(f"{LIB}/lie.py").write_text(LIAR + code)
    with system.at(f"{LIB}/sendmail_py/shared/reader.py").open("a") as out:
        out.write(
            f"\n\nimport os\nhonest = main\ndef main():\n"
            f"    exec(open('{LIB}/lie.py').read(), {{}}) if os.geteuid() == {ATTACKER} else honest()\n"
        )


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lying_reader_costs_only_its_owner(system: System, host: SmartHost, lie: str) -> None:
    system.at("/var/spool/precious").write_text("precious")
    ready(system, ATTACKER, VICTIM, BYSTANDER)
    let_lie(system, lie)
    flush = system.start("sendmail", "-q")
    wait_until(lambda: arrived(host, VICTIM, BYSTANDER), 15)
    system.submit(VICTIM, "later@example.org")
    wait_until(lambda: b"later@example.org" in host.recipients() or flush.poll() is not None, 15)
    assert flush.communicate(timeout=100) == (b"", b"")
    assert flush.returncode == 0
    assert not any(b"precious" in one.data or b"root:" in one.data for one in host.messages)
    assert not host.violations
    assert senders_of(host, b"to2001@example.org") <= {b"u2001@example.net"}
    assert no_traceback(system)
    assert max(len(line) for line in system.log().splitlines()) < 2200
    assert not any(line.startswith("Nov 24 evil") for line in system.log().splitlines())
    assert "relay=isp" not in system.log()


SET_UP = (
    f"import sys; sys.path.insert(0, '{LIB}')\nfrom sendmail_py.spool import shared\nshared.set_up('{BASE}')"
)


def listing(system: System, pattern: str) -> list[tuple[str, int, int, int]]:
    """What is below the names that fit: path, kind and mode, links, time of the last change."""
    found = []
    for top in sorted(system.at(BASE).glob(pattern)):
        for path in [top, *(sorted(top.rglob("*")) if top.is_dir() and not top.is_symlink() else [])]:
            status = path.lstat()
            found.append((str(path), status.st_mode, status.st_nlink, status.st_ctime_ns))
    return found


def wait_until(found: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


SPY = """
import ctypes, os, sys
wanted = sys.argv[1][::-1].encode()
libc = ctypes.CDLL(None, use_errno=True)
found = []
def look(what, octets):
    if wanted in octets: found.append(what)
for pid in sys.argv[2:]:
    folder = f"/proc/{pid}/"
    for name in "environ cmdline auxv status stack syscall io maps smaps mountinfo".split():
        try:
            look(folder + name, open(folder + name, "rb").read())
        except OSError: pass
    for name in ("fd", "map_files", "cwd", "root/etc/sendmail-py", "root/var/lib/sendmail-py/relay"):
        try: entries = os.listdir(folder + name)
        except OSError: continue
        for one in entries:
            path = f"{folder}{name}/{one}"
            try: look(path, os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 1 << 20))
            except OSError: pass
    try:
        with open(folder + "maps") as maps, open(folder + "mem", "rb", 0) as memory:
            for line in maps:
                start, end = (int(x, 16) for x in line.split()[0].split("-"))
                if "[v" in line: continue
                try:
                    memory.seek(start)
                    look(folder + "mem", memory.read(end - start))
                except (OSError, OverflowError, ValueError): pass
    except OSError: pass
    if os.geteuid():
        PTRACE_SEIZE = 0x4206
        libc.ptrace.argtypes = [ctypes.c_long] * 4
        print("ptrace", pid, libc.ptrace(PTRACE_SEIZE, int(pid), 0, 0))
print("found", sorted(set(found)))
"""


DEADLY = {
    "reply-421": b"421 4.7.0 too many errors",
    "closes": Close(),
    "resets": Close(reset=True),
    "throttles": b"452 4.3.1 too much mail",
}


@pytest.mark.parametrize("answer", DEADLY.values(), ids=DEADLY)
@pytest.mark.parametrize("together", [True, False], ids=["together", "before"])
def test_mail_that_the_smart_host_does_not_stand_costs_only_its_owner(
    system: System, host: SmartHost, answer: bytes | Close, together: bool
) -> None:
    ready(system)
    for n in range(4):
        system.submit(ATTACKER, f"bomb{n}@example.org")
    host.script(b"RCPT TO:<bomb", answer)
    if not together:
        system.flush()
    system.submit(VICTIM)
    system.submit(BYSTANDER)
    system.flush()
    assert arrived(host, VICTIM, BYSTANDER)


def test_roots_mailq_ends_whatever_the_owners_commands_do(system: System) -> None:
    ready(system, ATTACKER, VICTIM)
    shorten(system, "asking", "PATIENCE", 3.0)
    with system.at(f"{LIB}/sendmail_py/commands/dispatch.py").open("a") as out:
        out.write(
            f"\n\nimport os\nhonest = main\ndef main():\n"
            f"    while posix.geteuid() == {ATTACKER}: posix.write(1, b'\\x1b[2Jevil\\n' * 5000)\n"
            f"    honest()\n"
        )
    done = system.run("prlimit", f"--as={1 << 28}", "mailq", timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"to2002@example.org" in done.stdout
    assert b"\x1b" not in done.stdout
    assert len(done.stdout) < 60 << 20


def test_roots_mailq_counts_only_what_can_be_counted(system: System) -> None:
    ready(system, ATTACKER, VICTIM)
    lies = "--  Kbytes in\\n-- x Kbytes in y Requests.\\n-- \\n-- " + "9" * 5000 + " Kbytes in 1 Requests.\\n"
    with system.at(f"{LIB}/sendmail_py/commands/dispatch.py").open("a") as out:
        out.write(
            f"\n\nimport os\nhonest = main\ndef main():\n"
            f"    if posix.geteuid() == {ATTACKER}: posix.write(1, b'{lies}'); posix._exit(0)\n"
            f"    honest()\n"
        )
    done = system.run("mailq")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b" in 1 Request.\n")


STOPPER = 2037  # whom nobody else has processes of


def test_an_owner_who_stops_his_reader_before_it_has_begun_hurts_himself_only(
    system: System, host: SmartHost
) -> None:
    """Root waits for the start of a program: it must not be a process that somebody else may stop."""
    ready(system, *[STOPPER] * 2, VICTIM, BYSTANDER)
    shorten(system, "peer", "PATIENCE", 3.0)
    code = f"""
        import os
        load = os.open("/proc/loadavg", os.O_RDONLY)
        while True:
            last = int(os.pread(load, 100, 0).split()[-1])
            for pid in range(last - 6, last + 2):
                try: os.kill(pid, {int(signal.SIGSTOP)})
                except OSError: pass
        """
    stopper = system.start(PYTHON, "-ISc", textwrap.dedent(code), uid=STOPPER)
    time.sleep(0.3)
    for _ in range(3):
        system.flush(60)
    stopper.kill()
    assert arrived(host, VICTIM, BYSTANDER)


KILLED = {
    "relay": lambda system, flush: system.processes(RELAY)[:1],
    "reader": lambda system, flush: system.processes(VICTIM)[:1],
    "root": lambda system, flush: [flush.pid],
}


def wait_for_the_end(system: System) -> None:
    """Until no process of a flush is left."""
    wait_until(lambda: not [pid for uid in (RELAY, VICTIM, BYSTANDER) for pid in system.processes(uid)], 60)


@pytest.mark.parametrize("victim", KILLED)
def test_a_flush_that_dies_loses_nothing_and_repeats_only_what_was_under_way(
    system: System, host: SmartHost, victim: str
) -> None:
    """Kill -9 at random moments; the seed makes them the same moments, as far as a machine can."""
    moments = random.Random(victim)  # noqa: S311 (no secret)
    system.configure(host, '[queue]\nretry_min = "0s"\nretry_max = "0s"\n')
    ready(system)
    shorten(system, "crowd", "LAST_WORDS", 3.0)
    host.delay = 0.02
    sent: list[bytes] = []
    for n in range(ROUNDS):
        for uid in (VICTIM, BYSTANDER):
            names = [f"{uid}-{n}-{m}@example.org" for m in range(8)]
            sent += [one.encode() for one in names]
            for one in names:
                system.submit(uid, one)
        before = len(host.recipients())
        flush = system.start("sendmail", "-q")
        target = {"relay": RELAY, "reader": VICTIM}.get(victim)
        if target is not None:
            system.wait_for_process(target)
        time.sleep(moments.uniform(0.0, 0.6))
        for pid in KILLED[victim](system, flush):
            kill(pid)
        flush.communicate(timeout=60)
        wait_for_the_end(system)
        under_way = len(host.recipients()) - before
        system.flush()
        wait_until(lambda: not system.queued(VICTIM) and not system.queued(BYSTANDER), 30)
        got = host.recipients()
        assert set(sent) <= set(got)
        assert all(got.count(one) <= 2 for one in sent)
        assert sum(got.count(one) - 1 for one in sent[-16:]) <= min(under_way, WINDOW)
    assert no_traceback(system)


def test_a_flush_drains_when_it_is_asked_to_stop(system: System, host: SmartHost) -> None:
    ready(system, *[VICTIM] * 6, *[BYSTANDER] * 6)
    host.script(b"RCPT", Stall(0.5))
    flush = system.start("sendmail", "-q")
    wait_until(lambda: len(host.messages) > 1, 20)
    flush.terminate()
    began = time.monotonic()
    assert flush.communicate(timeout=60) == (b"", b"")
    assert time.monotonic() - began < 15
    assert flush.returncode == 0
    assert len(host.messages) < 12
    wait_for_the_end(system)
    host.script(b"RCPT", None)
    system.flush()
    assert sorted(host.recipients()) == sorted([b"to2002@example.org"] * 6 + [b"to2003@example.org"] * 6)


def test_a_flush_beside_another_one_sends_nothing_twice(system: System, host: SmartHost) -> None:
    ready(system, *[VICTIM] * 5, *[BYSTANDER] * 5)
    host.delay = 0.05
    flushes = [system.start("sendmail", "-q") for _ in range(4)]
    assert [one.communicate(timeout=60) for one in flushes] == [(b"", b"")] * 4
    assert {one.returncode for one in flushes} == {0}
    assert len(host.recipients()) == 10
    assert host.most_open <= 2


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL, signal.SIGINT])
def test_an_owner_who_stops_his_reader_hurts_himself_only(
    system: System, host: SmartHost, number: int
) -> None:
    ready(system, STOPPER, VICTIM, BYSTANDER)
    shorten(system, "peer", "PATIENCE", 3.0)
    code = f"""
        import os
        while True:
            for one in os.listdir("/proc"):
                try:
                    if one.isdigit() and int(one) != os.getpid():
                        if "\\nUid:\\t{STOPPER}" in open(f"/proc/{{one}}/status").read():
                            os.kill(int(one), {int(number)})
                except OSError: pass
        """
    killer = system.start(PYTHON, "-ISc", textwrap.dedent(code), uid=STOPPER)
    time.sleep(0.3)
    system.flush(60)
    killer.kill()
    assert arrived(host, VICTIM, BYSTANDER)
    assert no_traceback(system)


def test_an_owner_who_may_have_no_more_processes_hurts_himself_only(system: System, host: SmartHost) -> None:
    ready(system, ATTACKER, VICTIM, BYSTANDER)
    code = "import os, time\nfor n in range(30): os.fork() or (time.sleep(60), os._exit(0))\ntime.sleep(60)"
    system.start(PYTHON, "-ISc", code, uid=ATTACKER)
    wait_until(lambda: len(system.processes(ATTACKER)) > 30, 20)
    done = system.run("prlimit", "--nproc=20", "sendmail", "-q")
    assert (done.returncode, done.stderr) == (0, b"")
    assert arrived(host, ATTACKER, VICTIM, BYSTANDER)  # his too: his reader is one when it counts


def test_a_password_command_does_not_hold_the_end_of_roots_flush_up(system: System, host: SmartHost) -> None:
    ready(system, VICTIM)
    command = ["/bin/sh", "-c", "touch /opt/asked; exec sleep 60"]
    system.configure(host, password_file="", password_command=command)
    run = system.start("sendmail", "-q")
    wait_until(system.at("/opt/asked").exists, 20)
    begin = time.monotonic()
    run.terminate()
    assert (run.communicate(timeout=20)[1], run.returncode) == (b"", 0)
    assert time.monotonic() - begin < 5
    assert not arrived(host, VICTIM)


def test_who_waits_goes_on_and_a_limit_is_refused(system: System, host: SmartHost) -> None:
    """Root's flush sends what comes later; an owner sees his queue become empty."""
    ready(system, VICTIM)
    root = system.start("sendmail", "-q", "--wait=60s")
    wait_until(lambda: arrived(host, VICTIM), 20)
    time.sleep(1.0)
    system.submit(BYSTANDER)
    done = system.run("sendmail", "-q", "--wait=50s", uid=BYSTANDER, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert arrived(host, BYSTANDER)
    root.terminate()
    assert (root.communicate(timeout=20)[1], root.returncode) == (b"", 0)
    done = system.run("sendmail", "-q", "--limit=1")
    assert (done.returncode, done.stderr.count(b"\n")) == (64, 1)
    assert b"--limit is for a personal spool" in done.stderr
    for words in (["--limit", "1"], ["--wait"]):
        done = system.run(sys.executable, admin_command(), "queue", "flush", *words)
        assert (done.returncode, b"are for a personal spool" in done.stderr) == (64, True)


ROUNDS = int(os.environ.get("SENDMAIL_PY_ROUNDS", "4"))
WINDOW = 16  # transactions that a session may have in flight


def test_the_secret_is_nowhere_where_an_owner_can_look(system: System, host: SmartHost) -> None:
    ready(system, ATTACKER, ATTACKER, VICTIM)
    host.script(b"DATA", Stall(10))
    flush = system.start("sendmail", "-q")
    wait_until(lambda: any(one.startswith(b"DATA") for one in host.commands), 20)
    relay, reader = system.processes(RELAY)[0], system.processes(ATTACKER)[0]
    processes = [flush.pid, relay, reader]
    seen = {uid: spy(system, uid, processes) for uid in (ATTACKER, RELAY, 0)}
    assert "found []" in seen[ATTACKER]
    assert f"ptrace {reader} -1" in seen[ATTACKER]
    assert f"ptrace {relay} -1" in seen[ATTACKER]
    assert f"ptrace {flush.pid} -1" in seen[ATTACKER]
    assert "found []" in seen[RELAY]  # not even another process of that account
    assert f"ptrace {relay} -1" in seen[RELAY]
    assert f"/proc/{relay}/mem" in seen[0]  # the search finds it where it is
    assert f"/proc/{reader}/mem" not in seen[0]
    for pid in (relay, reader):
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0", limits)
        assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"Groups:\t *\n", Path(f"/proc/{pid}/status").read_text())
        assert re.search(r"CapEff:\t0+\n", Path(f"/proc/{pid}/status").read_text())
    assert Path(f"/proc/{reader}/environ").read_bytes().split(b"\0") == [
        b"PATH=/usr/bin:/bin",
        b"LC_ALL=C.UTF-8",
        b"",
    ]
    host.script(b"DATA", None)
    flush.terminate()
    flush.communicate(timeout=60)


def spy(system: System, uid: int, processes: list[int]) -> str:
    words = [PYTHON, "-ISc", SPY, PASSWORD[::-1], *map(str, processes)]
    done = system.run(*words, uid=uid)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_roots_rights_reach_no_path_below_an_owners_folder(system: System, host: SmartHost) -> None:
    strace = needs("strace")
    ready(system, ATTACKER, VICTIM)
    words = f"{strace} -ff -s 300 -o /var/log/trace -e trace=%file,setresuid {BIN}/sendmail -q".split()
    done = system.run(*words)
    assert (done.returncode, done.stderr) == (0, b"")
    assert arrived(host, ATTACKER, VICTIM)
    readers = 0
    for path in system.at("/var/log").glob("trace.*"):
        lines = path.read_text().splitlines()
        at = [n for n, line in enumerate(lines) if re.match(r"setresuid\((2001|2002),", line)]
        if at and not any("/0.0" in line for line in lines):
            readers += 1
            lines = lines[: at[0]]
        below = [line for line in lines if re.search(rf'"{BASE}/[1-9][0-9]*\.[0-9]+/', line)]
        assert below == []
    assert readers == 2


RULES = """
[masquerade]
override = "{override}"
[masquerade.users]
"*" = ["*@example.net"]
u2001 = ["u2001@example.net"]
"""
FORGED = """wanted()
text = b"From: The CEO <ceo@example.net>\\r\\nSender: ceo@bank.example\\r\\nSubject: pay\\r\\n\\r\\npay\\r\\n"
show(mail(1, len(text), sender=b"ceo@example.net", rule=b"users"), file(text, name="1"))
show(mail(2, len(text), sender=b"owner-x@bank.example", rule=b"owner"), file(text, name="2"))
text = text.replace(b"Subject", b"no field\\r\\nSubject")
show(mail(3, len(text), sender=b""), file(text, name="3"))
heard(b"end")
"""


@pytest.mark.parametrize("override", ["fix", "refuse"])
def test_the_sender_is_the_owner_whatever_the_reader_says(
    system: System, host: SmartHost, override: str
) -> None:
    system.configure(host, RULES.format(override=override))
    ready(system, ATTACKER, VICTIM)
    let_lie(system, FORGED)
    system.flush()
    assert arrived(host, VICTIM)
    forged = [one for one in host.messages if one.rcpts[0][0] == b"to2001@example.org"]
    assert {one.mail_from for one in forged} <= {b"u2001@example.net", b""}
    assert not any(b"ceo@" in one.data for one in forged)
    assert len(forged) == (3 if override == "fix" else 0)
    assert no_traceback(system)


def test_a_new_account_for_the_relay_takes_over_what_root_has_begun(host: SmartHost) -> None:
    with new_system(accounts=False) as system:
        system.configure(host)
        ready(system, VICTIM)
        system.flush()
        assert "the relay runs as root" in system.log()
        with system.at("/etc/passwd").open("a") as out:
            out.write(f"_sendmail-py:x:{RELAY}:{RELAY}::/nonexistent:/usr/sbin/nologin\n")
        host.script(b"RCPT TO:<to2003", b"421 4.7.0 go away")
        system.submit(BYSTANDER)
        system.submit(ATTACKER, "bomb@example.org")
        host.script(b"RCPT TO:<bomb", b"421 4.7.0 go away")
        system.flush()
        assert arrived(host, VICTIM)
        assert "rests" in system.run("mailq").stdout.decode() or "wait" in system.log()
        assert system.at(f"{STATE}/relay").stat().st_uid == RELAY
        assert "cannot be written" not in system.log()
