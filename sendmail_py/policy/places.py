"""Where the keys of a TOML document stand: the line numbers that tomllib does not tell.

Guarantees: looks at the lines only and never fails. Exact for the subset of toml.py; in other
documents a line of a multi-line string may be taken for a key, and the keys of inline tables are not
seen (their table is). Only errors and the admin command ask.
"""

from __future__ import annotations

from sendmail_py.policy import toml

BARE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


def line_of(octets: bytes, label: str) -> int:
    """The line where the key or table `label` (see lines) stands, or what is around it; 1 if none."""
    found = lines(octets)
    while label:
        if label in found:
            return found[label]
        label = label[: max(label.rfind("["), 0)] if label.endswith("]") else label.rpartition(".")[0]
    return 1


def lines(octets: bytes) -> dict[str, int]:
    """The line numbers (from 1) of all keys and tables: "queue", "queue.lifetime", "smarthost[2].host"."""
    found: dict[str, int] = {}
    elements: dict[str, int] = {}
    table = ""
    for number, whole in enumerate(octets.decode("utf-8", "replace").split("\n"), 1):
        line = whole.strip()
        brackets = 2 if line.startswith("[[") else 1 if line.startswith("[") else 0
        name, rest = dotted(line[brackets:])
        if brackets and name and rest.startswith("]" * brackets):
            if brackets == 2:
                elements[name] = elements.get(name, 0) + 1
                found.setdefault(name, number)
                name = f"{name}[{elements[name]}]"
            table = name
            found.setdefault(table, number)
        elif not brackets and rest.startswith("="):
            found.setdefault(f"{table}.{name}" if table else name, number)
    return found


def dotted(text: str) -> tuple[str, str]:
    """The key that `text` begins with, its parts joined by dots, and what follows it; ("", "") if none."""
    parts = []
    while text := text.lstrip(toml.BLANKS):
        if text[0] in "\"'":
            try:
                part, text = toml.quoted(text)
            except ValueError:
                break
        else:
            part, text = text[: len(text) - len(text.lstrip(BARE))], text.lstrip(BARE)
        parts.append(part)
        text = text.lstrip(toml.BLANKS)
        if text[:1] != ".":
            return ".".join(parts), text
        text = text[1:]
    return "", ""
