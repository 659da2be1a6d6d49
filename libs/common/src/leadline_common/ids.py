"""Identifiers: UUIDv7 text, so that sorting by id is sorting by time of creation."""

import uuid

import uuid_utils


def new_id() -> str:
    """Return a new UUIDv7 as text."""
    return str(uuid_utils.uuid7())


def derived_id(*parts: str) -> str:
    """Return the same UUIDv5 text for the same parts, so that a repeated message makes no second record."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "\x1f".join(parts)))


def is_id(text: str) -> bool:
    """Return whether the text is a UUID in its canonical form."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def age_of(identifier: str, now: float) -> float:
    """Return how many seconds before `now` (Unix seconds) a UUIDv7 was made; infinity for any other text."""
    try:
        parsed = uuid.UUID(identifier)
    except ValueError:
        return float("inf")
    if parsed.version != 7:
        return float("inf")
    return now - (parsed.int >> 80) / 1000
