"""Consuming from RabbitMQ: a subscription on a channel of its own, and its deliveries."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aio_pika import Channel
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from leadline_common.broker import headers
from leadline_common.broker.delivery import MovableDelivery
from leadline_common.broker.port import Delivery, Message, Subscription
from leadline_common.broker.rabbitmq.channels import TIMEOUT, reaching_rabbitmq
from leadline_common.broker.rabbitmq.messages import from_amqp, returns_of
from leadline_common.broker.rabbitmq.suspects import Quarantine
from leadline_contracts.errors import Permanent, Unavailable
from leadline_contracts.topology import DELIVERY_LIMIT, SUSPECT_AFTER, Queue

_PAUSE = 1.0
"""Seconds until a move is tried again, and that others have before the suspect of the last death."""

log = structlog.get_logger()

Move = Callable[[str, Message], Awaitable[None]]
"""Puts a message into the queue of that name and returns once it is durable there."""


class RabbitSubscription(Subscription):
    """A consumer on a channel of its own, whose end is the end of the stream.

    After `close` the channel stays for what is unsettled, until the broker closes.
    """

    def __init__(self, channel: Channel, queue: Queue, move: Move, quarantine: Quarantine | None) -> None:
        self.channel = channel
        self.queue = queue
        self.move = move
        self._quarantine = quarantine
        # Never holds more than the prefetch, which the server keeps to.
        self._arrived: asyncio.Queue[RabbitDelivery | None] = asyncio.Queue()
        self._asking: asyncio.Task[AbstractIncomingMessage | None] | None = None
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
        if self._quarantine:
            self._quarantine.add(self)

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

    async def hand_out_suspect(self) -> bool:
        """Hand out the next suspect of the queue and return when it is settled; tell whether there was one.

        One that was in hand when a process died goes to the end of the suspects, with one death more.
        """
        # Never cancelled: the client ends a channel whose question nobody waits for any more.
        self._asking = asyncio.create_task(self._next_suspect())
        incoming = await asyncio.shield(self._asking)
        if incoming is None:
            return False
        settled = asyncio.Event()
        returns = returns_of(incoming)
        deaths = headers.crashes_of(incoming.headers) + returns
        suspect = RabbitDelivery(self, incoming, deaths=deaths, on_settled=settled.set)
        about = log.bind(queue=self.queue.name, message_id=suspect.message.id, deaths=deaths)
        if deaths >= DELIVERY_LIMIT:
            await self._until_moved(lambda: suspect.dead_letter(headers.CRASHED))
            about.error("suspect_dead_lettered")
        elif returns or self._ended:
            await self._until_moved(suspect.requeue)
            await asyncio.sleep(_PAUSE)
        else:
            about.warning("suspect_in_hand")
            self._arrived.put_nowait(suspect)
            await settled.wait()
        return True

    async def _next_suspect(self) -> AbstractIncomingMessage | None:
        try:
            with reaching_rabbitmq():
                source = await self.channel.get_queue(self.queue.suspects, ensure=False)
                return await source.get(fail=False, timeout=TIMEOUT)
        except (Unavailable, ChannelNotFoundEntity):
            return None

    async def _until_moved(self, move: Callable[[], Awaitable[None]]) -> None:
        """Try again until it is done: the server counts what is given back instead as a death."""
        while True:
            try:
                return await move()
            except (Unavailable, Permanent) as error:
                log.warning("suspect_not_moved", queue=self.queue.name, error=str(error))
                await asyncio.sleep(_PAUSE)

    def _on_end(self, *_: Any) -> None:
        for delivery in self._end():
            delivery.on_settled()

    async def _on_message(self, incoming: AbstractIncomingMessage) -> None:
        if self._ended:
            return
        delivery = RabbitDelivery(self, incoming)
        deaths = returns_of(incoming)
        if deaths < SUSPECT_AFTER or self._quarantine is None:
            self._arrived.put_nowait(delivery)
            return
        log.warning("message_suspected", queue=self.queue.name, message_id=delivery.message.id, deaths=deaths)
        await self._until_moved(lambda: delivery.set_aside(deaths))
        self._quarantine.look()

    def _end(self) -> list["RabbitDelivery"]:
        """Wake everybody who waits and return what nobody received."""
        self._ended = True
        if self._quarantine:
            self._quarantine.discard(self)
        unseen = [self._arrived.get_nowait() for _ in range(self._arrived.qsize())]
        self._arrived.put_nowait(None)
        return [delivery for delivery in unseen if delivery is not None]


class RabbitDelivery(MovableDelivery):
    """A message that waits for its acknowledgement."""

    __slots__ = ("_deaths", "_incoming", "_settled", "_subscription", "on_settled")

    def __init__(
        self,
        subscription: RabbitSubscription,
        incoming: AbstractIncomingMessage,
        *,
        deaths: int | None = None,
        on_settled: Callable[[], None] = lambda: None,
    ) -> None:
        """Deliver a message, a suspect where its `deaths` are given; call `on_settled` when it is settled."""
        super().__init__(from_amqp(incoming), subscription.queue)
        self.on_settled = on_settled
        self._deaths = deaths
        self._subscription = subscription
        self._incoming = incoming
        self._settled = False

    async def ack(self) -> None:
        """Acknowledge the message."""
        await self._settle(self._incoming.ack)

    async def requeue(self) -> None:
        """Give the message back, a suspect with no death more; RabbitMQ may count others' return as one."""
        if self._deaths is None:
            await self._settle(self._incoming.nack)
        else:
            await self.set_aside(self._deaths)

    async def set_aside(self, deaths: int) -> None:
        """Move the message to the end of the suspects, where the server counts from nothing again."""
        await self._move(self.queue.suspects, headers.suspected(self._message, deaths))

    async def _move(self, queue: str, marked: Message) -> None:
        """Publish the message to that queue, then acknowledge it."""
        if self._unsettled:
            await self._subscription.move(queue, marked)
        await self._settle(self._incoming.ack)

    async def _settle(self, frame: Callable[[], Awaitable[None]]) -> None:
        if self._unsettled:
            # Never twice: the server closes a channel that settles what it does not know.
            self._settled = True
            try:
                with reaching_rabbitmq():
                    async with asyncio.timeout(TIMEOUT):
                        await frame()
            except Unavailable:
                if not self._channel.is_closed:
                    raise
        self.on_settled()

    @property
    def _unsettled(self) -> bool:
        return not (self._settled or self._channel.is_closed)

    @property
    def _channel(self) -> Channel:
        return self._subscription.channel
