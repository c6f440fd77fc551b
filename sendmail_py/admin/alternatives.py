"""The alternatives' group `mta`: Fedora's `alternatives` and Debian's `update-alternatives`, two programs.

Guarantees: no link of the running system is touched for an image; nothing is registered that would keep
another mailer's package from registering; taken back, the group is what it was, whatever ended the process
before, and what somebody has chosen since stays.

Both keep a group in a file of the same form (here `Group`), and have /usr/sbin/sendmail ->
/etc/alternatives/mta -> the program. What Fedora's does and Debian's does not (fedora-sysv/chkconfig 1.26):

    it has no --root, and with --altdir the links are made in the running system all the same
    a name that is a file stays one; it says so, and ends with 0
    a follower that is registered with another link, or the primary link, ends it with 2
    it disables the services of all mailers but the one that is chosen, and never enables one again
    followers that only we have stay in the group when we leave, unless they are taken out before
    its half-written `mta.new` keeps it from ever writing again, a missing /etc/alternatives/mta from leaving
"""

from __future__ import annotations

import os
import time

from sendmail_py.admin import layout, manifest
from sendmail_py.admin.content import Names
from sendmail_py.admin.manifest import Record
from sendmail_py.admin.steps import Entry, Step
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import NotPermittedError, UnavailableError

GROUP = "mta"
LINKS = "/etc/alternatives"
CHOSEN = f"{LINKS}/{GROUP}"
PRIORITY = "95"  # before Sendmail's 90
PROGRAMS = ("/usr/sbin/alternatives", "/usr/bin/alternatives", "/sbin/alternatives")
STATES = ("/etc/alternatives.admindir", "/var/lib/alternatives")  # Fedora 41 and later; before
DEBIAN = "update-alternatives"
DEBIAN_STATES = ("/var/lib/dpkg/alternatives",)
PATIENCE = 2.0  # seconds for another process to finish its `mta.new`
SUFFIX = ".sendmail-py"

# The followers as Fedora's packages of Postfix, Exim and Sendmail name them, and their links.
FOLLOWERS = {"mailq": "mta-mailq", "newaliases": "mta-newaliases", "runq": "mta-runq"}
PAGES = {"mailq.1": "mta-mailqman", "newaliases.1": "mta-newaliasesman", "sendmail.8": "mta-sendmailman"}
RUNQ = "/usr/bin/runq"  # where Exim registers it

Follower = tuple[str, str, str]  # link, name, target


class Group:
    """What an alternatives program knows about the group: the text of its file."""

    def __init__(self, text: str) -> None:
        lines = iter(text.split("\n"))
        self.mode = next(lines, "")
        self.link = next(lines, "")
        self.followers: dict[str, str] = {}  # name -> link
        self.choices: dict[str, list[str]] = {}  # path -> priority, targets of the followers
        for name in lines:
            if not name:
                break
            self.followers[name] = next(lines, "")
        for path in lines:
            if not path:
                break
            self.choices[path] = [next(lines, "") for _ in range(len(self.followers) + 1)]

    def meaning(self) -> object:
        """What two texts have in common that mean the same: the order of the followers may differ."""
        choices = {
            path: (words[0], sorted(zip(self.followers, words[1:], strict=True)))
            for path, words in self.choices.items()
        }
        return self.mode, self.link, sorted(self.followers.items()), sorted(choices.items())

    def best(self) -> str:
        """The choice of the highest priority."""
        return max(self.choices, key=lambda path: int(self.choices[path][0].rpartition("@")[2].split()[0]))

    def services(self, without: str) -> list[str]:
        """The services of the choices but one."""
        words = [each[0].rpartition("@")[2].split() for path, each in self.choices.items() if path != without]
        return [f"{each[1]}.service" for each in words if len(each) > 1]


class Program:
    """The alternatives program of a tree. Raises UnavailableError when there is none."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.path = path_of(tree)
        self.is_debian = not self.path
        if self.is_debian:
            found = tree.program(DEBIAN)
            if not found or os.path.basename(os.path.realpath(found)) == "alternatives":
                raise UnavailableError("no alternatives program here; try --method links")
            image = [] if tree.is_live else ["--root", tree.root, "--log", "/dev/null"]
            self.words = [DEBIAN, *image]
        else:
            self.words = inside(tree, [self.path])

    def state(self) -> str:
        """Where the group's file is, or would be."""
        folders = DEBIAN_STATES if self.is_debian else STATES
        with_group = [each for each in folders if self.tree.status(f"{each}/{GROUP}") is not None]
        there = [each for each in folders if self.tree.is_folder(each)]
        return f"{[*with_group, *there, *folders][0]}/{GROUP}"

    def read(self) -> str:
        """The text of the group's file, "" when there is no group."""
        try:
            with open(self.tree.path(self.state()), encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except OSError:
            return ""

    def chosen(self, name: str = GROUP) -> str:
        """Where the links of this name lead, "" when there are none."""
        try:
            return os.readlink(self.tree.path(f"{LINKS}/{name}"))
        except OSError:
            return ""

    def is_linked(self, group: Group) -> bool:
        """Whether all links are those of one choice."""
        choice = group.choices.get(self.chosen())
        found = [self.chosen(name) for name in group.followers]
        return choice is not None and found == choice[1:]

    def folder(self) -> str:
        """Where packages have the primary link: /usr/bin since Fedora 42, with the program itself."""
        group = self.read()
        if group:
            return os.path.dirname(Group(group).link)
        real = os.path.realpath(self.tree.path(self.path)) if self.path else ""
        return "/usr/bin" if real == self.tree.path("/usr/bin/alternatives") else "/usr/sbin"

    def run(self, *words: str) -> None:
        """Run it on the group. Raises UnavailableError."""
        self.clear()
        self.tree.run([*self.words, *words])

    def clear(self) -> None:
        """What keeps it from working after it was killed: a half-written state, a missing link."""
        half = f"{self.state()}.new"
        end = time.monotonic() + PATIENCE
        while not self.is_debian and self.tree.status(half) is not None:
            if time.monotonic() > end:
                self.tree.remove(half)
            time.sleep(0.05)
        text = self.read()
        if text and self.tree.status(CHOSEN) is None and (group := Group(text)).choices:
            self.tree.symlink(CHOSEN, group.best())


def path_of(tree: Tree) -> str:
    """Fedora's program in the tree, "" when it has none."""
    return next((path for path in PROGRAMS if tree.status(path) is not None), "")


def fits(tree: Tree) -> bool:
    """Whether the tree's mailers use the group."""
    states = (*STATES, *DEBIAN_STATES)
    return bool(path_of(tree)) or any(tree.status(f"{folder}/{GROUP}") is not None for folder in states)


def inside(tree: Tree, words: list[str]) -> list[str]:
    """A command that works on the tree only."""
    return words if tree.is_live else ["chroot", tree.root, *words]


def names(tree: Tree, files: dict[str, tuple[bytes, int]]) -> Names:
    """Our files' names, beside those that the alternatives have."""
    folder = Program(tree).folder()
    return Names(files, {**layout.COMMANDS, "sendmail": f"{folder}/sendmail", "runq": RUNQ}, SUFFIX)


def second_name(tree: Tree, link: str) -> list[Step]:
    """/usr/sbin/sendmail, where packages have it in /usr/bin and the two are not one folder (yet)."""
    if link == layout.SENDMAIL or tree.real("/usr/sbin") == "/usr/bin":
        return []
    known = manifest.load(tree).find("entry", layout.SENDMAIL)
    if tree.status(layout.SENDMAIL) is not None and known is None:
        return []
    return [Entry(layout.SENDMAIL, target="../bin/sendmail")]


class Choice(Step):
    """Register with the group, and be chosen."""

    kind = "alternatives"

    def __init__(self, tree: Tree, ours: Names) -> None:
        self.program = Program(tree)
        self.target = ours.commands["sendmail"]
        self.link = self.target.removesuffix(SUFFIX)
        self.followers = self.fitting(ours)
        for path in (self.link, *(link for link, name, _ in self.followers if not name.endswith("man"))):
            refuse_unmanaged(tree, path)
        text = self.program.read()
        stopped = ", ".join(Group(text).services(self.target))
        loss = f"; {stopped} will not start with the system any more" if stopped else ""
        super().__init__(GROUP, f"have the alternatives lead {self.link} and its kin to {self.target}{loss}")

    def fitting(self, ours: Names) -> list[Follower]:
        """Our followers; a name or a link that the group knows has the other that it has there."""
        found = [(layout.SENDMAIL_LINK, "mta-sendmail", ours.link)]
        found += [(ours.usual[name], each, ours.commands[name]) for name, each in FOLLOWERS.items()]
        found += [(layout.page(page), each, ours.pages[page]) for page, each in PAGES.items()]
        known = Group(self.program.read()).followers
        name_of = {link: name for name, link in known.items()}
        named = [(link, name_of.get(link, name), target) for link, name, target in found]
        return [(known.get(name, link), name, target) for link, name, target in named]

    def look(self, tree: Tree) -> Record:
        """The group as it is, and which services start with the system."""
        text = self.program.read()
        group = Group(text)
        services = {name: is_enabled(tree, name) for name in group.services(self.target)}
        chosen = self.program.chosen()
        by_hand = group.mode == "manual" or (bool(text) and chosen != group.best())
        about = {"ours": self.target, "before": text, "chosen": chosen, "by_hand": by_hand}
        about |= {"services": services, "complete": False}
        return {**super().look(tree), **about}

    def do(self, tree: Tree, record: Record) -> None:
        """Register, be chosen, and see that the name leads to us."""
        words = ["--install", self.link, GROUP, self.target, PRIORITY]
        for follower in self.followers:
            words += ["--slave", *follower]  # Fedora's newer --follower is unknown to its older versions
        self.program.run(*words)
        self.program.run("--set", GROUP, self.target)
        if self.program.chosen() != self.target or not leads(tree, self.link):
            raise UnavailableError(f"{self.link} does not lead to {self.target}; try --method links")
        record["complete"] = True


def steps(tree: Tree, ours: Names) -> list[Step]:
    """All of it."""
    choice = Choice(tree, ours)
    return [choice, *second_name(tree, choice.link)]


def is_enabled(tree: Tree, service: str) -> str:
    """What `systemctl is-enabled` says; its status is no fault."""
    return tree.ask(inside(tree, ["systemctl", "is-enabled", service]))[1].strip()


def leads(tree: Tree, path: str) -> bool:
    """Whether a name is a link of the alternatives."""
    try:
        return os.readlink(tree.path(path)).startswith(f"{LINKS}/")
    except OSError:
        return False


def refuse_unmanaged(tree: Tree, path: str) -> None:
    """The alternatives leave files alone, and would replace a link of somebody else's for good."""
    if tree.status(path) is not None and not leads(tree, path):
        text = f"{path} is not a link of the alternatives; remove what it belongs to, or use --method links"
        raise NotPermittedError(text)


def undo_choice(tree: Tree, record: Record) -> str:
    """Leave the group, and have it as it was; what somebody has chosen since stays chosen.

    A fault ends the whole: a group that leads to a file that is gone would be worse than our file.
    """
    try:
        program = Program(tree)
    except UnavailableError as error:
        return str(error)
    leave(program, record)
    for service, before in record["services"].items():
        changed = before in ("enabled", "disabled") and is_enabled(tree, service) != before
        if changed and program.chosen() == record["chosen"]:
            tree.ask(inside(tree, ["systemctl", "--quiet", before.removesuffix("d"), service]))
    return ""


def leave(program: Program, record: Record) -> None:
    """The group without us. Each command may have been run before."""
    tree, ours, before = program.tree, record["ours"], Group(record["before"])
    program.clear()
    group = Group(program.read())
    is_ours = program.chosen() == ours
    if is_ours and record["by_hand"] and record["chosen"] in group.choices:
        program.run("--set", GROUP, record["chosen"])  # first: leaving would have the best one chosen
    if ours in group.choices and len(group.choices) > 1 and not program.is_debian:
        for name in group.followers.keys() - before.followers.keys():
            tree.ask([*program.words, "--remove-slave", GROUP, ours, name])  # unknown to old versions
    if ours in group.choices:
        program.run("--remove", GROUP, ours)
    text = program.read()
    now = Group(text)
    by_hand = now.mode == "manual" and program.chosen() in now.choices
    if by_hand and not record["by_hand"] and not record["complete"]:
        by_hand = False  # it was killed when we were the best and not linked yet: it takes that for a choice
    if text and (not program.is_linked(now) or by_hand != (now.mode == "manual")):
        program.run(*(["--set", GROUP, program.chosen()] if by_hand else ["--auto", GROUP]))
        text = program.read()
    if text and text != record["before"] and Group(text).meaning() == before.meaning():
        tree.write(program.state(), record["before"].encode("utf-8", "surrogateescape"), 0o644)
