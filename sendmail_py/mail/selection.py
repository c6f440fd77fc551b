"""The selection of -q: which messages of the queue a run, or a listing, is about."""

from __future__ import annotations

from sendmail_py.mail.envelope import Envelope


def matches(filters: list[tuple[str, bytes, bool]], queue_id: str, envelope: Envelope) -> bool:
    """Whether a message passes all filters: parts of its queue id (I), sender (S), any recipient (R)."""
    for letter, text, must_match in filters:
        texts = [queue_id.encode()] if letter == "I" else [envelope.reverse_path]
        if letter == "R":
            texts = [one.address for one in envelope.recipients]
        if any(text.lower() in one.lower() for one in texts) != must_match:
            return False
    return True
