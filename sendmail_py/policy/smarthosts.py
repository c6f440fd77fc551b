"""What the keys of one [[smarthost]] have to do with each other.

Guarantee: a password never leaves in clear text for anywhere but this machine.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PORTS = {"starttls": 587, "implicit": 465, "none": 25}
PASSWORD_SOURCES = ("password_file", "password_command", "password_credential", "password_env", "password")
WAYS = ("host", "transport", "command")  # how mail leaves: exactly one


def misfit(smarthost: dict[str, Any]) -> tuple[str, str]:
    """(key, text for people) of what does not go with the rest of a smart host; ("", "") if all is well."""
    ways = [key for key in WAYS if smarthost[key]]
    if not ways:
        return "host", "missing; it names the server that takes the mail"
    if len(ways) > 1:
        return ways[1], f"{ways[0]} is set, too; keep one of them"
    return misfit_of_login(smarthost) or misfit_of_line(smarthost) or ("", "")


def misfit_of_login(smarthost: dict[str, Any]) -> tuple[str, str] | None:
    """What is wrong with user, password and certificate."""
    sources = [key for key in PASSWORD_SOURCES if smarthost[key]]
    if len(sources) > 1:
        return sources[1], f"{sources[0]} is set, too; keep one of them"
    if smarthost["user"] and not sources:
        return "user", "there is no password for it; set password_file or password_command"
    if sources and not smarthost["user"]:
        return sources[0], "of no use without user"
    if bool(smarthost["proxy_user"]) != bool(smarthost["proxy_password_file"]):
        return "proxy_user", "proxy_user and proxy_password_file go together"
    if smarthost["proxy_user"] and not smarthost["proxy"]:
        return "proxy_user", "of no use without proxy"
    if smarthost["client_key"] and not smarthost["client_cert"]:
        return "client_key", "of no use without client_cert"
    return None


def misfit_of_line(smarthost: dict[str, Any]) -> tuple[str, str] | None:
    """What is wrong with the way to the server."""
    host, clear = smarthost["host"], smarthost["tls"] == "none"
    if host[:1] == "/" and (smarthost["proxy"] or smarthost["lookup"] != "none"):
        return "host", "a path leads to this machine only; no use for lookup or proxy"
    if host[:1] == "/" and not clear:
        return "tls", 'a socket of this machine has no TLS; say tls = "none"'
    if smarthost["require_tls"] and clear:
        return "require_tls", 'of no use with tls = "none"'
    if smarthost["deliver_by"] and smarthost["hold_for"] > smarthost["deliver_by"]:
        return "hold_for", "longer than deliver_by"
    here = smarthost["lookup"] == "none" and not smarthost["proxy"] and loopback(host)
    if clear and smarthost["user"] and not here:
        return "tls", '"none" would send the password in clear text; use "starttls" or "implicit"'
    return None


def named_after(smarthost: dict[str, Any]) -> tuple[str, str]:
    """(key, name) of a smart host that has no name of its own."""
    if smarthost["host"]:
        return "host", smarthost["host"].rpartition("/")[2]
    if smarthost["transport"]:
        return "transport", smarthost["transport"].partition(":")[0]
    return "command", smarthost["command"][0].rpartition("/")[2]


def loopback(host: str) -> bool:
    """Whether a host is surely this machine: a socket's path, localhost, 127.0.0.0/8 or ::1."""
    plain = host.strip("[]").lower()
    numbers = plain.split(".")
    in_net = len(numbers) == 4 and numbers[0] == "127" and "".join(numbers).isdecimal() and "" not in numbers
    return in_net or plain in ("localhost", "::1") or plain[:1] == "/"
