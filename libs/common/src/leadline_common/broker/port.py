"""The broker port: durable, at-least-once message queues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from leadline_common.telemetry.tracing import trace_in
from leadline_contracts.topology import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. `type` routes it; `id` is its idempotency key: the same id means the same content.

    Header values are text; the broker keeps `leadline-…` headers for itself and leaves them out of what is
    published: on a retried or dead message they are `leadline-attempt`, `leadline-error` (cut to 2,000
    characters) and, in a dead queue, `leadline-queue`.
    `attempt` and `published_at` are set on what is received and ignored on what is published:
    Delivery.attempt, and when the message was first published (Unix time in seconds; None where its publisher
    did not say).
    """

    type: str
    id: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    reply_to: str | None = None
    correlation_id: str | None = None
    attempt: int = 1
    published_at: float | None = field(default=None, compare=False)

    @property
    def trace(self) -> str | None:
        """The trace context it carries: its traceparent, and after a space its tracestate if it has one."""
        return trace_in(self.headers)


class Delivery(Protocol):
    """A message handed to one consumer, unsettled until exactly one of the methods below returns.

    An unsettled delivery comes back when its consumer dies or its broker closes. Settling after the
    connection was lost does nothing: the message comes back to somebody. Settling a second time does nothing.
    Every method raises Unavailable where the broker does not answer.
    """

    @property
    def message(self) -> Message:
        """What was published."""

    @property
    def queue(self) -> Queue:
        """The queue it came from."""

    @property
    def attempt(self) -> int:
        """1 at first, one more after each `retry`; redeliveries after a crash do not count."""

    async def ack(self) -> None:
        """Forget the message for good."""

    async def retry(self, delay: int, error: str) -> None:
        """Bring the message back after `delay` seconds (one of RETRY_DELAYS) with `attempt` one higher.

        The message is durable in its retry queue before it leaves this one, and comes back at the end of
        the queue. Raises Permanent where there is no such retry queue.
        """

    async def dead_letter(self, error: str) -> None:
        """Move the message to `queue.dead`, with the error and the attempt count in its headers."""

    async def requeue(self) -> None:
        """Give the message back at once, unhandled (used when a consumer stops)."""


class Subscription(Protocol):
    """A stream of deliveries from one queue, in the order they were queued, at most `prefetch` unsettled.

    Order holds for first deliveries to a single subscription; what is retried or redelivered comes later. A
    suspect (see Broker) comes in addition to the `prefetch`.
    """

    async def receive(self) -> Delivery:
        """Wait for the next delivery. Raises Unavailable when the stream ended: subscribe again."""

    async def close(self) -> None:
        """Stop new deliveries. Those received stay unsettled and may still be settled; those not yet
        received go back to the queue."""


class Broker(Protocol):
    """The durable queues of one `Topology`, that of Leadline where none is named.

    Delivery is at least once: whatever crashes, a message that `publish` confirmed is delivered until a
    consumer settles it, and may be delivered again.

    A process that dies counts against everything it held, received or prefetched. After SUSPECT_AFTER deaths
    a message is a suspect, and of all its queues a process holds one suspect at a time, so that further
    deaths count against that one alone. The one that was held at the last death comes after the other
    suspects of its queue. At DELIVERY_LIMIT deaths it is dead-lettered, at the latest when a process
    subscribes to its queue again. Messages that are no suspects are delivered meanwhile; should one of them
    end the process, that counts against both. A suspect that is settled otherwise is none any more, and
    giving a message back is no death.

    A message published without a `traceparent` gets it, and the `tracestate`, of the work that publishes it,
    where there is one. Where spans are recorded, the `traceparent` of each names its publication instead, in
    the same trace.
    """

    system: ClassVar[str]
    """What kind of broker it is, `messaging.system` in OpenTelemetry's conventions."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once every message is durable in every queue bound to its type.

        Messages of one call keep their order within a queue. A type that no queue is bound to is dropped
        when it is a public event. Raises Permanent for a routed type (see Topology) that reached no queue,
        Unavailable where the broker did not confirm: each message may or may not be there, and publishing
        again with the same ids is safe.
        """

    async def send(self, queue: str, messages: Sequence[Message], *, must_exist: bool = True) -> None:
        """Put messages straight into the queue of that name, durable on return.

        Raises Permanent where there is no such queue, unless `must_exist` is false: then they are dropped.
        Raises Unavailable as `publish` does.
        """

    async def subscribe(self, queue: Queue, prefetch: int) -> Subscription:
        """Start to receive from a queue. Raises Permanent where there is no such queue, Unavailable."""

    async def depth(self, queue: str) -> int:
        """Return how many messages wait in the queue of that name, those delivered and unsettled left out.

        Raises Permanent where there is no such queue, Unavailable.
        """

    async def ping(self) -> None:
        """Raise Unavailable unless the broker answers within a second or two."""

    async def close(self) -> None:
        """Close every subscription and the connection; what is unsettled goes back to its queue."""
