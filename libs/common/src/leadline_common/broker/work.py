"""A message under way: what its handler gets of it, and what log lines about it say."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import structlog

from leadline_common.broker.chunks import NAMED_IDS
from leadline_common.broker.port import Delivery, Message
from leadline_common.ids import is_id
from leadline_common.telemetry.tracing import TRACEPARENT, Trace, continued, within


class Work(NamedTuple):
    """A delivery, and its message as a handler gets it: with a span of its own in the message's trace."""

    delivery: Delivery
    message: Message
    trace: Trace


def work_of(delivery: Delivery) -> Work:
    """Return the work that a delivery asks for; one without a trace begins one."""
    message = delivery.message
    trace = continued(message.trace)
    headers = {**message.headers, TRACEPARENT: trace.traceparent}
    return Work(delivery, replace(message, headers=headers, attempt=delivery.attempt), trace)


@contextlib.contextmanager
def log_context(works: Sequence[Work]) -> Iterator[None]:
    """Log the ids of a message that is handled alone, and publish in its trace; several have their own."""
    if len(works) > 1:
        yield
        return
    _, message, trace = works[0]
    # Who publishes from outside may put any text there.
    ids = {name: value for name in NAMED_IDS if is_id(value := message.headers.get(name, ""))}
    with within(trace), structlog.contextvars.bound_contextvars(message_id=message.id, **ids):
        yield
