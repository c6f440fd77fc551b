"""The words by which a server asks for less mail, whatever the message; trouble.py has the codes. Pure."""

from __future__ import annotations

import re

TOO_MUCH = re.compile(
    r"throttl|\brate\b.{0,40}\b(?:limit|exceed)|\b(?:limit|exceed\w*)\b.{0,40}\brate\b"
    r"|slow down|too (?:fast|quickly)"
    r"|too (?:many|much) (?:messages|mails?|e-?mails?|connections|requests|commands|recipients (?:per|this))"
    r"|(?:hourly|daily|sending|message|submission) (?:limit|quota)",
    re.IGNORECASE,
)


def asks_for_less(text: str) -> bool:
    """Whether the text of a reply is about sending too much."""
    return bool(TOO_MUCH.search(text))
