"""A message as it came out at the smart host, taken apart for comparison."""

from __future__ import annotations

from email.header import decode_header, make_header

from support.smarthost import Message


class Arrived:
    """One message: `sender`, `recipients`, the header as octets, the body, all as sent.

    parameters  those of MAIL; notify: those of RCPT, for each recipient
    """

    def __init__(self, message: Message) -> None:
        self.sender = message.mail_from
        self.parameters = message.mail_params
        self.recipients = [address for address, _ in message.rcpts]
        self.notify = [parameters for _, parameters in message.rcpts]
        head, _, self.body = message.data.partition(b"\r\n\r\n")
        self.head = head + b"\r\n"

    def fields(self, name: str) -> list[bytes]:
        """The values of the fields of that name, unfolded."""
        lines = self.head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t").split(b"\r\n")
        start = name.lower().encode() + b":"
        return [line[len(start) :].strip() for line in lines if line.lower().startswith(start)]

    def field(self, name: str) -> bytes:
        """The value of the only field of that name."""
        (value,) = self.fields(name)
        return value

    def subject(self) -> str:
        """The subject as people read it, whether it was encoded (RFC 2047) or raw UTF-8."""
        return str(make_header(decode_header(self.field("Subject").decode())))

    def lines(self) -> list[bytes]:
        """The body's lines."""
        assert self.body.endswith(b"\r\n"), self.body
        return self.body.split(b"\r\n")[:-1]
