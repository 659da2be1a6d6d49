"""A message under way: what its handler gets of it, what log lines about it say, and its span."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import structlog

from leadline_common.broker.chunks import NAMED_IDS
from leadline_common.broker.port import Delivery, Message
from leadline_common.ids import is_id
from leadline_common.telemetry.tracing import (
    TRACEPARENT,
    TRACESTATE,
    Span,
    begun,
    carried_by,
    current,
    ended,
    headers_of,
    records,
    within,
)


class Work(NamedTuple):
    """A delivery, and its message as a handler gets it: with a span of its own in the message's trace."""

    delivery: Delivery
    message: Message
    span: Span


def work_of(delivery: Delivery, system: str) -> Work:
    """Return the work that a delivery asks for; one without a trace begins one. Its span is to be ended.

    `system` is Broker.system.
    """
    message = delivery.message
    span = begun(_name(delivery), message.trace, "consumer", _of_queue(delivery, system))
    if span.is_recording():
        span.set_attributes(_of_message(delivery))
    own = {name: value for name, value in message.headers.items() if name not in {TRACEPARENT, TRACESTATE}}
    headers = own | headers_of(carried_by(span))
    return Work(delivery, replace(message, headers=headers, attempt=delivery.attempt), span)


@contextlib.contextmanager
def log_context(works: Sequence[Work], system: str) -> Iterator[None]:
    """Log the ids of a message that is handled alone, and publish in its trace; several have their own.

    What is done for several at once has a span of its own, linked to theirs, where spans are recorded.
    """
    if len(works) > 1:
        with _batch(works, system) if records() else contextlib.nullcontext():
            yield
        return
    _, message, span = works[0]
    with within(span), structlog.contextvars.bound_contextvars(message_id=message.id, **_ids(message)):
        yield


@contextlib.contextmanager
def _batch(works: Sequence[Work], system: str) -> Iterator[None]:
    delivery = works[0].delivery
    attributes = {**_of_queue(delivery, system), "messaging.batch.message_count": len(works)}
    span = begun(_name(delivery), None, "consumer", attributes, [work.span for work in works])
    with ended(span), current(span):
        yield


def _name(delivery: Delivery) -> str:
    return f"process {delivery.queue.name}"


def _of_queue(delivery: Delivery, system: str) -> dict[str, str | int]:
    return {
        "messaging.system": system,
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": delivery.queue.name,
    }


def _of_message(delivery: Delivery) -> dict[str, str | int]:
    message = delivery.message
    return {
        "messaging.message.id": message.id,
        "messaging.message.body.size": len(message.body),
        "leadline.attempt": delivery.attempt,
        **{f"leadline.{name}": value for name, value in _ids(message).items()},
    }


def _ids(message: Message) -> dict[str, str]:
    """Return the ids of ours in the headers: who publishes from outside may put any text there."""
    return {name: value for name in NAMED_IDS if is_id(value := message.headers.get(name, ""))}
