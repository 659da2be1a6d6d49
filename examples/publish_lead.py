"""Publish a lead straight to the queue: python examples/publish_lead.py amqp://guest:guest@localhost/"""

import asyncio
import json
import sys

import aio_pika

LEAD = {"name": "Ava Patel", "role": "Head of Growth", "company": "FlowMetrics", "industry": "SaaS"}
OFFER = {"name": "AI Outreach Automation", "ideal_use_cases": ["B2B SaaS mid-market"]}


async def main(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.get_exchange("leadline")
        body = json.dumps({"offer": OFFER, "leads": [LEAD]}).encode()
        message = aio_pika.Message(
            body, message_id="crm-4711", delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        await exchange.publish(message, routing_key="leads.submitted.v1")


asyncio.run(main(sys.argv[1]))
