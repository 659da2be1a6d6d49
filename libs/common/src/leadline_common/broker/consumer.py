"""The consumer loop: take messages, hand them to a handler, publish what it answers, settle them.

The only place where any exception is caught: what the handler raises decides what becomes of the message.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import structlog

from leadline_common.broker.port import Broker, Delivery, Message
from leadline_common.broker.work import Work, log_context, work_of
from leadline_common.process.tasks import end_tasks, start_task
from leadline_common.telemetry.metrics import Metrics
from leadline_common.telemetry.tracing import ended, fail
from leadline_contracts.errors import Permanent, Transient, Unavailable
from leadline_contracts.topology import MAX_ATTEMPTS, RETRY_DELAYS, Queue

HANDLE_SECONDS = 300.0
"""A batch not handled by then is broken up, so that it stays far below the broker's 30 minutes to settle."""
_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

log = structlog.get_logger()
T = TypeVar("T")


class Handler(Protocol):
    """What a service does with messages. Handling must be idempotent: a message may come twice."""

    async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Do the work and return what to publish; the messages are settled after that is confirmed.

        Raise Unavailable to hold the messages and try again, Transient to try one later with backoff,
        Permanent to give it up at once. Whatever else is raised is tried again as Transient is.
        """

    def bisect(self, message: Message) -> Sequence[Message]:
        """Return parts that can be handled apart, each with an id of its own; none by default."""
        return []

    def on_dead_letter(self, message: Message, error: str) -> Sequence[Message]:
        """Return what to publish in place of an answer when the message is dead-lettered."""
        return []


BatchPolicy = Callable[[Sequence[Message], Sequence[bool]], Sequence[bool]]
"""Tells for each waiting message whether it is to go now, given which have waited for the linger time.

An overdue message must go.
"""


def all_when_overdue(messages: Sequence[Message], overdue: Sequence[bool]) -> Sequence[bool]:
    """Let all go once one has waited for the linger time."""
    return [any(overdue)] * len(messages)


class _Waiting(NamedTuple):
    delivery: Delivery
    since: float


class Consumer:
    """Feeds one handler from some queues, with `workers` batches under way at a time.

    A batch holds at most `batch` messages. Messages wait to be joined by others until `policy` says so, at
    the latest until the batch is full; by default until the first has waited `linger` seconds.
    Each queue delivers up to `prefetch` messages at once.
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
        policy: BatchPolicy = all_when_overdue,
    ) -> None:
        self._broker = broker
        self._handler = handler
        self._queues = queues
        self._metrics = metrics
        self._prefetch = prefetch
        self._workers = workers
        self._batch = batch
        self._linger = linger
        self._policy = policy
        self._inbox: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._readers: list[asyncio.Task[None]] = []
        self._working: list[asyncio.Task[None]] = []
        self._stopping = False
        self._progress: dict[asyncio.Task[Any] | None, float] = {}

        for queue in queues:
            metrics.expect(queue.name)

    def start(self) -> Sequence[asyncio.Task[None]]:
        """Start to consume; return the tasks that do, which run until `stop`."""
        names = ", ".join(queue.name for queue in self._queues)
        self._readers = [start_task(self._read(queue), f"reader of {queue.name}") for queue in self._queues]
        self._working = [start_task(self._work(), f"worker on {names}") for _ in range(self._workers)]
        return [*self._readers, *self._working]

    def stalled(self) -> bool:
        """Tell whether a batch is taking far longer than it may."""
        limit = time.monotonic() - 2 * HANDLE_SECONDS
        return any(last < limit for last in self._progress.values())

    async def stop(self, drain_seconds: float) -> None:
        """Take no more, finish what is under way within the time, give the rest back."""
        self._stopping = True
        await end_tasks(self._readers)
        unread = [self._inbox.get_nowait() for _ in range(self._inbox.qsize())]
        await _settle(waiting.delivery.requeue() for waiting in unread)
        for task in self._working:
            if task not in self._progress:
                task.cancel()
        if self._working:
            await asyncio.wait(self._working, timeout=drain_seconds)
        await end_tasks(self._working)

    async def _read(self, queue: Queue) -> None:
        failures = 0
        while not self._stopping:
            try:
                subscription = await self._broker.subscribe(queue, self._prefetch)
                try:
                    while True:
                        delivery = await subscription.receive()
                        self._inbox.put_nowait(_Waiting(delivery, time.monotonic()))
                        self._metrics.consumed.labels(queue.name).inc()
                        failures = 0
                finally:
                    with contextlib.suppress(Unavailable):
                        await subscription.close()
            except Unavailable as error:
                log.warning("subscription_lost", queue=queue.name, error=str(error))
                await asyncio.sleep(_backoff(failures))
                failures += 1

    async def _work(self) -> None:
        held: list[_Waiting] = []
        under_way: list[Delivery] = []
        try:
            while not self._stopping:
                under_way = await self._next_batch(held)
                self._note_progress()
                self._note_ages(under_way)
                works = [work_of(delivery, self._broker.system) for delivery in under_way]
                handling = self._metrics.handling.labels(under_way[0].queue.name).time()
                with handling, ended(*(work.span for work in works)):
                    await self._process(works)
                under_way = []
                del self._progress[asyncio.current_task()]
        finally:
            self._progress.pop(asyncio.current_task(), None)
            await _settle(delivery.requeue() for delivery in [*under_way, *(one.delivery for one in held)])

    def _note_ages(self, deliveries: list[Delivery]) -> None:
        now = time.time()
        for delivery in deliveries:
            if (since := delivery.message.published_at) is not None:
                # Two machines' clocks differ.
                self._metrics.age.labels(delivery.queue.name).observe(max(0.0, now - since))

    def _note_progress(self) -> None:
        self._progress[asyncio.current_task()] = time.monotonic()

    async def _next_batch(self, held: list[_Waiting]) -> list[Delivery]:
        """Wait for what is to go now and take it out of `held`, which keeps the rest."""
        while True:
            while len(held) < self._batch and not self._inbox.empty():
                held.append(self._inbox.get_nowait())
            if any(due := self._due(held)):
                picked = [waiting.delivery for waiting, goes in zip(held, due, strict=True) if goes]
                held[:] = [waiting for waiting, goes in zip(held, due, strict=True) if not goes]
                return picked
            until = min((waiting.since + self._linger for waiting in held), default=None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if until is None else max(0.0, until - time.monotonic())):
                    held.append(await self._inbox.get())

    def _due(self, held: list[_Waiting]) -> Sequence[bool]:
        latest = time.monotonic() - self._linger
        messages = [waiting.delivery.message for waiting in held]
        due = self._policy(messages, [waiting.since <= latest for waiting in held])
        return [True] * len(held) if len(held) >= self._batch and not any(due) else due

    async def _process(self, works: list[Work]) -> None:
        with log_context(works, self._broker.system):
            error = await self._attempt(works)
            if error is None:
                return
            if len(works) == 1:
                await self._failed(works[0], error)
                return
        for work in works:
            await self._process([work])

    async def _attempt(self, works: list[Work]) -> Exception | None:
        """Handle, publish, acknowledge; return what went wrong.

        An outage repeats only the step it met: finished work, such as paid answers, is not done again.
        """
        deliveries = [work.delivery for work in works]
        try:
            answers = await self._until_available(deliveries, lambda: self._handle(works))
            await self._until_available(deliveries, lambda: self._broker.publish(answers))
            await self._until_available(deliveries, lambda: _ack(deliveries))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises decides about its message
            return error
        for delivery in deliveries:
            self._count(delivery, "acked")
        return None

    async def _handle(self, works: list[Work]) -> Sequence[Message]:
        async with asyncio.timeout(HANDLE_SECONDS):
            return await self._handler.handle([work.message for work in works])

    async def _until_available(self, deliveries: list[Delivery], action: Callable[[], Awaitable[T]]) -> T:
        held = self._metrics.held.labels(deliveries[0].queue.name)
        failures = 0
        while True:
            self._note_progress()
            try:
                return await action()
            except Unavailable as error:
                log.warning("messages_held", queue=deliveries[0].queue.name, error=str(error))
                held.inc(len(deliveries))
                try:
                    await asyncio.sleep(_backoff(failures))
                finally:
                    held.dec(len(deliveries))
                failures += 1

    async def _failed(self, work: Work, error: Exception) -> None:
        delivery = work.delivery
        expected = isinstance(error, Transient | Permanent)
        text = str(error) if expected else type(error).__name__
        fail(work.span, type(error).__name__)
        try:
            outcome = await self._remedy(work, error, text)
        except Exception:  # a fault in `bisect` or `on_dead_letter` must not end the worker
            log.exception("remedy_failed", queue=delivery.queue.name)
            await self._until_available([delivery], lambda: delivery.dead_letter(text))
            outcome = "dead_lettered"
        self._count(delivery, outcome)
        final = outcome == "dead_lettered"
        (log.error if final else log.warning)(
            "message_failed",
            queue=delivery.queue.name,
            attempt=delivery.attempt,
            outcome=outcome,
            error=text,
            exc_info=error if final and not expected else None,
        )

    async def _remedy(self, work: Work, error: Exception, text: str) -> str:
        """Split the message, retry it or dead-letter it; return which."""
        delivery, message, _ = work
        parts = [] if isinstance(error, Transient) else self._handler.bisect(message)
        if parts:
            await self._until_available([delivery], lambda: self._broker.send(delivery.queue.name, parts))
            await self._until_available([delivery], delivery.ack)
            return "split"
        if not isinstance(error, Permanent) and delivery.attempt < MAX_ATTEMPTS:
            delay = RETRY_DELAYS[delivery.attempt - 1]
            await self._until_available([delivery], lambda: delivery.retry(delay, text))
            return "retried"
        instead = self._handler.on_dead_letter(message, text)
        await self._until_available([delivery], lambda: self._broker.publish(instead))
        await self._until_available([delivery], lambda: delivery.dead_letter(text))
        return "dead_lettered"

    def _count(self, delivery: Delivery, outcome: str) -> None:
        self._metrics.settled.labels(delivery.queue.name, outcome).inc()


def _backoff(failures: int) -> float:
    return _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]


async def _ack(deliveries: Iterable[Delivery]) -> None:
    await asyncio.gather(*(delivery.ack() for delivery in deliveries))


async def _settle(settlings: Iterable[Awaitable[None]]) -> None:
    with contextlib.suppress(Unavailable):
        await asyncio.gather(*settlings)
