"""The `leadline-…` headers: how often a message was tried, why it failed, and where."""

from collections.abc import Mapping
from dataclasses import replace

from leadline_common.broker import Message
from leadline_common.topology import DELIVERY_LIMIT, Queue

PREFIX = "leadline-"
ATTEMPT = f"{PREFIX}attempt"
ERROR = f"{PREFIX}error"
QUEUE = f"{PREFIX}queue"
CRASHED = f"its consumer died {DELIVERY_LIMIT} times with it in hand"
"""The error of a message that the broker itself takes out of a queue."""
_ERROR_LENGTH = 2_000


def without_ours(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what a publisher may set: headers copied from a retried message must not age the new one."""
    return {name: value for name, value in headers.items() if not name.startswith(PREFIX)}


def attempt_of(headers: Mapping[str, str]) -> int:
    """Return the attempt a message is at, 1 where its header says nothing that can be read."""
    text = headers.get(ATTEMPT, "")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def retried(message: Message, error: str) -> Message:
    """Return the message as it waits for its next attempt."""
    return _marked(message, {ATTEMPT: str(attempt_of(message.headers) + 1), ERROR: error})


def dead(message: Message, queue: Queue, error: str) -> Message:
    """Return the message as it lies in the dead queue."""
    return _marked(message, {ATTEMPT: str(attempt_of(message.headers)), ERROR: error, QUEUE: queue.name})


def _marked(message: Message, ours: Mapping[str, str]) -> Message:
    cut = {name: value[:_ERROR_LENGTH] for name, value in ours.items()}
    return replace(message, headers={**message.headers, **cut})
