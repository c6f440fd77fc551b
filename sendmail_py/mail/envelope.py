"""The envelope: what SMTP says about a message, apart from its content (RFC 5321 2.3.1).

Addresses are octets in wire form: `local@domain`, the local part quoted where it must be.
"""

from __future__ import annotations

TODO = b"T"
DELIVERED = b"D"
FAILED = b"F"
REPORTED = b"R"
UNKNOWN = b"U"
RELAYED = b"L"

TYPE_CHECKING = False
if TYPE_CHECKING:
    HeaderChange = tuple[bytes, bytes, bytes, bytes]  # field's name, rule, old address, new address

STATES = TODO + DELIVERED + FAILED + REPORTED + UNKNOWN + RELAYED
OPEN = (TODO, UNKNOWN)  # the states of recipients that still wait


class Recipient:
    """One forward-path with its state and its DSN parameters (RFC 3461).

    state    one of TODO, DELIVERED, FAILED, REPORTED (failed, and the sender was told), UNKNOWN (the end of
             the message may have been sent, no answer yet), RELAYED (delivered, the sender is to be told)
    notify   value of NOTIFY=, b"" when nothing was asked
    orcpt    value of ORCPT= in xtext (`rfc822;user@host`), b"" when nothing was given
    """

    __slots__ = ("address", "notify", "orcpt", "state")

    def __init__(self, address: bytes, notify: bytes = b"", orcpt: bytes = b"", state: bytes = TODO) -> None:
        self.address = address
        self.notify = notify
        self.orcpt = orcpt
        self.state = state


class Envelope:
    """The reverse-path, the recipients, and what the submitter asked for.

    reverse_path  b"" is the null reverse-path
    plain         forward-paths that follow the recipients, still to do, without DSN parameters: a submission
                  makes no object for each of thousands. An envelope that was read has none
    original      the reverse-path before the sender rules repaired it, b"" if they did not
    rule          name of the rule that repaired it, b"" if none
    changes       addresses in sender fields of the header that the sender rules repaired
    body          BODY= value: b"" unknown, b"7BIT", b"8BITMIME" (RFC 6152)
    eight_bit     whether the content has octets above 127 (known once a queue file was checked)
    ret, envid    RET= and ENVID= values (RFC 3461), b"" when not given
    created       seconds since the epoch
    wishes        more parameters of MAIL as they are written there, for the server that takes the message:
                  BY=seconds;mode, REQUIRETLS, MT-PRIORITY=number (RFC 2852, 8689, 6710)
    hold          of a submission: not to be sent before (seconds since the epoch), 0: at once
    uid, login    who submitted it, for people; the proof is the owner of the queue file
    """

    __slots__ = (
        "body",
        "changes",
        "created",
        "eight_bit",
        "envid",
        "hold",
        "login",
        "original",
        "plain",
        "recipients",
        "ret",
        "reverse_path",
        "rule",
        "uid",
        "wishes",
    )

    def __init__(self, reverse_path: bytes, recipients: list[Recipient], created: float = 0.0) -> None:
        self.reverse_path = reverse_path
        self.recipients = recipients
        self.plain: list[bytes] = []
        self.created = created
        self.original = b""
        self.rule = b""
        self.changes: list[HeaderChange] = []
        self.body = b""
        self.eight_bit = False
        self.ret = b""
        self.envid = b""
        self.hold = 0
        self.wishes: list[bytes] = []
        self.uid = 0
        self.login = b""

    @property
    def forward_paths(self) -> list[bytes]:
        """The addresses of all recipients, in order."""
        return [one.address for one in self.recipients] + self.plain

    def having(self, *states: bytes) -> list[Recipient]:
        """The recipients in one of these states, in order."""
        return [one for one in self.recipients if one.state in states]
