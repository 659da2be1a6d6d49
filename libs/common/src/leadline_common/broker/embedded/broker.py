"""The broker inside one process, over a journal in SQLite."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import structlog

from leadline_common.broker.delivery import MovableDelivery
from leadline_common.broker.embedded import journal
from leadline_common.broker.port import Broker, Delivery, Message, Subscription
from leadline_common.broker.publication import publication
from leadline_common.process.tasks import start_task
from leadline_common.storage.sqlite import Database, Work
from leadline_contracts.errors import Unavailable
from leadline_contracts.topology import DELIVERY_LIMIT, LEADLINE, SUSPECT_AFTER, Queue, Topology

_PAUSE = 1.0  # seconds until a journal that could not be written is tried again
_OTHERS_FIRST = 1.0  # seconds that others have before a suspect that may have caused the last crash
_ANSWER = 2.0  # seconds the journal has to answer a ping

log = structlog.get_logger()


class EmbeddedBroker(Broker):
    """The `Broker` port over one SQLite file, for the tasks of one event loop.

    Only crashes count towards DELIVERY_LIMIT; what a consumer gives back, or a clean `close`, does not.
    """

    system = "leadline"

    def __init__(self, path: Path, topology: Topology = LEADLINE) -> None:
        """Open the journal, inside the running loop. Raises Unavailable where the file cannot be opened."""
        self.closed = False
        self.layout = journal.Layout(topology)
        self._topology = topology
        self._database = Database(path, self.layout.schema)
        self._subscriptions: dict[str, set[EmbeddedSubscription]] = defaultdict(set)
        self._retries_changed = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._returning = start_task(self._return_retries(), "return of retried messages")
        self._quarantine = start_task(self._hand_out_suspects(), "suspects of the journal")
        for task in (self._returning, self._quarantine):
            task.add_done_callback(self._on_end)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Journal every message in each queue bound to its type, in one transaction."""
        with publication(messages, self.system) as sent:
            await self._insert([(queue.name, m) for m in sent for queue in self._topology.queues_for(m.type)])

    async def send(self, queue: str, messages: Sequence[Message], *, must_exist: bool = True) -> None:
        """Journal the messages in the queue of that name, in one transaction."""
        if must_exist:
            self.layout.require(queue)
        with publication(messages, self.system) as sent:
            await self._insert([(queue, m) for m in sent if queue in self.layout])

    async def subscribe(self, queue: Queue, prefetch: int) -> Subscription:
        """Start to receive from a queue."""
        self.layout.require(queue.name)
        if self.closed:
            raise Unavailable("the broker is closed")
        subscription = EmbeddedSubscription(self, queue, prefetch)
        self._subscriptions[queue.name].add(subscription)
        self._subscribed.set()
        return subscription

    async def set_aside(self, header: str, values: Sequence[str]) -> None:
        """Deliver none of the messages there are now whose header of that name has one of the values, as long
        as this broker lives. To be called before anybody subscribes. Raises Unavailable.
        """
        await self._database.write(lambda connection: journal.set_aside(connection, header, values))

    async def depth(self, queue: str) -> int:
        """Count the messages that wait in a queue."""
        self.layout.require(queue)
        return await self._database.read(lambda connection: journal.count(connection, queue))

    async def ping(self) -> None:
        """Raise Unavailable unless the journal's writer answers within two seconds."""
        try:
            async with asyncio.timeout(_ANSWER):
                await self._database.write(lambda connection: None)
        except TimeoutError:
            raise Unavailable(f"the journal did not answer within {_ANSWER:.0f} s") from None

    async def close(self) -> None:
        """Close every subscription and the journal."""
        if self.closed:
            return
        try:
            # A journal that cannot be written now lets go of everything when it is opened again.
            with contextlib.suppress(Unavailable):
                for subscription in self._all_subscriptions():
                    await subscription.close()
            self.closed = True
            self._returning.cancel()
            self._quarantine.cancel()
            with contextlib.suppress(Unavailable):
                await self._database.write(journal.let_all_go)
        finally:
            self._database.close()

    async def write(self, work: Work[None], *, changed: Iterable[str]) -> None:
        """Write to the journal, then wake whoever waits on the queues that got messages by it."""
        await self._database.write(work)
        self._wake(changed)

    async def take(self, queue: str, room: int) -> list[tuple[int, Message]]:
        """Hold and return the first messages of a queue, at most `room`."""
        return await self._database.write(lambda connection: journal.take(connection, queue, room))

    def forget(self, subscription: "EmbeddedSubscription") -> None:
        """Leave a closed subscription out from now on."""
        self._subscriptions[subscription.queue.name].discard(subscription)

    async def _insert(self, queued: list[tuple[str, Message]]) -> None:
        now = time.time()
        await self.write(
            lambda connection: journal.insert(connection, queued, self.layout, now),
            changed={queue for queue, _ in queued},
        )

    def _on_end(self, returning: asyncio.Task[None]) -> None:
        for subscription in self._all_subscriptions():
            subscription.end_with(returning)

    def _all_subscriptions(self) -> list["EmbeddedSubscription"]:
        return [one for group in self._subscriptions.values() for one in group]

    def _wake(self, queues: Iterable[str]) -> None:
        for queue in queues:
            if queue in self.layout.retries:
                self._retries_changed.set()
            for subscription in self._subscriptions.get(queue, ()):
                subscription.wake()

    async def _return_retries(self) -> None:
        """Bring retried messages back when they are due, sleeping until then."""
        while not self.closed:
            self._retries_changed.clear()
            now = time.time()
            try:
                queues, following = await self._database.write(
                    lambda connection, now=now: journal.return_due(connection, self.layout, now)  # type: ignore[misc]
                )
            except Unavailable:
                await asyncio.sleep(_PAUSE)
                continue
            self._wake(queues)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if following is None else following - time.time()):
                    await self._retries_changed.wait()

    async def _hand_out_suspects(self) -> None:
        """Hand out one suspect after the other, those last that were the only one in hand at a crash."""
        await self._subscribed.wait()
        while await self._hand_out_suspect(SUSPECT_AFTER):
            pass
        await asyncio.sleep(_OTHERS_FIRST)
        while True:
            if not await self._hand_out_suspect(DELIVERY_LIMIT):
                await self._subscribed.wait()

    async def _hand_out_suspect(self, most: int) -> bool:
        """Hand out a suspect with at most so many crashes and wait for its end; tell whether to go on."""
        self._subscribed.clear()
        queues = [queue for queue, group in self._subscriptions.items() if group]
        try:
            suspect = await self._database.write(
                lambda connection: journal.take_suspect(connection, queues, most)
            )
            if suspect is None:
                return False
            for subscription in self._subscriptions[suspect.queue]:
                log.warning(
                    "suspect_in_hand",
                    queue=suspect.queue,
                    message_id=suspect.message.id,
                    deaths=suspect.crashes,
                )
                await subscription.hand_out(suspect.seq, suspect.message)
                return True
            await self._database.write(lambda connection: journal.let_go(connection, [suspect.seq]))
        except Unavailable:
            await asyncio.sleep(_PAUSE)
        return True


class EmbeddedSubscription(Subscription):
    """A window of at most `prefetch` unsettled messages over one queue, and maybe a suspect beside it."""

    def __init__(self, broker: EmbeddedBroker, queue: Queue, prefetch: int) -> None:
        self.queue = queue
        self._broker = broker
        self._room = prefetch
        self._buffer: asyncio.Queue[EmbeddedDelivery | None] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._changed.set()
        self._closed = False
        self._failure: BaseException | None = None
        self._filling = start_task(self._fill(), f"subscription to {queue.name}")
        self._filling.add_done_callback(self.end_with)

    async def receive(self) -> Delivery:
        """Wait for the next delivery."""
        delivery = None if self._closed else await self._buffer.get()
        if delivery is None:
            self._buffer.put_nowait(None)  # for whoever else waits
            if self._failure is not None:
                raise self._failure
            raise Unavailable(f"the subscription to {self.queue.name} is closed")
        return delivery

    async def close(self) -> None:
        """Stop new deliveries and give back those not yet received."""
        if self._closed:
            return
        self._closed = True
        self._broker.forget(self)
        self._changed.set()
        # Shielded: were it cut off, what a fetch takes meanwhile would stay held.
        await asyncio.shield(asyncio.ensure_future(self._give_back()))

    def end_with(self, task: asyncio.Task[None]) -> None:
        """Let whoever receives have the error of a task without which nothing more would come."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
            self._buffer.put_nowait(None)

    async def _give_back(self) -> None:
        await asyncio.wait([self._filling])
        unseen = [self._buffer.get_nowait() for _ in range(self._buffer.qsize())]
        self._buffer.put_nowait(None)
        given_back = [delivery for delivery in unseen if delivery is not None]
        seqs = [delivery.seq for delivery in given_back]
        await self._broker.write(
            lambda connection: journal.let_go(connection, seqs), changed=[self.queue.name]
        )
        for delivery in given_back:
            delivery.free()

    async def hand_out(self, seq: int, suspect: Message) -> None:
        """Deliver a suspect and return when it is settled."""
        freed = asyncio.Event()
        self._buffer.put_nowait(EmbeddedDelivery(self, seq, suspect, freed.set))
        await freed.wait()

    async def settle(
        self, delivery: "EmbeddedDelivery", work: Work[None], *, changed: Iterable[str] = ()
    ) -> None:
        """Write a delivery's settlement, which frees its place."""
        await self._broker.write(work, changed=changed)
        delivery.free()

    def wake(self) -> None:
        """Look at the queue again."""
        self._changed.set()

    @property
    def layout(self) -> journal.Layout:
        """The queues there are."""
        return self._broker.layout

    @property
    def lost(self) -> bool:
        """Whether settling has become pointless."""
        return self._broker.closed

    async def _fill(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._closed:
                return
            try:
                taken = await self._broker.take(self.queue.name, self._room) if self._room else []
            except Unavailable:
                await asyncio.sleep(_PAUSE)
                self._changed.set()
                continue
            self._room -= len(taken)
            for seq, message in taken:
                self._buffer.put_nowait(EmbeddedDelivery(self, seq, message, self._free_place))

    def _free_place(self) -> None:
        self._room += 1
        self._changed.set()


class EmbeddedDelivery(MovableDelivery):
    """A message that is held in the journal."""

    __slots__ = ("_settled", "_subscription", "free", "seq")

    def __init__(
        self, subscription: EmbeddedSubscription, seq: int, message: Message, free: Callable[[], None]
    ) -> None:
        """Deliver a message; once it is settled or given back, `free` is called."""
        super().__init__(message, subscription.queue)
        self.seq = seq
        self.free = free
        self._subscription = subscription
        self._settled = False

    async def ack(self) -> None:
        """Delete the message."""
        await self._settle(lambda connection: journal.forget(connection, self.seq))

    async def requeue(self) -> None:
        """Give the message back at its place in the queue."""
        await self._settle(lambda connection: journal.let_go(connection, [self.seq]), self.queue.name)

    async def _move(self, queue: str, marked: Message) -> None:
        layout = self._subscription.layout
        layout.require(queue)
        due = layout.due(queue, time.time())
        await self._settle(lambda connection: journal.move(connection, self.seq, queue, marked, due), queue)

    async def _settle(self, work: Work[None], *changed: str) -> None:
        if self._settled or self._subscription.lost:
            return
        self._settled = True
        try:
            # Shielded: a consumer cancelled here must not leave its window one place short for good.
            await asyncio.shield(self._subscription.settle(self, work, changed=changed))
        except Unavailable:
            self._settled = False
            raise
