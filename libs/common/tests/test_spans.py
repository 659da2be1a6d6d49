"""Spans: what fails says so by a name out of few, and no text of a lead or an error stands in any."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from litestar import get
from litestar.params import FromPath, FromQuery
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer
from pymongo.errors import OperationFailure

from leadline_common.broker.consumer import Consumer, Handler
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Message
from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.process.service import Health
from leadline_common.storage import mongo
from leadline_common.storage.sqlite import Database
from leadline_common.telemetry import tracing
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_common.telemetry.tracing import begun, carried_by, ended, trace_id_of, within
from leadline_contracts.errors import Permanent
from leadline_contracts.scoring import LeadsSubmitted
from leadline_contracts.topology import SUBMISSIONS

SECRET = "Quetzalcoatlus"


class Spans(InMemorySpanExporter):
    """What was recorded."""

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans of that name."""
        return [span for span in self.get_finished_spans() if span.name == name]

    def text(self) -> str:
        """Return all that would be sent."""
        return "".join(span.to_json() for span in self.get_finished_spans())


@pytest.fixture(autouse=True)
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """Records what the test does."""
    spans, provider = Spans(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer: ContextVar[Tracer] = ContextVar("recording", default=provider.get_tracer("test"))  # noqa: B039
    monkeypatch.setattr(tracing, "_tracer", tracer)
    yield spans
    provider.shutdown()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    yield broker
    await broker.close()


class Refusing(Handler):
    """Takes two messages and gives up the one about which it is told."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.single: list[str] = []

    async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
        self.single += [message.id for message in messages if len(messages) == 1]
        if any(message.id == "bad" for message in messages):
            raise Permanent(f"cannot read {SECRET}")
        return []

    def on_dead_letter(self, message: Message, error: str) -> Sequence[Message]:
        self.done.set()
        return []


async def test_a_failed_message_says_so_in_its_own_trace(broker: EmbeddedBroker, spans: Spans) -> None:
    """Of two that are handled together one fails: its span alone says so, and not what the error says."""
    ids = {"good": "1" * 32, "bad": "2" * 32}
    asked = [
        Message(
            type=LeadsSubmitted.TYPE,
            id=name,
            body=SECRET.encode(),
            headers={"traceparent": f"00-{trace_id}-{'3' * 16}-01", "workflow_id": SECRET},
        )
        for name, trace_id in ids.items()
    ]
    await broker.publish(asked)
    handler = Refusing()
    consumer = Consumer(
        broker, handler, [SUBMISSIONS], Metrics(new_registry()), prefetch=2, batch=2, linger=30
    )
    consumer.start()
    await handler.done.wait()
    await consumer.stop(30)

    consumed = {
        f"{span.context.trace_id:032x}": span
        for span in spans.named(f"process {SUBMISSIONS.name}")
        if span.context is not None and not span.links
    }
    assert consumed[ids["good"]].status.is_unset
    assert not consumed[ids["bad"]].status.is_ok
    assert (consumed[ids["bad"]].attributes or {})["error.type"] == "Permanent"
    [batch] = [span for span in spans.named(f"process {SUBMISSIONS.name}") if span.links]
    assert {link.context.span_id for link in batch.links} == {
        span.context.span_id for span in consumed.values() if span.context is not None
    }
    published = {span.context.span_id for span in spans.named("publish leads.submitted.v1") if span.context}
    assert {span.parent.span_id for span in consumed.values() if span.parent} == published
    assert SECRET not in spans.text()


async def test_a_message_of_no_trace_is_published_without_a_span(
    broker: EmbeddedBroker, spans: Spans
) -> None:
    """Background work that belongs to nothing begins no trace for each of its messages."""
    await broker.publish([Message(type=LeadsSubmitted.TYPE, id="1", body=b"{}")])
    assert not spans.get_finished_spans()


async def test_a_store_is_asked_as_part_of_the_present_work(tmp_path: Path, spans: Spans) -> None:
    """A transaction is a span below the work's own, a failed one says so; outside of work there is none."""
    database = Database(tmp_path / "notes.db", "CREATE TABLE notes (text TEXT UNIQUE)")
    insert = "INSERT INTO notes VALUES (?)"
    await database.write(lambda connection: connection.execute(insert, (SECRET,)).rowcount)
    assert not spans.get_finished_spans()
    work = begun("work", None)
    with ended(work), within(work):
        await database.read(lambda connection: connection.execute("SELECT * FROM notes").fetchall())
        with pytest.raises(sqlite3.IntegrityError):
            await database.write(lambda connection: connection.execute(insert, (SECRET,)).rowcount)
    database.close()
    read, write, _ = spans.get_finished_spans()
    assert (read.name, write.name) == ("read notes.db", "write notes.db")
    assert read.parent is not None
    assert f"{read.parent.span_id:016x}" == carried_by(work).split("-")[2]
    assert read.status.is_unset
    assert (write.attributes or {})["error.type"] == "IntegrityError"
    assert SECRET not in spans.text()


@pytest.mark.servers
async def test_a_command_that_mongodb_refuses_says_so(
    mongodb_url: str, mongodb_database_name: str, spans: Spans
) -> None:
    """Its span has the server's code, and nothing of what was asked or answered."""
    database = mongo.connect(mongodb_url, "leadline-test").client[mongodb_database_name]
    work = begun("work", None)
    with ended(work), within(work):
        await database["notes"].insert_one({"text": SECRET})
        with pytest.raises(OperationFailure):
            await database["notes"].find({"$nonsense": SECRET}).to_list(1)
    database.client.close()
    [insert], [find] = spans.named("insert notes"), spans.named("find notes")
    assert insert.status.is_unset
    assert (find.attributes or {})["error.type"] == "2"  # BadValue
    assert {trace_id_of(carried_by(work))} == {
        f"{span.context.trace_id:032x}" for span in (insert, find) if span.context is not None
    }
    assert SECRET not in spans.text()


@pytest.mark.parametrize(
    ("method", "path", "name", "failed"),
    [
        ("GET", f"/things/{SECRET}?q={SECRET}", "GET /things/{name}", True),
        ("GET", f"/{SECRET}", "GET", False),
        (SECRET, "/things/1", "HTTP", False),
    ],
)
async def test_a_request_is_named_by_its_route(
    spans: Spans, method: str, path: str, name: str, failed: bool
) -> None:
    """Whatever is asked for, there are few names; a fault of ours marks the span, a caller's does not."""

    @get("/things/{name:str}")
    async def thing(name: FromPath[str], q: FromQuery[str] = "") -> None:
        raise RuntimeError(name + q)

    authentication = Authentication(Tokens([]), open_to_all=True)
    app = build_app("Things", [thing], Health([]), Metrics(new_registry()), authentication)
    transport = httpx.ASGITransport(cast(Any, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.request(method, path)
    [span] = spans.get_finished_spans()
    assert span.name == name
    assert span.status.is_unset is not failed
    assert (span.attributes or {})["http.response.status_code"] == answer.status_code
    assert SECRET not in spans.text()
