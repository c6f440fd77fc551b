"""The Debian package: the files of an installation, and what dpkg must know to let go of another mailer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from sendmail_py import __version__
from sendmail_py.admin import layout, scripts
from sendmail_py.admin.content import Files
from sendmail_py.admin.manifest import Record
from sendmail_py.admin.steps import Entry, Step, put
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import SendmailError

NAME = "sendmail-py"
EPOCH = 1_700_000_000  # time of all files in it: whole seconds, or the bundles' checks would not hold

# Provides, Conflicts and Replaces of the same virtual package: dpkg removes (and never purges) the other
# mailer in favour of this one, and this one in favour of another (Debian Policy 7.6.2 and 11.6).
CONTROL = """\
Package: sendmail-py
Version: {version}
Architecture: all
Maintainer: root <root@localhost>
Installed-Size: {size}
Section: mail
Priority: optional
{depends}Provides: mail-transport-agent
Conflicts: mail-transport-agent
Replaces: mail-transport-agent
Description: sendmail for machines that only send mail
 Takes mail from programs into a durable queue and sends it to a smart host.
 Built on this machine by `sendmail-py install'.
"""

COPYRIGHT = """\
sendmail_py is under the MIT licence; see vendor/*/ below {library} for the licences of what is copied there.
"""


def version() -> str:
    """Our version as dpkg sorts it: 0.2.0.dev1 comes before 0.2.0."""
    return __version__.replace(".dev", "~dev").replace("rc", "~rc") + "+local"


def build(files: Files, entries: list[Entry], interpreter: str, folder: str) -> str:
    """Build the package in an empty folder; the path of the .deb. Raises UnavailableError, OSError."""
    tree = f"{folder}/tree"
    for inside, (octets, mode) in files.items():
        put(f"{tree}{layout.LIBRARY}/{inside}", octets, mode)
    for entry in entries:
        os.makedirs(os.path.dirname(tree + entry.path), exist_ok=True)
        if entry.target:
            os.symlink(entry.target, tree + entry.path)
        else:
            put(tree + entry.path, entry.octets, entry.mode)
    put(f"{tree}/usr/share/doc/{NAME}/copyright", COPYRIGHT.format(library=layout.LIBRARY).encode(), 0o644)
    os.makedirs(tree + layout.CONFIG_FOLDER)
    write_control(tree, interpreter)
    settle(tree)
    package = f"{folder}/{NAME}.deb"
    environ = ["env", f"SOURCE_DATE_EPOCH={EPOCH}"]
    Tree().run([*environ, "dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, package])
    return package


def write_control(tree: str, interpreter: str) -> None:
    """The folder DEBIAN."""
    sums, size = [], 0
    for place, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(place, name)
            if not os.path.islink(path):
                with open(path, "rb") as file:
                    octets = file.read()
                size += len(octets)
                digest = hashlib.md5(octets, usedforsecurity=False).hexdigest()
                sums.append(f"{digest}  {os.path.relpath(path, tree)}\n")
    depends = "Depends: python3 (>= 3.11)\n" if interpreter == "/usr/bin/python3" else ""
    control = CONTROL.format(version=version(), size=size // 1024 + 1, depends=depends)
    put(f"{tree}/DEBIAN/control", control.encode(), 0o644)
    put(f"{tree}/DEBIAN/md5sums", "".join(sorted(sums)).encode(), 0o644)
    for name, text in (("postinst", scripts.POSTINST), ("prerm", scripts.PRERM), ("postrm", scripts.POSTRM)):
        put(f"{tree}/DEBIAN/{name}", text.encode(), 0o755)


def settle(tree: str) -> None:
    """Times and modes that do not depend on who builds."""
    for place, folders, names in os.walk(tree):
        for name in names + folders:
            path = os.path.join(place, name)
            os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
            if name in folders and not os.path.islink(path):
                os.chmod(path, 0o755)  # noqa: S103 (folders of a package are for everybody)
    os.chmod(tree, 0o755)  # noqa: S103


class Package(Step):
    """A Debian package, built by `build` into a folder (path of the .deb comes back).

    dpkg installs it. Apt does when packages are `displaced`: dpkg would not, if others depend on those.
    """

    kind = "package"

    def __init__(self, name: str, build: Callable[[str], str], displaced: list[str]) -> None:
        instead = f", in the place of {', '.join(displaced)}" if displaced else ""
        holds = ", ".join([*layout.COMMANDS.values(), layout.SENDMAIL_LINK, layout.LIBRARY, layout.SPOOL])
        made = f"build the Debian package {name} with {holds} and the account {layout.ACCOUNT}"
        super().__init__(name, f"{made}; install it{instead}")
        self.build = build
        self.displaced = displaced

    def look(self, tree: Tree) -> Record:
        """Which packages go, so that people can be told how to have them back."""
        return {**super().look(tree), "displaced": self.displaced}

    def intend(self, tree: Tree, record: Record) -> None:
        """Another mailer may have come since the first time."""
        record["displaced"] = list(dict.fromkeys([*record["displaced"], *self.displaced]))

    def do(self, tree: Tree, record: Record) -> None:
        """Build, install, remove the .deb."""
        folder = f"{layout.RECORDS}/build"
        tree.remove_all(folder)
        tree.make_folder(folder, 0o700)
        package = self.build(tree.path(folder))
        if self.displaced and tree.is_live and tree.program("apt-get"):
            tree.run(["apt-get", "-q", "-y", "--allow-downgrades", "--reinstall", "install", package])
        else:
            tree.run([*dpkg(tree), "--install", package])
        tree.remove_all(folder)


def undo_package(tree: Tree, record: Record) -> str:
    """Purge it, in whatever state it is."""
    if is_known_package(tree, record["path"]):
        tree.run(purge(tree, record["path"]))
    return ""


def purge(tree: Tree, name: str, *options: str) -> list[str]:
    """The command that purges a package, also one that was unpacked in part when the process ended."""
    return [*dpkg(tree), "--force-remove-reinstreq", *options, "--purge", name]


def is_known_package(tree: Tree, name: str) -> bool:
    """Whether dpkg knows a package, in whatever state."""
    folder = f"--admindir={tree.path('/var/lib/dpkg')}"
    query = ["dpkg-query", folder, "-f", "${db:Status-Status}\\n", "-W", name]
    try:
        said = tree.run(query)
    except SendmailError:
        return False
    return said.strip() not in ("", "not-installed")


def dpkg(tree: Tree) -> list[str]:
    """The beginning of a dpkg command: of an image only the files, its programs cannot be run."""
    if tree.is_live:
        return ["dpkg"]
    return ["dpkg", f"--root={tree.root}", "--force-script-chrootless", "--force-not-root"]
