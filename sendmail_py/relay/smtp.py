"""The client's side of SMTP (RFC 5321, 2920, 3207, 4954) as a dialogue without I/O.

Each dialogue is a generator of actions (actions.py). Who plays it owns the socket, the clock and the time
limits (session.py), or is a test with a page of text.

Guarantees: no message and no password before the session is as safe as was asked; replies are matched to
commands by order alone and every command announces how many replies it causes, so that the player can prove
that none is missing or too many; each transaction that NEXT brings is handed back by Judged once it is
decided.
"""

from __future__ import annotations

from sendmail_py.relay import auth, ehlo, sasl, transaction, trouble
from sendmail_py.relay.actions import (
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
from sendmail_py.relay.commands import mail_command, rcpt_command, refuse_unfit
from sendmail_py.relay.faults import LoginFault, ProtocolFault, RefusedFault
from sendmail_py.relay.reply import Reply
from sendmail_py.relay.transaction import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.relay.actions import Dialogue
    from sendmail_py.relay.ehlo import Server


class Wish:
    """What a session must be before mail flows.

    lmtp        whether LMTP is spoken (RFC 2033), where every recipient has its own reply after the content
    helo        our name for EHLO (bytes)
    implicit    whether the connection is encrypted from the first octet (RFC 8314 3)
    starttls    whether the clear connection must be encrypted by STARTTLS
    private     whether nobody can listen after that: TLS, or a loopback connection
    login       user and password, None for no AUTH
    mechanisms  the allowed SASL mechanisms in order, [] for the best that is offered
    """

    __slots__ = ("helo", "implicit", "lmtp", "login", "mechanisms", "private", "starttls")

    def __init__(
        self,
        helo: bytes,
        *,
        implicit: bool = False,
        starttls: bool = False,
        private: bool = False,
        login: sasl.Login | None = None,
        mechanisms: list[str] | None = None,
        lmtp: bool = False,
    ) -> None:
        self.helo = helo
        self.implicit = implicit
        self.starttls = starttls
        self.private = private
        self.login = login
        self.mechanisms = mechanisms or []
        self.lmtp = lmtp


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
        mechanisms = auth.choose(wish.mechanisms, server.mechanisms, private=wish.private)
        yield from auth.authenticate(wish.login, mechanisms)
    return server


def hello(wish: Wish) -> Dialogue[Server]:
    """EHLO or LHLO; HELO for a server that knows neither (RFC 5321 3.2), unless we need an extension."""
    reply = yield from ask((b"LHLO " if wish.lmtp else b"EHLO ") + wish.helo, EHLO)
    if reply.permanent and not (wish.starttls or wish.lmtp or wish.login is not None):
        require(HELO, (yield from ask(b"HELO " + wish.helo, HELO)))
        return ehlo.Server([])
    require(EHLO, reply)
    server = ehlo.from_reply(reply)
    server.lmtp = wish.lmtp
    return server


def require(expect: Expect, reply: Reply) -> None:
    """RefusedFault unless the server said yes."""
    if not reply.positive:
        raise RefusedFault(f"refused: {reply.text} (in reply to {expect.phase})", reply)


def require_login(phase: str, reply: Reply) -> None:
    """LoginFault when a reply complains about the session (RFC 4954 6), and not about the message."""
    if trouble.is_login_missing(reply):
        raise LoginFault(f"login missing: {reply.text} (in reply to {phase})", reply)


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
            yield from end_of_data(server, ending)
            ending = None
        if following is None:
            continue  # recipients that were too many a moment ago may be next
        refuse_unfit(server, following)
        if not following.open():
            yield Judged(following)
            continue
        go_ahead = yield from begin(server, following, ending, reset)
        ending = yield from content_or_not(server, following, go_ahead)
        reset = ending is None and following.mail_accepted and not go_ahead


def grouped(server: Server, new: Transaction, ending: Transaction | None, reset: bool) -> Dialogue[bool]:
    """MAIL, every RCPT and DATA in one write (RFC 2920 3.1); it leaves with the end of the message before."""
    asked = new.open()
    commands = [b"RSET\r\n"] if reset else []
    commands.append(mail_command(server, new))
    commands += [rcpt_command(server, new.recipients[n]) for n in asked]
    commands.append(b"DATA\r\n")
    yield Write(b"".join(commands), len(commands))
    yield from end_of_data(server, ending)
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
    yield Write(mail_command(server, new))
    answer_mail(new, (yield MAIL))
    for n in new.open():
        yield Write(rcpt_command(server, new.recipients[n]))
        new.answer_rcpt(n, (yield RCPT))
    if not new.accepted:
        return False
    return answer_data(new, (yield from ask(b"DATA", DATA)))


def answer_mail(new: Transaction, reply: Reply) -> None:
    """A refused MAIL decides about everybody, unless it says that it is the login that is missing."""
    require_login(transaction.MAIL, reply)
    if reply.go_ahead:
        raise ProtocolFault(f"unexpected reply: {reply.text} (in reply to {transaction.MAIL})")
    new.mail_accepted = reply.positive
    if not reply.positive:
        new.judge(transaction.MAIL, reply)


def answer_data(new: Transaction, reply: Reply) -> bool:
    """Whether the server waits for the content; a refusal decides about the accepted recipients."""
    if reply.positive:
        raise ProtocolFault(f"unexpected reply: {reply.text} (in reply to {transaction.DATA})")
    if new.open():
        require_login(transaction.DATA, reply)
    if not reply.go_ahead:
        new.judge(transaction.DATA, reply)
    return reply.go_ahead


def content_or_not(server: Server, new: Transaction, go_ahead: bool) -> Dialogue[Transaction | None]:
    """Send the content if somebody is to get it; the transaction is returned if its end has no reply yet."""
    if go_ahead and new.open():
        yield Content(new, len(new.open()) if server.lmtp else 1)
        return new
    yield Judged(new)
    if go_ahead:
        if not new.mail_accepted:
            raise ProtocolFault("the server goes on with a transaction that it has refused")
        yield Write(b".\r\n")  # RFC 2920 3.1: 354 although no recipient is left; nobody gets this
        yield END
    return None


def end_of_data(server: Server, ending: Transaction | None) -> Dialogue[None]:
    """The reply to the final dot, which decides about everybody who was accepted; in LMTP one for each."""
    if ending is None:
        return
    for n in ending.open() if server.lmtp else [-1]:
        reply = yield END
        if reply.go_ahead:
            raise ProtocolFault(f"unexpected reply: {reply.text} (in reply to {transaction.END})")
        if not server.lmtp:  # where others may have the message by now
            require_login(transaction.END, reply)
        if server.lmtp and n != ending.open()[-1]:
            ending.verdicts[n] = transaction.Verdict(transaction.END, reply)
        else:
            ending.judge(transaction.END, reply)
    yield Judged(ending)
    if reply.code == 421:
        raise RefusedFault(f"closing: {reply.text}", reply)
