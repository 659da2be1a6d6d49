"""Both entrypoints for messages on two replicas over RabbitMQ and MongoDB."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from leadline_common.broker.port import Broker
from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_common.process.service import running
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.inbound import MessageAccepted, MessageSpec
from leadline_contracts.topology import RESULT_MESSAGES
from leadline_ingest.app import Ingest, build
from leadline_ingest.inbound.service import external_key
from leadline_ingest.stores.mongo import MongoIngestStore

pytestmark = pytest.mark.servers

EXAMPLES = Path(__file__).parents[3] / "examples"
ANN = "ann"


@pytest.fixture
def store_url(mongodb_url: str, mongodb_database_name: str) -> str:
    """A database of the test's own."""
    return urlsplit(mongodb_url)._replace(path=f"/{mongodb_database_name}").geturl()


@pytest.fixture
async def broker(rabbitmq_vhost_url: str) -> AsyncIterator[Broker]:
    """A connection of the test's own to the replicas' broker."""
    broker = await RabbitBroker.connect(rabbitmq_vhost_url)
    yield broker
    await broker.close()


@pytest.fixture
async def replicas(rabbitmq_vhost_url: str, store_url: str) -> AsyncIterator[list[Ingest]]:
    """Two running replicas of the service."""
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(2):
            store = await MongoIngestStore.connect(store_url)
            stack.push_async_callback(store.close)
            broker = await RabbitBroker.connect(rabbitmq_vhost_url)
            stack.push_async_callback(broker.close)
            ingest = build(broker, store, Metrics(new_registry()))
            await stack.enter_async_context(running([ingest.service], 2.0))
            started.append(ingest)
        yield started


def spec(text: str, external_message_id: str | None = None) -> MessageSpec:
    """A message by email."""
    return MessageSpec(
        name=None, contact_channel="email", message=text, external_message_id=external_message_id
    )


def publish_example(broker_url: str) -> Any:
    """Run the published example as its reader would, and return the answer it prints."""
    command = [sys.executable, str(EXAMPLES / "publish_message.py"), broker_url]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=120).stdout)


async def accepted(broker: Broker, count: int) -> list[MessageAccepted]:
    """Take so many messages that wait for the results service."""
    subscription = await broker.subscribe(RESULT_MESSAGES, count)
    messages = []
    async with asyncio.timeout(60):
        for _ in range(count):
            delivery = await subscription.receive()
            messages.append(MessageAccepted.decode(delivery.message.body))
            await delivery.ack()
    await subscription.close()
    return messages


async def test_replicas_agree_on_a_message_that_comes_to_both_at_once(
    replicas: list[Ingest], broker: Broker
) -> None:
    """A webhook that is delivered twice at once begins one workflow, with the text of one of them."""
    sent = [spec(f"Hello {number}", "chat-1") for number in range(20)]
    ids = await asyncio.gather(
        *(
            replicas[number % 2].messages.accept(ANN, one, external_key(ANN, one))
            for number, one in enumerate(sent)
        )
    )
    assert len(set(ids)) == 1
    messages = await accepted(broker, len(sent))
    assert messages == [messages[0]] * len(sent)
    assert messages[0].workflow_id == ids[0]


async def test_many_messages_at_once_are_all_there(replicas: list[Ingest], broker: Broker) -> None:
    """Each id that was answered is one message in the broker."""
    ids = await asyncio.gather(
        *(replicas[number % 2].messages.accept(ANN, spec("Hello"), None) for number in range(300))
    )
    assert len(set(ids)) == len(ids)
    assert {message.workflow_id for message in await accepted(broker, len(ids))} == set(ids)


@pytest.mark.usefixtures("replicas")
async def test_the_published_example_twice_begins_one_workflow(
    rabbitmq_vhost_url: str, broker: Broker
) -> None:
    """Whoever copies the example gets the id of the workflow, the same one again."""
    answers = [await asyncio.to_thread(publish_example, rabbitmq_vhost_url) for _ in range(2)]
    messages = await accepted(broker, 2)
    assert messages[0] == messages[1]
    assert messages[0].input.model_dump() == json.loads((EXAMPLES / "message.json").read_text("utf-8"))
    assert [answer["workflow_id"] for answer in answers] == [messages[0].workflow_id] * 2
