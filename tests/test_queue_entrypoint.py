"""Leads that other systems publish straight to RabbitMQ."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from tests.support import EXAMPLES, OFFER, Leadline

from leadline_contracts.scoring import LeadsRejected, LeadsSubmitted, ResultsScored
from leadline_contracts.topology import LEADLINE, SUBMISSIONS

pytestmark = pytest.mark.servers

GOOD = {"name": "Ada", "role": "CTO", "company": "Engines", "industry": "SaaS"}


@pytest.fixture
def broker_url(services: Leadline) -> str:
    """Where the services' RabbitMQ is."""
    assert services.broker_url is not None
    return services.broker_url


async def test_the_published_example_twice_scores_once(services: Leadline, broker_url: str) -> None:
    """A system that publishes the same message again gets one run and one result, not two."""
    before = await asyncio.to_thread(settled_submissions, services)
    async with listening(broker_url, ResultsScored.TYPE) as (_, events):
        for _ in range(2):
            await asyncio.to_thread(publish_example, broker_url)
        scored = await body_of_next(events)
    await asyncio.to_thread(await_settled_submissions, services, before + 2)
    run = await asyncio.to_thread(services.client.finished_run, scored["run_id"])
    results = await asyncio.to_thread(services.client.results, offer_id=scored["offer_id"])
    assert (run["total"], run["scored"]) == (1, 1)
    assert [(result["name"], result["run_id"]) for result in results] == [("Ava Patel", run["run_id"])]


async def test_a_sender_who_asks_gets_an_answer(services: Leadline, broker_url: str) -> None:
    """`reply_to` gets what was taken, what not and why, and the run to follow."""
    body = {"offer": OFFER, "leads": [GOOD, {"name": 7}, {}]}
    reply = await ask(broker_url, body)
    assert reply["accepted"] == 1
    assert [(rejected["index"], rejected["field"]) for rejected in reply["rejected"]] == [
        *((1, "name"), (2, "lead"))
    ]
    await asyncio.to_thread(services.client.finished_run, reply["run_id"])
    [result] = await asyncio.to_thread(services.client.results, run_id=reply["run_id"])
    assert (result["name"], result["status"]) == ("Ada", "scored")


async def test_what_a_lead_came_with_comes_back(services: Leadline, broker_url: str) -> None:
    """A CRM finds its record by its own id, in the event and in the result, with all else that it sent."""
    more = {"external_id": "crm-7", "extra": {"Stage": "won", "a.$b": 7, "": "untitled"}}
    async with listening(broker_url, ResultsScored.TYPE) as (_, events):
        reply = await ask(broker_url, {"offer": OFFER, "leads": [{**GOOD, **more}, GOOD]})
        while (event := await body_of_next(events))["run_id"] != reply["run_id"]:
            pass  # of another test
    await asyncio.to_thread(services.client.finished_run, reply["run_id"])
    results = await asyncio.to_thread(services.client.results, run_id=reply["run_id"])
    came = {result["external_id"]: (result["extra"], result["row"]) for result in results}
    assert came == {"crm-7": ({"Stage": "won", "a.$b": "7", "": "untitled"}, None), None: ({}, None)}
    assert [one["external_id"] for one in event["results"] if "external_id" in one] == ["crm-7"]
    rows = await asyncio.to_thread(services.client.exported_rows, run_id=reply["run_id"])
    assert sorted((row["external_id"], row["name"], row["Stage"]) for row in rows) == [
        ("", "Ada", ""),
        ("crm-7", "Ada", "won"),
    ]


async def test_leads_may_name_a_known_offer(services: Leadline, broker_url: str) -> None:
    """An offer made over REST scores leads from the queue; an unknown one is refused with the reason."""
    offer_id = await asyncio.to_thread(services.client.create_offer)
    known = await ask(broker_url, {"offer_id": offer_id, "leads": [GOOD]})
    assert known["accepted"] == 1
    unknown = await ask(broker_url, {"offer_id": "unknown", "leads": [GOOD]})
    assert unknown["accepted"] == 0
    assert "unknown" in unknown["error"]


async def test_what_cannot_be_read_is_kept_with_the_reason(services: Leadline, broker_url: str) -> None:
    """A body that is no JSON goes to the dead-letter queue, and a public event says why."""
    async with listening(broker_url, LeadsRejected.TYPE) as (channel, events):
        await publish(channel, b"no JSON at all", message_id="unreadable")
        told = await body_of_next(events)
        dead = await channel.get_queue(SUBMISSIONS.dead)
        while (kept := await next_of(dead)).message_id != "unreadable":
            pass  # left by another test
    assert told["message_id"] == "unreadable"
    assert "JSON" in told["error"]
    assert kept.body == b"no JSON at all"
    assert "JSON" in str(kept.headers["leadline-error"])


def publish_example(broker_url: str) -> None:
    """Run the published example as its reader would."""
    subprocess.run([sys.executable, EXAMPLES / "publish_lead.py", broker_url], check=True, timeout=120)


def settled_submissions(services: Leadline) -> int:
    """Return how many submissions the ingest service has taken."""
    metrics = httpx.get(f"{services.addresses['ingest']}/metrics", trust_env=False).text
    line = rf'leadline_messages_settled_total{{outcome="acked",queue="{SUBMISSIONS.name}"}} (\d+)'
    found = re.search(line, metrics)
    return int(found[1]) if found else 0


def await_settled_submissions(services: Leadline, count: int) -> None:
    """Wait until so many have been taken."""
    deadline = time.monotonic() + 60
    while settled_submissions(services) < count:
        assert time.monotonic() < deadline, "the submissions were not taken in time"
        time.sleep(0.05)


@asynccontextmanager
async def listening(broker_url: str, kind: str) -> AsyncIterator[tuple[AbstractChannel, AbstractQueue]]:
    """Yield a channel and a queue that gets all messages of a type, as any other system can have."""
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(LEADLINE.exchange, kind)
        yield channel, queue


async def ask(broker_url: str, body: object) -> Any:
    """Publish a submission and return the answer to it."""
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        answers = await channel.declare_queue(exclusive=True)
        await publish(channel, json.dumps(body).encode(), reply_to=answers.name, correlation_id="mine")
        answer = await next_of(answers)
        assert answer.correlation_id == "mine"
        return json.loads(answer.body)


async def publish(channel: AbstractChannel, body: bytes, **properties: str) -> None:
    """Publish a submission."""
    exchange = await channel.get_exchange(LEADLINE.exchange)
    message = aio_pika.Message(
        body,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=properties.get("message_id"),
        reply_to=properties.get("reply_to"),
        correlation_id=properties.get("correlation_id"),
    )
    await exchange.publish(message, routing_key=LeadsSubmitted.TYPE)


async def body_of_next(queue: AbstractQueue) -> Any:
    """Return what the next message says."""
    return json.loads((await next_of(queue)).body)


async def next_of(queue: AbstractQueue) -> AbstractIncomingMessage:
    """Wait up to ten seconds for the next message of a queue."""
    for _ in range(200):
        if (message := await queue.get(fail=False, no_ack=True)) is not None:
            return message
        await asyncio.sleep(0.05)
    raise AssertionError(f"no message came to {queue.name}")
