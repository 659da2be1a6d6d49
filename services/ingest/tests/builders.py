"""The ingest service over its embedded adapters, and what tests send it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from litestar.types import ASGIApp
from prometheus_client import CollectorRegistry
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr

from leadline_common.broker.chunks import message_of
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Message
from leadline_common.clock import now
from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.ids import new_id
from leadline_common.process.service import running
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.scoring import Lead, Offer, RunFinished
from leadline_contracts.topology import RESULT_LEADS, Queue
from leadline_ingest.accounts.passwords import Passwords
from leadline_ingest.accounts.routes import account_routes
from leadline_ingest.accounts.service import Accounts
from leadline_ingest.app import Ingest, build
from leadline_ingest.inbound.routes import message_routes
from leadline_ingest.metrics import IngestMetrics
from leadline_ingest.prospects.offer_routes import offer_routes
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.prospects.upload_routes import upload_routes
from leadline_ingest.runs.routes import run_routes
from leadline_ingest.store import IngestStore
from leadline_ingest.stores.sqlite import SqliteIngestStore

T = TypeVar("T")

START = datetime(2026, 7, 1, 12, tzinfo=UTC)
COUNTED = IngestMetrics(CollectorRegistry())
"""For tests that ask for no figures."""
HEADER = "name,role,company,industry,location,linkedin_bio\n"
OFFER = {
    "name": "AI Outreach Automation",
    "value_props": ["24/7 outreach", "6x more meetings"],
    "ideal_use_cases": ["B2B SaaS mid-market"],
}
TOKENS = Tokens([SecretStr("3WkZ6mNQJ1yP0cT9rB8vXhLdF5gKaUe2")])
OPEN = Authentication(TOKENS, open_to_all=True)
"""Asks nobody who they are."""
CLOSED = Authentication(TOKENS, open_to_all=False)
"""Lets in who sends a token."""
QUICK_HASHES = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)])


class HearingBroker(EmbeddedBroker):
    """An embedded broker that also notes what leaves for other systems, by queue or by type."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.heard: list[tuple[str, Message]] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        await super().publish(messages)
        self.heard += [(message.type, message) for message in messages]

    async def send(self, queue: str, messages: Sequence[Message], *, must_exist: bool = True) -> None:
        await super().send(queue, messages, must_exist=must_exist)
        self.heard += [(queue, message) for message in messages]

    def heard_at(self, place: str) -> list[Message]:
        """What went to this queue, or under this type."""
        return [message for heard, message in self.heard if heard == place]


@dataclass(frozen=True)
class House:
    """The running service, and what it stands on."""

    store: SqliteIngestStore
    broker: HearingBroker
    ingest: Ingest
    app: ASGIApp
    metrics: Metrics


@asynccontextmanager
async def house(
    folder: Path, authentication: Authentication = OPEN, *, trusted_proxies: int = 0
) -> AsyncIterator[House]:
    """Run the whole service over files in the folder, with passwords that are quick to check."""
    async with AsyncExitStack() as stack:
        store = SqliteIngestStore(folder / "ingest.db")
        stack.push_async_callback(store.close)
        broker = HearingBroker(folder / "broker.db")
        stack.push_async_callback(broker.close)
        metrics = Metrics(new_registry())
        ingest = build(broker, store, metrics)
        health = await stack.enter_async_context(running([ingest.service], 2.0))
        accounts = Accounts(store, Passwords(QUICK_HASHES), TOKENS, timedelta(hours=1), now)
        routes = [
            *account_routes(accounts, trusted_proxies),
            *offer_routes(store),
            *upload_routes(store, now, ingest.metrics),
            *run_routes(ingest.runs),
            *message_routes(ingest.messages),
        ]
        app = build_app("Leadline ingest", routes, health, metrics, authentication, idempotency=store)
        yield House(store, broker, ingest, app, metrics)


def csv_of(count: int) -> bytes:
    """A file of so many good rows."""
    rows = (f"Ava {row},CTO,FlowMetrics,SaaS,Berlin,ten years\n" for row in range(2, count + 2))
    return (HEADER + "".join(rows)).encode()


def form_of(*parts: tuple[str, bytes], boundary: str = "cut") -> bytes:
    """A multipart body of these parts; those named `file` or `other` come as files."""
    body = b""
    for name, content in parts:
        filename = '; filename="leads.csv"' if name in {"file", "other"} else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


FORM = {"Content-Type": "multipart/form-data; boundary=cut"}
JSON = {"Content-Type": "application/json"}


def offer() -> Offer:
    """An offer of its own id."""
    return Offer(id=new_id(), name="AI Outreach", ideal_use_cases=["B2B SaaS"])


def leads(count: int, **fields: str) -> list[Lead]:
    """So many leads, with these fields besides their names."""
    return [
        Lead.model_validate({"id": new_id(), "name": f"Ava {number}", **fields}) for number in range(count)
    ]


async def uploaded(
    store: IngestStore, some: Iterable[Lead], *, owner: str = LOCAL_OWNER, offer_id: str | None = None
) -> Upload:
    """Store a ready upload that holds these leads."""
    prospects = [Prospect(row, lead) for row, lead in enumerate(some, start=2)]
    upload = Upload(
        id=new_id(),
        owner=owner,
        offer_id=offer_id,
        ready=True,
        last_row=prospects[-1].row if prospects else 0,
    )
    await store.open_upload(upload, START)
    await store.add_prospects(upload, prospects, START)
    await store.commit_upload(upload)
    return upload


async def drained(broker: EmbeddedBroker, queue: Queue = RESULT_LEADS) -> list[Message]:
    """Take all messages that wait in the queue."""
    count = await broker.depth(queue.name)
    subscription = await broker.subscribe(queue, max(count, 1))
    messages = []
    for _ in range(count):
        delivery = await subscription.receive()
        messages.append(delivery.message)
        await delivery.ack()
    await subscription.close()
    return messages


async def eventually(found: Callable[[], Awaitable[T]]) -> T:
    """Ask until the answer is something, at most ten seconds."""
    deadline = time.monotonic() + 60
    while not (answer := await found()):
        assert time.monotonic() < deadline, "it did not come to pass within a minute"
        await asyncio.sleep(0.01)
    return answer


def finished(run_id: str, scored: int, failed: int = 0) -> Message:
    """What the results service publishes at the end of a run."""
    end = RunFinished(
        owner=LOCAL_OWNER,
        run_id=run_id,
        total=scored + failed,
        scored=scored,
        failed=failed,
        started_at=START,
        finished_at=START,
    )
    return message_of(end, f"{run_id}:{RunFinished.TYPE}")


async def send(address: str, head: str, *pieces: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Begin a request over a socket of its own."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head} HTTP/1.1\r\nHost: {host}\r\n".encode())
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    return reader, writer
