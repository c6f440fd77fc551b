"""One line per mail event, to syslog, standard error or a file, as text or JSON.

A log that cannot be written never fails a message: every fault in here is swallowed.
The text form is the one that mail log tools read (`QUEUEID: key=value, key=value (remark)`).
"""

from __future__ import annotations

import posix
import syslog
import time

from sendmail_py.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TAG = "sendmail-py"
# Behind the tag of a message's line, by its first field, what Postfix calls the part that writes such lines:
# log tools tell them apart by that.
PARTS = {"uid": "pickup", "from": "qmgr", "to": "smtp"}
PART = "qmgr"
# Not waiting for the reader of a fifo: mail does not wait for a log.
APPEND = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW
APPEND |= posix.O_NONBLOCK


class Log:
    """Where the lines go (`to`: "syslog", "stderr" or a path) and how (`form`: "text" or "json").

    fd      the open file of a process that logs much, -1 if it is not kept open
    second  when that was opened (seconds since the epoch); every second anew, for those who rename it
    stamp   that second as a time stamp
    heads   what lines of that second begin with, by tag
    sink    takes the lines instead, in a process that cannot write to the log itself
    held    lines for a file that wait for `flush`, None when each is written at once
    """

    __slots__ = ("fd", "form", "heads", "held", "kept", "opened", "second", "sink", "stamp", "tag", "to")

    def __init__(self) -> None:
        self.to = "syslog"
        self.form = "text"
        self.tag = TAG
        self.opened = ""  # under which tag
        self.kept = False
        self.fd = -1
        self.second = 0
        self.stamp = ""
        self.heads: dict[str, str] = {}
        self.held: list[bytes] | None = None
        self.sink: Callable[[str], None] | None = None


log = Log()


def configure(to: str, form: str, tag: str = TAG) -> None:
    """Choose target, form and syslog tag (sendmail's -L) for the rest of the process."""
    log.to, log.form, log.tag, log.opened = to, form, printable(tag, 64), ""
    log.kept = False
    if log.fd >= 0:
        posix.close(log.fd)
        log.fd = -1


def keep_open() -> None:
    """Keep a log file open between lines, in a process that writes many and forks none that closes it."""
    log.kept = True


def gather(on: bool = True) -> None:
    """Write lines to a file together when `flush` is called, until it is switched off."""
    flush()
    log.held = [] if on else None


def flush() -> None:
    """Write the lines that wait; never raises."""
    lines = []
    while log.held:
        lines.append(log.held.pop(0))  # one by one: another thread may be adding
    if lines:
        try:
            put(b"".join(lines))
        except (OSError, ValueError):
            return


def open_now() -> None:
    """Open a log file at once, and keep it open: the process is about to lose the right to."""
    log.kept = True
    if log.to not in ("syslog", "stderr") and log.fd < 0:
        try:
            log.fd = posix.open(log.to, APPEND, 0o600)
        except OSError:
            return


def close() -> None:
    """Close the log for now; the next line opens it again."""
    syslog.closelog()
    log.opened = ""
    if log.fd >= 0:
        posix.close(log.fd)
        log.fd = -1


def record(queue_id: str, fields: list[tuple[str, str]], remark: str = "") -> None:
    """Log one event of the message `queue_id`; `fields` keep their order."""
    if log.form == "json":
        write(json_line([("time", timestamp()), ("queue_id", queue_id), *fields, ("remark", remark)]))
        return
    text = ", ".join([f"{key}={value}" for key, value in fields])
    end = f" ({remark})" if text and remark else remark
    write(printable(f"{queue_id}: {text}{end}", 2000), PARTS.get(fields[0][0], PART) if fields else PART)


def notice(text: str) -> None:
    """Log a line that belongs to no message."""
    if log.form == "json":
        write(json_line([("time", timestamp()), ("remark", text)]))
        return
    write(printable(text, 2000))


def warning(text: str) -> None:
    """Log a line that somebody should act upon."""
    notice("warning: " + text)


def timestamp() -> str:
    """Now, in UTC, as RFC 3339 writes it."""
    now = int(time.time())
    if now != log.second:
        log.stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        log.second = now
        log.heads = {}
        reopen()
    return log.stamp


def reopen() -> None:
    """Open a file that is kept open anew, in place: other threads may be writing to its descriptor."""
    if log.fd >= 0:
        try:
            fd = posix.open(log.to, APPEND, 0o600)
        except OSError:
            return
        posix.dup2(fd, log.fd, False)
        posix.close(fd)


def write(line: str, part: str = "") -> None:
    """Hand one finished line to the target; never raises. `part` goes behind our own tag, not a caller's."""
    try:
        if log.sink is not None:
            log.sink(line)
            return
        tag = f"{TAG}/{part}" if part and log.tag == TAG else log.tag
        if log.to == "syslog":
            to_syslog(line, tag)
        elif log.form == "text":
            to_file(head(tag) + line)
        else:
            to_file(line)
    except (OSError, ValueError):
        return


def to_syslog(line: str, tag: str) -> None:
    """syslog(3) with facility mail, the process id beside the tag."""
    if log.opened != tag:
        syslog.openlog(tag, syslog.LOG_PID, syslog.LOG_MAIL)
        log.opened = tag
    syslog.syslog(syslog.LOG_INFO, line)


def head(tag: str) -> str:
    """What a line of this second begins with."""
    stamp = timestamp()
    if tag not in log.heads or not log.kept:
        log.heads[tag] = f"{stamp} {posix.uname()[1]} {tag}[{posix.getpid()}]: "
    return log.heads[tag]


def to_file(line: str) -> None:
    """To standard error or a file, now or with others."""
    octets = line.encode("utf-8", "backslashreplace") + b"\n"
    if log.to == "stderr":
        posix.write(2, octets)
    elif log.held is None:
        put(octets)
    else:
        log.held.append(octets)


def put(octets: bytes) -> None:
    """One write of whole lines with O_APPEND, so that those of several processes never mix."""
    fd = log.fd if log.fd >= 0 else posix.open(log.to, APPEND, 0o600)
    if log.kept:
        log.fd = fd
    try:
        posix.write(fd, octets)
    finally:
        if not log.kept:
            posix.close(fd)


def json_line(pairs: list[tuple[str, object]]) -> str:
    """A JSON object (RFC 8259) on one line; values are str, int, bool, lists or lists of pairs.

    Our own few lines because the `json` module costs as much as a whole submission.
    """
    return "{" + ", ".join([f"{json_value(key)}: {json_value(value)}" for key, value in pairs]) + "}"


def json_value(value: object) -> str:
    """One JSON value; see json_line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        if value and isinstance(value[0], tuple):
            return json_line(value)
        return "[" + ", ".join([json_value(one) for one in value]) + "]"
    return '"' + "".join([json_character(c) for c in str(value)]) + '"'


def json_character(c: str) -> str:
    """One character of a JSON string; lone surrogates become U+FFFD, all else beyond ASCII stays."""
    if c in '"\\':
        return "\\" + c
    if c < " " or c in "\x7f\u2028\u2029":
        return f"\\u{ord(c):04x}"
    return "\ufffd" if "\ud800" <= c <= "\udfff" else c
