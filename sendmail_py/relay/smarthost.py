"""A smart host setting to the hosts and ports to try, in order; the door to DNS (mx.py).

Guarantees: an address, or a name with lookup = "none", asks no DNS of ours. Answers of DNS cannot lead a
password away: a certificate must be for a name below the configured one, or for the configured name itself.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import SmartHost


class Endpoint:
    """Where to connect: `host` (name or address), `port`, and the `name` that the certificate must be for.

    is_certain: nobody but the configuration, or DNS that is proven, chose the host.
    """

    __slots__ = ("host", "is_certain", "name", "port")

    def __init__(self, host: str, port: int, name: str, is_certain: bool = True) -> None:
        self.is_certain = is_certain
        self.host = host
        self.port = port
        self.name = name


def endpoints(setting: SmartHost) -> list[Endpoint]:
    """At least one; TransportFault when DNS has no answer."""
    host = setting.host.removeprefix("[").removesuffix("]")
    if setting.lookup == "none":
        return [Endpoint(host, setting.port, host)]
    from sendmail_py.relay import mx  # noqa: PLC0415 (a named door: dns.resolver costs more than all the rest)

    if setting.lookup == "mx":
        exchangers = mx.exchangers(host)
        is_certain = isinstance(exchangers, mx.Proven)
        found = [(target, setting.port) for target in exchangers]
    else:
        found = mx.services(host, "_submissions" if setting.tls == "implicit" else "_submission")
        is_certain = isinstance(found, mx.Proven)
    return [Endpoint(target, port, certificate_name(host, target), is_certain) for target, port in found]


def certificate_name(domain: str, target: str) -> str:
    """The name to verify (RFC 6186 6).

    A target below the domain may speak for itself; any other one came from an answer that anybody could have
    forged, so it must show a certificate for the domain (or `verify_name`).
    """
    return target if ("." + target.lower()).endswith("." + domain.lower()) else domain


def serves(setting: SmartHost, reverse_path: bytes) -> bool:
    """Whether the smart host is meant for this envelope sender; "*" is anything, case is ignored."""
    sender = reverse_path.decode("utf-8", "surrogateescape").lower()
    return not setting.senders or any(fnmatchcase(sender, pattern.lower()) for pattern in setting.senders)
