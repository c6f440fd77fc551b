"""What stands in the queue files of a sandbox, read by the specification and not by our code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .launch import Sandbox

TRAILER = 28  # octets, sendmail-py-spool(5)


@dataclass
class Stored:
    """A message in the queue: records by letter, header fields (name as written, value as written), body."""

    queue_id: str
    records: dict[str, list[str]]
    fields: list[tuple[str, bytes]]
    body: bytes

    @classmethod
    def read(cls, path: Path) -> Stored:
        """Read one queue file."""
        records, _, rest = path.read_bytes().partition(b"\n\n")
        head, _, body = rest[:-TRAILER].partition(b"\r\n\r\n")
        found: dict[str, list[str]] = {}
        for line in records.decode("utf-8", "surrogateescape").split("\n")[1:]:
            found.setdefault(line[0], []).append(line[2:])
        return cls(path.name, found, list(fields_of(head + b"\r\n")), body)

    @property
    def sender(self) -> str:
        """The reverse-path."""
        return self.records["S"][0]

    @property
    def recipients(self) -> list[str]:
        """The forward-paths."""
        return [row.split(" ", 3)[3] for row in self.records["R"]]

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """NOTIFY and ORCPT of each recipient, "-" for none."""
        return [(notify, orcpt) for _, notify, orcpt, _ in (row.split(" ", 3) for row in self.records["R"])]

    def field(self, name: str) -> bytes | None:
        """The value of a field without blanks around it, None if it is missing; it must not stand twice."""
        values = [value.strip() for key, value in self.fields if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} stands {len(values)} times"
        return values[0] if values else None


def fields_of(head: bytes) -> list[tuple[str, bytes]]:
    """Split a header; continuation lines belong to their field."""
    found: list[tuple[str, list[bytes]]] = []
    for line in head.split(b"\r\n")[:-1]:
        if line[:1] in (b" ", b"\t"):
            found[-1][1].append(line)
        else:
            name, _, value = line.partition(b":")
            found.append((name.decode("latin-1"), [value]))
    return [(name, b"\r\n".join(lines)) for name, lines in found]


def stored(sandbox: Sandbox) -> list[Stored]:
    """Return all messages in the queue, the oldest first."""
    folder = sandbox.spool / "queue"
    names = sorted(one for one in folder.iterdir() if len(one.name) == 12) if folder.exists() else []
    return [Stored.read(name) for name in names]


def leftovers(sandbox: Sandbox) -> list[str]:
    """Return the names in the queue's folder that are no messages."""
    folder = sandbox.spool / "queue"
    return [one.name for one in folder.iterdir() if len(one.name) != 12] if folder.exists() else []
