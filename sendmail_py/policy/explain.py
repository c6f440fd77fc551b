"""All about the configuration that a submission does not need: errors, help, where a value came from.

Reached through one door of config.py, when something is wrong or a person asks. Guarantees: a message
has one line with file, line and key (or the variable) and never shows a value or a broken line,
which may be a secret; what `settings` shows is what the program uses, passwords as "***".
"""

from __future__ import annotations

import tomllib

from sendmail_py.errors import ConfigError, printable
from sendmail_py.policy import places, schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sendmail_py.policy.config import Config, Layer, Section

PREFIX = "SENDMAIL_PY_"
SECRETS = ("password",)
MOST_LINES = 200
MOST_PARTS = 100  # of a dotted key

# One line for each key, in the order of schema.TABLES.
HELP = {
    "delivery": "what sendmail does after queueing",
    "dot_ends_message": "a line with a lone dot ends the message",
    "identity.domain": "mail domain of this host",
    "identity.helo": "name given in EHLO",
    "identity.local_names": "more names of this host",
    "masquerade.domain": "the domain that invalid and local sender domains become",
    "masquerade.also": "more domains that become it, with all domains below them",
    "masquerade.exceptions": "logins that keep their address",
    "masquerade.headers": "repair From:, Sender: and Reply-To: like the envelope",
    "masquerade.override": "what becomes of a sender that this user may not use",
    "masquerade.dns": "whether flushes ask DNS if senders' domains can receive mail",
    "masquerade.users": "login to address or addresses",
    "aliases.files": "alias files",
    "aliases.default": "address of local recipients that no alias names",
    "aliases.forward": "recipients without an alias may have a ~/.forward",
    "aliases.maildir": "aliases may have folders of messages, maildir:/path, as targets",
    "aliases.agents": "programs that aliases may have as targets",
    "smarthost.name": "what the log and mailq call it",
    "smarthost.host": "name or address of the server",
    "smarthost.port": "TCP port",
    "smarthost.lookup": "how the host is found",
    "smarthost.protocol": "what the server speaks",
    "smarthost.transport": "a folder of messages in place of a server",
    "smarthost.command": "a command in place of a server",
    "smarthost.source": "our own address",
    "smarthost.proxy": "SOCKS5 proxy on the way",
    "smarthost.proxy_user": "login name for the proxy",
    "smarthost.proxy_password_file": "file that holds the password for the proxy",
    "smarthost.tls": "how the session is encrypted",
    "smarthost.user": "login name",
    "smarthost.password_file": "file that holds the password",
    "smarthost.password_command": "command that prints the password",
    "smarthost.password_credential": "systemd credential that holds the password",
    "smarthost.password_env": "environment variable that holds the password",
    "smarthost.password": "the password itself",
    "smarthost.auth": "AUTH mechanisms to use, the first one first",
    "smarthost.ca_file": "certificates to trust",
    "smarthost.ca_path": "folder of certificates to trust",
    "smarthost.fingerprint": "SHA-256 of the one certificate to trust",
    "smarthost.key_fingerprint": "SHA-256 of the one public key to trust",
    "smarthost.dane": "trust the certificate that DNSSEC names",
    "smarthost.verify_name": "name that the certificate must carry",
    "smarthost.client_cert": "our own certificate",
    "smarthost.client_key": "private key of our own certificate",
    "smarthost.min_tls": "oldest version of TLS",
    "smarthost.senders": "use it for these envelope senders only",
    "smarthost.require_tls": "ask for TLS all the way to the mailbox",
    "smarthost.deliver_by": "time within which the message is of use",
    "smarthost.hold_for": "time that the server shall hold a message",
    "smarthost.priority": "priority of the messages",
    "smarthost.max_connections": "most sessions at a time",
    "smarthost.max_messages_per_session": "most messages in a session",
    "smarthost.max_rate": "most messages in a time",
    "smarthost.timeout": "longest wait for one reply",
    "smarthost.connect_timeout": "longest wait for the connection",
    "queue.directory": "the spool",
    "queue.lifetime": "how long delivery is tried",
    "queue.retry_min": "first wait between tries",
    "queue.retry_max": "longest wait between tries",
    "queue.warn_after": "when a delay is reported",
    "queue.max_message": "biggest message",
    "queue.max_queue": "most octets in the queue",
    "queue.report": "who is told of a failure",
    "queue.on_unknown": "what to do when the answer to a message was lost",
    "queue.coalesce": "time in which messages with the same sender, recipients and subject become one",
    "queue.failed_lifetime": "how long failed messages are kept",
    "log.to": "where the log goes",
    "log.format": "form of the log's lines",
}

# What a value must be, by the name of its shape or else its type.
WANTED = {
    "bool": "true or false",
    "duration": 'a time such as "30s", "5m", "4h" or "5d"',
    "positive": 'a time longer than zero such as "30s" or "5m"',
    "size": 'a size such as "10k", "50M" or "1G"',
    "rate": 'a number in a time such as "1/s", "60/m" or "500/h"',
    "word": "one word without slash",
    "line": "one line of text",
    "path": "an absolute path, or one that begins with ~/",
    "place": '"none", an absolute path or one that begins with ~/',
    "target": '"syslog", "stderr", an absolute path or one that begins with ~/',
    "domain": 'a domain such as "example.net"',
    "helo": 'a host name such as "host.example.net"',
    "host": 'a name or an address such as "smtp.example.net", or a path; the port has its own key',
    "address": 'an address such as "greg@example.net"',
    "numeric": 'an address such as "192.0.2.1" or "2001:db8::1"',
    "proxy": 'a proxy such as "socks5://127.0.0.1:9050"',
    "transport": 'a folder such as "maildir:/var/tmp/sent"',
    "entry": 'a login, or "*", with its address or an array of addresses such as "greg@example.net"',
    "mechanism": "AUTH mechanisms out of " + ", ".join(schema.MECHANISMS),
    "fingerprint": "a SHA-256 fingerprint of 64 hexadecimal digits",
}

# How tomllib's messages begin, and what we say instead.
FAULTS = (
    ("Invalid value", "this value is not TOML; text needs quotes"),
    ("Cannot overwrite", "this name is given twice"),
    ("Cannot mutate", "this name is given twice"),
    ("Cannot redefine", "this name is given twice"),
    ("Duplicate", "this name is given twice"),
    ("Cannot declare", "this table is given twice"),
    ("Expected newline", "something is left over at the end of the line"),
    ("Expected '='", "no = after the name"),
    ("Expected ']", "a closing bracket is missing"),
    ("Unclosed array", "a closing bracket is missing"),
    ("Unclosed inline", "a closing brace is missing"),
    ("Unterminated string", "a closing quote is missing"),
    ("Expected '\"'", "a closing quote is missing"),
    ('Expected "', "a closing quote is missing"),
    ("Illegal character '\\n'", "a closing quote is missing"),
    ("Found invalid character '\\n'", "a closing quote is missing"),
    ("Unescaped '\\", "a backslash begins an escape; text in single quotes has none"),
    ("Illegal character", "a control character"),
    ("Found invalid character", "a control character"),
)


def document(octets: bytes, source: str) -> dict[str, object]:
    """A TOML document as nested dictionaries; ConfigError "SOURCE:LINE: ..." when it is none."""
    for number, line in enumerate(octets.split(b"\n"), 1):
        if line.partition(b"=")[0].count(b".") > MOST_PARTS:  # tomllib takes quadratic time for them
            raise ConfigError(f"{printable(source)}:{number}: a name of too many parts")
    try:
        return tomllib.loads(octets.decode())
    except UnicodeDecodeError as problem:
        number, text = octets.count(b"\n", 0, problem.start) + 1, "not UTF-8"
    except RecursionError:
        number, text = 1, "nested too deep"
    except ValueError as problem:
        number, text = line_in(str(problem), octets), toml_fault(str(problem))
        if "closing" in text:
            number = beginning_of(octets, number)
    raise ConfigError(f"{printable(source)}:{number}: {text}")


def line_in(message: str, octets: bytes) -> int:
    """The line that a message of tomllib names; the last one for its "at end of document"."""
    digits = message.rpartition("(at line ")[2].partition(",")[0]
    if digits.isdigit():
        return int(digits)
    return octets.rstrip().count(b"\n") + 1 if message.endswith("(at end of document)") else 1


def beginning_of(octets: bytes, number: int) -> int:
    """The line where the unfinished statement begins that tomllib gave up on in line `number`."""
    lines = octets.decode().split("\n")
    for first in range(number, max(number - MOST_LINES, 0), -1):
        try:
            tomllib.loads("\n".join(lines[: first - 1]))
        except ValueError:
            continue
        return first
    return number


def toml_fault(message: str) -> str:
    """Our words for tomllib's, which may quote the document."""
    for beginning, text in FAULTS:
        if message.startswith(beginning):
            return f"not TOML: {text}"
    return "not TOML"


def place(layer: Layer, label: str) -> str:
    """Where a layer sets `label` ("queue.lifetime", "smarthost[2].host"): "FILE:LINE", "environment NAME"."""
    if layer.names:
        return "environment " + printable(layer.names.get(label) or variable(shown(label)), 120)
    return f"{printable(layer.source)}:{places.line_of(layer.octets, label)}"


def fault(layer: Layer, label: str, text: str) -> ConfigError:
    """The error for what a layer says about `label`."""
    return ConfigError(f"{place(layer, label)}: {shown(label)}: {text}")


def wrong(layer: Layer, label: str, kind: str, allowed: object = "") -> ConfigError:
    """The error for a value that schema refuses; type and allowed as in a row of its table."""
    return fault(layer, label, "must be " + wanted(kind, allowed))


def wanted(kind: str, allowed: object) -> str:
    """What a value of a type must be."""
    if isinstance(allowed, tuple):
        if kind == "int":
            return f"a whole number from {allowed[0]} to {allowed[1]}"
        names = [f'"{name}"' for name in allowed]
        return f"{', '.join(names[:-1])} or {names[-1]}"
    text = WANTED.get(str(allowed)) or WANTED[kind]
    return f"an array of strings, each {text}" if kind in ("array", "paths") else text


def conflict(config: Config, label: str, text: str) -> ConfigError:
    """The error when `label`, set or missing, does not go together with the rest."""
    layer = given(config).get(label)
    if layer is None:
        lists = [one for one in config.layers if one.lists_smarthosts()]
        layer = lists[-1] if lists else config.layers[-1]
    return fault(layer, label, text)


def unknown(layer: Layer, label: str, value: object) -> ConfigError:
    """The error for a key or table that we do not know, with the nearest that we know."""
    name = shown(label)
    if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
        return fault(layer, label, "unknown table" + nearest(name, [*schema.TABLES][1:]))
    return fault(layer, label, "unknown key" + nearest(name, list(HELP)))


def unknown_variable(name: str) -> ConfigError:
    """The error for a SENDMAIL_PY_... variable that we do not know."""
    near = nearest(name, [variable(label) for label in HELP])
    return ConfigError(f"environment {printable(name, 120)}: unknown name{near}")


def variable(label: str) -> str:
    """The variable of a key: SENDMAIL_PY_QUEUE_RETRY_MIN for "queue.retry_min"."""
    return PREFIX + label.replace(".", "_").upper()


def shown(label: str) -> str:
    """A label for people: without the number of the smart host, which the line tells."""
    if label.startswith("smarthost["):
        label = "smarthost" + label.partition("]")[2]
    return printable(label, 120)


def nearest(name: str, known: list[str]) -> str:
    """The words "; did you mean KNOWN?" when one of the known names is like `name`, else nothing."""
    last = name.rpartition(".")[2]
    ranked = []
    for one in known:
        elsewhere = distance(last, one.rpartition(".")[2]) + 1  # the right key in the wrong table
        ranked.append((min(distance(name, one), elsewhere), one))
    best, one = min(ranked)
    return f"; did you mean {one}?" if best <= max(2, len(last) // 3) else ""


def distance(one: str, other: str) -> int:
    """Number of inserted, removed, replaced and swapped characters between two names."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, above, row = row, before, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1]


def labels(layer: Layer) -> Iterator[str]:
    """The labels of all keys that a layer sets."""
    for table, keys in layer.tree.items():
        if table == "smarthost" and isinstance(keys, list):
            for number, one in enumerate(keys, 1):
                yield from [f"smarthost[{number}].{key}" for key in one]
        elif isinstance(keys, dict):
            yield from [f"{table}.{key}" for key in keys if key != "users"]
            yield from [f"{table}.users.{login}" for login in keys.get("users", ())]
        else:
            yield table


def given(config: Config) -> dict[str, Layer]:
    """The label of every key that is set, with the layer that wins."""
    found: dict[str, Layer] = {}
    for layer in config.layers:
        if layer.lists_smarthosts():
            found = {label: one for label, one in found.items() if not label.startswith("smarthost[")}
        found.update([(label, layer) for label in labels(layer)])
    return found


def sections(config: Config) -> Iterator[tuple[str, Section]]:
    """All tables with the beginning of their keys' labels."""
    for table in schema.TABLES:
        if table == "smarthost":
            yield from [(f"smarthost[{number}].", one) for number, one in enumerate(config.smarthosts, 1)]
        elif table:
            yield table + ".", config.__dict__[table]
        else:
            yield "", config


def settings(config: Config) -> list[tuple[str, str, str]]:
    """Every key as (label, value in TOML, origin), in the order of the manual page.

    Labels are "queue.lifetime", "smarthost[1].host", "masquerade.users.root"; the origin is "FILE:LINE",
    "environment NAME" or "default".
    """
    found = []
    for prefix, section in sections(config):
        for key, row in schema.TABLES[section.table].items():
            value = section.__dict__[key]
            if key == "directory" and not value and not config.queue.shared and config.delivery == "now":
                value = "none"
            if isinstance(value, dict):
                found += [(f"{prefix}{key}.{login}", render("array", value[login])) for login in value]
            else:
                secret = value and key in SECRETS
                found.append((prefix + key, '"***"' if secret else render(row[0], value)))
    layers = given(config)
    return [
        (label, text, place(layers[label], label) if label in layers else "default") for label, text in found
    ]


def rows() -> list[tuple[str, str, str, str, str]]:
    """Every key: (name, type, default in TOML, what is allowed, help)."""
    found = []
    for table, keys in schema.TABLES.items():
        for key, (kind, default, allowed) in keys.items():
            name = f"{table}.{key}" if table else key
            text = "" if kind == "users" else wanted(kind, allowed)
            found.append((name, kind, render(kind, default), text, HELP[name]))
    return found


def render(kind: str, value: object) -> str:
    """A converted value of a type as it is written in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join([render("string", one) for one in value]) + "]"
    if kind == "duration" and isinstance(value, (int, float)):
        return f'"{with_unit(int(value), schema.TIME_UNITS)}"'
    if kind == "size" and isinstance(value, int):
        return f'"{with_unit(value, schema.SIZE_UNITS).upper()}"'
    if isinstance(value, int):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def with_unit(number: int, units: dict[str, int]) -> str:
    """The number in the biggest unit that divides it."""
    for unit, factor in reversed(units.items()):
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return str(number)
