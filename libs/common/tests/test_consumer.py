"""What becomes of a message, whatever its handler does: over the real embedded broker."""

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from leadline_common.broker import consumer as consumer_module
from leadline_common.broker.chunks import bisect_chunk, chunk_message
from leadline_common.broker.consumer import Consumer, Handler
from leadline_common.broker.embedded import broker as embedded
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.embedded.journal import Layout
from leadline_common.broker.port import Delivery, Message, Subscription
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_common.telemetry.tracing import carried_by, continued, trace_id_of
from leadline_contracts.errors import Permanent, Transient, Unavailable
from leadline_contracts.scoring import (
    AiChunkScored,
    ChunkRef,
    Lead,
    LeadsAccepted,
    LeadsSubmitted,
    Offer,
    RunProgressed,
)
from leadline_contracts.topology import LEADLINE, RETRY_DELAYS, RULES, RUN_EVENTS, SUBMISSIONS, Queue

Consume = Callable[..., Consumer]
(SUBSTITUTES,) = LEADLINE.queues_for(AiChunkScored.TYPE)
BULK = bytes(50_000)
MISSING = Queue("leadline.nowhere", ())


class WatchedBroker(EmbeddedBroker):
    """The embedded broker, which also keeps its subscriptions in sight."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.subscriptions: list[Subscription] = []

    async def subscribe(self, queue: Queue, prefetch: int) -> Subscription:
        self.subscriptions.append(await super().subscribe(queue, prefetch))
        return self.subscriptions[-1]

    async def fill_disk(self, full: bool) -> None:
        """Let SQLite refuse whatever makes the journal larger, as it does on a full disk."""

        def limit(connection: sqlite3.Connection) -> None:
            connection.execute(f"PRAGMA max_page_count={1 if full else 1_000_000}")

        while True:
            with contextlib.suppress(Unavailable):  # it may share a transaction with a write that fails
                await self.write(limit, changed=())
                return


class Echo(Handler):
    """Answers every message with one of its own; `faults` says what is raised at which message."""

    def __init__(self, faults: Callable[[Message], Exception | None] = lambda _: None) -> None:
        self.faults = faults
        self.calls: list[list[str]] = []

    async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
        self.calls.append([message.id for message in messages])
        for fault in filter(None, map(self.faults, messages)):
            raise fault
        return [Message(type=RunProgressed.TYPE, id=message.id, body=BULK) for message in messages]

    def bisect(self, message: Message) -> Sequence[Message]:
        return []

    def on_dead_letter(self, message: Message, error: str) -> Sequence[Message]:
        return [Message(type=AiChunkScored.TYPE, id=message.id, body=error.encode() + BULK)]


class Deaf(Echo):
    """Loses the first cancellation, as some libraries do, and goes on."""

    async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
        answers = await super().handle(messages)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()
        return answers


class Endless(Echo):
    """Handles until it is cancelled, or told to finish."""

    def __init__(self) -> None:
        super().__init__()
        self.finish = asyncio.Event()

    async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
        answers = await super().handle(messages)
        await self.finish.wait()
        return answers


class ChunkEcho(Echo):
    """Splits chunks as the scoring services do."""

    def bisect(self, message: Message) -> Sequence[Message]:
        return bisect_chunk(message)


@pytest.fixture(autouse=True)
def retry_delays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seconds each retry was to wait, none of which is waited for."""
    delays: list[int] = []

    due = Layout.due

    def due_at_once(layout: Layout, queue: str, now: float) -> float | None:
        later = due(layout, queue, now)
        if later is None:
            return None
        delays.append(round(later - now))
        return now

    monkeypatch.setattr(Layout, "due", due_at_once)
    monkeypatch.setattr(consumer_module, "_BACKOFF_SECONDS", (0.02,))
    monkeypatch.setattr(embedded, "_PAUSE", 0.02)
    return delays


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[WatchedBroker]:
    broker = WatchedBroker(tmp_path / "broker.db")
    yield broker
    await broker.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(new_registry())


@pytest.fixture
async def consume(broker: WatchedBroker, metrics: Metrics) -> AsyncIterator[Consume]:
    """Starts a consumer with the handler, and stops it at the end."""
    started: list[Consumer] = []

    def start(
        handler: Handler, queue: Queue = SUBMISSIONS, *, prefetch: int = 10, **options: float
    ) -> Consumer:
        consumer = Consumer(broker, handler, [queue], metrics, prefetch=prefetch, **options)  # type: ignore[arg-type]
        started.append(consumer)
        consumer.start()
        return consumer

    yield start
    for consumer in started:
        await consumer.stop(0)


def submitted(*names: str) -> list[Message]:
    return [Message(type=LeadsSubmitted.TYPE, id=name, body=b"{}") for name in names]


def chunk_of(*names: str) -> Message:
    ref = ChunkRef(owner="local", run_id="r", chunk="0", offer_id="o", model="standard")
    leads = [Lead(id=name) for name in names]
    offer = Offer(id="o", name="offer")
    return chunk_message(LeadsAccepted(**ref.model_dump(), upload_id="u", offer=offer, leads=leads))


async def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.005)


async def receive_all(broker: EmbeddedBroker, queue: Queue) -> list[Delivery]:
    """Receive what waits in a queue and leave it unsettled."""
    waiting = await broker.depth(queue.name)
    subscription = await broker.subscribe(queue, 1000)
    return [await subscription.receive() for _ in range(waiting)]


async def ids_in(broker: EmbeddedBroker, queue: Queue) -> list[str]:
    return [delivery.message.id for delivery in await receive_all(broker, queue)]


def dead(queue: Queue = SUBMISSIONS) -> Queue:
    return Queue(queue.dead, ())


def held(metrics: Metrics) -> float | None:
    """Return how many submissions are held because of an outage."""
    return metrics.registry.get_sample_value("leadline_messages_held", {"queue": SUBMISSIONS.name})


def settled(metrics: Metrics, queue: Queue = SUBMISSIONS) -> dict[str, int]:
    """Return how many messages of a queue ended in which way."""
    return {
        sample.labels["outcome"]: int(sample.value)
        for metric in metrics.settled.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["queue"] == queue.name and sample.value
    }


async def test_a_handled_message_is_answered_and_forgotten(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """The answers are in their queue and the messages gone, each handled once, in order."""
    handler = Echo()
    await broker.publish(submitted("a", "b"))
    consumer = consume(handler)
    await wait_until(lambda: settled(metrics) == {"acked": 2})
    assert await broker.depth(SUBMISSIONS.name) == 0
    assert await ids_in(broker, RUN_EVENTS) == ["a", "b"]
    assert handler.calls == [["a"], ["b"]]
    assert not consumer.stalled()


async def test_a_message_is_kept_until_its_answer_is_confirmed(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """While answers cannot be published the message stays held; afterwards the work is not done again."""
    await broker.publish(submitted("a"))
    handler = Endless()
    consume(handler)
    await wait_until(lambda: handler.calls == [["a"]])
    await broker.fill_disk(True)
    handler.finish.set()
    await wait_until(lambda: held(metrics) == 1)
    assert settled(metrics) == {}
    await broker.fill_disk(False)
    await wait_until(lambda: settled(metrics) == {"acked": 1})
    assert await ids_in(broker, RUN_EVENTS) == ["a"]
    assert handler.calls == [["a"]]
    assert held(metrics) == 0


async def test_a_transient_failure_is_tried_again(
    broker: WatchedBroker, metrics: Metrics, consume: Consume, retry_delays: list[int]
) -> None:
    """The message comes back after the first delay, its attempt one higher and with the reason."""
    tries = []

    def fail_once(message: Message) -> Exception | None:
        tries.append((message.attempt, message.headers.get("leadline-error")))
        return Transient("not yet") if len(tries) == 1 else None

    await broker.publish(submitted("a"))
    consume(Echo(fail_once))
    await wait_until(lambda: settled(metrics) == {"retried": 1, "acked": 1})
    assert tries == [(1, None), (2, "not yet")]
    assert retry_delays == [1]
    assert await ids_in(broker, RUN_EVENTS) == ["a"]


@pytest.mark.parametrize(
    ("error", "text"), [(Transient("try later"), "try later"), (ValueError("John Smith"), "ValueError")]
)
async def test_a_lasting_failure_is_dead_lettered_after_the_last_attempt(
    *,
    broker: WatchedBroker,
    metrics: Metrics,
    consume: Consume,
    retry_delays: list[int],
    error: Exception,
    text: str,
) -> None:
    """After 1, 5, 30 and 120 s the message is dead and answered for; a stranger's error text is left out."""
    await broker.publish(submitted("a"))
    handler = Echo(lambda _: error)
    consume(handler)
    await wait_until(lambda: settled(metrics) == {"retried": 4, "dead_lettered": 1})
    assert len(handler.calls) == 5
    assert retry_delays == [1, 5, 30, 120]
    (letter,) = await receive_all(broker, dead())
    assert letter.message.headers == {
        "leadline-attempt": "5",
        "leadline-error": text,
        "leadline-queue": SUBMISSIONS.name,
    }
    (substitute,) = await receive_all(broker, SUBSTITUTES)
    assert (substitute.message.id, substitute.message.body) == ("a", text.encode() + BULK)


async def test_a_permanent_failure_is_dead_lettered_at_once(
    broker: WatchedBroker, metrics: Metrics, consume: Consume, retry_delays: list[int]
) -> None:
    """What can never succeed is tried once, answered for and kept with its reason; the next one goes on."""
    await broker.publish(submitted("bad", "good"))
    handler = Echo(lambda message: Permanent("no such offer") if message.id == "bad" else None)
    consume(handler)
    await wait_until(lambda: settled(metrics) == {"dead_lettered": 1, "acked": 1})
    assert (handler.calls, retry_delays) == ([["bad"], ["good"]], [])
    (letter,) = await receive_all(broker, dead())
    assert letter.message.headers["leadline-error"] == "no such offer"
    assert await ids_in(broker, SUBSTITUTES) == ["bad"]
    assert await ids_in(broker, RUN_EVENTS) == ["good"]


@pytest.mark.parametrize(("error", "retries"), [(Permanent("unusable"), 0), (KeyError("x"), 4)])
async def test_a_chunk_with_one_bad_lead_is_split_until_it_stands_alone(
    broker: WatchedBroker, metrics: Metrics, consume: Consume, error: Exception, retries: int
) -> None:
    """Every other lead is answered; the dead letter and its substitute hold the bad lead alone."""
    names = [f"lead{number}" for number in range(8)]
    await broker.publish([chunk_of(*names)])
    consume(ChunkEcho(lambda message: error if b'"lead5"' in message.body else None), RULES)
    expected = {"split": 3, "acked": 3, "dead_lettered": 1} | ({"retried": retries} if retries else {})
    await wait_until(lambda: settled(metrics, RULES) == expected)
    (letter,) = await receive_all(broker, dead(RULES))
    assert [lead.id for lead in LeadsAccepted.decode(letter.message.body).leads] == ["lead5"]
    assert await ids_in(broker, SUBSTITUTES) == [letter.message.id]
    assert sorted(await ids_in(broker, RUN_EVENTS)) == [
        f"r:0.{part}:{LeadsAccepted.TYPE}" for part in ("0", "1.0.0", "1.1")
    ]


async def test_a_transient_failure_does_not_split(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """What is wrong outside of a chunk does not break it up."""
    await broker.publish([chunk_of("a", "b")])
    consume(ChunkEcho(lambda message: Transient("busy") if message.attempt == 1 else None), RULES)
    await wait_until(lambda: settled(metrics, RULES) == {"retried": 1, "acked": 1})


async def test_one_bad_message_does_not_hold_up_its_batch(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """A batch that fails is handled one by one: only the bad message is dead-lettered."""
    await broker.publish(submitted("a", "bad", "c"))
    handler = Echo(lambda message: Permanent("unusable") if message.id == "bad" else None)
    consume(handler, batch=3, linger=5)
    await wait_until(lambda: settled(metrics) == {"acked": 2, "dead_lettered": 1})
    assert handler.calls == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
    assert await ids_in(broker, RUN_EVENTS) == ["a", "c"]
    assert await ids_in(broker, dead()) == ["bad"]


async def test_a_batch_waits_no_longer_than_it_lingers(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """A batch that does not fill up is handled after the linger time with what there is."""
    await broker.publish(submitted("a", "b"))
    handler = Echo()
    consume(handler, batch=50, linger=0.1)
    await wait_until(lambda: settled(metrics) == {"acked": 2})
    assert handler.calls == [["a", "b"]]


async def test_what_is_ripe_goes_and_the_rest_waits(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """What is due goes before the batch is full or the linger time over; what is not stays for later."""

    def pairs(messages: Sequence[Message], _overdue: Sequence[bool]) -> Sequence[bool]:
        letters = [message.id[0] for message in messages]
        return [letters.count(letter) == 2 for letter in letters]

    handler = Echo()
    consume(handler, batch=50, linger=60, policy=pairs)
    for name in ("a1", "b1", "a2", "b2"):
        await broker.publish(submitted(name))
    await wait_until(lambda: settled(metrics) == {"acked": 4})
    assert handler.calls in ([["a1", "a2"], ["b1", "b2"]], [["a1", "b1", "a2", "b2"]])


async def test_what_waits_for_others_goes_back_when_the_consumer_stops(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """A message held for others that never came is back in its queue after a stop."""
    asked: list[Message] = []

    def never(messages: Sequence[Message], _overdue: Sequence[bool]) -> Sequence[bool]:
        asked.extend(messages)
        return [False] * len(messages)

    consumer = consume(Echo(), batch=50, linger=60, policy=never)
    await broker.publish(submitted("a"))
    await wait_until(lambda: bool(asked))
    await consumer.stop(1)
    assert await broker.depth(SUBMISSIONS.name) == 1


async def test_an_outage_holds_messages_without_counting_attempts(
    broker: WatchedBroker,
    metrics: Metrics,
    consume: Consume,
    retry_delays: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long a store is away, the batch waits and then goes on; a process that waits is not stalled."""
    away = True
    monkeypatch.setattr(consumer_module, "HANDLE_SECONDS", 0.1)
    await broker.publish(submitted("a", "b"))
    handler = Echo(lambda _: Unavailable("the store is away") if away else None)
    consumer = consume(handler, batch=2, linger=5)
    await wait_until(lambda: len(handler.calls) > 15)
    assert not consumer.stalled()
    assert settled(metrics) == {}
    away = False
    await wait_until(lambda: settled(metrics) == {"acked": 2})
    assert retry_delays == []
    assert set(map(tuple, handler.calls)) == {("a", "b")}


async def test_an_outage_while_giving_up_loses_nothing(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """A bad message waits for a broker that does not take it, and is then answered for once."""

    class FailsLate(Endless):
        async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
            await super().handle(messages)
            raise Permanent("unusable")

    handler = FailsLate()
    await broker.publish(submitted("a"))
    consume(handler)
    await wait_until(lambda: handler.calls == [["a"]])
    await broker.fill_disk(True)
    handler.finish.set()
    await wait_until(lambda: held(metrics) == 1)
    await broker.fill_disk(False)
    await wait_until(lambda: settled(metrics) == {"dead_lettered": 1})
    assert await ids_in(broker, dead()) == await ids_in(broker, SUBSTITUTES) == ["a"]
    assert handler.calls == [["a"]]


async def test_a_batch_never_exceeds_its_size(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """A full batch is handled at once, though more messages wait and the linger time is not over."""
    await broker.publish(submitted(*"abcdef"))
    handler = Echo()
    consume(handler, batch=3, linger=60)
    await wait_until(lambda: settled(metrics) == {"acked": 6})
    assert handler.calls == [["a", "b", "c"], ["d", "e", "f"]]


@pytest.mark.parametrize("faulty", ["bisect", "on_dead_letter"])
async def test_a_fault_in_the_remedy_does_not_end_the_worker(
    broker: WatchedBroker, metrics: Metrics, consume: Consume, faulty: str
) -> None:
    """A bad message is dead-lettered though its handler cannot answer for it, and the next one goes on."""

    class Faulty(Echo):
        def _fault(self, *_: object) -> Sequence[Message]:
            raise RuntimeError("a bug")

    setattr(Faulty, faulty, Faulty._fault)
    await broker.publish(submitted("bad", "good"))
    consumer = consume(Faulty(lambda message: Permanent("unusable") if message.id == "bad" else None))
    await wait_until(lambda: settled(metrics) == {"dead_lettered": 1, "acked": 1})
    assert not consumer.stalled()
    (letter,) = await receive_all(broker, dead())
    assert letter.message.headers["leadline-error"] == "unusable"


async def test_work_that_takes_too_long_is_broken_up(
    broker: WatchedBroker, metrics: Metrics, consume: Consume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch past its time is handled one by one, and a message past its time is tried again later."""
    monkeypatch.setattr(consumer_module, "HANDLE_SECONDS", 0.1)

    class Slow(Echo):
        async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
            answers = await super().handle(messages)
            if any(message.id == "slow" and message.attempt == 1 for message in messages):
                await asyncio.sleep(60)
            return answers

    await broker.publish(submitted("slow", "quick"))
    handler = Slow()
    consume(handler, batch=2, linger=0.05)
    await wait_until(lambda: settled(metrics) == {"retried": 1, "acked": 2})
    assert handler.calls == [["slow", "quick"], ["slow"], ["quick"], ["slow"]]


async def test_workers_work_at_the_same_time(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """As many batches are under way as there are workers, and no more."""
    handler = Endless()
    await broker.publish(submitted("a", "b", "c"))
    consume(handler, workers=2)
    await wait_until(lambda: len(handler.calls) == 2)
    await asyncio.sleep(0.05)
    assert handler.calls == [["a"], ["b"]]
    handler.finish.set()
    await wait_until(lambda: settled(metrics) == {"acked": 3})


async def test_stop_finishes_what_is_under_way_and_gives_back_the_rest(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """The message in hand is answered; those behind it wait in order, untouched, for the next consumer."""
    handler = Endless()
    await broker.publish(submitted("a", "b", "c", "d"))
    consumer = consume(handler, prefetch=3)
    await wait_until(lambda: handler.calls == [["a"]])
    stopping = asyncio.create_task(consumer.stop(30))
    await asyncio.sleep(0.05)
    assert not stopping.done()
    handler.finish.set()
    await stopping
    assert settled(metrics) == {"acked": 1}
    assert await ids_in(broker, RUN_EVENTS) == ["a"]
    rest = await receive_all(broker, SUBMISSIONS)
    assert [(one.message.id, one.attempt) for one in rest] == [("b", 1), ("c", 1), ("d", 1)]
    assert await broker.depth(SUBMISSIONS.dead) == 0


async def test_stop_gives_back_what_does_not_finish_in_time(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """A batch under way at the deadline comes again whole, at its first attempt, and is not dead."""
    handler = Endless()
    await broker.publish(submitted("a", "b"))
    consumer = consume(handler, batch=2, linger=5)
    await wait_until(lambda: handler.calls == [["a", "b"]])
    await consumer.stop(0.05)
    assert settled(metrics) == {}
    assert [(one.message.id, one.attempt) for one in await receive_all(broker, SUBMISSIONS)] == [
        ("a", 1),
        ("b", 1),
    ]
    assert await broker.depth(SUBMISSIONS.dead) == 0


async def test_stop_does_not_wait_for_a_lost_cancellation(broker: WatchedBroker, consume: Consume) -> None:
    """Where a handler's cancellation is swallowed it is cancelled again, and its message comes back."""
    handler = Deaf()
    await broker.publish(submitted("a"))
    consumer = consume(handler)
    await wait_until(lambda: handler.calls == [["a"]])
    async with asyncio.timeout(60):
        await consumer.stop(0.05)
    assert [(one.message.id, one.attempt) for one in await receive_all(broker, SUBMISSIONS)] == [("a", 1)]


async def test_stop_gives_back_what_an_outage_holds(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """Messages held for a store that is away go back to their queue when the process stops."""
    handler = Echo(lambda _: Unavailable("the store is away"))
    await broker.publish(submitted("a"))
    consumer = consume(handler)
    await wait_until(lambda: len(handler.calls) > 2)
    await consumer.stop(0.05)
    assert [(one.message.id, one.attempt) for one in await receive_all(broker, SUBMISSIONS)] == [("a", 1)]
    assert held(metrics) == 0


async def test_stop_is_quick_when_idle(consume: Consume) -> None:
    """A consumer with nothing to do does not wait for its deadline."""
    consumer = consume(Echo(), workers=3)
    await asyncio.sleep(0.02)
    async with asyncio.timeout(60):
        await consumer.stop(3600)


async def test_a_lost_subscription_is_taken_up_again(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """When the stream of deliveries ends the consumer subscribes anew and goes on."""
    consumer = consume(Echo())
    await broker.publish(submitted("a"))
    await wait_until(lambda: settled(metrics) == {"acked": 1})
    await broker.subscriptions[0].close()
    await broker.publish(submitted("b"))
    await wait_until(lambda: settled(metrics) == {"acked": 2})
    assert len(broker.subscriptions) == 2
    assert not consumer.stalled()


async def test_a_reader_that_died_is_logged(consume: Consume) -> None:
    """A consumer that cannot read its queue for good says so in the log."""
    with structlog.testing.capture_logs() as logs:
        consume(Echo(), MISSING)
        await wait_until(lambda: bool(logs))
    assert [(entry["event"], entry["task"]) for entry in logs] == [("task_died", f"reader of {MISSING.name}")]


async def test_a_batch_that_never_ends_is_stalled(
    broker: WatchedBroker, consume: Consume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that goes on far beyond its time shows in the liveness probe; work within its time does not."""
    handler = Endless()
    await broker.publish(submitted("a"))
    consumer = consume(handler)
    await wait_until(lambda: handler.calls == [["a"]])
    assert not consumer.stalled()
    monkeypatch.setattr(consumer_module, "HANDLE_SECONDS", 0.01)
    await wait_until(consumer.stalled)


async def test_stops_and_failures_lose_nothing(broker: WatchedBroker, consume: Consume) -> None:
    """Through restarts at any moment and failures of every kind each message ends answered or dead."""
    rng = random.Random(7)
    names = [f"m{number:03}" for number in range(120)]
    await broker.publish(submitted(*names))

    def mishap(message: Message) -> Exception | None:
        if message.id.endswith("7"):
            return Permanent("unusable")
        return rng.choice([None] * 6 + [Transient("busy"), Unavailable("away"), KeyError("bug")])

    class Busy(Echo):
        async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
            await asyncio.sleep(0.001)
            return await super().handle(messages)

    waiting = [*map(SUBMISSIONS.retry, RETRY_DELAYS), SUBMISSIONS.name]  # the way a message goes back
    while sum([await broker.depth(queue) for queue in waiting]):
        consumer = consume(Busy(mishap), workers=3, batch=4, linger=0.01)
        await asyncio.sleep(rng.random() / 10)
        await consumer.stop(rng.choice([0, 0.01, 5]))
    answered, given_up = await ids_in(broker, RUN_EVENTS), await ids_in(broker, dead())
    assert sorted({*answered, *given_up}) == names
    assert {name for name in names if name.endswith("7")} <= set(given_up)
    assert len(given_up) == len(set(given_up))


RUN = "01980000-0000-7000-8000-000000000001"


async def test_a_message_handled_alone_is_in_its_log_lines_and_its_answers(
    broker: WatchedBroker, consume: Consume
) -> None:
    """What a handler logs names the message, its run and its trace; what it answers stays in the trace."""
    trace_id, span_id = "1" * 32, "2" * 16

    class Logging(Echo):
        async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
            structlog.get_logger().info("handling")
            return await super().handle(messages)

    trace = {"traceparent": f"00-{trace_id}-{span_id}-01", "tracestate": "vendor=kept"}
    headers = {"run_id": RUN, "workflow_id": "Ada Lovelace", **trace}
    asked = replace(chunk_of("a"), headers=headers)
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        await broker.publish([asked])
        consume(Logging(), RULES)
        answer = (await (await broker.subscribe(RUN_EVENTS, 1)).receive()).message
    [line] = [entry for entry in logs if entry["event"] == "handling"]
    assert (line["message_id"], line["run_id"], line["trace_id"]) == (asked.id, RUN, trace_id)
    assert "workflow_id" not in line  # anybody who publishes can put any text there
    assert line["span_id"] != span_id
    assert (answer.trace or "").startswith(f"00-{trace_id}-")
    assert answer.headers["tracestate"] == "vendor=kept"


async def test_messages_handled_together_keep_their_traces_apart(
    broker: WatchedBroker, consume: Consume
) -> None:
    """Each message of a batch goes on in its own trace, and a log line about all names none of them."""
    handled: list[Message] = []

    class Keeping(Echo):
        async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
            structlog.get_logger().info("handling")
            handled.extend(messages)
            return []

    traces = [carried_by(continued(None)) for _ in range(2)]
    asked = [
        replace(message, headers={"traceparent": trace})
        for message, trace in zip(submitted("a", "b"), traces, strict=True)
    ]
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        await broker.publish(asked)
        consume(Keeping(), batch=2, linger=5)
        await wait_until(lambda: len(handled) == 2)
    [line] = [entry for entry in logs if entry["event"] == "handling"]
    assert not {"trace_id", "message_id"} & line.keys()
    found = [trace_id_of(message.trace) for message in handled]
    assert found == [trace_id_of(trace) for trace in traces]


async def test_messages_are_counted_and_their_age_is_told(
    broker: WatchedBroker, metrics: Metrics, consume: Consume
) -> None:
    """What arrives is counted before it is handled, and its age is the time since it was published."""
    await broker.publish(submitted("a", "b"))
    await asyncio.sleep(0.2)
    consume(Echo())
    await wait_until(lambda: settled(metrics) == {"acked": 2})
    sample = metrics.registry.get_sample_value
    queue = {"queue": SUBMISSIONS.name}
    assert sample("leadline_messages_consumed_total", queue) == 2
    assert sample("leadline_message_age_seconds_count", queue) == 2
    assert 0.4 <= (sample("leadline_message_age_seconds_sum", queue) or 0) < 120
