"""Messages as AMQP carries them, read so that nothing another system publishes can break a consumer."""

import hashlib
from datetime import datetime
from decimal import Decimal

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, FieldValue, HeadersType

from leadline_common.broker import headers as ours
from leadline_common.broker.port import Message
from leadline_contracts.topology import SUSPECTS

_DELIVERY_COUNT = "x-delivery-count"
_SERVERS_OWN = ("x-acquired-count", "x-death", _DELIVERY_COUNT, "x-first-death-", "x-last-death-")


def to_amqp(message: Message) -> aio_pika.Message:
    """Return the message as it is published: persistent, its id and type as AMQP properties."""
    return aio_pika.Message(
        message.body,
        headers=dict(ours.carried(message)),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message.id,
        type=message.type,
        reply_to=message.reply_to,
        correlation_id=message.correlation_id,
    )


def from_amqp(incoming: AbstractIncomingMessage) -> Message:
    """Read a delivery.

    Where the publisher named no type it is the routing key, where no id it is the SHA-256 of the body in
    hex. Header values become text; tables and lists are left out. A property that is not UTF-8 never gets
    here: it ends the client's connection, until the delivery limit takes that message out of the queue.
    """
    headers, published_at = ours.parted(_text_headers(incoming.headers))
    if published_at is None and incoming.timestamp is not None:
        published_at = incoming.timestamp.timestamp()
    return Message(
        type=incoming.type or incoming.routing_key or "",
        id=incoming.message_id or hashlib.sha256(incoming.body).hexdigest(),
        body=incoming.body,
        headers=headers,
        reply_to=incoming.reply_to,
        correlation_id=incoming.correlation_id,
        published_at=published_at,
    )


def returns_of(incoming: AbstractIncomingMessage) -> int:
    """Return how often the message came back to its queue, as the server counts.

    It counts each end of a connection, before version 4.3 also what is given back. On a first delivery the
    header may be left from another queue.
    """
    count = incoming.headers.get(_DELIVERY_COUNT)
    return count if incoming.redelivered and isinstance(count, int) else 0


def _text_headers(headers: HeadersType) -> dict[str, str]:
    read = {name: _text(value) for name, value in headers.items() if not name.startswith(_SERVERS_OWN)}
    kept = {name: value for name, value in read.items() if value is not None}
    match headers.get("x-death"):
        # The server's own dead lettering, told as ours is.
        case [{"reason": "delivery_limit", "queue": str(queue)}, *_]:
            origin = queue.removesuffix(SUSPECTS)
            return {ours.ATTEMPT: "1", **kept, ours.QUEUE: origin, ours.ERROR: ours.CRASHED}
        case _:
            return kept


def _text(value: FieldValue) -> str | None:
    match value:
        case str():
            return value
        case bytes() | bytearray():
            return bytes(value).decode(errors="replace")
        case bool() | int() | float() | Decimal():
            return str(value)
        case datetime():
            return value.isoformat()
        case _:
            return None
