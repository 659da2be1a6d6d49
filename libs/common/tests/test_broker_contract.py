"""What the broker port promises, held by both adapters."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from leadline_common.broker.embedded import broker as embedded
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Broker, Delivery, Message, Subscription
from leadline_common.broker.rabbitmq import subscription as rabbitmq_consumer
from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_common.telemetry.tracing import carried_by, continued, within
from leadline_contracts import topology
from leadline_contracts.errors import Permanent, Unavailable
from leadline_contracts.scoring import LeadsAccepted, LeadsSubmitted, ResultsScored
from leadline_contracts.topology import (
    AI,
    DELIVERY_LIMIT,
    RULES,
    SUBMISSIONS,
    SUSPECT_AFTER,
    Queue,
)

pytest_plugins = ["leadline_testing.pytest_servers"]


class OpenBroker(Protocol):
    """Opens a broker, each time on the data of one test."""

    async def __call__(self) -> Broker:
        """Open it."""

    async def after_crash(self, broker: Broker) -> Broker:
        """Open what is there after the process of this broker, which is closed, was killed."""


MISSING = Queue("leadline.nowhere", ())
DEAD_SUBMISSIONS = Queue(SUBMISSIONS.dead, ())
FEW = topology.Topology(topology.LEADLINE.exchange, (SUBMISSIONS, RULES, AI))
"""Enough to test by: RabbitMQ takes its time over each queue."""


class Embedded(OpenBroker):
    """Brokers over one journal."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._crashes = 0

    async def __call__(self) -> Broker:
        broker = EmbeddedBroker(self._folder / "broker.db", FEW)
        self._stack.push_async_callback(broker.close)
        return broker

    async def after_crash(self, broker: Broker) -> Broker:
        self._crashes += 1
        found = self._folder.with_name(f"{self._folder.name}-{self._crashes}")
        shutil.copytree(self._folder, found)
        self._folder = found
        await broker.close()
        return await self()


class Rabbit(OpenBroker):
    """Brokers over one virtual host."""

    def __init__(self, url: str, stack: contextlib.AsyncExitStack) -> None:
        self._url = url
        self._stack = stack

    async def __call__(self) -> Broker:
        broker = await RabbitBroker.connect(self._url, FEW)
        self._stack.push_async_callback(broker.close)
        return broker

    async def after_crash(self, broker: Broker) -> Broker:
        await broker.close()  # all that the server sees of either end
        return await self()


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.servers)])
async def open_broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenBroker]:
    """Opens a broker, each time on the data of this one test."""
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "rabbitmq":
            yield Rabbit(request.getfixturevalue("rabbitmq_vhost_url"), stack)
        else:
            (tmp_path / "start").mkdir()
            yield Embedded(tmp_path / "start", stack)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second in place of one for which a suspect waits after a death."""
    monkeypatch.setattr(embedded, "_OTHERS_FIRST", 0.1)
    monkeypatch.setattr(rabbitmq_consumer, "_PAUSE", 0.1)


@pytest.fixture
async def broker(open_broker: OpenBroker) -> Broker:
    return await open_broker()


def submitted(*names: str) -> list[Message]:
    """Messages that go to SUBMISSIONS alone."""
    return [Message(type=LeadsSubmitted.TYPE, id=name, body=name.encode()) for name in names]


async def receive(subscription: Subscription) -> Delivery:
    async with asyncio.timeout(60):
        return await subscription.receive()


async def receive_names(subscription: Subscription, count: int) -> list[str]:
    """Receive and acknowledge so many messages and return their ids."""
    names = []
    for _ in range(count):
        delivery = await receive(subscription)
        names.append(delivery.message.id)
        await delivery.ack()
    return names


async def after_deaths(open_broker: OpenBroker, messages: list[Message], *queues: Queue) -> Broker:
    """Publish the messages and let so many processes die with them in hand that all are suspects."""
    broker = await open_broker()
    await broker.publish(messages)
    for _ in range(SUSPECT_AFTER):
        for queue in queues:
            subscription = await broker.subscribe(queue, len(messages))
            for _ in messages:
                await receive(subscription)
        broker = await open_broker.after_crash(broker)
    return broker


async def receive_all(subscription: Subscription, count: int) -> list[Delivery]:
    """Receive so many; nothing more comes."""
    received = [await receive(subscription) for _ in range(count)]
    await assert_silent(subscription)
    return received


async def receive_some(subscription: Subscription) -> None:
    """Receive one, and what else comes in a moment."""
    await receive(subscription)
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.1):
                await subscription.receive()


async def assert_silent(subscription: Subscription) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await subscription.receive()


async def assert_depth(broker: Broker, queue: str, expected: int) -> None:
    """Wait until the queue holds so many messages: settlements are not confirmed."""
    deadline = time.monotonic() + 60
    while (found := await broker.depth(queue)) != expected:
        assert time.monotonic() < deadline, f"{queue} holds {found} messages, not {expected}"
        await asyncio.sleep(0.02)


async def test_publish_fans_out_to_every_bound_queue(broker: Broker) -> None:
    """Each queue bound to a type gets a copy of its own, and no other queue does."""
    message = Message(type=LeadsAccepted.TYPE, id="chunk", body=b"{}")
    await broker.publish([message])
    for queue in FEW.queues:
        bound = queue in (RULES, AI)
        assert await broker.depth(queue.name) == bound
        if bound:
            delivery = await receive(await broker.subscribe(queue, 1))
            assert (delivery.message, delivery.queue, delivery.attempt) == (message, queue, 1)
            await delivery.ack()


async def test_messages_keep_their_order(broker: Broker) -> None:
    """First deliveries come in the order they were published, within a call and over several."""
    names = [f"m{number}" for number in range(100)]
    await broker.publish(submitted(*names[:60]))
    subscription = await broker.subscribe(SUBMISSIONS, 7)
    await broker.publish(submitted(*names[60:]))
    assert await receive_names(subscription, 100) == names


async def test_concurrent_publishers_lose_and_double_nothing(broker: Broker) -> None:
    """Calls under way at the same time each deliver all of their messages once."""
    groups = [[f"{group}-{number}" for number in range(40)] for group in range(10)]
    await asyncio.gather(*(broker.publish(submitted(*group)) for group in groups))
    received = await receive_names(await broker.subscribe(SUBMISSIONS, 50), 400)
    assert sorted(received) == sorted(name for group in groups for name in group)


async def test_prefetch_bounds_what_is_unsettled(broker: Broker) -> None:
    """A subscription gets no more than `prefetch` messages until it settles one."""
    await broker.publish(submitted("a", "b", "c", "d"))
    subscription = await broker.subscribe(SUBMISSIONS, 2)
    first = await receive(subscription)
    await receive(subscription)
    await assert_silent(subscription)
    await first.ack()
    assert (await receive(subscription)).message.id == "c"
    await assert_silent(subscription)


async def test_competing_subscriptions_share_a_queue(broker: Broker) -> None:
    """Each message of a queue goes to one of its subscriptions."""
    await broker.publish(submitted("a", "b", "c", "d"))
    one, other = await broker.subscribe(SUBMISSIONS, 2), await broker.subscribe(SUBMISSIONS, 2)
    names = {(await receive(subscription)).message.id for subscription in (one, one, other, other)}
    assert names == {"a", "b", "c", "d"}


async def test_an_idle_subscription_wakes_at_a_publish(broker: Broker) -> None:
    """A consumer that already waits gets a message as soon as it is published."""
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    waiting = asyncio.create_task(receive(subscription))
    await assert_silent(subscription)
    await broker.publish(submitted("late"))
    assert (await waiting).message.id == "late"


async def test_a_cancelled_receive_loses_no_message(broker: Broker) -> None:
    """What arrives after a receive was given up goes to the next receive."""
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    await assert_silent(subscription)
    await broker.publish(submitted("kept"))
    assert (await receive(subscription)).message.id == "kept"


async def test_ack_is_for_good(open_broker: OpenBroker) -> None:
    """An acknowledged message is not there when the broker is opened again, the others are."""
    broker = await open_broker()
    await broker.publish(submitted("done", "open"))
    await (await receive(await broker.subscribe(SUBMISSIONS, 1))).ack()
    await broker.close()
    broker = await open_broker()
    subscription = await broker.subscribe(SUBMISSIONS, 2)
    assert (await receive(subscription)).message.id == "open"
    await assert_silent(subscription)


async def test_published_messages_outlive_the_broker(open_broker: OpenBroker) -> None:
    """What publish returned for is delivered after the broker was closed and opened again."""
    broker = await open_broker()
    await broker.publish(submitted("a", "b"))
    await broker.close()
    broker = await open_broker()
    assert await receive_names(await broker.subscribe(SUBMISSIONS, 1), 2) == ["a", "b"]


async def test_unsettled_deliveries_come_back(open_broker: OpenBroker) -> None:
    """A delivery nobody settled comes again after its consumer closed, at the same attempt."""
    broker = await open_broker()
    await broker.publish(submitted("a"))
    await receive(await broker.subscribe(SUBMISSIONS, 5))
    await broker.close()
    broker = await open_broker()
    again = await receive(await broker.subscribe(SUBMISSIONS, 5))
    assert (again.message, again.attempt) == (*submitted("a"), 1)


async def test_retry_waits_and_counts(broker: Broker) -> None:
    """A retried message waits in its retry queue, then comes back whole with its attempt one higher."""
    message = Message(
        type=LeadsSubmitted.TYPE, id="a", body=b"\x00body", headers={"trace": "t"}, reply_to="r"
    )
    await broker.publish([message])
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    for attempt in (1, 2):
        delivery = await receive(subscription)
        assert delivery.attempt == attempt
        started = time.monotonic()
        await delivery.retry(1, "out of luck")
        assert await broker.depth(SUBMISSIONS.retry(1)) == 1
    delivery = await receive(subscription)
    assert time.monotonic() - started > 0.9
    assert (delivery.attempt, delivery.queue) == (3, SUBMISSIONS)
    back = delivery.message
    assert (back.type, back.id, back.body, back.reply_to) == (message.type, "a", message.body, "r")
    assert back.headers == {"trace": "t", "leadline-attempt": "3", "leadline-error": "out of luck"}


async def test_retry_frees_its_place_in_the_window(broker: Broker) -> None:
    """While a message waits for its next attempt, the ones behind it go on."""
    await broker.publish(submitted("slow", "next"))
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    await (await receive(subscription)).retry(30, "later")
    assert (await receive(subscription)).message.id == "next"


async def test_dead_letter_keeps_the_message_and_says_why(broker: Broker) -> None:
    """The dead queue holds the message with error, attempt and origin; its queue no longer does."""
    await broker.publish([Message(type=LeadsSubmitted.TYPE, id="a", body=b"bad", headers={"trace": "t"})])
    await (await receive(await broker.subscribe(SUBMISSIONS, 1))).dead_letter("no JSON")
    await assert_depth(broker, SUBMISSIONS.name, 0)
    assert await broker.depth(SUBMISSIONS.dead) == 1
    dead = (await receive(await broker.subscribe(DEAD_SUBMISSIONS, 1))).message
    assert (dead.type, dead.id, dead.body) == (LeadsSubmitted.TYPE, "a", b"bad")
    assert dead.headers == {
        "trace": "t",
        "leadline-attempt": "1",
        "leadline-error": "no JSON",
        "leadline-queue": SUBMISSIONS.name,
    }


async def test_an_error_of_any_length_fits(broker: Broker) -> None:
    """An error text longer than a header may be neither fails the move nor stays whole."""
    await broker.publish(submitted("a"))
    await (await receive(await broker.subscribe(SUBMISSIONS, 1))).dead_letter("ü" * 1_000_000)
    dead = (await receive(await broker.subscribe(DEAD_SUBMISSIONS, 1))).message
    assert dead.headers["leadline-error"] == "ü" * 2_000


async def test_requeue_gives_back_at_once(broker: Broker) -> None:
    """A message given back comes again without delay and without counting as an attempt."""
    await broker.publish(submitted("a"))
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    await (await receive(subscription)).requeue()
    again = await receive(subscription)
    assert (again.message.id, again.attempt) == ("a", 1)


@pytest.mark.parametrize("first", ["ack", "requeue", "dead_letter"])
async def test_only_the_first_settlement_counts(broker: Broker, first: str) -> None:
    """Settling a delivery again changes nothing, whatever became of the message."""
    await broker.publish(submitted("a", "b"))
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    delivery = await receive(subscription)
    await (delivery.dead_letter("bad") if first == "dead_letter" else getattr(delivery, first)())
    await delivery.ack()
    await delivery.requeue()
    await delivery.retry(1, "again")
    await delivery.dead_letter("again")
    expected = ["a", "b"] if first == "requeue" else ["b"]
    assert await receive_names(subscription, len(expected)) == expected
    await assert_silent(subscription)
    assert await broker.depth(SUBMISSIONS.retry(1)) == 0
    assert await broker.depth(SUBMISSIONS.dead) == (first == "dead_letter")


async def test_a_closed_subscription_gives_back_what_nobody_received(broker: Broker) -> None:
    """Closing returns the prefetched messages; those received may still be settled."""
    await broker.publish(submitted("held", "b", "c"))
    closing = await broker.subscribe(SUBMISSIONS, 3)
    held = await receive(closing)
    await closing.close()
    other = await broker.subscribe(SUBMISSIONS, 3)
    assert sorted(await receive_names(other, 2)) == ["b", "c"]
    await held.requeue()
    assert (await receive(other)).message.id == "held"


async def test_receive_ends_with_its_subscription(broker: Broker) -> None:
    """Who waits, and who asks later, learns that the stream ended; closing again is harmless."""
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    waiting = [asyncio.create_task(receive(subscription)) for _ in range(2)]
    await asyncio.sleep(0)
    await subscription.close()
    await subscription.close()
    for outcome in await asyncio.gather(*waiting, receive(subscription), return_exceptions=True):
        assert isinstance(outcome, Unavailable)


async def test_a_public_event_without_a_listener_is_dropped(broker: Broker) -> None:
    """A type that no queue is bound to is published without an error and goes nowhere."""
    await broker.publish([Message(type=ResultsScored.TYPE, id="a", body=b"{}")])
    assert [await broker.depth(queue.name) for queue in FEW.queues] == [0] * len(FEW.queues)


async def test_send_reaches_one_queue(broker: Broker) -> None:
    """A message sent by queue name goes there alone, whatever its type."""
    message = Message(type=LeadsAccepted.TYPE, id="a", body=b"{}")
    await broker.send(SUBMISSIONS.name, [message])
    assert (await receive(await broker.subscribe(SUBMISSIONS, 1))).message == message
    assert await broker.depth(RULES.name) == 0


async def test_a_missing_queue_is_an_error_unless_said_otherwise(broker: Broker) -> None:
    """Whoever names a queue that is not there is told so; best effort drops the message instead."""
    with pytest.raises(Permanent):
        await broker.send(MISSING.name, submitted("a"))
    with pytest.raises(Permanent):
        await broker.depth(MISSING.name)
    with pytest.raises(Permanent):
        await broker.subscribe(MISSING, 1)
    await broker.send(MISSING.name, submitted("a"), must_exist=False)
    await broker.send(SUBMISSIONS.name, submitted("b"), must_exist=False)
    assert await receive_names(await broker.subscribe(SUBMISSIONS, 1), 1) == ["b"]


async def test_depth_leaves_out_what_is_unsettled(broker: Broker) -> None:
    """Depth counts the messages that wait, not those in a consumer's hands."""
    await broker.publish(submitted("a", "b", "c"))
    assert await broker.depth(SUBMISSIONS.name) == 3
    delivery = await receive(await broker.subscribe(SUBMISSIONS, 1))
    await assert_depth(broker, SUBMISSIONS.name, 2)
    await delivery.ack()
    await assert_depth(broker, SUBMISSIONS.name, 1)


async def test_a_message_arrives_as_it_was_sent(broker: Broker) -> None:
    """Body bytes of any size and value, headers, reply queue and correlation survive the way."""
    message = Message(
        type=LeadsSubmitted.TYPE,
        id="größe",
        body=bytes(range(256)) * 4096,
        headers={"traceparent": "00-ü", "empty": ""},
        reply_to="their.queue",
        correlation_id="their id",
    )
    empty = Message(type=LeadsSubmitted.TYPE, id="empty", body=b"")
    await broker.publish([message, empty])
    subscription = await broker.subscribe(SUBMISSIONS, 2)
    assert (await receive(subscription)).message == message
    assert (await receive(subscription)).message == empty


async def test_our_headers_do_not_travel_on(broker: Broker) -> None:
    """Headers copied from a retried message into a new one do not make the new one old."""
    stained = {"leadline-attempt": "4", "leadline-error": "old", "trace": "t"}
    message = Message(type=LeadsSubmitted.TYPE, id="a", body=b"", headers=stained)
    await broker.publish([message])
    await broker.send(SUBMISSIONS.name, [message])
    subscription = await broker.subscribe(SUBMISSIONS, 2)
    for delivery in (await receive(subscription), await receive(subscription)):
        assert delivery.attempt == 1
        assert delivery.message.headers == {"trace": "t"}


async def test_a_closed_broker_is_unavailable(open_broker: OpenBroker) -> None:
    """After close every call says Unavailable at once, and settling does nothing."""
    broker = await open_broker()
    await broker.ping()
    await broker.publish(submitted("a"))
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    delivery = await receive(subscription)
    waiting = asyncio.create_task(receive(subscription))
    await asyncio.sleep(0)
    await broker.close()
    await broker.close()
    async with asyncio.timeout(60):
        for call in (
            waiting,
            subscription.receive(),
            broker.publish(submitted("b")),
            broker.send(SUBMISSIONS.name, submitted("b")),
            broker.subscribe(SUBMISSIONS, 1),
            broker.depth(SUBMISSIONS.name),
            broker.ping(),
        ):
            with pytest.raises(Unavailable):
                await call
        await delivery.ack()
        await subscription.close()
    again = await open_broker()
    assert await receive_names(await again.subscribe(SUBMISSIONS, 1), 1) == ["a"]


async def test_a_message_tells_when_it_was_first_published(broker: Broker) -> None:
    """Neither a retry nor dead lettering makes a message younger; its own headers do not show the time."""
    before = time.time()
    await broker.publish(submitted("a"))
    after = time.time()
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    delivery = await receive(subscription)
    first = delivery.message.published_at or 0
    assert before - 0.001 <= first <= after + 0.001
    assert not delivery.message.headers
    await delivery.retry(1, "not yet")
    delivery = await receive(subscription)
    assert delivery.message.published_at == first
    await delivery.dead_letter("never")
    dead = await receive(await broker.subscribe(DEAD_SUBMISSIONS, 1))
    assert dead.message.published_at == first


async def test_what_is_published_goes_on_in_the_present_trace(broker: Broker) -> None:
    """A message without a trace gets that of the work that publishes it, one with a trace keeps its own."""
    trace, other = f"00-{'1' * 32}-{'2' * 16}-01 vendor=kept,another=too", carried_by(continued(None))
    work = continued(trace)
    own = replace(submitted("own")[0], headers={"traceparent": other})
    with within(work):
        await broker.publish([*submitted("without"), own])
        await broker.send(SUBMISSIONS.name, submitted("sent"))
    await broker.publish(submitted("outside"))
    subscription = await broker.subscribe(SUBMISSIONS, 4)
    traces = {}
    for _ in range(4):
        message = (await receive(subscription)).message
        traces[message.id] = message.trace
    assert traces == {
        "without": carried_by(work),
        "own": other,
        "sent": carried_by(work),
        "outside": None,
    }
    assert carried_by(work).endswith("-01 vendor=kept,another=too")


async def test_suspects_come_one_at_a_time(open_broker: OpenBroker) -> None:
    """What was in hand at several deaths comes back whole and singly, while others are worked beside it."""
    suspects = submitted("a", "b", "c")
    broker = await after_deaths(open_broker, suspects, SUBMISSIONS)
    await broker.publish(submitted("new 1", "new 2"))
    subscription = await broker.subscribe(SUBMISSIONS, 10)
    came = await receive_all(subscription, 3)
    assert sorted(one.message.id for one in came)[1:] == ["new 1", "new 2"]
    for _ in range(2):
        (suspect,) = [one for one in came if one.message in suspects]
        assert suspect.attempt == 1
        await suspect.ack()
        came = await receive_all(subscription, 1)
    await came[0].ack()
    await assert_silent(subscription)
    await assert_depth(broker, SUBMISSIONS.name, 0)


async def test_a_process_has_one_suspect_of_all_its_queues(open_broker: OpenBroker) -> None:
    """Its death can be attributed to one message though it consumes from several queues."""
    chunk = Message(type=LeadsAccepted.TYPE, id="chunk", body=b"{}")
    broker = await after_deaths(open_broker, [chunk], RULES, AI)
    subscriptions = [await broker.subscribe(queue, 5) for queue in (RULES, AI)]
    receiving = [asyncio.create_task(receive(subscription)) for subscription in subscriptions]
    done, waiting = await asyncio.wait(receiving, return_when=asyncio.FIRST_COMPLETED, timeout=60)
    assert len(done) == 1
    assert not (await asyncio.wait(waiting, timeout=0.3))[0]
    await done.pop().result().ack()
    await (await waiting.pop()).ack()


async def test_deaths_spare_the_innocent(open_broker: OpenBroker, hasty: None) -> None:
    """However often a process is killed with messages in hand, they all are delivered when that is over."""
    names = [f"m{number:02}" for number in range(60)]
    broker = await open_broker()
    await broker.publish(submitted(*names))
    for _ in range(DELIVERY_LIMIT + 2):
        await receive_some(await broker.subscribe(SUBMISSIONS, 8))
        broker = await open_broker.after_crash(broker)
    received = await receive_names(await broker.subscribe(SUBMISSIONS, 8), len(names))
    assert sorted(received) == names
    assert await broker.depth(SUBMISSIONS.dead) == 0


async def test_messages_that_kill_are_dead_lettered_alone(open_broker: OpenBroker, hasty: None) -> None:
    """Two that end their process each time are dead after at most DELIVERY_LIMIT deaths each.

    By then all others are done, though they were in the same hands.
    """
    poison = {"poison 1", "poison 2"}
    names = [f"m{number:02}" for number in range(30)]
    broker = await open_broker()
    await broker.publish(submitted(*names[:5], "poison 1", *names[5:9], "poison 2", *names[9:]))
    done: set[str] = set()
    deaths = done_at_last_death = 0
    subscription = await broker.subscribe(SUBMISSIONS, 8)
    while await broker.depth(SUBMISSIONS.dead) < len(poison):
        try:
            async with asyncio.timeout(0.5):
                delivery = await subscription.receive()
        except TimeoutError:
            continue
        if delivery.message.id not in poison:
            done.add(delivery.message.id)
            await delivery.ack()
            continue
        deaths, done_at_last_death = deaths + 1, len(done)
        assert deaths <= len(poison) * DELIVERY_LIMIT
        broker = await open_broker.after_crash(broker)
        subscription = await broker.subscribe(SUBMISSIONS, 8)
    assert done_at_last_death == len(names)
    assert deaths >= DELIVERY_LIMIT
    dead = await receive_all(await broker.subscribe(DEAD_SUBMISSIONS, 3), 2)
    assert {one.message.id for one in dead} == poison
    for one in dead:
        assert one.message.headers == {
            "leadline-attempt": "1",
            "leadline-error": f"its consumer died {DELIVERY_LIMIT} times with it in hand",
            "leadline-queue": SUBMISSIONS.name,
        }


@pytest.mark.parametrize("suspected", [False, True])
async def test_a_clean_stop_is_no_death(open_broker: OpenBroker, suspected: bool) -> None:
    """However often a process stops in good order, what it gave back is delivered again."""
    if suspected:
        broker = await after_deaths(open_broker, submitted("a"), SUBMISSIONS)
    else:
        broker = await open_broker()
        await broker.publish(submitted("a"))
    for _ in range(DELIVERY_LIMIT + 2):
        subscription = await broker.subscribe(SUBMISSIONS, 1)
        delivery = await receive(subscription)
        await subscription.close()
        await delivery.requeue()
        await broker.close()
        broker = await open_broker()
    assert await receive_names(await broker.subscribe(SUBMISSIONS, 1), 1) == ["a"]


async def test_a_suspect_that_answers_is_none_any_more(open_broker: OpenBroker) -> None:
    """What a suspect leads to other than a death, a retry, is what it leads to for any message."""
    broker = await after_deaths(open_broker, submitted("a", "b"), SUBMISSIONS)
    subscription = await broker.subscribe(SUBMISSIONS, 5)
    for _ in range(2):
        await (await receive(subscription)).retry(1, "out of luck")
    again = await receive_all(subscription, 2)
    assert [one.attempt for one in again] == [2, 2]
    marks = {"leadline-attempt": "2", "leadline-error": "out of luck"}
    assert [one.message.headers for one in again] == [marks, marks]


async def test_a_closed_subscription_gives_back_its_suspect(open_broker: OpenBroker) -> None:
    """A suspect that nobody received goes to whoever subscribes next."""
    broker = await after_deaths(open_broker, submitted("a", "b"), SUBMISSIONS)
    closing = await broker.subscribe(SUBMISSIONS, 5)
    await assert_depth(broker, SUBMISSIONS.name, 1)
    await closing.close()
    assert sorted(await receive_names(await broker.subscribe(SUBMISSIONS, 5), 2)) == ["a", "b"]


async def test_depth_counts_the_suspects_that_wait(open_broker: OpenBroker) -> None:
    """A queue whose suspects wait for their turn does not look empty."""
    broker = await after_deaths(open_broker, submitted("a", "b", "c"), SUBMISSIONS)
    await assert_depth(broker, SUBMISSIONS.name, 3)
    await receive(await broker.subscribe(SUBMISSIONS, 5))
    await assert_depth(broker, SUBMISSIONS.name, 2)
