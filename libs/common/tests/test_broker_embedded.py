"""What the embedded broker adds to the port: its journal, crashes, and memory."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Delivery, Message, Subscription
from leadline_contracts.errors import Permanent, Unavailable
from leadline_contracts.scoring import LeadsSubmitted
from leadline_contracts.topology import AI, DELIVERY_LIMIT, LEADLINE, SUBMISSIONS, Topology

PUBLISHER = """
import asyncio, sys, time
from pathlib import Path
from leadline_common.broker.port import Message
from leadline_common.broker.embedded.broker import EmbeddedBroker

async def main():
    broker = EmbeddedBroker(Path(sys.argv[1]))
    for number in range(1_000_000):
        await broker.publish([Message(type="leads.submitted.v1", id=str(number), body=b"")])
        print(number, flush=True)

asyncio.run(main())
"""

OLD_JOURNAL = """
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    held INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    due REAL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    reply_to TEXT,
    correlation_id TEXT,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX ready ON messages (queue, seq) WHERE held = 0;
CREATE INDEX waiting ON messages (due) WHERE due IS NOT NULL;
CREATE INDEX crashed ON messages (crashes) WHERE crashes > 0;
INSERT INTO messages (queue, held, crashes, due, type, id, headers, body) VALUES
    ('leadline.ingest.submissions', 1, 0, NULL, 'leads.submitted.v1', 'held', '{"run_id": "r"}', x'7b7d'),
    ('leadline.ingest.submissions', 1, 9, NULL, 'leads.submitted.v1', 'kills', '{}', x'7b7d'),
    ('leadline.ingest.submissions.retry.1', 0, 0, 1.0, 'leads.submitted.v1', 'retried',
        '{"leadline-attempt": "2", "leadline-published-at": "1.000"}', x'7b7d'),
    ('leadline.gone.retry.1', 0, 0, 1.0, 'gone.v1', 'gone', '{}', x'7b7d');
"""
"""A journal as the first version made it, with a queue that there is no more."""


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    yield broker
    await broker.close()


def submitted(*names: str, body: bytes = b"") -> list[Message]:
    return [Message(type=LeadsSubmitted.TYPE, id=name, body=body) for name in names]


async def receive(subscription: Subscription) -> Delivery:
    async with asyncio.timeout(60):
        return await subscription.receive()


def test_a_killed_process_loses_nothing_it_was_answered_for(tmp_path: Path) -> None:
    """Every message whose publish returned before kill -9 is delivered by the next process."""
    journal = tmp_path / "broker.db"
    command = [sys.executable, "-c", PUBLISHER, str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as publisher:
        assert publisher.stdout is not None
        answered = [publisher.stdout.readline().strip() for _ in range(50)]
        os.kill(publisher.pid, signal.SIGKILL)
        answered += publisher.stdout.read().split()

    async def received() -> list[str]:
        broker = EmbeddedBroker(journal)
        waiting = await broker.depth(SUBMISSIONS.name)
        subscription = await broker.subscribe(SUBMISSIONS, 10_000)
        names = [(await receive(subscription)).message.id for _ in range(waiting)]
        await broker.close()
        return names

    assert asyncio.run(received())[: len(answered)] == answered


async def test_a_clean_stop_is_no_crash(tmp_path: Path) -> None:
    """However often a process closes in good order, what it held is delivered again."""
    for _ in range(DELIVERY_LIMIT + 1):
        broker = EmbeddedBroker(tmp_path / "broker.db")
        if await broker.depth(SUBMISSIONS.name) == 0:
            await broker.publish(submitted("a"))
        subscription = await broker.subscribe(SUBMISSIONS, 1)
        await (await receive(subscription)).requeue()
        await receive(subscription)
        await broker.close()
    broker = EmbeddedBroker(tmp_path / "broker.db")
    assert await broker.depth(SUBMISSIONS.name) == 1
    await broker.close()


async def test_a_retry_survives_a_restart(tmp_path: Path) -> None:
    """A message that waits for its next attempt comes back though nobody was there when it was due."""
    broker = EmbeddedBroker(tmp_path / "broker.db")
    await broker.publish(submitted("a"))
    await (await receive(await broker.subscribe(SUBMISSIONS, 1))).retry(1, "later")
    await broker.close()
    broker = EmbeddedBroker(tmp_path / "broker.db")
    delivery = await receive(await broker.subscribe(SUBMISSIONS, 1))
    assert (delivery.message.id, delivery.attempt) == ("a", 2)
    await broker.close()


async def test_a_journal_of_an_earlier_version_is_opened(tmp_path: Path) -> None:
    """What it holds comes back, is retried or is dead; a queue that went is left as it is."""
    path = tmp_path / "broker.db"
    with contextlib.closing(sqlite3.connect(path)) as earlier:
        earlier.executescript(OLD_JOURNAL)
    broker = EmbeddedBroker(path)
    subscription = await broker.subscribe(SUBMISSIONS, 2)
    found = [await receive(subscription) for _ in range(2)]
    assert [(one.message.id, one.attempt, one.message.body) for one in found] == [
        ("held", 1, b"{}"),
        ("retried", 2, b"{}"),
    ]
    assert await broker.depth(SUBMISSIONS.dead) == 1
    await broker.close()
    with contextlib.closing(sqlite3.connect(path)) as later:
        assert later.execute("SELECT queue FROM messages WHERE id = 'gone'").fetchall() == [
            ("leadline.gone.retry.1",)
        ]


async def test_a_broker_has_the_queues_of_its_topology_alone(tmp_path: Path) -> None:
    """Messages of other queues in the same journal wait for a broker that has them."""
    broker = EmbeddedBroker(tmp_path / "broker.db")
    await broker.publish(submitted("a"))
    await (await receive(await broker.subscribe(SUBMISSIONS, 1))).retry(1, "later")
    await broker.close()

    broker = EmbeddedBroker(tmp_path / "broker.db", Topology(LEADLINE.exchange, (AI,)))
    await broker.publish(submitted("b"))
    with pytest.raises(Permanent, match=SUBMISSIONS.name):
        await broker.depth(SUBMISSIONS.name)
    await broker.subscribe(AI, 1)
    await asyncio.sleep(1.1)  # the retry is due, and nobody here has its queue
    await broker.close()

    broker = EmbeddedBroker(tmp_path / "broker.db")
    assert (await receive(await broker.subscribe(SUBMISSIONS, 1))).message.id == "a"
    await broker.close()


async def test_what_is_set_aside_waits_for_the_next_opening(tmp_path: Path) -> None:
    """Messages with that header reach nobody, whatever queue they wait in; later they are where they were."""
    broker = EmbeddedBroker(tmp_path / "broker.db")
    await broker.publish([replace(one, headers={"run_id": one.id}) for one in submitted("tried", "a", "b")])
    await broker.publish(submitted("c"))
    await (await receive(await broker.subscribe(SUBMISSIONS, 1))).retry(1, "later")
    await broker.close()

    broker = EmbeddedBroker(tmp_path / "broker.db")
    await broker.set_aside("run_id", ["a", "tried"])
    assert await broker.depth(SUBMISSIONS.name) == 2
    subscription = await broker.subscribe(SUBMISSIONS, 10)
    assert [(await receive(subscription)).message.id for _ in range(2)] == ["b", "c"]
    await asyncio.sleep(1.2)  # until the retry is due
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await subscription.receive()
    await broker.close()

    broker = EmbeddedBroker(tmp_path / "broker.db")
    subscription = await broker.subscribe(SUBMISSIONS, 10)
    deliveries = [await receive(subscription) for _ in range(4)]
    assert [(one.message.id, one.attempt) for one in deliveries] == [
        ("a", 1),
        ("b", 1),
        ("c", 1),
        ("tried", 2),
    ]
    await broker.close()


async def test_each_retry_comes_back_in_its_own_time(broker: EmbeddedBroker) -> None:
    """A long wait does not hold up a shorter one that begins later."""
    await broker.publish(submitted("long", "short"))
    subscription = await broker.subscribe(SUBMISSIONS, 2)
    await (await receive(subscription)).retry(120, "later")
    started = time.monotonic()
    await (await receive(subscription)).retry(1, "later")
    assert (await receive(subscription)).message.id == "short"
    assert time.monotonic() - started > 0.9
    assert await broker.depth(SUBMISSIONS.retry(120)) == 1


async def test_memory_is_bounded_by_the_window(broker: EmbeddedBroker) -> None:
    """A subscription holds its prefetch in memory, not its queue."""
    body = bytes(10_000)
    for start in range(0, 3000, 500):
        await broker.publish(submitted(*(str(number) for number in range(start, start + 500)), body=body))
    tracemalloc.start()
    subscription = await broker.subscribe(SUBMISSIONS, 20)
    for _ in range(300):
        await (await receive(subscription)).ack()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * len(body)


async def test_a_cancelled_settlement_still_frees_its_place(broker: EmbeddedBroker) -> None:
    """A consumer cancelled while it acknowledges does not narrow the window for good."""
    await broker.publish(submitted("a", "b"))
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    settling = asyncio.create_task((await receive(subscription)).ack())
    await asyncio.sleep(0)
    settling.cancel()
    assert (await receive(subscription)).message.id == "b"


@pytest.mark.parametrize("steps", range(1, 9))
async def test_a_cancelled_close_still_gives_everything_back(broker: EmbeddedBroker, steps: int) -> None:
    """A consumer that is cancelled while it closes its subscription leaves no message held."""
    await broker.publish(submitted("a", "b"))
    closing = asyncio.create_task((await broker.subscribe(SUBMISSIONS, 2)).close())
    for _ in range(steps):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    following = await broker.subscribe(SUBMISSIONS, 2)
    assert {(await receive(following)).message.id for _ in range(2)} == {"a", "b"}


async def test_a_journal_that_cannot_be_opened_says_which(tmp_path: Path) -> None:
    """A data directory that is not there is named in the error."""
    with pytest.raises(Unavailable, match=r"nowhere.broker\.db cannot be opened"):
        EmbeddedBroker(tmp_path / "nowhere" / "broker.db")
