"""SMTP commands as values: verb, path, parameters (RFC 5321 4.1). Pure.

Parameters: RFC 1870, 2852, 3030, 3461, 4865, 6152, 6531, 6710, 8689.

Guarantees: what is returned holds no control characters and no blanks outside quotes; everything else is a
CommandError with its reply. Two kindnesses that other servers share: blanks after `FROM:` and `TO:`, and a
path without angle brackets.
"""

from __future__ import annotations

from sendmail_py.mail import address, addresslist
from sendmail_py.submission.smtp_reply import CommandError

VISIBLE = bytes(range(33, 127))
XCHAR = bytes(octet for octet in VISIBLE if octet not in b"+=")  # RFC 3461 4; `+XX` stands for the others
HEX = b"0123456789ABCDEF"
NOTIFY_WORDS = (b"SUCCESS", b"FAILURE", b"DELAY")
LONGEST_ENVID = 100  # RFC 3461 4.4
LONGEST_ORCPT = 500  # RFC 3461 4.2
MOST_DIGITS = 20  # RFC 1870 3
MOST_SECONDS = 999_999_999  # RFC 2852 4
MAIL_PARAMETERS = tuple(b"SIZE BODY RET ENVID SMTPUTF8 HOLDFOR HOLDUNTIL BY REQUIRETLS MT-PRIORITY".split())
NO_MARKS = bytes.maketrans(b"-T:", b"   ")


class Mail:
    """MAIL: reverse-path (b"" is null), size announced (octets, 0 for none), and values as in Envelope.

    hold_for    seconds from now, hold_until seconds since the epoch; 0 for none
    """

    __slots__ = ("body", "envid", "hold_for", "hold_until", "path", "ret", "size", "wishes")

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.body = self.envid = self.ret = b""
        self.size = self.hold_for = self.hold_until = 0
        self.wishes: list[bytes] = []


class Rcpt:
    """RCPT: forward-path, and values as in Recipient."""

    __slots__ = ("notify", "orcpt", "path")

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.notify = self.orcpt = b""


def split(line: bytes) -> tuple[bytes, bytes]:
    """(verb in upper case, argument) of a line without its line end."""
    if line.translate(None, address.PRINTABLE):
        raise CommandError(500, "5.5.2", "control character in a command")
    verb, _, argument = line.replace(b"\t", b" ").partition(b" ")
    return verb.upper(), argument.strip(b" ")


def demand(argument: bytes, syntax: str) -> None:
    """Refuse a command without its argument (RFC 5321 4.1.1)."""
    if not argument:
        raise CommandError(501, "5.5.4", f"syntax: {syntax}")


def forbid(argument: bytes) -> None:
    """Refuse an argument where none is allowed (RFC 5321 4.1.1). QUIT is forgiven, as elsewhere."""
    if argument:
        raise CommandError(501, "5.5.4", "this command stands alone")


def mail(argument: bytes) -> Mail:
    """The argument of MAIL."""
    given, parameters = path_and_parameters(argument, b"FROM:")
    command = Mail(mailbox(given, "5.1.7"))
    for key, value in parameters.items():
        mail_parameter(command, key, value)
    return command


def mail_parameter(command: Mail, key: bytes, value: bytes) -> None:
    """Put one parameter of MAIL into the command."""
    if key == b"SIZE" and value.isdigit() and len(value) <= MOST_DIGITS:
        command.size = int(value)
    elif key == b"BODY" and value.upper() in (b"7BIT", b"8BITMIME"):
        command.body = value.upper()
    elif key == b"RET" and value.upper() in (b"FULL", b"HDRS"):
        command.ret = value.upper()
    elif key == b"ENVID" and is_xtext(value) and len(value) <= LONGEST_ENVID:
        command.envid = value
    elif (key != b"SMTPUTF8" or value) and not wish(command, key, value):  # addresses say that themselves
        raise bad_parameter(key, MAIL_PARAMETERS)


def wish(command: Mail, key: bytes, value: bytes) -> bool:
    """Put a parameter that the queue or a server behind it honours into the command; whether it is one."""
    if key == b"HOLDFOR" and is_number(value, 0, MOST_SECONDS):  # RFC 4865 4.2
        command.hold_for = int(value)
    elif key == b"HOLDUNTIL" and (seconds := date_time(value)):
        command.hold_until = seconds
    elif (
        (key == b"REQUIRETLS" and not value)
        or (key == b"MT-PRIORITY" and is_number(value, -9, 9))
        or (key == b"BY" and is_by(value.upper()))
    ):
        command.wishes.append((key + b"=" + value.upper()) if value else key)
    else:
        return False
    return True


def is_number(value: bytes, least: int, most: int) -> bool:
    """Whether this is a whole number of not too many digits in that range."""
    digits = value.removeprefix(b"-")
    return digits.isdigit() and len(digits) < 10 and least <= int(value) <= most


def is_by(value: bytes) -> bool:
    """Whether this is a value of BY, in upper case (RFC 2852 4): seconds, mode, whether to trace."""
    seconds, _, mode = value.partition(b";")
    least = 1 if mode[:1] == b"R" else -MOST_SECONDS
    return mode in (b"N", b"NT", b"R", b"RT") and is_number(seconds, least, MOST_SECONDS)


def date_time(value: bytes) -> int:
    """Seconds since the epoch of an Internet date-time in UTC ("2026-11-24T12:00:00Z", RFC 3339); 0: none."""
    numbers = value.upper().removesuffix(b"Z").translate(NO_MARKS).split()
    if len(value) != 20 or len(numbers) != 6 or not all(one.isdigit() for one in numbers):
        return 0
    year, month, day, hour, minute, second = [int(one) for one in numbers]
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return 0
    year -= month < 3  # the year begins in March, so that the leap day is its last
    days = year * 365 + year // 4 - year // 100 + year // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return max(0, (days - 719468) * 86400 + hour * 3600 + minute * 60 + second)


def rcpt(argument: bytes) -> Rcpt:
    """The argument of RCPT."""
    given, parameters = path_and_parameters(argument, b"TO:")
    command = Rcpt(mailbox(given, "5.1.3"))
    if not command.path:
        raise CommandError(501, "5.1.3", "the null path is for senders only")
    for key, value in parameters.items():
        if key == b"NOTIFY" and is_notify(value.upper()):
            command.notify = value.upper()
        elif key == b"ORCPT" and is_orcpt(value):
            command.orcpt = value
        else:
            raise bad_parameter(key, (b"NOTIFY", b"ORCPT"))
    return command


def chunk(argument: bytes) -> tuple[int, bool]:
    """(octets, last?) of the argument of BDAT (RFC 3030 2)."""
    words = argument.upper().split()
    last = words[1:] == [b"LAST"]
    if not words or not (last or len(words) == 1) or not words[0].isdigit() or len(words[0]) > MOST_DIGITS:
        raise CommandError(501, "5.5.4", "syntax: BDAT octets [LAST]")
    return int(words[0]), last


def path_and_parameters(argument: bytes, word: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The path as it stands there, brackets and all, and the parameters by their keyword."""
    rest = argument[len(word) :].lstrip(b" ")
    if argument[: len(word)].upper() != word or not rest:
        raise CommandError(501, "5.5.4", f"syntax: {word.decode()}<address> [parameters]")
    end = end_of_path(rest)
    parameters: dict[bytes, bytes] = {}
    for one in rest[end:].split():
        key, _, value = one.partition(b"=")
        if key.upper() in parameters:
            raise CommandError(501, "5.5.4", "a parameter is given twice")
        parameters[key.upper()] = value
    return rest[:end], parameters


def end_of_path(text: bytes) -> int:
    """Where the path ends that a text begins with: after its bracket, or at the first blank without one."""
    closing = 62 if text.startswith(b"<") else 32
    if b'"' not in text and b"\\" not in text:
        return text.find(closing) + 1 or len(text)
    quoted = escaped = False
    for at, octet in enumerate(text):
        if escaped:
            escaped = False
        elif octet == 92:
            escaped = True
        elif octet == 34:
            quoted = not quoted
        elif octet == closing and not quoted:
            return at + 1
    return len(text)


def mailbox(path: bytes, enhanced: str) -> bytes:
    """The address of a path; source routes are taken off (RFC 5321 4.1.1.3 and appendix C)."""
    try:
        return addresslist.parse_mailbox(path.rstrip(b" "))
    except address.AddressError as fault:
        raise CommandError(501, enhanced, str(fault)) from None


def bad_parameter(key: bytes, known: tuple[bytes, ...]) -> CommandError:
    """The fault of a value that a parameter cannot have, or of an unknown parameter (RFC 5321 4.1.1.11)."""
    name = key.decode("ascii", "backslashreplace")
    if key in known:
        return CommandError(501, "5.5.4", f"bad value of {name}")
    return CommandError(555, "5.5.4", f"unknown parameter {name}")


def is_notify(value: bytes) -> bool:
    """Whether this is a value of NOTIFY, in upper case (RFC 3461 4.1)."""
    return value == b"NEVER" or all(word in NOTIFY_WORDS for word in value.split(b","))


def is_orcpt(value: bytes) -> bool:
    """Whether this is a value of ORCPT: `type;xtext` (RFC 3461 4.2)."""
    kind, mark, text = value.partition(b";")
    fits = bool(mark) and kind.replace(b"-", b"").isalnum() and len(value) <= LONGEST_ORCPT
    return fits and is_xtext(text)


def is_xtext(value: bytes) -> bool:
    """Whether this is a text of xchars and `+XX` (RFC 3461 4), and not empty."""
    plain, *coded = value.split(b"+")
    fits = all(len(one) > 1 and not one[:2].translate(None, HEX) for one in coded)
    return bool(value) and fits and not b"".join([plain, *coded]).translate(None, XCHAR)
