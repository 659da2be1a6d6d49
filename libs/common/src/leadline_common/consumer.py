"""The consumer loop: take messages, hand them to a handler, publish what it answers, settle them.

The only place where any exception is caught: what the handler raises decides what becomes of the message.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import structlog

from leadline_common.broker import Broker, Delivery, Message
from leadline_common.errors import Permanent, Transient, Unavailable
from leadline_common.metrics import Metrics
from leadline_common.topology import MAX_ATTEMPTS, RETRY_DELAYS, Queue

HANDLE_SECONDS = 300.0
"""A batch not handled by then is broken up, so that it stays far below the broker's 30 minutes to settle."""
_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

log = structlog.get_logger()


class Handler(Protocol):
    """What a service does with messages. Handling must be idempotent: a message may come twice."""

    async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Do the work and return what to publish; the messages are settled after that is confirmed.

        Raise Unavailable to hold the messages and try again, Transient to try one later with backoff,
        Permanent to give it up at once. Whatever else is raised is tried again as Transient is.
        """

    def split(self, message: Message) -> Sequence[Message]:
        """Return parts of the message that can be handled apart, each with an id of its own; or nothing."""

    def give_up(self, message: Message, error: str) -> Sequence[Message]:
        """Return what to publish in place of an answer when the message is dead-lettered."""

    def enough(self, messages: Sequence[Message]) -> bool:
        """Tell whether a batch gains nothing by waiting for more messages."""


class Consumer:
    """Feeds one handler from some queues, with `workers` batches under way at a time.

    A batch holds at most `batch` messages and waits at most `linger` seconds for more. Each queue delivers
    up to `prefetch` messages at once.
    """

    def __init__(
        self,
        broker: Broker,
        handler: Handler,
        queues: Sequence[Queue],
        metrics: Metrics,
        *,
        prefetch: int,
        workers: int = 1,
        batch: int = 1,
        linger: float = 0.0,
    ) -> None:
        self._broker = broker
        self._handler = handler
        self._queues = queues
        self._metrics = metrics
        self._prefetch = prefetch
        self._workers = workers
        self._batch = batch
        self._linger = linger
        self._inbox: asyncio.Queue[Delivery] = asyncio.Queue()
        self._readers: list[asyncio.Task[None]] = []
        self._working: list[asyncio.Task[None]] = []
        self._stopping = False
        self._busy_since: dict[int, float] = {}

    def start(self) -> None:
        """Start to consume."""
        self._readers = [asyncio.create_task(self._read(queue)) for queue in self._queues]
        self._working = [asyncio.create_task(self._work(number)) for number in range(self._workers)]

    def stalled(self) -> bool:
        """Tell whether the loop has died or a batch is taking far longer than it may."""
        dead = any(task.done() for task in (*self._readers, *self._working)) and not self._stopping
        limit = time.monotonic() - 2 * HANDLE_SECONDS
        return dead or any(since < limit for since in self._busy_since.values())

    async def stop(self, drain_seconds: float) -> None:
        """Take no more, finish what is under way within the time, give the rest back."""
        self._stopping = True
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        waiting = [self._inbox.get_nowait() for _ in range(self._inbox.qsize())]
        await _settle(delivery.requeue() for delivery in waiting)
        for number, task in enumerate(self._working):
            if number not in self._busy_since:
                task.cancel()
        if self._working:
            await asyncio.wait(self._working, timeout=drain_seconds)
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    async def _read(self, queue: Queue) -> None:
        failures = 0
        while True:
            try:
                subscription = await self._broker.subscribe(queue, self._prefetch)
                try:
                    while True:
                        self._inbox.put_nowait(await subscription.receive())
                        failures = 0
                finally:
                    with contextlib.suppress(Unavailable):
                        await subscription.close()
            except Unavailable as error:
                log.warning("subscription_lost", queue=queue.name, error=str(error))
                await asyncio.sleep(_backoff(failures))
                failures += 1

    async def _work(self, number: int) -> None:
        while not self._stopping:
            deliveries = [await self._inbox.get()]
            self._busy_since[number] = time.monotonic()
            try:
                await self._gather(deliveries)
                with self._metrics.handling.labels(deliveries[0].queue.name).time():
                    await self._process(deliveries)
            except asyncio.CancelledError:
                await _settle(delivery.requeue() for delivery in deliveries)
                raise
            finally:
                del self._busy_since[number]

    async def _gather(self, deliveries: list[Delivery]) -> None:
        try:
            async with asyncio.timeout(self._linger):
                while len(deliveries) < self._batch:
                    while len(deliveries) < self._batch and not self._inbox.empty():
                        deliveries.append(self._inbox.get_nowait())
                    if self._handler.enough([delivery.message for delivery in deliveries]):
                        return
                    deliveries.append(await self._inbox.get())
        except TimeoutError:
            pass

    async def _process(self, deliveries: list[Delivery]) -> None:
        error = await self._attempt(deliveries)
        if error is None:
            return
        if len(deliveries) == 1:
            await self._until_available(deliveries, lambda: self._failed(deliveries[0], error))
            return
        for delivery in deliveries:
            await self._process([delivery])

    async def _attempt(self, deliveries: list[Delivery]) -> Exception | None:
        try:
            await self._until_available(deliveries, lambda: self._answer(deliveries))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises decides about its message
            return error
        return None

    async def _answer(self, deliveries: list[Delivery]) -> None:
        async with asyncio.timeout(HANDLE_SECONDS):
            answers = await self._handler.handle([delivery.message for delivery in deliveries])
        await self._broker.publish(answers)
        await asyncio.gather(*(delivery.ack() for delivery in deliveries))
        for delivery in deliveries:
            self._count(delivery, "acked")

    async def _until_available(
        self, deliveries: list[Delivery], action: Callable[[], Awaitable[None]]
    ) -> None:
        holding = self._metrics.holding.labels(deliveries[0].queue.name)
        failures = 0
        while True:
            try:
                await action()
            except Unavailable as error:
                log.warning("messages_held", queue=deliveries[0].queue.name, error=str(error))
                holding.inc(len(deliveries))
                try:
                    await asyncio.sleep(_backoff(failures))
                finally:
                    holding.dec(len(deliveries))
                failures += 1
            else:
                return

    async def _failed(self, delivery: Delivery, error: Exception) -> None:
        message, name = delivery.message, delivery.queue.name
        text = str(error) if isinstance(error, Transient | Permanent) else f"{type(error).__name__}"
        event = {"queue": name, "message_id": message.id, "attempt": delivery.attempt, "error": text}
        parts = [] if isinstance(error, Transient) else self._handler.split(message)
        if parts:
            await self._broker.send(name, parts)
            await delivery.ack()
            self._count(delivery, "split")
            log.warning("message_split", parts=len(parts), **event)
        elif not isinstance(error, Permanent) and delivery.attempt < MAX_ATTEMPTS:
            await delivery.retry(RETRY_DELAYS[delivery.attempt - 1], text)
            self._count(delivery, "retried")
            log.warning("message_retried", **event)
        else:
            await self._broker.publish(self._handler.give_up(message, text))
            await delivery.dead_letter(text)
            self._count(delivery, "dead_lettered")
            log.error("message_dead_lettered", **event, exc_info=_unexpected(error))

    def _count(self, delivery: Delivery, outcome: str) -> None:
        self._metrics.messages.labels(delivery.queue.name, outcome).inc()


def _backoff(failures: int) -> float:
    return _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]


def _unexpected(error: Exception) -> Exception | None:
    return None if isinstance(error, Transient | Permanent) else error


async def _settle(settlings: Iterable[Awaitable[None]]) -> None:
    with contextlib.suppress(Unavailable):
        await asyncio.gather(*settlings)
