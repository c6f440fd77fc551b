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

    Filter = tuple[str, bytes, bool]  # see mail/selection.py

SECTIONS = ("identity", "masquerade", "queue", "log")
PLAIN = (str, int, float, bool)


class Wish:
    """What is to be tried: if `force`, also what is not due; `only` what passes these filters (-qI ...)."""

    __slots__ = ("force", "only")

    def __init__(self, force: bool, only: list[Filter]) -> None:
        self.force = force
        self.only = only


class Settings:
    """What a reader works with: its configuration, and what is to be tried."""

    __slots__ = ("config", "wish")

    def __init__(self, found: Config, wish: Wish) -> None:
        self.config = found
        self.wish = wish


def pack(found: Config, usable: list[SmartHost], directory: str, wish: Wish) -> bytes:
    """The octets for the reader of the spool `directory`; `usable` are the smart hosts that can be tried."""
    tables = {name: plain(getattr(found, name).__dict__) for name in SECTIONS}
    tables["queue"]["directory"] = directory
    hosts = [(one.name, list(one.senders)) for one in usable]
    everybody = [(one.name, list(one.senders)) for one in found.smarthosts]
    return marshal.dumps((tables, hosts, everybody, list(found.files), wish.force, wish.only))


def plain(table: dict[str, object]) -> dict[str, object]:
    """The values of a table that are text, numbers, lists or tables of these."""
    return {name: value for name, value in table.items() if isinstance(value, (*PLAIN, list, dict))}


def unpack(octets: bytes) -> tuple[Settings, list[SmartHost]]:
    """The settings, and the smart hosts that can be tried, in their order."""
    tables, hosts, everybody, files, force, only = marshal.loads(octets)  # noqa: S302 (root's word)
    found = Config({})
    for name, values in tables.items():
        getattr(found, name).__dict__.update(values)
    found.files = files
    found.smarthosts = [config.smarthost(name=name, senders=senders) for name, senders in everybody]
    usable = [config.smarthost(name=name, senders=senders) for name, senders in hosts]
    return Settings(found, Wish(force, only)), usable
