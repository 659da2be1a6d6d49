"""What is cancelled or cut off in the middle of a call to RabbitMQ ends, and harms no other call."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress

import pytest

from leadline_common.broker.port import Message
from leadline_common.broker.rabbitmq import broker as rabbitmq
from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_contracts.errors import Unavailable
from leadline_contracts.scoring import LeadsSubmitted
from leadline_contracts.topology import LEADLINE, SUBMISSIONS, Topology

pytest_plugins = ["leadline_testing.pytest_servers"]
pytestmark = pytest.mark.servers

_ROUNDS = 100

Call = Callable[[RabbitBroker], Awaitable[object]]


@pytest.fixture
async def broker(rabbitmq_vhost_url: str) -> AsyncIterator[RabbitBroker]:
    broker = await RabbitBroker.connect(rabbitmq_vhost_url, Topology(LEADLINE.exchange, (SUBMISSIONS,)))
    yield broker
    await broker.close()


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The address of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}/"


async def depth(broker: RabbitBroker) -> None:
    await broker.depth(SUBMISSIONS.name)


async def ping(broker: RabbitBroker) -> None:
    await broker.ping()


async def publish(broker: RabbitBroker) -> None:
    await broker.publish([Message(type=LeadsSubmitted.TYPE, id="a", body=b"{}")])


async def consume(broker: RabbitBroker) -> None:
    await (await broker.subscribe(SUBMISSIONS, 1)).close()


async def duration_of(call: Call, broker: RabbitBroker) -> float:
    """Return the seconds that a call takes; the second time, since the first may open what it needs."""
    await call(broker)
    started = time.monotonic()
    await call(broker)
    return time.monotonic() - started


def connections_lost(broker: RabbitBroker) -> list[object]:
    """Return a list that grows with each connection that ends."""
    lost: list[object] = []
    broker._connection.close_callbacks.add(lambda *reason: lost.append(reason))
    return lost


@pytest.mark.parametrize("call", [depth, ping, publish, consume])
async def test_a_cancelled_call_ends_as_cancelled(broker: RabbitBroker, call: Call) -> None:
    """At whatever moment a task is cancelled, it ends, and the connection stays as it is for all others."""
    rng = random.Random(3)
    whole = await duration_of(call, broker)
    lost = connections_lost(broker)
    for _ in range(_ROUNDS):
        task = asyncio.ensure_future(call(broker))
        await asyncio.sleep(rng.random() * whole)
        if task.cancel():
            await asyncio.wait([task], timeout=60)
            assert task.cancelled()
        await ping(broker)
    assert not lost


async def test_a_call_that_is_cut_off_costs_no_connection(
    broker: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ping that takes too long is unavailable, and consumers on the same connection notice nothing."""
    rng = random.Random(3)
    whole = await duration_of(ping, broker)
    lost = connections_lost(broker)
    for _ in range(_ROUNDS):
        with monkeypatch.context() as patch, suppress(Unavailable):
            patch.setattr(rabbitmq, "_ANSWER", rng.random() * whole)
            await broker.ping()
        await ping(broker)
    assert not lost


async def test_nothing_remains_of_a_connection_that_was_given_up(
    silent_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is cancelled while connecting, or waits in vain, leaves no task that connects on and on."""
    before = asyncio.all_tasks()
    connecting = asyncio.create_task(RabbitBroker.connect(silent_url))
    await asyncio.sleep(0.2)
    connecting.cancel()
    await asyncio.wait([connecting], timeout=60)
    assert connecting.cancelled()
    monkeypatch.setattr(rabbitmq, "TIMEOUT", 0.2)
    with pytest.raises(Unavailable):
        await RabbitBroker.connect(silent_url)
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() - before == set()
