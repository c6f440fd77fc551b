"""Every key of the configuration as a row of a table, and what its value may be.

Guarantees: a value that `convert` returns has the type and the shape that its row says. Nothing in
here knows files or the environment. What a row's ValueError means to people, the help texts and
which keys have an effect yet stand in explain.py, which only errors and the admin command load.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # type, default (already converted: seconds, octets), what is allowed
    Row = tuple[str, object, str | tuple[object, ...]]

# Types: bool; int (allowed: least and most); enum (allowed: the names); string, array (of strings) and
# path, paths; duration (seconds), size (octets), rate ("60/m"); users (the table masquerade.users).
# For strings "allowed" names one of SHAPES below.
TABLES: dict[str, dict[str, Row]] = {
    "": {
        "delivery": ("enum", "queue", ("queue", "background", "now")),
        "dot_ends_message": ("bool", True, ""),
    },
    "identity": {
        "domain": ("string", "", "domain"),
        "helo": ("string", "", "helo"),
        "local_names": ("array", (), "domain"),
    },
    "masquerade": {
        "domain": ("string", "", "domain"),
        "also": ("array", (), "domain"),
        "exceptions": ("array", (), "word"),
        "headers": ("bool", True, ""),
        "override": ("enum", "fix", ("allow", "fix", "refuse")),
        "dns": ("bool", True, ""),
        "users": ("users", (), ""),
    },
    "aliases": {
        "files": ("paths", ("/etc/aliases",), "path"),
        "default": ("string", "", "address"),
        "forward": ("bool", False, ""),
        "maildir": ("bool", False, ""),
        "agents": ("paths", (), "path"),
    },
    "smarthost": {
        "name": ("string", "", "word"),
        "host": ("string", "", "host"),
        "port": ("int", 0, (1, 65535)),
        "lookup": ("enum", "none", ("none", "mx", "srv")),
        "protocol": ("enum", "smtp", ("smtp", "lmtp")),
        "transport": ("string", "", "transport"),
        "command": ("array", (), "line"),
        "source": ("string", "", "numeric"),
        "proxy": ("string", "", "proxy"),
        "proxy_user": ("string", "", "line"),
        "proxy_password_file": ("path", "", "path"),
        "tls": ("enum", "starttls", ("starttls", "implicit", "none")),
        "user": ("string", "", "line"),
        "password_file": ("path", "", "path"),
        "password_command": ("array", (), "line"),
        "password_credential": ("string", "", "word"),
        "password_env": ("string", "", "word"),
        "password": ("string", "", "line"),
        "auth": ("array", (), "mechanism"),
        "ca_file": ("path", "", "path"),
        "ca_path": ("path", "", "path"),
        "fingerprint": ("string", "", "fingerprint"),
        "key_fingerprint": ("string", "", "fingerprint"),
        "dane": ("bool", False, ""),
        "verify_name": ("string", "", "domain"),
        "client_cert": ("path", "", "path"),
        "client_key": ("path", "", "path"),
        "min_tls": ("enum", "1.2", ("1.2", "1.3")),
        "senders": ("array", (), "address"),
        "require_tls": ("bool", False, ""),
        "deliver_by": ("duration", 0, "empty"),
        "hold_for": ("duration", 0, "empty"),
        "priority": ("int", 0, (-9, 9)),
        "max_connections": ("int", 2, (1, 100)),
        "max_messages_per_session": ("int", 0, (0, 1000000)),
        "max_rate": ("rate", "", ""),
        "timeout": ("duration", 5 * 60, "positive"),
        "connect_timeout": ("duration", 30, "positive"),
    },
    "queue": {
        "directory": ("path", "", "place"),
        "lifetime": ("duration", 5 * 86400, ""),
        "retry_min": ("duration", 5 * 60, ""),
        "retry_max": ("duration", 4 * 3600, ""),
        "warn_after": ("duration", 4 * 3600, "empty"),
        "max_message": ("size", 50 << 20, ""),
        "max_queue": ("size", 1 << 30, ""),
        "report": ("enum", "dsn", ("dsn", "owner", "none")),
        "on_unknown": ("enum", "resend", ("resend", "hold")),
        "coalesce": ("duration", 0, "empty"),
        "failed_lifetime": ("duration", 30 * 86400, ""),
    },
    "log": {
        "to": ("path", "syslog", "target"),
        "format": ("enum", "text", ("text", "json")),
    },
}

MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")
TIME_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")
SIZE_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
MOST_DIGITS = 15
# What would break an address or a header field that is made of the value. Whether a domain exists, and
# whether it has the letters that the DNS allows, is not asked here.
NOT_IN_ADDRESS = frozenset('()<>[],;:\\" ')
NOT_IN_DOMAIN = frozenset('()<>[]@,;:\\"/ ')
LONGEST = 255


def convert(row: Row, value: object) -> object:
    """The value of a key as the program uses it; raises ValueError (explain.wanted has the text)."""
    return CONVERTERS[row[0]](value, row[2])


def boolean(value: object, _: object) -> bool:
    """TOML boolean."""
    if isinstance(value, bool):
        return value
    raise ValueError


def integer(value: object, allowed: tuple[int, int]) -> int:
    """Whole number in a range, both ends allowed."""
    if isinstance(value, int) and value is not True and allowed[0] <= value <= allowed[1]:
        return value
    raise ValueError


def choice(value: object, allowed: tuple[str, ...]) -> str:
    """One of a few names."""
    if isinstance(value, str) and value in allowed:
        return value
    raise ValueError


def string(value: object, shape: str) -> str:
    """Text of a shape; the empty string stands for the default."""
    if isinstance(value, str):
        return SHAPES[shape](value) if value else value
    raise ValueError


def strings(value: object, shape: str) -> list[str]:
    """Array of strings of a shape, none of them empty."""
    if not isinstance(value, list):
        raise ValueError
    check = SHAPES[shape]
    found = []
    for one in value:
        if not isinstance(one, str) or not one:
            raise ValueError
        found.append(check(one))
    return found


def duration(value: object, allowed: str) -> int:
    """Seconds, from "90", "30s", "5m", "4h", "5d"; "" (none, 0) where "empty" is allowed."""
    if not isinstance(value, str):
        raise ValueError
    if not value and allowed == "empty":
        return 0
    unit = TIME_UNITS.get(value[-1:], 0)
    seconds = number(value[:-1]) * unit if unit else number(value)
    if allowed == "positive" and not seconds:
        raise ValueError
    return seconds


def size(value: object, _: object) -> int:
    """Octets, from "10k", "50M", "1G", digits or a whole number; more than none."""
    if isinstance(value, int) and value is not True:
        octets: int = value
    elif isinstance(value, str):
        unit = SIZE_UNITS.get(value[-1:].lower(), 0)
        octets = number(value[:-1]) * unit if unit else number(value)
    else:
        raise ValueError
    if octets <= 0:
        raise ValueError
    return octets


def rate(value: object, _: object) -> str:
    """Messages in a time: "60/m", "1/s"; "" for no limit."""
    if not isinstance(value, str):
        raise ValueError
    messages, _slash, unit = value.partition("/")
    if value and (unit not in TIME_UNITS or not number(messages)):
        raise ValueError
    return value


def addresses(value: object) -> list[str]:
    """A user's address or addresses, as a string or an array of strings; at least one."""
    found = strings([value] if isinstance(value, str) else value, "address")
    if not found:
        raise ValueError
    return found


def number(text: str) -> int:
    """A whole number that is not absurdly long."""
    if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS:
        return int(text)
    raise ValueError


def word(value: str) -> str:
    """Shape: one word that can also be a file's name."""
    if value.isprintable() and " " not in value and "/" not in value and value[:1] not in ("", "."):
        return value
    raise ValueError


def line(value: str) -> str:
    """Shape: anything that fits on one line."""
    if "\n" in value or "\r" in value or "\0" in value:
        raise ValueError
    return value


def path(value: str) -> str:
    """Shape: absolute path, or one below "~/"."""
    if (value[0] == "/" or value[:2] == "~/") and min(value) >= " ":
        return value
    raise ValueError


def place(value: str) -> str:
    """Shape: where the spool is."""
    return value if value == "none" else path(value)


def target(value: str) -> str:
    """Shape: where the log goes."""
    return value if value in ("syslog", "stderr") else path(value)


def domain(value: str) -> str:
    """Shape: domain name."""
    if (
        NOT_IN_DOMAIN.isdisjoint(value)
        and value.isprintable()
        and value[:1] not in ("", ".")
        and ".." not in value
        and len(value) <= LONGEST
    ):
        return value
    raise ValueError


def helo(value: str) -> str:
    """Shape: domain or address literal (RFC 5321 4.1.3)."""
    return literal(value[1:-1]) and value if value[0] == "[" and value[-1] == "]" else domain(value)


def host(value: str) -> str:
    """Shape: domain, IPv4 or IPv6 address, the latter with or without brackets, or a socket's path."""
    if value[0] == "/":
        return path(value)
    inner = value[1:-1] if value[0] == "[" and value[-1] == "]" else value
    if inner.count(":") == 1:  # a port, which has its own key
        raise ValueError
    return literal(inner) and value


def literal(value: str) -> str:
    """A domain or an address with colons."""
    return domain(value.replace(":", "-"))


def numeric(value: str) -> str:
    """Shape: IPv4 or IPv6 address."""
    if ("." in value or ":" in value) and not value.strip("0123456789abcdefABCDEF.:"):
        return value
    raise ValueError


def proxy(value: str) -> str:
    """Shape: socks5://HOST:PORT; becomes HOST:PORT."""
    name, _, port = value.removeprefix("socks5://").rpartition(":")
    if value[:9] == "socks5://" and 0 < number(port) < 65536:
        return literal(name.strip("[]")) and f"{name}:{port}"
    raise ValueError


def transport(value: str) -> str:
    """Shape: maildir:/PATH."""
    if value[:8] == "maildir:":
        return value[:8] + path(value[8:])
    raise ValueError


def address(value: str) -> str:
    """Shape: address, pattern with "*", or bare name."""
    if (
        NOT_IN_ADDRESS.isdisjoint(value)
        and value.isprintable()
        and value[0] != "@"
        and value[-1] != "@"
        and len(value) <= LONGEST
    ):
        return value
    raise ValueError


def mechanism(value: str) -> str:
    """Shape: SASL mechanism that we speak; becomes upper case."""
    return choice(value.upper(), MECHANISMS)


def fingerprint(value: str) -> str:
    """Shape: SHA-256 of a certificate in 64 hexadecimal digits; becomes lower case without colons."""
    digits = value.replace(":", "").lower()
    if len(digits) == 64 and not digits.strip("0123456789abcdef"):
        return digits
    raise ValueError


def meaning(word: str) -> tuple[str, str] | None:
    """The table and key that the end of a variable's name (QUEUE_RETRY_MIN) stands for; None if unknown."""
    if not word.isupper():
        return None
    word = word.lower()
    table, _, key = word.partition("_")
    if word in TABLES[""]:
        return "", word
    return (table, key) if key in TABLES.get(table, {}) else None


def from_text(kind: str, text: str) -> object:
    """The text of an environment variable as TOML would give it; what does not fit stays text."""
    if kind == "bool":
        word = text.lower()
        return True if word in TRUE else False if word in FALSE else text
    if kind == "int":
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
    if kind not in ("array", "paths", "users"):
        return text
    items = [item.strip() for item in text.split(",") if item.strip()]
    if kind != "users":
        return items
    users: dict[str, list[str]] = {}
    for item in items:
        login, equals, address = item.partition("=")
        if not equals:
            return text
        users.setdefault(login.strip(), []).append(address.strip())
    return users


def put(tree: dict[str, Any], table: str, key: str, value: object) -> None:
    """Set a key in a tree of TOML's shape."""
    if table == "smarthost":
        tree.setdefault(table, [{}])[0][key] = value
    else:
        (tree.setdefault(table, {}) if table else tree)[key] = value


SHAPES: dict[str, Callable[[str], str]] = {
    "word": word,
    "line": line,
    "path": path,
    "place": place,
    "target": target,
    "domain": domain,
    "helo": helo,
    "host": host,
    "address": address,
    "mechanism": mechanism,
    "fingerprint": fingerprint,
    "numeric": numeric,
    "proxy": proxy,
    "transport": transport,
}
CONVERTERS: dict[str, Callable[[Any, Any], object]] = {
    "bool": boolean,
    "int": integer,
    "enum": choice,
    "string": string,
    "path": string,
    "array": strings,
    "paths": strings,
    "duration": duration,
    "size": size,
    "rate": rate,
}
