"""Identifiers: UUIDv7 text, so that sorting by id is sorting by time of creation."""

import uuid
from datetime import UTC, datetime, timedelta

import uuid_utils

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


def made_at(identifier: str) -> datetime | None:
    """Return when a UUIDv7 was made, to the millisecond, in UTC; None for any other text."""
    try:
        parsed = uuid.UUID(identifier)
        milliseconds = parsed.int >> 80  # RFC 9562, 5.7
        return _EPOCH + timedelta(milliseconds=milliseconds) if parsed.version == 7 else None
    except (ValueError, OverflowError):  # 48 bits reach beyond the year 9999
        return None


def age_of(identifier: str, at: datetime) -> float:
    """Return how many seconds before `at` a UUIDv7 was made; infinity for any other text."""
    made = made_at(identifier)
    return float("inf") if made is None else (at - made).total_seconds()
