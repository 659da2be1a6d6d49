"""The broker on RabbitMQ."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

from aio_pika import Channel, RobustConnection
from aio_pika.abc import AbstractExchange, AbstractRobustConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import ChannelNotFoundEntity

from leadline_common.broker.port import Broker, Message, Subscription
from leadline_common.broker.publication import publication
from leadline_common.broker.rabbitmq import topology as rabbitmq_topology
from leadline_common.broker.rabbitmq.channels import (
    TIMEOUT,
    open_channel,
    reaching_rabbitmq,
    short_channel,
)
from leadline_common.broker.rabbitmq.messages import to_amqp
from leadline_common.broker.rabbitmq.subscription import RabbitSubscription
from leadline_common.broker.rabbitmq.suspects import Quarantine
from leadline_contracts.errors import Permanent, SettingsError, Unavailable
from leadline_contracts.topology import LEADLINE, Queue, Topology

_IN_FLIGHT = 256
"""Unconfirmed publishes at once; the rate no longer grows beyond that."""
_HEARTBEAT = 20
"""Seconds; the client gives a silent connection up after three of them."""
_RECONNECT_SECONDS = 1
_ANSWER = 2.0
"""Seconds the server has to answer a ping."""


class RabbitBroker(Broker):
    """The `Broker` port on RabbitMQ's quorum queues, over one connection that comes back by itself.

    The server counts the deaths, and takes each end of a connection for one; before version 4.3 also what is
    given back, so that stops in good order may make a suspect, but no dead letter. Its count starts anew when
    a suspect is moved to `queue.suspects`, some milliseconds after it was delivered. A process that dies
    within these still counts against all it held; after DELIVERY_LIMIT times the server dead-letters it.
    """

    system = "rabbitmq"

    def __init__(self, connection: AbstractRobustConnection, topology: Topology) -> None:
        self._connection = connection
        self._topology = topology
        self._routed_types = topology.routed_types
        self._publishing: Channel | None = None
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._quarantine = Quarantine()

    @classmethod
    async def connect(cls, url: str, topology: Topology = LEADLINE) -> Self:
        """Connect and declare the topology.

        Raises SettingsError where the URL cannot be read, and Unavailable, naming host and reason, where
        the server is not reached or refuses the login.
        """
        host = _host(url)
        connection = RobustConnection(
            make_url(url, heartbeat=_HEARTBEAT, reconnect_interval=_RECONNECT_SECONDS)
        )
        broker = cls(connection, topology)
        try:
            try:
                with reaching_rabbitmq():
                    # The client's own timeout, since it holds for every later attempt to reconnect as well.
                    await connection.connect(timeout=TIMEOUT)
            except Unavailable as error:
                raise Unavailable(
                    f"no connection to RabbitMQ at {host} (LEADLINE_BROKER_URL): {error}"
                ) from None
            await broker._publisher()
        except BaseException:
            await broker.close()  # or the client would go on to connect
            raise
        return broker

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish to the exchange by type, several unconfirmed at once."""
        channel = await self._publisher()
        exchange = await channel.get_exchange(self._topology.exchange, ensure=False)
        with publication(messages, self.system) as sent:
            await self._put(exchange, [(m.type, m, m.type in self._routed_types) for m in sent])

    async def send(self, queue: str, messages: Sequence[Message], *, must_exist: bool = True) -> None:
        """Publish to one queue by its name."""
        channel = await self._publisher()
        with publication(messages, self.system) as sent:
            await self._put(channel.default_exchange, [(queue, m, must_exist) for m in sent])

    async def move(self, queue: str, marked: Message) -> None:
        """Put a message with our own headers into the queue of that name, durable on return."""
        channel = await self._publisher()
        await self._put(channel.default_exchange, [(queue, marked, True)])

    async def subscribe(self, queue: Queue, prefetch: int) -> Subscription:
        """Start to receive from a queue."""
        with reaching_rabbitmq():
            async with asyncio.timeout(TIMEOUT):
                channel = await open_channel(self._connection, confirms=False)
                ours = queue in self._topology.queues
                if ours:
                    await rabbitmq_topology.declare_suspects(channel, queue)
                quarantine = self._quarantine if ours else None
                subscription = RabbitSubscription(channel, queue, self.move, quarantine)
                await subscription.start(prefetch)
        return subscription

    async def depth(self, queue: str) -> int:
        """Ask how many messages are ready in the queue of that name, those among its suspects too."""
        suspects = [one.suspects for one in self._topology.queues if one.name == queue]
        async with short_channel(self._connection, TIMEOUT) as channel:
            try:
                found = [await channel.declare_queue(name, passive=True) for name in (queue, *suspects)]
            except ChannelNotFoundEntity:
                raise Permanent(f"RabbitMQ has no queue {queue!r}") from None
        return sum(one.declaration_result.message_count or 0 for one in found)

    async def ping(self) -> None:
        """Raise Unavailable unless the server opens a channel within two seconds."""
        async with short_channel(self._connection, _ANSWER):
            pass

    async def close(self) -> None:
        """Close the connection, and with it every subscription."""
        self._quarantine.close()
        with contextlib.suppress(Unavailable), reaching_rabbitmq():
            async with asyncio.timeout(TIMEOUT):
                await self._connection.close()

    async def _put(self, exchange: AbstractExchange, routed: Sequence[tuple[str, Message, bool]]) -> None:
        """Publish (routing key, message, must reach a queue) in this order and wait for every confirm."""
        try:
            async with asyncio.TaskGroup() as group:
                for key, message, mandatory in routed:
                    await self._slots.acquire()
                    task = group.create_task(_confirmed(exchange, key, message, mandatory))
                    task.add_done_callback(lambda _: self._slots.release())
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _publisher(self) -> Channel:
        """Return the channel to publish on; the first after an outage declares the topology again."""
        with reaching_rabbitmq():
            async with asyncio.timeout(TIMEOUT), self._opening:
                if self._publishing is None or self._publishing.is_closed:
                    channel = await open_channel(self._connection, confirms=True)
                    await rabbitmq_topology.declare(channel, self._topology)
                    self._publishing = channel
                return self._publishing


async def _confirmed(exchange: AbstractExchange, key: str, message: Message, mandatory: bool) -> None:
    with reaching_rabbitmq():
        await exchange.publish(to_amqp(message), key, mandatory=mandatory, timeout=TIMEOUT)


def _host(url: str) -> str:
    """Return `host:port` of an AMQP URL, which may be shown; its login may not."""
    try:
        parts = urlsplit(url)
        port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"amqp", "amqps"} or not parts.hostname:
        raise SettingsError(
            "LEADLINE_BROKER_URL cannot be read; write it like amqp://user:password@host:5672/"
        )
    return f"{parts.hostname}:{port}"
