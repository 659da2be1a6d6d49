"""The clock that every part of a process reads, unless a test gives it another."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the time, with its time zone."""


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)
