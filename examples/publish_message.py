"""Publish a message and print the answer: python examples/publish_message.py amqp://guest:guest@localhost/"""

import asyncio
import sys
from pathlib import Path

import aio_pika

MESSAGE = Path(__file__).with_name("message.json")


async def main(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.get_exchange("leadline")
        answers = await channel.declare_queue(exclusive=True)
        message = aio_pika.Message(
            MESSAGE.read_bytes(), reply_to=answers.name, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        await exchange.publish(message, routing_key="messages.submitted.v1")
        async with answers.iterator(timeout=30) as arriving:
            print((await anext(arriving)).body.decode())


asyncio.run(main(sys.argv[1]))
