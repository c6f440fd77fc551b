"""The client's side of SMTP (RFC 5321, 2920, 3207, 4954) as a dialogue without I/O.

Each dialogue is a generator of actions (actions.py). Who plays it owns the socket, the clock and the time
limits (session.py), or is a test with a page of text.

Guarantees: no message and no password before the session is as safe as was asked; replies are matched to
commands by order alone and every command announces how many replies it causes, so that the player can prove
that none is missing or too many; each transaction that NEXT brings is handed back by Judged once it is
decided.
"""

from __future__ import annotations

import base64
import binascii

from sendmail_py.relay import ehlo, sasl, transaction, trouble
from sendmail_py.relay.actions import (
    AUTH,
    DATA,
    EHLO,
    END,
    GREETING,
    HELO,
    MAIL,
    NEXT,
    QUIT,
    RCPT,
    RSET,
    START_TLS,
    STARTTLS,
    Content,
    Expect,
    Judged,
    Write,
)  # fmt: skip
from sendmail_py.relay.faults import LoginFault, ProtocolFault, RefusedFault
from sendmail_py.relay.reply import Reply
from sendmail_py.relay.transaction import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.relay.actions import Dialogue
    from sendmail_py.relay.ehlo import Server

LONGEST_COMMAND = 512  # RFC 5321 4.5.3.1.4, the line end included


class Wish:
    """What a session must be before mail flows.

    helo        our name for EHLO (bytes)
    implicit    whether the connection is encrypted from the first octet (RFC 8314 3)
    starttls    whether the clear connection must be encrypted by STARTTLS
    private     whether nobody can listen after that: TLS, or a loopback connection
    login       user and password, None for no AUTH
    mechanisms  the allowed SASL mechanisms in order, [] for the best that is offered
    """

    __slots__ = ("helo", "implicit", "login", "mechanisms", "private", "starttls")

    def __init__(
        self,
        helo: bytes,
        *,
        implicit: bool = False,
        starttls: bool = False,
        private: bool = False,
        login: sasl.Login | None = None,
        mechanisms: list[str] | None = None,
    ) -> None:
        self.helo = helo
        self.implicit = implicit
        self.starttls = starttls
        self.private = private
        self.login = login
        self.mechanisms = mechanisms or []


def ask(command: bytes, expect: Expect) -> Dialogue[Reply]:
    """One command, one reply."""
    yield Write(command + b"\r\n")
    reply: Reply = yield expect
    return reply


# --- the session --------------------------------------------------------------------------------------------


def opening(wish: Wish) -> Dialogue[Server]:
    """From the greeting to a session that is ready for mail (RFC 5321 3.1, 3.2; RFC 3207; RFC 4954).

    Raises RefusedFault, ProtocolFault or LoginFault; no refusal leads to less than was wished.
    """
    if wish.implicit:
        yield START_TLS
    require(GREETING, (yield GREETING))
    server = yield from hello(wish)
    if wish.starttls:
        if not server.offers(b"STARTTLS"):
            raise RefusedFault("the server does not offer STARTTLS")
        require(STARTTLS, (yield from ask(b"STARTTLS", STARTTLS)))
        yield START_TLS
        server = yield from hello(wish)  # RFC 3207 4.2: what was said in the clear counts no more
    if wish.login is not None:
        yield from authenticate(wish.login, choose_mechanisms(wish, server))
    return server


def hello(wish: Wish) -> Dialogue[Server]:
    """EHLO; HELO for a server that does not know it (RFC 5321 3.2), unless we need an extension."""
    reply = yield from ask(b"EHLO " + wish.helo, EHLO)
    if reply.permanent and not wish.starttls and wish.login is None:
        require(HELO, (yield from ask(b"HELO " + wish.helo, HELO)))
        return ehlo.Server([])
    require(EHLO, reply)
    return ehlo.from_reply(reply)


def require(expect: Expect, reply: Reply) -> None:
    """RefusedFault unless the server said yes."""
    if not reply.positive:
        raise RefusedFault(f"refused: {reply.text} (in reply to {expect.phase})", reply)


def choose_mechanisms(wish: Wish, server: Server) -> list[str]:
    """The mechanisms to try; LoginFault when none may be used here."""
    chosen = sasl.choose(wish.mechanisms, server.mechanisms, private=wish.private)
    if not chosen:
        offered = " ".join([one.decode("ascii", "replace") for one in server.mechanisms]) or "none"
        raise LoginFault(f"no usable way to log in (the server offers: {offered:.200})")
    return chosen


def authenticate(login: sasl.Login, mechanisms: list[str]) -> Dialogue[None]:
    """AUTH (RFC 4954 4): the next mechanism when this one is not taken, never a second try of a password."""
    for name in mechanisms:
        reply = yield from attempt(name, sasl.begin(name, login))
        if reply.positive:
            return
        if reply.code not in (504, 534):
            break
    raise LoginFault(f"login refused: {reply.text}", reply)


def attempt(name: str, exchange: sasl.Exchange) -> Dialogue[Reply]:
    """One SASL exchange, with the initial response when there is one and it fits (RFC 4954 4)."""
    spoken: list[bytes] = []
    command = b"AUTH " + name.encode()
    first = exchange.first()
    if first is not None and len(command) + len(encode(first)) + 3 <= LONGEST_COMMAND:
        spoken.append(encode(first))
        command += b" " + (encode(first) or b"=")
        first = None
    yield Write(command + b"\r\n", secret=True)
    while (reply := (yield AUTH)).go_ahead:
        response = exchange.answer(decode(reply.lines[0])) if first is None else first
        first = None
        spoken.append(encode(response))
        yield Write(encode(response) + b"\r\n", secret=True)
    if reply.positive and not exchange.proven:
        raise LoginFault(f"the server did not prove that it knows the password ({name})")
    return without(spoken, reply)


def without(spoken: list[bytes], reply: Reply) -> Reply:
    """The reply as it may be logged: some servers quote the line that they did not understand."""
    if any(word and word in line for word in spoken for line in reply.lines):
        return Reply(reply.code, [b"***"])
    return reply


def encode(response: bytes) -> bytes:
    """A SASL response in base64."""
    return base64.b64encode(response)


def decode(challenge: bytes) -> bytes:
    """A SASL challenge from base64."""
    try:
        return base64.b64decode(challenge.strip(), validate=True)
    except binascii.Error:
        raise ProtocolFault("the server's AUTH challenge is not base64") from None


def closing() -> Dialogue[None]:
    """QUIT (RFC 5321 4.1.1.10)."""
    yield from ask(b"QUIT", QUIT)


# --- mail ---------------------------------------------------------------------------------------------------


def relay(server: Server) -> Dialogue[None]:
    """Send every transaction that NEXT brings, and read the last reply.

    With PIPELINING the end of one message travels with the beginning of the next, so an open session needs
    one round trip per message; without it every command waits for its reply.
    """
    begin = grouped if server.pipelining else stepwise
    ending: Transaction | None = None  # its final dot has no reply yet
    reset = False  # the server may still be inside a transaction that came to nothing
    while True:
        following: Transaction | None = yield NEXT
        if following is None and ending is None:
            return
        if following is None or not server.pipelining:
            yield from end_of_data(ending)
            ending = None
        if following is None:
            continue  # recipients that were too many a moment ago may be next
        transaction.refuse_unfit(server, following)
        if not following.open():
            yield Judged(following)
            continue
        go_ahead = yield from begin(server, following, ending, reset)
        ending = yield from content_or_not(following, go_ahead)
        reset = ending is None and following.mail_accepted and not go_ahead


def grouped(server: Server, new: Transaction, ending: Transaction | None, reset: bool) -> Dialogue[bool]:
    """MAIL, every RCPT and DATA in one write (RFC 2920 3.1); it leaves with the end of the message before."""
    asked = new.open()
    commands = [b"RSET\r\n"] if reset else []
    commands.append(transaction.mail_command(server, new))
    commands += [transaction.rcpt_command(server, new.recipients[n]) for n in asked]
    commands.append(b"DATA\r\n")
    yield Write(b"".join(commands), len(commands))
    yield from end_of_data(ending)
    if reset:
        yield RSET
    answer_mail(new, (yield MAIL))
    for n in asked:
        new.answer_rcpt(n, (yield RCPT))
    return answer_data(new, (yield DATA))


def stepwise(server: Server, new: Transaction, ending: Transaction | None, reset: bool) -> Dialogue[bool]:
    """The same in lock-step, for a server without PIPELINING; the message before has its reply already."""
    if reset:
        yield from ask(b"RSET", RSET)
    yield Write(transaction.mail_command(server, new))
    answer_mail(new, (yield MAIL))
    for n in new.open():
        yield Write(transaction.rcpt_command(server, new.recipients[n]))
        new.answer_rcpt(n, (yield RCPT))
    if not new.accepted:
        return False
    return answer_data(new, (yield from ask(b"DATA", DATA)))


def answer_mail(new: Transaction, reply: Reply) -> None:
    """A refused MAIL decides about everybody, unless it says that it is the login that is missing."""
    if trouble.is_login_missing(reply):
        raise LoginFault(f"login missing: {reply.text} (in reply to {transaction.MAIL})", reply)
    if reply.go_ahead:
        raise ProtocolFault(f"unexpected reply: {reply.text} (in reply to {transaction.MAIL})")
    new.mail_accepted = reply.positive
    if not reply.positive:
        new.judge(transaction.MAIL, reply)


def answer_data(new: Transaction, reply: Reply) -> bool:
    """Whether the server waits for the content; a refusal decides about the accepted recipients."""
    if reply.positive:
        raise ProtocolFault(f"unexpected reply: {reply.text} (in reply to {transaction.DATA})")
    if not reply.go_ahead:
        new.judge(transaction.DATA, reply)
    return reply.go_ahead


def content_or_not(new: Transaction, go_ahead: bool) -> Dialogue[Transaction | None]:
    """Send the content if somebody is to get it; the transaction is returned if its end has no reply yet."""
    if go_ahead and new.open():
        yield Content(new)
        return new
    yield Judged(new)
    if go_ahead:
        if not new.mail_accepted:
            raise ProtocolFault("the server goes on with a transaction that it has refused")
        yield Write(b".\r\n")  # RFC 2920 3.1: 354 although no recipient is left; nobody gets this
        yield END
    return None


def end_of_data(ending: Transaction | None) -> Dialogue[None]:
    """The reply to the final dot, which decides about everybody who was accepted."""
    if ending is None:
        return
    reply = yield END
    if reply.go_ahead:
        raise ProtocolFault(f"unexpected reply: {reply.text} (in reply to {transaction.END})")
    ending.judge(transaction.END, reply)
    yield Judged(ending)
    if reply.code == 421:
        raise RefusedFault(f"closing: {reply.text}", reply)
