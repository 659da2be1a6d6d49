"""Messages as they are published, each with a span of its publication where spans are recorded."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from leadline_common.broker.headers import outgoing
from leadline_common.broker.port import Message
from leadline_common.telemetry.tracing import Span, begun, carried_by, ended, headers_of, records


@contextmanager
def publication(messages: Iterable[Message], system: str) -> Iterator[list[Message]]:
    """Yield the messages as `outgoing` makes them; the block returns when they are durable.

    `system` is Broker.system. A message that belongs to no trace has no span.
    """
    sent = [outgoing(message) for message in messages]
    if not records():
        yield sent
        return
    spans = [_span(message, system) for message in sent]
    with ended(*filter(None, spans)):
        yield [_published_by(span, message) for span, message in zip(spans, sent, strict=True)]


def _span(message: Message, system: str) -> Span | None:
    if message.trace is None:
        return None
    attributes: dict[str, str | int] = {
        "messaging.system": system,
        "messaging.operation.type": "send",
        "messaging.operation.name": "publish",
        "messaging.destination.name": message.type,
        "messaging.message.id": message.id,
        "messaging.message.body.size": len(message.body),
    }
    return begun(f"publish {message.type}", message.trace, "producer", attributes)


def _published_by(span: Span | None, message: Message) -> Message:
    if span is None:
        return message
    return replace(message, headers={**message.headers, **headers_of(carried_by(span))})
