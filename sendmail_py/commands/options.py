"""sendmail's command line as a table: every option is taken, ignored or refused, and says why.

The parsing rules are those of getopt(3): flags bundle, a value is the rest of the word or the next
word, options end at the first operand or at `--`. Arguments are octets, as the kernel has them.
"""

from __future__ import annotations

import posix
import sys

from sendmail_py.errors import UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import Config

FLAG, VALUE, ATTACHED = 0, 1, 2  # no value; a value; a value only in the same word

# letter: (kind, action, what it means or why it is ignored or refused)
OPTIONS: dict[str, tuple[int, str, str]] = {
    "A": (VALUE, "mode_files", "c|m: Sendmail's choice of configuration file; ignored"),
    "B": (VALUE, "body", "7BIT|8BITMIME: the kind of body"),
    "b": (VALUE, "mode", "m send, s speak SMTP, p list the queue, i check the aliases, v verify addresses"),
    "C": (VALUE, "config", "use this configuration file"),
    "c": (FLAG, "ignore", "expensive mailers; there are none"),
    "D": (VALUE, "refuse", "would let the caller name a file to write"),
    "d": (ATTACHED, "ignore", "debug level; there is none"),
    "E": (FLAG, "ignore", "a local variant of others"),
    "e": (VALUE, "errors", "where errors go: q suppresses the text, others change nothing"),
    "F": (VALUE, "full_name", "full name for a From field that is missing"),
    "f": (VALUE, "sender", "envelope sender"),
    "G": (FLAG, "ignore", "gateway submission"),
    "h": (VALUE, "hops", "hop count; Received fields are counted instead"),
    "I": (FLAG, "aliases", "check the aliases, as -bi"),
    "i": (FLAG, "no_dot", "a lone dot does not end the message"),
    "L": (VALUE, "tag", "tag of the log lines"),
    "M": (VALUE, "refuse", "macros and message ids of other mailers"),
    "m": (FLAG, "ignore", "the sender is never removed from an alias"),
    "N": (VALUE, "notify", "never, or a list of success, failure, delay: wanted reports"),
    "n": (FLAG, "no_aliases", "do not look at the aliases"),
    "O": (VALUE, "ignore", "Sendmail's long options"),
    "o": (VALUE, "other", "i as -i, e as -e, dq only queue; the rest is ignored"),
    "p": (VALUE, "ignore", "received protocol"),
    "Q": (VALUE, "refuse", "quarantine; use sendmail-py queue"),
    "q": (ATTACHED, "queue", "run the queue once; with Itext, Rtext, Stext only matching messages"),
    "R": (VALUE, "returned", "hdrs|full: what a report gives back"),
    "r": (VALUE, "sender", "envelope sender, old spelling of -f"),
    "t": (FLAG, "from_header", "take the recipients from To, Cc and Bcc"),
    "U": (FLAG, "ignore", "initial submission; every submission is one"),
    "V": (VALUE, "envelope_id", "envelope id of reports"),
    "v": (FLAG, "verbose", "say on standard error what is done"),
    "X": (VALUE, "ignore", "traffic log; never written, the caller would name the file"),
    "x": (FLAG, "ignore", "a mailx flag of AIX"),
}

# Long options with a value: the mode that they are for, how to get into it, what they mean.
LONG_OPTIONS = {
    b"hold-for": ("submit", "a message", "30s, 5m, 4h, 2d: do not send it before so much time has gone by"),
    b"deliver-at": ("submit", "a message", "2026-12-31T08:00, 08:00, @SECONDS: do not send it before"),
    b"limit": ("flush", "-q", "begin with at most so many messages"),
    b"wait": ("flush", "-q", "5m: go on until the queue is empty, but no longer"),
    b"watch": ("flush", "-q", '1m: stay, and send what others submit with delivery = "background" at once'),
}

MODES = {"m": "submit", "p": "list", "i": "aliases", "s": "smtp", "v": "verify"}
DAEMON_MODES = "dDl"
NOTIFY_WORDS = (b"SUCCESS", b"FAILURE", b"DELAY")


def octets(word: str) -> bytes:
    """An argument as the kernel gave it (what os.fsencode does)."""
    return word.encode(sys.getfilesystemencoding(), "surrogateescape")


def text(word: bytes) -> str:
    """Octets as Python writes arguments, names of files and of people (what os.fsdecode does)."""
    return word.decode(sys.getfilesystemencoding(), "surrogateescape")


def environment() -> dict[str, str]:
    """The environment as text (what os.environ is, without its cost)."""
    return {text(name): text(value) for name, value in posix.environ.items()}


class Request:
    """What the command line asks for.

    mode        "submit", "list", "aliases", "flush", "smtp", "verify", "help" or "version"
    sender      the value of -f or -r as it was given, None when absent
    only        filters of -q: (letter I, R or S; text; whether it must match)
    long        values of long options, by name
    loaded      the configuration, once it was read: the file may be a pipe, or its path a relative one
    then_flush  set by the submission when the message is to be relayed at once
    operands    the recipients, as given
    """

    __slots__ = (
        "aliases",
        "body",
        "config",
        "dot",
        "envid",
        "from_header",
        "full_name",
        "json",
        "loaded",
        "long",
        "mode",
        "notify",
        "only",
        "operands",
        "program",
        "queue_only",
        "quiet",
        "ret",
        "sender",
        "tag",
        "then_flush",
        "verbose",
    )

    def __init__(self, program: str, mode: str) -> None:
        self.program = program
        self.mode = mode
        self.operands: list[bytes] = []
        self.sender: bytes | None = None
        self.full_name: bytes | None = None
        self.config: bytes | None = None
        self.tag: bytes | None = None
        self.only: list[tuple[str, bytes, bool]] = []
        self.long: dict[str, bytes] = {}
        self.body = self.notify = self.ret = self.envid = b""
        self.dot = self.aliases = True
        self.from_header = self.queue_only = self.quiet = self.verbose = self.json = False
        self.then_flush = False
        self.loaded: Config | None = None


def parse(request: Request, words: list[bytes]) -> None:
    """Put the arguments after the program's name into the request; UsageError names the bad one."""
    at = 0
    while at < len(words):
        word = words[at]
        if word == b"--":
            at += 1
            break
        if word[:1] != b"-" or word == b"-":
            break
        at = long_option(request, words, at) if word[:2] == b"--" else bundle(request, words, at)
    request.operands = [operand(word) for word in words[at:] if word]
    for name in request.long:
        mode, what, _ = LONG_OPTIONS[name.encode()]
        if mode != request.mode:
            raise UsageError(f"option --{name} goes with {what} only")


def bundle(request: Request, words: list[bytes], at: int) -> int:
    """One word of options; returns the index of the next word to look at."""
    word = words[at]
    for place in range(1, len(word)):
        letter = chr(word[place])
        row = OPTIONS.get(letter)
        if row is None:
            raise UsageError(unknown(word[place : place + 1]))
        kind, action, _ = row
        rest = word[place + 1 :]
        if kind == FLAG:
            ACTIONS[action](request, letter, b"")
            continue
        if kind == VALUE and not rest:
            at += 1
            if at == len(words):
                raise UsageError(f"option -{letter} needs a value")
            rest = words[at]
        ACTIONS[action](request, letter, rest)
        break
    return at + 1


def unknown(letter: bytes) -> str:
    """The text for a letter that is no option of ours."""
    hint = "; a subject is a header field of the message, not an option" if letter == b"s" else ""
    return f"unknown option -{printable(letter)}{hint}; see sendmail(8)"


def long_option(request: Request, words: list[bytes], at: int) -> int:
    """Our own long options; a value is behind `=` or the next word. Returns the index of the next word."""
    word = words[at]
    name, mark, value = word[2:].partition(b"=")
    if name in LONG_OPTIONS:
        if not mark:
            at += 1
            value = words[at] if at < len(words) else b""
        if not value:
            raise UsageError(f"option --{name.decode()} needs a value")
        request.long[name.decode()] = value
    elif word == b"--json" and request.mode == "list":
        request.json = True
    elif word in (b"--help", b"--version"):
        request.mode = word[2:].decode()
    else:
        raise UsageError(f"unknown option {printable(word, 64)}; see sendmail(8)")
    return at + 1


def operand(word: bytes) -> bytes:
    """A recipient operand; one that looks like an option is refused, not mailed to."""
    if word == b"-":
        raise UsageError("a lone - is no recipient")
    if word[:1] == b"-" and b"@" not in word:
        raise UsageError(f"{printable(word, 64)} after a recipient: options go before the recipients")
    return word


def ignore(request: Request, letter: str, value: bytes) -> None:
    """Accepted for the sake of callers; has no effect here."""


def refuse(request: Request, letter: str, value: bytes) -> None:
    """Known, and not for us."""
    raise UsageError(f"option -{letter} is not supported: {OPTIONS[letter][2]}")


def bad_value(letter: str, value: bytes, wanted: str) -> UsageError:
    """The fault of a value that an option does not take."""
    return UsageError(f"option -{letter}: {printable(value, 64)!r} is not {wanted}")


def mode_files(request: Request, letter: str, value: bytes) -> None:
    """-Ac, -Am."""
    if value not in (b"c", b"m"):
        raise bad_value(letter, value, "c or m")


def body(request: Request, letter: str, value: bytes) -> None:
    """-B (RFC 6152)."""
    request.body = value.upper()
    if request.body not in (b"7BIT", b"8BITMIME"):
        raise bad_value(letter, value, "7BIT or 8BITMIME")


def mode(request: Request, letter: str, value: bytes) -> None:
    """-bm, -bp, -bi, -bs, -bv; the others are refused with a hint."""
    text = value.decode("ascii", "replace")
    if text in MODES:
        request.mode = MODES[text]
    elif text and text in DAEMON_MODES:
        raise UsageError(f"-b{text}: there is no daemon; let cron run sendmail -q, see sendmail-py(7)")
    else:
        raise UsageError(f"-b{printable(value, 64)} is not supported; see sendmail(8)")


def config(request: Request, letter: str, value: bytes) -> None:
    """-C: one configuration file instead of the usual ones."""
    request.config = value


def errors(request: Request, letter: str, value: bytes) -> None:
    """-e, -oe: only q means something here; e must not hide a failure to queue."""
    if value[:1] == b"q":
        request.quiet = True
    elif value[:1] not in (b"m", b"p", b"w", b"e"):
        raise bad_value(letter, value, "one of m, p, q, w, e")


def full_name(request: Request, letter: str, value: bytes) -> None:
    """-F."""
    request.full_name = value


def sender(request: Request, letter: str, value: bytes) -> None:
    """-f and -r; the last one wins. An empty word is the null reverse-path, a blank is a mistake."""
    if value.isspace():
        raise bad_value(letter, value, "an address")
    request.sender = value


def hops(request: Request, letter: str, value: bytes) -> None:
    """-h: must be a number."""
    if not value.isdigit():
        raise bad_value(letter, value, "a number")


def aliases(request: Request, letter: str, value: bytes) -> None:
    """-I."""
    request.mode = "aliases"


def no_dot(request: Request, letter: str, value: bytes) -> None:
    """-i."""
    request.dot = False


def no_aliases(request: Request, letter: str, value: bytes) -> None:
    """-n."""
    request.aliases = False


def tag(request: Request, letter: str, value: bytes) -> None:
    """-L."""
    request.tag = value


def notify(request: Request, letter: str, value: bytes) -> None:
    """-N (RFC 3461 4.1)."""
    words = value.upper().replace(b" ", b"").split(b",")
    if words != [b"NEVER"] and not all(word in NOTIFY_WORDS for word in words):
        raise bad_value(letter, value, "never or a list of success, failure, delay")
    request.notify = b",".join(words)


def returned(request: Request, letter: str, value: bytes) -> None:
    """-R (RFC 3461 4.3)."""
    request.ret = value.upper()
    if request.ret not in (b"HDRS", b"FULL"):
        raise bad_value(letter, value, "hdrs or full")


def envelope_id(request: Request, letter: str, value: bytes) -> None:
    """-V (RFC 3461 4.4): at most 100 printable characters."""
    if not 0 < len(value) <= 100 or any(octet < 33 or octet > 126 for octet in value):
        raise bad_value(letter, value, "1 to 100 printable ASCII characters without blanks")
    request.envid = value


def other(request: Request, letter: str, value: bytes) -> None:
    """-o: i, e and dq are known, everything else is Sendmail's own and ignored."""
    if value[:1] == b"i":
        request.dot = False
    elif value[:1] == b"e":
        errors(request, "oe", value[1:])
    elif value == b"dq":
        request.queue_only = True


def queue(request: Request, letter: str, value: bytes) -> None:
    """-q: a run; an interval is one run too, because there is no daemon. A listing stays one."""
    if request.mode != "list":
        request.mode = "flush"
    text = value[1:] if value[:1] == b"!" else value
    if text[:1] in (b"I", b"R", b"S") and text[1:]:
        request.only.append((text[:1].decode(), text[1:], text is value))
    elif value not in (b"", b"f", b"p") and not is_interval(value.removeprefix(b"p")):
        raise UsageError(f"option -q{printable(value, 64)} is not supported; see sendmail(8)")


def is_interval(value: bytes) -> bool:
    """30m, 1h30m, or a number."""
    return value[:1].isdigit() and not value.strip(b"0123456789smhdw")


def from_header(request: Request, letter: str, value: bytes) -> None:
    """-t."""
    request.from_header = True


def verbose(request: Request, letter: str, value: bytes) -> None:
    """-v."""
    request.verbose = True


ACTIONS = {
    "aliases": aliases,
    "body": body,
    "config": config,
    "envelope_id": envelope_id,
    "errors": errors,
    "from_header": from_header,
    "full_name": full_name,
    "hops": hops,
    "ignore": ignore,
    "mode": mode,
    "mode_files": mode_files,
    "no_aliases": no_aliases,
    "no_dot": no_dot,
    "notify": notify,
    "other": other,
    "queue": queue,
    "refuse": refuse,
    "returned": returned,
    "sender": sender,
    "tag": tag,
    "verbose": verbose,
}
