"""What this host and its user want: system file, user's file, environment, in this order.

Guarantees: a configuration that loads is complete (every key has a value of its type) and makes sense; one
that does not is a ConfigError of one line with file, line and key (or the variable), which never shows a
value. Reads nothing but the configuration files, the index of a big one, and the files that
`SENDMAIL_PY_..._FILE` variables name. The page is sendmail-py.toml(5).
"""

from __future__ import annotations

from sendmail_py.errors import ConfigError, printable
from sendmail_py.policy import schema, smarthosts, toml
from sendmail_py.policy.homes import NO_SPOOL, base_folder, home, spool_places

TYPE_CHECKING = False
if TYPE_CHECKING:
    import posix
    from collections.abc import Mapping
    from types import ModuleType
    from typing import Any

SYSTEM_FILE = "/etc/sendmail-py/config.toml"
PREFIX = "SENDMAIL_PY_"
OPTION_FILE = "SENDMAIL_PY_CONFIG"
BIG = 16384  # octets; in a longer file [masquerade.users] is only looked into


def explain() -> ModuleType:
    """The module with the words for errors: a door, since a submission hardly ever needs it."""
    from sendmail_py.policy import explain  # noqa: PLC0415

    return explain


def preload(name: str) -> None:
    """As in commands.dispatch."""


def users_table() -> ModuleType:
    """The module for big tables of users: another door."""
    preload("users")
    from sendmail_py.policy import users_table  # noqa: PLC0415

    return users_table


class Section:
    """The values of one table as attributes: `values`, else the defaults. The keys stand in schema.TABLES."""

    def __init__(self, table: str, /, **values: object) -> None:
        self.table = table
        own = self.__dict__
        for key, (_, default, _) in schema.TABLES[table].items():
            own[key] = list(default) if isinstance(default, tuple) else default
        own.update(values)


# What the type checker shall know of each table. At run time they are all Section: to make a class costs
# as much as to load four functions, and every submission would pay for all of them.
if TYPE_CHECKING:

    class Identity(Section):
        """Table [identity]."""

        domain: str
        helo: str
        local_names: list[str]

    class Masquerade(Section):
        """Table [masquerade] with [masquerade.users]: login, or "*", to its addresses, the default first."""

        domain: str
        also: list[str]
        exceptions: list[str]
        headers: bool
        override: str
        dns: bool
        users: dict[str, list[str]]

    class Aliases(Section):
        """Table [aliases]."""

        files: list[str]
        default: str
        forward: bool
        maildir: bool
        agents: list[str]

    class SmartHost(Section):
        """One [[smarthost]]: times in seconds, `fingerprint` 64 digits; `load` fills in name and port."""

        name: str
        host: str
        port: int
        lookup: str
        protocol: str
        transport: str
        command: list[str]
        source: str
        proxy: str
        proxy_user: str
        proxy_password_file: str
        tls: str
        user: str
        password_file: str
        password_command: list[str]
        password_credential: str
        password_env: str
        password: str
        auth: list[str]
        ca_file: str
        ca_path: str
        fingerprint: str
        key_fingerprint: str
        dane: bool
        verify_name: str
        client_cert: str
        client_key: str
        min_tls: str
        senders: list[str]
        require_tls: bool
        deliver_by: int
        hold_for: int
        priority: int
        max_connections: int
        max_messages_per_session: int
        max_rate: str
        timeout: float
        connect_timeout: float

    class Queue(Section):
        """Table [queue]: times in seconds, sizes in octets.

        `directory` is absolute, or empty when there is no place; `shared` is the shared spool that it is to
        be in, "" for a personal one (homes.spool_places).
        """

        directory: str
        shared: str
        lifetime: int
        retry_min: int
        retry_max: int
        warn_after: int
        max_message: int
        max_queue: int
        report: str
        on_unknown: str
        coalesce: int
        failed_lifetime: int

    class Log(Section):
        """Table [log]; `load` sets `form` to `format`: maillog's name for it."""

        to: str
        format: str
        form: str

else:
    Identity = Masquerade = Aliases = SmartHost = Queue = Log = Section


def smarthost(**values: object) -> SmartHost:
    """A smart host with these values, else the defaults; unlike `load` checks nothing."""
    return SmartHost("smarthost", **values)


class Layer:
    """One source of settings: a file (`octets`), or the environment (`names`: label to variable).

    `tree` is shaped as tomllib shapes a document.
    """

    __slots__ = ("names", "octets", "source", "tree")

    def __init__(self, source: str, tree: dict[str, Any], octets: bytes = b"") -> None:
        self.source = source
        self.tree = tree
        self.octets = octets
        self.names: dict[str, str] = {}

    def lists_smarthosts(self) -> bool:
        """Whether its list of smart hosts replaces an earlier one."""
        return "smarthost" in self.tree and not self.names


class Config(Section):
    """The whole configuration.

    files   paths of the files that were read, in this order
    layers  where the settings came from, later ones win
    """

    delivery: str
    dot_ends_message: bool

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__("")
        self.identity = Identity("identity")
        self.masquerade = Masquerade("masquerade", users={})
        self.aliases = Aliases("aliases")
        self.smarthosts: list[SmartHost] = []
        self.queue = Queue("queue")
        self.log = Log("log")
        self.files: list[str] = []
        self.layers: list[Layer] = []
        self.environ = environ

    def add_file(self, path: str, octets: bytes | None, state: posix.stat_result | None = None) -> None:
        """Put a file, in a state, over what is there; None: there is no such file."""
        if octets is None:
            return
        big = users_table() if len(octets) > BIG else None
        known = big.early(self.environ, path, path == SYSTEM_FILE, state) if big else b""
        rest, start, end = big.cut(octets, known) if big else (octets, 0, 0)
        tree = toml.subset(rest)
        if tree is None:
            tree, end = explain().document(octets, path), 0
        self.files.append(path)
        self.add(layer := Layer(path, tree, octets))
        if big and end:
            self.masquerade.users = big.UsersTable(self, layer, start, end, state, known)

    def add(self, layer: Layer) -> None:
        """Put the settings of one layer over those that are there; raises ConfigError."""
        self.layers.append(layer)
        for name, given in layer.tree.items():
            if name == "smarthost":
                self.add_smarthosts(layer, given)
            elif name in schema.TABLES and name:
                if not isinstance(given, dict):
                    raise explain().fault(layer, name, f"must be a table, written [{name}]")
                self.fill(self.__dict__[name], given, layer, name + ".")
            else:
                self.fill(self, {name: given}, layer, "")

    def fill(self, section: Section, given: dict[str, object], layer: Layer, prefix: str) -> None:
        """Check and set the keys of one table; `prefix` is its label with a dot."""
        rows = schema.TABLES[section.table]
        for key, value in given.items():
            row = rows.get(key)
            if row is None:
                raise explain().unknown(layer, prefix + key, value)
            kind = row[0]
            if kind == "users":
                self.add_users(layer, value)
                continue
            try:
                found = schema.convert(row, value)
            except ValueError:
                raise explain().wrong(layer, prefix + key, kind, row[2]) from None
            section.__dict__[key] = found
            if kind == "path" or kind == "paths":
                self.put_home(section, key, layer, prefix + key)

    def put_home(self, section: Section, key: str, layer: Layer, label: str) -> None:
        """Replace "~/" at the beginning of a path or of some of a list of paths."""
        value = section.__dict__[key]
        paths = value if isinstance(value, list) else [value]
        if not [one for one in paths if one[:2] == "~/"]:
            return
        folder = home(self.environ)
        if not folder:
            raise explain().fault(layer, label, "there is no home folder for ~/; write the whole path")
        whole = [folder.rstrip("/") + one[1:] if one[:2] == "~/" else one for one in paths]
        section.__dict__[key] = whole if isinstance(value, list) else whole[0]

    def add_users(self, layer: Layer, given: object) -> None:
        """Table [masquerade.users]; a login that an earlier layer had is replaced."""
        if not isinstance(given, dict):
            shape = "login=address, several with commas" if layer.names else "a table [masquerade.users]"
            raise explain().fault(layer, "masquerade.users", f"must be {shape}")
        for login, value in given.items():
            try:
                self.masquerade.users[schema.word(login)] = schema.addresses(value)
            except ValueError:
                raise explain().wrong(layer, f"masquerade.users.{login}", "string", "entry") from None

    def add_smarthosts(self, layer: Layer, given: object) -> None:
        """Array of tables [[smarthost]]: a file's list replaces the earlier one.

        The environment speaks of the first smart host; a password that it brings replaces every
        other source of one.
        """
        if not isinstance(given, list) or not all([isinstance(one, dict) for one in given]):  # noqa: C419
            raise explain().fault(layer, "smarthost", "must be an array of tables, written [[smarthost]]")
        if layer.names and self.smarthosts:
            first = self.smarthosts[0]
            if not given[0].keys().isdisjoint(smarthosts.PASSWORD_SOURCES):
                fresh = smarthost().__dict__
                first.__dict__.update([(key, fresh[key]) for key in smarthosts.PASSWORD_SOURCES])
            self.fill(first, given[0], layer, "smarthost[1].")
            return
        self.smarthosts = []
        for number, settings in enumerate(given, 1):
            self.smarthosts.append(smarthost())
            self.fill(self.smarthosts[-1], settings, layer, f"smarthost[{number}].")

    @property
    def origins(self) -> dict[str, str]:
        """Every key by its label with "FILE:LINE", "environment NAME" or "default"; see explain.settings."""
        return {label: origin for label, _, origin in explain().settings(self)}


def load(
    environ: Mapping[str, str], option_file: str | None = None, *, system_file: str = SYSTEM_FILE
) -> Config:
    """The configuration that holds for a process with this environment.

    `option_file` is the argument of -C: it, or else SENDMAIL_PY_CONFIG, is read instead of the system's
    and the user's file and must exist. Raises ConfigError.
    """
    config = Config(environ)
    named = environ.get(OPTION_FILE) or None if option_file is None else option_file
    if named is not None:
        config.add_file(named, *toml.read(named))
    else:
        config.add_file(system_file, *toml.read_if_there(system_file))
        if folder := base_folder(environ, "XDG_CONFIG_HOME", "/.config"):
            path = folder + "/sendmail-py/config.toml"
            config.add_file(path, *toml.read_if_there(path, hidden_is_missing=True))
    add_environment(config, environ)
    complete(config, system_file)
    return config


def add_environment(config: Config, environ: Mapping[str, str]) -> None:
    """Put the settings in SENDMAIL_PY_... variables over those that are there; raises ConfigError."""
    layer = Layer("", {})
    for name in environ:
        if name.startswith(PREFIX) and name != OPTION_FILE and environ[name]:
            add_variable(layer, name, environ[name])
    if layer.names:
        config.add(layer)


def add_variable(layer: Layer, name: str, text: str) -> None:
    """One variable into the layer; raises ConfigError when it is unknown, doubled or its file unreadable."""
    word = name[len(PREFIX) :]
    found = schema.meaning(word)
    if found is None and word.endswith("_FILE"):
        found = schema.meaning(word[: -len("_FILE")])
        text = value_from_file(name, text) if found else text
    if found is None:
        raise explain().unknown_variable(name)
    table, key = found
    label = f"smarthost[1].{key}" if table == "smarthost" else f"{table}.{key}" if table else key
    if label in layer.names:
        raise ConfigError(f"environment {name}: {layer.names[label]} is set, too; keep one of them")
    if not text:
        return
    layer.names[label] = name
    value = schema.from_text(schema.TABLES[table][key][0], text)
    if isinstance(value, dict):
        layer.names.update([(f"{label}.{login}", name) for login in value])
    schema.put(layer.tree, table, key, value)


def value_from_file(name: str, path: str) -> str:
    """What the file that a ..._FILE variable names holds, without one line break at its end."""
    try:
        text = toml.contents(path).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"environment {name}: {printable(path)}: not UTF-8") from None
    except ConfigError as problem:
        raise ConfigError(f"environment {name}: {problem}") from None
    return text.removesuffix("\n").removesuffix("\r")


def complete(config: Config, system_file: str = SYSTEM_FILE) -> None:
    """Fill in what follows from other settings; raises ConfigError for what does not go together."""
    queue = config.queue
    config.log.form = config.log.format
    if queue.directory == NO_SPOOL and config.delivery != "now":
        raise explain().conflict(config, "queue.directory", '"none" goes with delivery = "now" only')
    queue.directory, queue.shared = spool_places(config, system_file)
    if queue.retry_max < queue.retry_min:
        agree_on_retries(config)
    names: list[str] = []
    for number, smarthost in enumerate(config.smarthosts, 1):
        label = f"smarthost[{number}]."
        misfit, text = smarthosts.misfit(smarthost.__dict__)
        if misfit:
            raise explain().conflict(config, label + misfit, text)
        smarthost.port = smarthost.port or smarthosts.PORTS[smarthost.tls]
        key, name = ("name", smarthost.name) if smarthost.name else smarthosts.named_after(smarthost.__dict__)
        if name in names:
            raise explain().conflict(config, label + key, "another smart host has this name; change one")
        smarthost.name = name
        names.append(name)


def agree_on_retries(config: Config) -> None:
    """One of retry_min and retry_max is set beyond the other's default, which gives way."""
    given = [key for layer in config.layers for key in layer.tree.get("queue", ())]
    if "retry_max" not in given:
        config.queue.retry_max = config.queue.retry_min
    elif "retry_min" not in given:
        config.queue.retry_min = config.queue.retry_max
    else:
        raise explain().conflict(config, "queue.retry_max", "must not be shorter than queue.retry_min")
