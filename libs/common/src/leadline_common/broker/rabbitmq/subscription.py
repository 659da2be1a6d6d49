"""Consuming from RabbitMQ: a subscription on a channel of its own, and its deliveries."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from aio_pika import Channel
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from leadline_common.broker import headers
from leadline_common.broker.port import Delivery, Message, Subscription
from leadline_common.broker.rabbitmq.channels import TIMEOUT, reaching_rabbitmq
from leadline_common.broker.rabbitmq.messages import from_amqp
from leadline_contracts.errors import Permanent, Unavailable
from leadline_contracts.topology import Queue

Move = Callable[[str, Message], Awaitable[None]]
"""Puts a message into the queue of that name and returns once it is durable there."""


class RabbitSubscription(Subscription):
    """A consumer on a channel of its own, whose end is the end of the stream.

    After `close` the channel stays for what is unsettled, until the broker closes.
    """

    def __init__(self, channel: Channel, queue: Queue, move: Move) -> None:
        self.channel = channel
        self.queue = queue
        self.move = move
        # Never holds more than the prefetch, which the server keeps to.
        self._arrived: asyncio.Queue[RabbitDelivery | None] = asyncio.Queue()
        self._ended = False
        self._tag = ""

    async def start(self, prefetch: int) -> None:
        """Begin to consume. Raises Permanent where there is no such queue."""
        self.channel.close_callbacks.add(self._on_end)
        underlay = await self.channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._on_end)
        await self.channel.set_qos(prefetch_count=prefetch)
        source = await self.channel.get_queue(self.queue.name, ensure=False)
        try:
            self._tag = await source.consume(self._on_message)
        except ChannelNotFoundEntity:
            raise Permanent(f"RabbitMQ has no queue {self.queue.name}") from None

    async def receive(self) -> Delivery:
        """Wait for the next delivery."""
        delivery = None if self._ended else await self._arrived.get()
        if delivery is None:
            self._arrived.put_nowait(None)  # for whoever else waits
            raise Unavailable(f"the subscription to {self.queue.name} ended")
        return delivery

    async def close(self) -> None:
        """Stop new deliveries and give back those not yet received."""
        if self._ended:
            return
        # A server that does not answer gets all of it back with the connection.
        with contextlib.suppress(Unavailable), reaching_rabbitmq():
            async with asyncio.timeout(TIMEOUT):
                source = await self.channel.get_queue(self.queue.name, ensure=False)
                await source.cancel(self._tag)
                for delivery in self._end():
                    await delivery.requeue()
        self._end()

    async def _on_message(self, incoming: AbstractIncomingMessage) -> None:
        if not self._ended:
            self._arrived.put_nowait(RabbitDelivery(self, incoming))

    def _on_end(self, *_: Any) -> None:
        self._end()

    def _end(self) -> list["RabbitDelivery"]:
        """Wake everybody who waits and return what nobody received."""
        self._ended = True
        unseen = [self._arrived.get_nowait() for _ in range(self._arrived.qsize())]
        self._arrived.put_nowait(None)
        return [delivery for delivery in unseen if delivery is not None]


class RabbitDelivery(Delivery):
    """A message that waits for its acknowledgement; a second settlement does nothing."""

    __slots__ = ("_incoming", "_message", "_settled", "_subscription")

    def __init__(self, subscription: RabbitSubscription, incoming: AbstractIncomingMessage) -> None:
        self._subscription = subscription
        self._incoming = incoming
        self._message = from_amqp(incoming)
        self._settled = False

    @property
    def message(self) -> Message:
        """What was published."""
        return self._message

    @property
    def queue(self) -> Queue:
        """The queue it came from."""
        return self._subscription.queue

    @property
    def attempt(self) -> int:
        """1 at first, one more after each `retry`."""
        return headers.attempt_of(self._message.headers)

    async def ack(self) -> None:
        """Acknowledge the message."""
        await self._settle(self._incoming.ack)

    async def retry(self, delay: int, error: str) -> None:
        """Publish the message to its retry queue, then acknowledge it."""
        await self._move(self.queue.retry(delay), headers.retried(self._message, error))

    async def dead_letter(self, error: str) -> None:
        """Publish the message to the dead queue, then acknowledge it."""
        await self._move(self.queue.dead, headers.dead(self._message, self.queue, error))

    async def requeue(self) -> None:
        """Give the message back; RabbitMQ may count that towards its delivery limit."""
        await self._settle(self._incoming.nack)

    async def _move(self, queue: str, marked: Message) -> None:
        if self._settled or self._channel.is_closed:
            return
        await self._subscription.move(queue, marked)
        await self._settle(self._incoming.ack)

    async def _settle(self, frame: Callable[[], Awaitable[None]]) -> None:
        if self._settled or self._channel.is_closed:
            return
        self._settled = True  # never twice: the server closes a channel that settles what it does not know
        try:
            with reaching_rabbitmq():
                async with asyncio.timeout(TIMEOUT):
                    await frame()
        except Unavailable:
            if not self._channel.is_closed:
                raise

    @property
    def _channel(self) -> Channel:
        return self._subscription.channel
