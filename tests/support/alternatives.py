"""Fedora's `alternatives` for an image, as far as a mailer's package meets it (fedora-sysv/chkconfig 1.26).

It behaves as the real program was seen to: the order of its steps, what it refuses, what it leaves behind.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

USAGE = (2, "usage: alternatives --install <link> <name> <path> <priority>")
Choice = dict[str, str]  # "": priority (with family and service); follower's name -> target


class Killed(BaseException):
    """The program has ended at this moment, and whoever called it."""


class Group:
    """The content of the group's file."""

    def __init__(self, mode: str, link: str, followers: dict[str, str], choices: dict[str, Choice]) -> None:
        self.mode = mode
        self.link = link
        self.followers = followers
        self.choices = choices

    def text(self) -> str:
        """As it is written."""
        lines = [self.mode, self.link, *(word for pair in self.followers.items() for word in pair), ""]
        for path, targets in self.choices.items():
            lines += [path, *(targets.get(name, "") for name in ("", *self.followers))]
        return "\n".join(lines) + "\n"

    def best(self) -> str:
        """The choice of the highest priority."""
        return max(self.choices, key=lambda path: int(self.choices[path][""].split()[0]))

    def unused(self) -> list[str]:
        """The followers that no choice has."""
        used = [name for targets in self.choices.values() for name in targets if targets[name]]
        return [name for name in self.followers if name not in used]

    def sort(self) -> None:
        """The order that the followers have once there was a second choice."""
        self.followers = dict(sorted(self.followers.items(), key=lambda pair: pair[1]))


class Alternatives:
    """The program; `enabled` are the services that start with the image, `kill_at` counts its changes."""

    def __init__(self, image: Path) -> None:
        self.image = image
        self.state = image / "var/lib/alternatives/mta"
        self.enabled: set[str] = set()
        self.kill_at = -1
        self.is_old = False
        for folder in ("etc/alternatives", "var/lib/alternatives", "usr/sbin", "usr/bin", "usr/lib"):
            (image / folder).mkdir(parents=True, exist_ok=True)
        if not (image / "usr/sbin/alternatives").exists():
            (image / "usr/sbin/alternatives").write_text("")

    def register(self, name: str, priority: int, folder: str = "/usr/sbin", more: str = "") -> None:
        """What the package of a mailer does when it is installed."""
        slaves = [("/usr/bin/mailq", "mta-mailq"), ("/usr/bin/newaliases", "mta-newaliases")]
        slaves += [("/usr/lib/sendmail", "mta-sendmail"), ("/etc/pam.d/smtp", "mta-pam")]
        slaves += [("/usr/share/man/man8/sendmail.8.gz", "mta-sendmailman")]
        for path in (f"{folder}/sendmail", *(link for link, _ in slaves)):
            (self.image / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            (self.image / f"{path[1:]}.{name}").write_text(f"#!/bin/sh\necho {name}\n")
        words = ["--install", f"{folder}/sendmail", "mta", f"{folder}/sendmail.{name}", str(priority)]
        for link, slave in slaves:
            words += ["--slave", link, slave, f"{link}.{name}"]
        status, said = self.run([*words, *shlex.split(more), "--initscript", name])
        assert status == 0, said
        if self.chosen() == f"{folder}/sendmail.{name}":
            self.enabled.add(f"{name}.service")

    def ask(self, command: list[str]) -> tuple[int, str]:
        """A command of an installation: this program's, or systemctl's."""
        assert command[:2] == ["chroot", str(self.image)], "the running system's links would be changed"
        if command[2] == "systemctl":
            return self.systemctl([word for word in command[3:] if word != "--quiet"])
        assert command[2].endswith("/alternatives")
        return self.run(command[3:])

    def systemctl(self, words: list[str]) -> tuple[int, str]:
        """Which services start with the system."""
        verb, service = words
        if verb == "is-enabled":
            return (0, "enabled\n") if service in self.enabled else (1, "disabled\n")
        (self.enabled.add if verb == "enable" else self.enabled.discard)(service)
        return 0, ""

    def change(self) -> None:
        """One more call that changes something."""
        if self.kill_at == 0:
            raise Killed
        self.kill_at -= 1

    # --- the group's file ---------------------------------------------------------------------------------

    def load(self) -> Group:
        """The group, as the file and the primary link have it."""
        if not self.state.exists():
            return Group("auto", "", {}, {})
        lines = iter(self.state.read_text().split("\n"))
        mode, link = next(lines), next(lines)
        followers = {name: next(lines) for name in iter(lambda: next(lines), "")}
        names = ("", *followers)
        choices = {path: {name: next(lines) for name in names} for path in iter(lambda: next(lines), "")}
        group = Group(mode, link, followers, choices)
        group.mode = mode if self.chosen() == group.best() else "manual"
        return group

    def chosen(self) -> str:
        """Where the primary link leads."""
        place = self.image / "etc/alternatives/mta"
        return os.readlink(place) if place.is_symlink() else ""

    def write(self, group: Group, current: str = "", force: bool = False) -> tuple[int, str]:
        """The file, the links if they may be changed, the services."""
        new = self.state.with_name("mta.new")
        if new.exists():
            return 2, f"/{new.relative_to(self.image)} already exists"
        new.write_text(group.text())
        self.change()
        new.rename(self.state)
        current = current or self.chosen()
        current = group.best() if group.mode == "auto" or current not in group.choices else current
        if force or group.mode == "auto":
            self.link("mta", group.link, current)
            for name, place in group.followers.items():
                self.link(name, place, group.choices[current].get(name, ""))
        for path, targets in group.choices.items():
            service = targets[""].partition(" ")[2]
            if service and path != current:
                self.enabled.discard(f"{service}.service")
        return 0, ""

    def link(self, name: str, place: str, target: str) -> None:
        """A name by way of /etc/alternatives, or no such name; a file that has it stays."""
        outer, inner = self.image / place[1:], self.image / "etc/alternatives" / name
        if target and (outer.is_symlink() or not outer.exists()):
            self.replace(outer, f"/etc/alternatives/{name}")
        if target:
            self.replace(inner, target)
        for path in (inner, outer) if not target else ():
            if path.is_symlink():
                self.change()
                path.unlink()

    def replace(self, path: Path, target: str) -> None:
        """A link in the place of another, in two steps."""
        if path.is_symlink() and os.readlink(path) == target:
            return
        if path.is_symlink():
            self.change()
            path.unlink()
        self.change()
        path.symlink_to(target)

    # --- its options --------------------------------------------------------------------------------------

    def run(self, words: list[str]) -> tuple[int, str]:
        """Its status, and what it says."""
        group = self.load()
        if words[0] == "--install":
            return self.install(group, words)
        if not group.choices or not self.chosen():
            return 2, f"failed to read link {group.link}: No such file or directory"
        if words[0] == "--auto":
            group.mode = "auto"
            return self.write(group)
        target = words[2]
        if target not in group.choices:
            return 2, f"{target} has not been configured as an alternative for mta"
        if words[0] == "--set":
            group.mode = "manual"
            return self.write(group, target, force=True)
        if words[0] == "--remove-slave" and not self.is_old:
            group.choices[target][words[3]] = ""
            for name in group.unused():
                self.link(name, group.followers.pop(name), "")
            group.sort()
            return self.write(group, force=True)
        return self.remove(group, target) if words[0] == "--remove" else USAGE

    def remove(self, group: Group, target: str) -> tuple[int, str]:
        """A choice goes, and the last one takes its place; or all goes with the only one."""
        if len(group.choices) == 1:
            for name, place in {"mta": group.link, **group.followers}.items():
                self.link(name, place, "")
            self.change()
            self.state.unlink()
            return 0, ""
        *paths, last = group.choices
        group.choices = {
            path: group.choices[path] for path in (last if path == target else path for path in paths)
        }
        group.mode = "auto" if self.chosen() == target else group.mode
        return self.write(group)

    def install(self, group: Group, words: list[str]) -> tuple[int, str]:
        """A choice comes, or comes again."""
        place, _, target, priority = words[1:5]
        choice, given, options = {"": priority}, {}, iter(words[5:])
        for option in options:
            if option == "--slave":
                link, name = next(options), next(options)
                given[name], choice[name] = link, next(options)
            elif option == "--initscript":
                choice[""] += f" {next(options)}"
        is_first, force = not group.choices, target in group.choices
        if not is_first and place != group.link:
            return 2, f"the primary link for mta must be {group.link}"
        for name, link in given.items():
            if group.followers.get(name, link) != link:
                return 2, f"link {link} incorrect for follower {name} ({group.followers[name]} {name})"
        known = group.followers.values()
        new = {name: link for name, link in given.items() if link not in known}
        group.link, group.choices[target] = place, choice
        group.followers |= new
        if not is_first:
            group.sort()
        return self.write(group, force=force)
