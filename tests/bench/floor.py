"""The floor: four thin processes that move the same bytes and write the same documents, and do nothing else.

`python -m tests.bench.floor ROLE BROKER_URL STORE_URL SAMPLE CHUNKS`, where SAMPLE is a JSON file with the
bodies of one chunk (`accepted`, `rules`, `ai`) and `document`, one lead's result as it is stored. The roles:
`publish` sends CHUNKS accepted bodies to three queues; `rules` and `ai` answer each with their body;
`results` takes all three kinds and inserts 50 documents a chunk once both answers are there.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage, AbstractRobustChannel
from motor.motor_asyncio import AsyncIOMotorClient

_IN_FLIGHT = 256
_PREFETCH = 200
_CHUNKS_A_WRITE = 20
_LEADS = 50
QUEUES = {
    "rules": "accepted",
    "ai": "accepted",
    "results.leads": "accepted",
    "results.rules": "rules",
    "results.ai": "ai",
}


async def main() -> None:
    """Play one role to its end."""
    role, broker_url, store_url, sample_path, chunks = sys.argv[1:]
    sample = json.loads(Path(sample_path).read_text(encoding="utf-8"))  # noqa: ASYNC240 - before anything runs
    async with await aio_pika.connect_robust(broker_url) as connection:
        channel = await connection.channel()
        await channel.set_qos(_PREFETCH)
        exchange = await channel.declare_exchange("floor", aio_pika.ExchangeType.TOPIC, durable=True)
        for name, key in QUEUES.items():
            queue = await channel.declare_queue(
                f"floor.{name}", durable=True, arguments={"x-queue-type": "quorum"}
            )
            await queue.bind(exchange, key)
        if role == "publish":
            await _publish(exchange, sample["accepted"].encode(), int(chunks))
        elif role == "results":
            await _store(channel, store_url, sample["document"], int(chunks))
        else:
            await _answer(channel, exchange, role, sample[role].encode(), int(chunks))


async def _publish(exchange: AbstractExchange, body: bytes, chunks: int) -> None:
    slots = asyncio.Semaphore(_IN_FLIGHT)
    async with asyncio.TaskGroup() as group:
        for _ in range(chunks):
            await slots.acquire()
            task = group.create_task(_send(exchange, body, "accepted"))
            task.add_done_callback(lambda _: slots.release())


async def _answer(
    channel: AbstractRobustChannel, exchange: AbstractExchange, role: str, body: bytes, chunks: int
) -> None:
    done = asyncio.Event()
    answered = 0

    async def answer(message: AbstractIncomingMessage) -> None:
        nonlocal answered
        await _send(exchange, body, role)
        await message.ack()
        answered += 1
        if answered == chunks:
            done.set()

    await (await channel.get_queue(f"floor.{role}")).consume(answer)
    await done.wait()


async def _store(
    channel: AbstractRobustChannel, store_url: str, document: dict[str, Any], chunks: int
) -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(store_url, w="majority", journal=True)
    results = client["floor"]["results"]
    await results.drop()
    await results.create_index([("run_id", 1), ("place", -1)])
    await results.create_index([("owner", 1), ("offer_id", 1), ("place", -1)])
    waiting: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    for name in ("results.leads", "results.rules", "results.ai"):
        await (await channel.get_queue(f"floor.{name}")).consume(waiting.put)
    number = stored = 0
    while stored < chunks:
        share = min(_CHUNKS_A_WRITE, chunks - stored)
        batch = [await waiting.get() for _ in range(3 * share)]
        documents = [{**document, "_id": f"{number + n}"} for n in range(share * _LEADS)]
        number += len(documents)
        await results.insert_many(documents, ordered=False)
        await asyncio.gather(*(message.ack() for message in batch))
        stored += share
    client.close()


async def _send(exchange: AbstractExchange, body: bytes, key: str) -> None:
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await exchange.publish(message, routing_key=key, timeout=60)


if __name__ == "__main__":
    asyncio.run(main())
