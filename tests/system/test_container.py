"""In a container: environment only, a uid that nobody knows, a read-only root with one volume, no home.

No engine is needed: unshare(1) makes the mount namespace, setpriv(1) drops the rights. The Dockerfile's own
commands are run where they need no network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sendmail_py
from sendmail_py.policy import config, schema

from support.launch import admin_command
from support.needs import needs, needs_root
from support.smarthost import SmartHost

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples" / "container"
UID = 54321  # has no line in passwd(5)
MESSAGE = b"Subject: x\n\nhello\n"
SECRET = "correct horse"

# Everything that is mounted becomes read-only, the volume apart; then the rights go for good.
CONTAINER = f"""set -e
mount --make-rprivate /
if [ "$VOLUME" ]; then mount --bind "$VOLUME" "$VOLUME"; fi
for place in / /tmp /var /run /dev/shm /dev; do
    if mountpoint -q "$place"; then mount -o remount,bind,ro "$place"; fi
done
cd /
exec setpriv --reuid {UID} --regid {UID} --clear-groups --no-new-privs --bounding-set=-all -- "$@"
"""


class Container:
    """The installed commands in such a place; `environ` is all of their environment."""

    def __init__(self, bindir: Path, folder: Path) -> None:
        needs("unshare", "util-linux"), needs("setpriv", "util-linux"), needs("mountpoint", "util-linux")
        self.bindir = bindir
        self.volume: Path | None = folder / "mail"
        self.volume.mkdir()
        self.volume.chmod(0o1777)
        self.secrets = folder / "secrets"
        self.secrets.mkdir()
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "XDG_STATE_HOME": str(self.volume),
            "SENDMAIL_PY_IDENTITY_DOMAIN": "example.net",
            "SENDMAIL_PY_IDENTITY_HELO": "host.example.net",
            "SENDMAIL_PY_LOG_TO": "stderr",
        }

    def secret(self, name: str, text: str) -> str:
        """A file as engines mount secrets: readable by the container's user alone."""
        path = self.secrets / name
        path.write_text(text)
        os.chown(path, UID, UID)
        path.chmod(0o400)
        return str(path)

    def smarthost(self, host: SmartHost, **keys: str) -> None:
        """Where mail goes, by variables."""
        values = {"host": "127.0.0.1", "port": str(host.port), "tls": "none", **keys}
        self.environ |= {f"SENDMAIL_PY_SMARTHOST_{key.upper()}": value for key, value in values.items()}

    def words(self, name: str, *arguments: str) -> list[str]:
        """The command in its container."""
        path = admin_command() if name == "sendmail-py" else str(self.bindir / name)
        command = [sys.executable, path] if name == "sendmail-py" else [path]
        inside = [
            "env",
            "-i",
            *[f"{key}={value}" for key, value in self.environ.items()],
            *command,
            *arguments,
        ]
        return ["unshare", "--mount", "sh", "-c", CONTAINER, "sh", *inside]

    def run(self, name: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """To its end."""
        environ = {"PATH": os.environ["PATH"], "VOLUME": str(self.volume or "")}
        return subprocess.run(
            self.words(name, *arguments),
            input=stdin,
            capture_output=True,
            env=environ,
            check=False,
            timeout=120,
        )

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """In the background; its words come out of standard error."""
        environ = {"PATH": os.environ["PATH"], "VOLUME": str(self.volume or "")}
        return subprocess.Popen(
            self.words(name, *arguments), env=environ, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def waiting(self) -> list[Path]:
        """The messages in the volume's queue."""
        return sorted(self.volume.glob("sendmail-py/spool/queue/????????????")) if self.volume else []


@pytest.fixture
def container(installed: Path) -> Iterator[Container]:
    """A fresh one, where its user can reach it."""
    needs_root()
    folder = Path(tempfile.mkdtemp(prefix="container-"))
    folder.chmod(0o755)
    yield Container(installed, folder)
    shutil.rmtree(folder)


def until(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


# --- with a volume ------------------------------------------------------------------------------------------


def test_the_place_is_as_bare_as_it_should_be(container: Container) -> None:
    """Or the tests below would show nothing."""
    script = "id -u; touch /x /tmp/x; touch $XDG_STATE_HOME/x && echo volume"
    script += "; getent passwd $(id -u) || echo unknown"
    words = container.words("sendmail")
    command = [*words[: words.index(str(container.bindir / "sendmail"))], "sh", "-c", script]
    environ = {"PATH": os.environ["PATH"], "VOLUME": str(container.volume)}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert done.stdout.split() == [str(UID), "volume", "unknown"]
    assert done.stderr.count("Read-only file system") == 2


def test_a_message_is_queued_with_nothing_but_the_environment(container: Container) -> None:
    done = container.run("sendmail", "ops@example.org", stdin=MESSAGE)
    assert (done.returncode, done.stdout) == (0, b"")
    (message,) = container.waiting()
    assert message.stat().st_uid == UID
    assert b"S uid54321@example.net\n" in message.read_bytes()
    done = container.run("mailq", "--json")
    assert json.loads(done.stdout)["sender"] == "uid54321@example.net"


def test_the_process_beside_it_logs_in_with_a_secret_from_a_file_and_ends_on_term(
    container: Container,
) -> None:
    users = {"shop": SECRET}
    with SmartHost(users=users) as host:
        assert container.run("sendmail", "ops@example.org", stdin=MESSAGE).returncode == 0
        container.smarthost(host, user="shop", password_file=container.secret("password", SECRET + "\n"))
        beside = container.start("sendmail-py", "flush", "--loop", "--every", "1s")
        assert until(lambda: len(host.messages) == 1)
        assert container.run("sendmail", "ops@example.org", stdin=MESSAGE).returncode == 0
        assert until(lambda: len(host.messages) == 2)
        beside.send_signal(signal.SIGTERM)
        _, said = beside.communicate(timeout=30)
    assert beside.returncode == 0
    assert container.waiting() == []
    assert [one.login for one in host.messages] == ["shop", "shop"]
    assert said.count(b"status=sent") == 2
    assert SECRET.encode() not in said
    assert b"Traceback" not in said


def test_any_value_may_come_from_a_file(container: Container) -> None:
    del container.environ["SENDMAIL_PY_IDENTITY_DOMAIN"]
    container.environ["SENDMAIL_PY_IDENTITY_DOMAIN_FILE"] = container.secret("domain", "shop.example\n")
    assert container.run("sendmail", "ops@example.org", stdin=MESSAGE).returncode == 0
    assert b"S uid54321@shop.example\n" in container.waiting()[0].read_bytes()


def test_without_a_volume_it_says_what_is_missing(container: Container) -> None:
    del container.environ["XDG_STATE_HOME"]
    done = container.run("sendmail", "ops@example.org", stdin=MESSAGE)
    assert (done.returncode, done.stderr.count(b"\n")) == (73, 1)
    assert b"queue.directory" in done.stderr


def test_a_home_in_the_read_only_root_is_no_place(container: Container) -> None:
    """Engines set HOME=/ for a user that they do not know."""
    container.environ |= {"HOME": "/"}
    del container.environ["XDG_STATE_HOME"]
    done = container.run("sendmail", "ops@example.org", stdin=MESSAGE)
    assert (done.returncode, done.stderr.count(b"\n")) == (73, 1)


def test_the_doctor_works_there_and_finds_nothing_bad(container: Container) -> None:
    with SmartHost() as host:
        container.smarthost(host)
        assert container.run("sendmail", "ops@example.org", stdin=MESSAGE).returncode == 0
        done = container.run("sendmail-py", "doctor", "--offline")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Traceback" not in done.stdout
    assert f"spool: {container.volume}/sendmail-py/spool".encode() in done.stdout


@pytest.mark.parametrize("kind", ["tmpfs", "overlay"])
def test_the_doctor_warns_of_a_spool_that_ends_with_the_container(container: Container, kind: str) -> None:
    assert container.volume is not None
    at = container.volume
    options = "mode=1777"
    if kind == "overlay":
        layers = Path(tempfile.mkdtemp(dir=at.parent))
        for name in ("lower", "upper", "work"):
            (layers / name).mkdir()
        (layers / "upper").chmod(0o1777)
        options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
    mounted = ["mount", "-t", kind, "-o", options, kind, str(at)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip(f"no {kind} can be mounted here")
    try:
        assert container.run("sendmail", "ops@example.org", stdin=MESSAGE).returncode == 0
        done = container.run("sendmail-py", "doctor", "--offline")
    finally:
        subprocess.run(["umount", str(at)], check=True)
    assert f"is on {kind} and may be gone after a restart".encode() in done.stdout


# --- without ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("environ", [{"HOME": "/", "SENDMAIL_PY_QUEUE_DIRECTORY": "none"}, {}])
def test_without_any_place_to_write_to_the_caller_waits_for_the_smart_host(
    container: Container, environ: dict[str, str]
) -> None:
    """Because "none" says so, or because nothing names a place."""
    container.volume = None
    del container.environ["XDG_STATE_HOME"]
    container.environ |= {"SENDMAIL_PY_DELIVERY": "now", **environ}
    with SmartHost(replies={b"RCPT TO:<late@": b"450 4.2.0 Later", b"RCPT TO:<no@": b"550 5.1.1 No"}) as host:
        container.smarthost(host)
        for local, status in (("ops", 0), ("late", 75), ("no", 69)):
            done = container.run("sendmail", f"{local}@example.org", stdin=MESSAGE)
            assert (done.returncode, done.stdout) == (status, b""), done.stderr
            assert b"Traceback" not in done.stderr
        assert [one.rcpts[0][0] for one in host.messages] == [b"ops@example.org"]


# --- the files that are shipped -----------------------------------------------------------------------------


def dockerfile(command: str) -> list[str]:
    """The arguments of every line of the Dockerfile that begins with this command."""
    text = (EXAMPLES / "Dockerfile").read_text()
    return [line.partition(" ")[2] for line in text.splitlines() if line.startswith(command + " ")]


def test_the_commands_of_the_dockerfile_make_a_sendmail_that_works(tmp_path: Path) -> None:
    """All but apt-get; the wheel's own installation where there is a wheel (CI), else what it comes to."""
    root = tmp_path / "root"
    for folder in ("usr/sbin", "usr/lib", "usr/bin", "usr/src", "opt"):
        (root / folder).mkdir(parents=True)
    ran = []
    for line in dockerfile("RUN"):
        if line.startswith("apt-get "):
            continue
        if "pip install" in line:
            install_package(root / "opt/sendmail-py")
        else:
            moved = re.sub(r"(?<=[ =])/(?=opt/|mail|usr/(?:sbin|lib|bin)/(?!python))", f"{root}/", " " + line)
            subprocess.run(["sh", "-ec", moved], check=True, capture_output=True)
        ran.append(line)
    assert len(ran) == 8
    environ = dict(one.split("=", 1) for one in dockerfile("ENV"))
    assert environ == {"XDG_STATE_HOME": "/mail"}
    domain = {"SENDMAIL_PY_IDENTITY_DOMAIN": "example.net", "XDG_STATE_HOME": f"{root}/mail"}
    words = [f"{root}/usr/sbin/sendmail", "ops@example.org"]
    done = subprocess.run(words, input=MESSAGE, env=domain, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(list((root / "mail/sendmail-py/spool/queue").iterdir())) == 1
    done = subprocess.run([f"{root}/usr/bin/mailq"], env=domain, capture_output=True, check=False)
    assert b" in 1 Request." in done.stdout
    entry = json.loads(dockerfile("ENTRYPOINT")[0])
    beside = subprocess.Popen(
        [f"{root}{entry[0]}", *entry[1:]], env=domain, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert beside.stderr is not None
    assert b"no smart host" in next(line for line in beside.stderr if line.startswith(b"sendmail-py: "))
    beside.terminate()
    assert beside.wait(30) == 0
    beside.stderr.close()


def install_package(venv: Path) -> None:
    """What `pip install` of the clone does, without a registry: the dependencies are those of the tests."""
    python = venv / "bin" / "python"
    packages = next(venv.glob("lib/python*/site-packages"))
    others = [path for path in site.getsitepackages() if "site-packages" in path]
    (packages / "tests.pth").write_text("\n".join(others) + "\n")
    wheel = os.environ.get("TEST_WHEEL")
    if wheel:
        words = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--force-reinstall",
        ]
        subprocess.run([*words, wheel], check=True, capture_output=True)
        return
    shutil.copytree(Path(sendmail_py.__file__).parent, packages / "sendmail_py")
    command = venv / "bin" / "sendmail-py"
    command.write_text(f"#!{python}\nfrom sendmail_py.admin.cli import main\nmain()\n")
    command.chmod(0o755)


def as_json(name: str) -> Any:
    """A YAML file's documents, read by Ruby, which the tests have anyway."""
    ruby = needs("ruby")
    script = "require 'yaml'; require 'json'; puts YAML.load_stream(File.read(ARGV[0])).to_json"
    done = subprocess.run(
        [ruby, "-e", script, str(EXAMPLES / name)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def variables(*blocks: dict[str, str]) -> dict[str, str]:
    """One environment of several blocks."""
    found: dict[str, str] = {}
    for one in blocks:
        found |= one
    return found


def compose() -> tuple[dict[str, Any], dict[str, Any]]:
    """The two services: the application's, and the one that sends."""
    (document,) = as_json("compose.yaml")
    return document["services"]["app"], document["services"]["mail"]


def test_the_compose_file_gives_both_services_one_user_and_one_volume() -> None:
    app, mail = compose()
    assert app["user"] == mail["user"] == dockerfile("USER")[-1]
    assert app["volumes"] == mail["volumes"] == ["mail:" + dockerfile("VOLUME")[0]]
    for one in (app, mail):
        assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert (
            EXAMPLES / one["build"]["context"] / one["build"]["dockerfile"]
        ).resolve() == EXAMPLES / "Dockerfile"


def pod() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, str]]:
    """The pod's specification, the sidecar, the application, the variables that they share."""
    shared, deployment = as_json("kubernetes.yaml")
    spec = deployment["spec"]["template"]["spec"]
    return spec, spec["initContainers"][0], spec["containers"][0], shared["data"]


def test_the_pod_runs_as_anybody_on_a_read_only_root() -> None:
    spec, mail, app, _ = pod()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert f"{spec['securityContext']['runAsUser']}:" in dockerfile("USER")[-1]
    assert mail["restartPolicy"] == "Always"
    for one in (mail, app):
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"name": "mail", "mountPath": "/mail"} in one["volumeMounts"]


def test_only_the_sending_container_has_the_secret() -> None:
    app, mail = compose()
    assert "secrets" not in app
    assert mail["environment"]["SENDMAIL_PY_SMARTHOST_PASSWORD_FILE"] == f"/run/secrets/{mail['secrets'][0]}"
    _, beside, application, _ = pod()
    assert [one["name"] for one in application["volumeMounts"]] == ["mail"]
    (at,) = [one["mountPath"] for one in beside["volumeMounts"] if one["name"] == "password"]
    assert {"name": "SENDMAIL_PY_SMARTHOST_PASSWORD_FILE", "value": f"{at}/password"} in beside["env"]


def test_the_time_to_drain_fits_into_the_grace_period() -> None:
    spec, mail, _, _ = pod()
    assert mail["args"][0] == "--drain"
    assert schema.duration(mail["args"][1], "") + 2 < spec["terminationGracePeriodSeconds"]


def test_the_environments_of_the_examples_are_configurations() -> None:
    app, mail = compose()
    _, beside, _, shared = pod()
    own = {one["name"]: one["value"] for one in beside["env"]}
    for environ in (app["environment"], shared):
        assert config.load(environ, "/dev/null").smarthosts == []
        assert config.load(environ, "/dev/null").masquerade.users == {"*": ["shop@example.net"]}
    for environ in (mail["environment"], variables(shared, own)):
        (host,) = config.load(environ, "/dev/null").smarthosts
        assert (host.host, host.port, host.tls, host.user) == ("smtp.isp.example", 587, "starttls", "shop")
        assert host.password_file.startswith("/run/secrets/")
