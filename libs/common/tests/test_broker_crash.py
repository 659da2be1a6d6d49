"""A message that really kills its process, over each broker, with real processes and signals."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Broker, Message
from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_contracts.scoring import LeadsSubmitted
from leadline_contracts.topology import DELIVERY_LIMIT, LEADLINE, SUBMISSIONS, Queue, Topology

pytest_plugins = ["leadline_testing.pytest_servers"]
pytestmark = pytest.mark.slow

FEW = Topology(LEADLINE.exchange, (SUBMISSIONS,))

CONSUMER = """
import asyncio, os, signal, sys
from pathlib import Path
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_common.broker.consumer import Consumer
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.topology import LEADLINE, SUBMISSIONS, Topology

FEW = Topology(LEADLINE.exchange, (SUBMISSIONS,))

class Handler:
    async def handle(self, messages):
        for message in messages:
            if message.body == b"poison":
                os.kill(os.getpid(), signal.SIGKILL)
            print("done", message.id, flush=True)
        return []

    def bisect(self, message):
        return []

    def on_dead_letter(self, message, error):
        return []

async def main(place):
    broker = await RabbitBroker.connect(place, FEW) if "://" in place else EmbeddedBroker(Path(place))
    metrics = Metrics(new_registry("test", ""))
    consumer = Consumer(broker, Handler(), [SUBMISSIONS], metrics, prefetch=8, workers=4)
    consumer.start()
    while not await broker.depth(SUBMISSIONS.dead) or await broker.depth(SUBMISSIONS.name):
        await asyncio.sleep(0.05)
    await consumer.stop(10)
    await broker.close()

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the broker is: a path or a URL."""
    if request.param == "rabbitmq":
        return str(request.getfixturevalue("rabbitmq_vhost_url"))
    return str(tmp_path / "broker.db")


async def open_broker(place: str) -> Broker:
    return await RabbitBroker.connect(place, FEW) if "://" in place else EmbeddedBroker(Path(place))


async def publish(place: str, messages: list[Message]) -> None:
    broker = await open_broker(place)
    await broker.publish(messages)
    await broker.close()


async def dead_letters(place: str) -> list[str]:
    broker = await open_broker(place)
    count = await broker.depth(SUBMISSIONS.dead)
    subscription = await broker.subscribe(Queue(SUBMISSIONS.dead, ()), count)
    names = [(await subscription.receive()).message.id for _ in range(count)]
    await broker.close()
    return names


def test_a_message_that_kills_its_process_ends_alone(place: str) -> None:
    """It is dead after DELIVERY_LIMIT deaths, and all others are handled before the last of them."""
    names = [f"m{number}" for number in range(200)]
    messages = [Message(type=LeadsSubmitted.TYPE, id=name, body=b"") for name in names]
    poison = Message(type=LeadsSubmitted.TYPE, id="poison", body=b"poison")
    asyncio.run(publish(place, [*messages[:20], poison, *messages[20:]]))
    done: list[set[str]] = []
    for _ in range(DELIVERY_LIMIT + 1):
        command = [sys.executable, "-c", CONSUMER, place]
        process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=120)
        told = [line.split()[1] for line in process.stdout.splitlines() if line.startswith("done ")]
        done.append({*told, *(done[-1] if done else ())})
        if process.returncode != -signal.SIGKILL:
            break
    assert process.returncode == 0
    assert len(done) == DELIVERY_LIMIT + 1
    assert done[-2] == set(names)
    assert asyncio.run(dead_letters(place)) == ["poison"]
