"""The `leadline-…` headers: when a message was published, how often it was tried, why it failed, where."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace

from leadline_common.broker.port import Message
from leadline_common.telemetry.tracing import TRACEPARENT, current_trace, headers_of
from leadline_contracts.topology import DELIVERY_LIMIT, Queue

PREFIX = "leadline-"
ATTEMPT = f"{PREFIX}attempt"
ERROR = f"{PREFIX}error"
QUEUE = f"{PREFIX}queue"
CRASHED = f"its consumer died {DELIVERY_LIMIT} times with it in hand"
"""The error of a message that the broker itself takes out of a queue."""
_CRASHES = f"{PREFIX}crashes"
_PUBLISHED_AT = f"{PREFIX}published-at"
_ERROR_LENGTH = 2_000


def outgoing(message: Message) -> Message:
    """Return the message as it is published: now, in the trace of whoever publishes it.

    Headers copied from a retried message must not age the new one.
    """
    headers = {name: value for name, value in message.headers.items() if not name.startswith(PREFIX)}
    if TRACEPARENT not in headers and (trace := current_trace()) is not None:
        headers |= headers_of(trace)
    return replace(message, headers=headers, published_at=time.time())


def carried(message: Message) -> dict[str, str]:
    """Return the headers that carry the message, with what is kept of it beside those of its own."""
    own = {} if message.published_at is None else {_PUBLISHED_AT: f"{message.published_at:.3f}"}
    return {**message.headers, **own}


def parted(headers: Mapping[str, str]) -> tuple[dict[str, str], float | None]:
    """Return a received message's own headers, and when it was published where they said so."""
    own = dict(headers)
    own.pop(_CRASHES, None)
    try:
        at = float(own.pop(_PUBLISHED_AT, "nan"))
    except ValueError:
        at = math.nan
    return own, at if 0 <= at < math.inf else None


def attempt_of(headers: Mapping[str, str]) -> int:
    """Return the attempt a message is at, 1 where its header says nothing that can be read."""
    return max(1, _number(headers.get(ATTEMPT)))


def crashes_of(headers: Mapping[str, object]) -> int:
    """Return how many deaths a suspect had behind it when it was set aside, 0 where that cannot be read."""
    return _number(headers.get(_CRASHES))


def suspected(message: Message, crashes: int) -> Message:
    """Return the message as it waits among the suspects."""
    return _marked(message, {_CRASHES: str(crashes)})


def retried(message: Message, error: str) -> Message:
    """Return the message as it waits for its next attempt."""
    return _marked(message, {ATTEMPT: str(attempt_of(message.headers) + 1), ERROR: error})


def dead(message: Message, queue: Queue, error: str) -> Message:
    """Return the message as it lies in the dead queue."""
    return _marked(message, {ATTEMPT: str(attempt_of(message.headers)), ERROR: error, QUEUE: queue.name})


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _marked(message: Message, ours: Mapping[str, str]) -> Message:
    cut = {name: value[:_ERROR_LENGTH] for name, value in ours.items()}
    return replace(message, headers={**message.headers, **cut})
