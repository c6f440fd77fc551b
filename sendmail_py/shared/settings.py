"""What a reader is told of the configuration: what concerns the queue, and no secret. Written and read back.

Marshalled, because it goes one way only: root writes, a reader, who trusts root anyhow, reads.
"""

from __future__ import annotations

import marshal

from sendmail_py.policy import config
from sendmail_py.policy.config import Config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import SmartHost

SECTIONS = ("identity", "masquerade", "queue", "log")
PLAIN = (str, int, float, bool)


class Settings:
    """What a reader works with: its configuration, and whether due times count."""

    __slots__ = ("config", "force")

    def __init__(self, found: Config, force: bool) -> None:
        self.config = found
        self.force = force


def pack(found: Config, usable: list[SmartHost], directory: str, force: bool) -> bytes:
    """The octets for the reader of the spool `directory`; `usable` are the smart hosts that can be tried."""
    tables = {name: plain(getattr(found, name).__dict__) for name in SECTIONS}
    tables["queue"]["directory"] = directory
    hosts = [(one.name, list(one.senders)) for one in usable]
    everybody = [(one.name, list(one.senders)) for one in found.smarthosts]
    return marshal.dumps((tables, hosts, everybody, list(found.files), force))


def plain(table: dict[str, object]) -> dict[str, object]:
    """The values of a table that are text, numbers, lists or tables of these."""
    return {name: value for name, value in table.items() if isinstance(value, (*PLAIN, list, dict))}


def unpack(octets: bytes) -> tuple[Settings, list[SmartHost]]:
    """The settings, and the smart hosts that can be tried, in their order."""
    tables, hosts, everybody, files, force = marshal.loads(octets)  # noqa: S302 (root's word)
    found = Config({})
    for name, values in tables.items():
        getattr(found, name).__dict__.update(values)
    found.files = files
    found.smarthosts = [config.smarthost(name=name, senders=senders) for name, senders in everybody]
    usable = [config.smarthost(name=name, senders=senders) for name, senders in hosts]
    return Settings(found, force), usable
