"""Workflows over HTTP, through the whole application, over a real store and for streams a real server."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from httpx import ASGITransport, AsyncClient, Response

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.clock import now
from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.http.server import serving
from leadline_common.ids import new_id
from leadline_common.process.service import Health
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.errors import Unavailable
from leadline_contracts.inbound import StepName
from leadline_contracts.topology import AI_EXTRACT
from leadline_results.app import build_workflows
from leadline_results.workflows import change_stream
from leadline_results.workflows.machine import Workflow, apply
from leadline_results.workflows.routes import workflow_routes
from leadline_results.workflows.sqlite import SqliteWorkflowStore
from leadline_testing.tables import every_row

from .builders import START, drained
from .workflow_builders import CLASSIFIED, ROUTED, answer, asked, at, completed, failed

OPEN = Authentication(Tokens([]), open_to_all=True)
OLD_ID = "016f5e66-e800-7000-8000-000000000000"
DRAIN_SECONDS = 10.0


class Served(NamedTuple):
    """A client of the application, and what is behind it."""

    client: AsyncClient
    store: SqliteWorkflowStore
    broker: EmbeddedBroker
    health: Health
    app: Any


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """The application over an empty store, in one event loop with its client."""
    store = SqliteWorkflowStore(tmp_path / "workflows.db")
    broker = EmbeddedBroker(tmp_path / "broker.db")
    metrics, health = Metrics(new_registry()), Health([])
    retries = build_workflows(broker, store, metrics).retries
    routes = workflow_routes(store, retries, lambda: health.stopping)
    app: Any = build_app("Results", routes, health, metrics, OPEN, idempotency=store)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://localhost", timeout=30) as client:
        yield Served(client, store, broker, health, app)
    await broker.close()
    await store.close()


@contextlib.asynccontextmanager
async def over_http(served: Served) -> AsyncIterator[AsyncClient]:
    """A client of the application behind a real server, which can stream."""
    async with (
        serving(served.app, "127.0.0.1", 0, DRAIN_SECONDS) as address,
        AsyncClient(base_url=address, timeout=30) as client,
    ):
        yield client


async def move(store: SqliteWorkflowStore, workflow: Workflow, **answering: Any) -> Workflow:
    """Answer the step under way in the store."""
    known = (await store.load([workflow.workflow_id]))[workflow.workflow_id]
    moved = apply(known, answer(known, **answering), START + timedelta(seconds=2))
    assert await store.replace([moved]) == set()
    return moved


def problem(response: Response, status: int) -> dict[str, Any]:
    """The problem that is the answer."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    return body


async def ids(client: AsyncClient, path: str) -> list[str]:
    """The ids that a list has."""
    response = await client.get(path)
    assert response.status_code == 200, response.text
    return [found["id"] for found in response.json()]


async def events(lines: AsyncIterator[str]) -> list[tuple[int, dict[str, Any]]]:
    """Every event of a stream up to its end: its id and its data."""
    found, number = [], 0
    async for line in lines:
        field, _, value = line.partition(": ")
        if field == "id":
            number = int(value)
        elif field == "event":
            assert value == "workflow"
        elif field == "data":
            found.append((number, json.loads(value)))
    return found


async def test_a_workflow_is_shown_in_full(served: Served) -> None:
    """What was sent comes back as it came, each step with its state, timings, output and who gave it."""
    workflow = await put(served, completed(external_message_id="m-1"))
    shown = (await served.client.get(f"/leads/{workflow.workflow_id}")).json()
    top = {name: shown[name] for name in ("id", "status", "epoch", "category", "queue", "priority")}
    assert top == {
        "id": workflow.workflow_id,
        "status": "completed",
        "epoch": 1,
        "category": "sales_new",
        "queue": "sales",
        "priority": "p0",
    }
    assert shown["input"] == workflow.input.model_dump()
    assert (shown["name"], shown["contact_channel"], shown["external_message_id"]) == (
        "Zoë",
        "whatsapp",
        "m-1",
    )
    assert list(shown["steps"]) == ["classify", "extract", "route"]
    step = shown["steps"]["classify"]
    assert step == {
        "status": "completed",
        "attempts": 1,
        "started_at": "2026-03-01T12:00:00Z",
        "finished_at": "2026-03-01T12:00:00Z",
        "deadline": "2026-03-01T12:05:00Z",
        "output": CLASSIFIED,
        "error": None,
        "source": {
            "source": "offline",
            "assessor": "offline-2",
            "prompt": "message.v1",
            "fallback": "no key",
        },
    }
    assert shown["steps"]["route"]["output"].items() >= ROUTED.items()
    assert [event["event"] for event in shown["history"]][:3] == ["accepted", "started", "completed"]
    assert shown["received_at"] == shown["updated_at"] == "2026-03-01T12:00:00Z"


async def put(served: Served, workflow: Workflow) -> Workflow:
    """Store a workflow."""
    await served.store.insert([workflow])
    return workflow


async def test_a_failed_step_is_shown_with_its_error(served: Served) -> None:
    """A caller sees which step failed and why, at which attempt, and what was skipped."""
    workflow = await put(served, failed(StepName.EXTRACT))
    steps = (await served.client.get(f"/leads/{workflow.workflow_id}")).json()["steps"]
    assert steps["extract"]["error"] == {
        "code": "refused",
        "message": "the model would not say",
        "attempt": 1,
    }
    assert [step["status"] for step in steps.values()] == ["completed", "failed", "skipped"]


@every_row("path", ["", "/events", "/retry"])
@every_row("name", [OLD_ID, "upload", "nothing", "%00", "x" * 500])
async def test_what_is_not_there_is_not_found(
    served: Served, monkeypatch: pytest.MonkeyPatch, path: str, name: str
) -> None:
    """An unknown id, and a word that is none, are looked for once at most, and refused in full words."""
    looks = 0
    load = served.store.load

    async def counted(workflow_ids: Any) -> dict[str, Workflow]:
        nonlocal looks
        looks += 1
        return await load(workflow_ids)

    monkeypatch.setattr(served.store, "load", counted)
    method = "POST" if path == "/retry" else "GET"
    body = problem(await served.client.request(method, f"/leads/{name}{path}"), 404)
    assert "POST /leads" in body["detail"]
    assert looks <= 1


@pytest.mark.parametrize("path", ["", "/events", "/retry"])
async def test_somebody_elses_workflow_is_not_found(served: Served, path: str) -> None:
    """Nobody learns that an id of another owner exists."""
    workflow = await put(served, failed(workflow_id=OLD_ID, owner="somebody"))
    method = "POST" if path == "/retry" else "GET"
    problem(await served.client.request(method, f"/leads/{OLD_ID}{path}"), 404)
    assert (await served.store.load([OLD_ID]))[OLD_ID].epoch == workflow.epoch
    assert await ids(served.client, "/leads") == []


async def test_a_new_id_is_waited_for(served: Served) -> None:
    """A read right after the message was sent finds its workflow as soon as that is known."""
    workflow = at(StepName.CLASSIFY)
    asking = asyncio.create_task(served.client.get(f"/leads/{workflow.workflow_id}"))
    await asyncio.sleep(0.2)
    assert not asking.done()
    await put(served, workflow)
    response = await asking
    assert (response.status_code, response.json()["status"]) == (200, "processing")


async def test_a_new_id_that_stays_unknown_says_when_to_ask_again(served: Served) -> None:
    """The wait is bounded, and the refusal is one to come back from."""
    started = time.monotonic()
    response = await served.client.get(f"/leads/{new_id()}")
    problem(response, 404)
    assert response.headers["Retry-After"] == "1"
    assert time.monotonic() - started > 1.9


async def test_lists_are_paged_newest_first(served: Served) -> None:
    """Following the Link header shows every workflow once, filters kept, with the total on each page."""
    made = [await put(served, completed()) for _ in range(5)]
    await put(served, failed())
    newest = [workflow.workflow_id for workflow in reversed(made)]
    path, seen = "/leads?limit=2&status=completed", []
    while path:
        response = await served.client.get(path)
        assert response.headers["X-Total-Count"] == "5"
        seen += [found["id"] for found in response.json()]
        link = response.headers.get("Link", "")
        assert "status=completed" in link or not link
        path = link.partition(">")[0].removeprefix("<")
    assert seen == newest


async def test_a_list_shows_workflows_in_short(served: Served) -> None:
    """A list tells what a person needs to pick one, without the message and the steps."""
    await put(served, completed())
    [found] = (await served.client.get("/leads")).json()
    expected = (
        "id status category queue priority name contact_channel external_message_id received_at updated_at"
    )
    assert list(found) == expected.split()


async def test_filters_are_combined(served: Served) -> None:
    """Each filter leaves what it names."""
    done, broken = await put(served, completed()), await put(served, failed())
    for path, expected in [
        ("/leads?status=failed", [broken]),
        ("/leads?category=sales_new&queue=sales&priority=p0", [done]),
        ("/leads?queue=support", []),
        ("/leads?status=Failed&category=SALES_NEW&priority=P1", []),
        ("/leads?since=2026-01-01T00:00:00Z", [broken, done]),
        ("/leads?since=2999-01-01", []),
    ]:
        assert await ids(served.client, path) == [workflow.workflow_id for workflow in expected], path


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("status=done", "status", "must be one of pending, processing, completed, failed"),
        ("category=sales", "category", "must be one of "),
        ("queue=trash", "queue", "must be one of "),
        ("priority=p9", "priority", "must be one of "),
        ("since=yesterday", "since", "must be a date or a time, like 2026-11-21"),
        ("limit=0", "limit", "must be a whole number from 1 to 500"),
        ("limit=501", "limit", "must be a whole number from 1 to 500"),
        ("state=failed", "state", "is not known; did you mean `status`?"),
    ],
)
async def test_a_wrong_filter_is_named(served: Served, query: str, field: str, said: str) -> None:
    """A caller learns which parameter is wrong, and what would be right."""
    [error] = problem(await served.client.get(f"/leads?{query}"), 422)["errors"]
    assert (error["field"], error["message"][: len(said)]) == (field, said)


async def test_a_cursor_that_is_none_is_refused(served: Served) -> None:
    """A made-up cursor is an error, not an empty page."""
    assert problem(await served.client.get("/leads?cursor=abc"), 400)["title"] == "Bad cursor"


async def test_a_failed_workflow_is_tried_again(served: Served) -> None:
    """The answer is the workflow on its way again, and the failed step is asked for once."""
    workflow = await put(served, failed(StepName.EXTRACT))
    response = await served.client.post(f"/leads/{workflow.workflow_id}/retry")
    assert response.status_code == 202, response.text
    assert (response.json()["status"], response.json()["epoch"]) == ("processing", 2)
    assert response.json()["steps"]["classify"]["output"] == CLASSIFIED
    [message] = await drained(served.broker, AI_EXTRACT)
    assert (asked(message).step, asked(message).epoch) == (StepName.EXTRACT, 2)
    problem(await served.client.post(f"/leads/{workflow.workflow_id}/retry"), 409)


async def test_a_retry_with_a_key_is_answered_again(served: Served) -> None:
    """Who lost the answer gets it, where without the key it would be told that nothing failed any more."""
    workflow = await put(served, failed(StepName.EXTRACT))
    path, key = f"/leads/{workflow.workflow_id}/retry", {"Idempotency-Key": "again"}
    first, again = [await served.client.post(path, headers=key) for _ in range(2)]
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (202, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert len(await drained(served.broker, AI_EXTRACT)) == 1


async def test_of_two_retries_at_once_one_counts(served: Served) -> None:
    """A double click starts the step once; the second gets a 409 since nothing is failed any more."""
    workflow = await put(served, failed(StepName.EXTRACT))
    calls = [served.client.post(f"/leads/{workflow.workflow_id}/retry") for _ in range(4)]
    statuses = [response.status_code for response in await asyncio.gather(*calls)]
    assert sorted(statuses) == [202, 409, 409, 409]
    assert len(await drained(served.broker, AI_EXTRACT)) == 1


async def test_a_retry_holds_though_the_broker_is_away(served: Served) -> None:
    """Once written it is not taken back: the step timeout publishes what the broker did not take."""
    workflow = await put(served, failed(StepName.EXTRACT))
    await served.broker.close()
    with pytest.raises(Unavailable):
        await served.broker.publish([])
    response = await served.client.post(f"/leads/{workflow.workflow_id}/retry")
    assert response.status_code == 202
    known = (await served.store.load([workflow.workflow_id]))[workflow.workflow_id]
    assert (known.current, known.epoch) == (StepName.EXTRACT, 2)
    assert [found.workflow_id for found in await served.store.due(now() + timedelta(minutes=6), 10)] == [
        workflow.workflow_id
    ]


@pytest.mark.parametrize("workflow", [at(StepName.ROUTE), completed()], ids=["processing", "completed"])
async def test_where_nothing_failed_there_is_nothing_to_retry(served: Served, workflow: Workflow) -> None:
    """The refusal says how the workflow stands."""
    await put(served, workflow)
    body = problem(await served.client.post(f"/leads/{workflow.workflow_id}/retry"), 409)
    detail = f"The workflow is {workflow.status}; only one that has failed can be tried again."
    assert (body["title"], body["detail"]) == ("Nothing failed", detail)


async def test_a_workflow_is_watched_to_its_end(served: Served) -> None:
    """Each change is an event with the state as it is then; the stream ends with the workflow."""
    workflow = await put(served, at(StepName.CLASSIFY))

    async def work() -> None:
        for _ in StepName:
            await asyncio.sleep(0.6)
            await move(served.store, workflow)

    async with over_http(served) as client:
        working = asyncio.create_task(work())
        async with client.stream("GET", f"/leads/{workflow.workflow_id}/events") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["cache-control"] == "no-cache"
            found = await events(response.aiter_lines())
        await working
    assert [number for number, _ in found] == [1, 2, 3, 4]
    assert [data["status"] for _, data in found] == ["processing"] * 3 + ["completed"]
    assert [data["category"] for _, data in found] == [None, "sales_new", "sales_new", "sales_new"]
    assert {"input", "history"}.isdisjoint(found[-1][1])
    assert found[-1][1]["steps"]["route"]["output"]["queue"] == "sales"


async def test_a_watcher_that_comes_back_gets_what_is_newer(served: Served) -> None:
    """With Last-Event-ID no event comes twice; after the end the answer is 204, so that browsers stop."""
    workflow = await put(served, at(StepName.ROUTE))
    await move(served.store, workflow)
    path = f"/leads/{workflow.workflow_id}/events"
    for last, expected in [("1", [2]), ("junk", [2]), ("", [2]), ("²", [2])]:
        headers = [(b"last-event-id", last.encode())]
        response = await served.client.get(path, headers=headers)
        assert [number for number, _ in await events(as_lines(response.text))] == expected
    over = await served.client.get(path, headers={"Last-Event-ID": "2"})
    assert (over.status_code, over.content) == (204, b"")


async def as_lines(text: str) -> AsyncIterator[str]:
    """The lines of a whole body, as a stream has them."""
    for line in text.splitlines():
        yield line


async def test_silence_is_broken_and_a_stream_is_bounded(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments keep a quiet connection open through proxies; after its time the client is to come back."""
    monkeypatch.setattr(change_stream, "_SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(change_stream, "_LIFETIME_SECONDS", 1.2)
    workflow = await put(served, at(StepName.ROUTE))
    response = await served.client.get(f"/leads/{workflow.workflow_id}/events")
    lines = response.text.splitlines()
    assert lines.count(": still there") == 2
    assert sum(line.startswith("data: ") for line in lines) == 1


async def test_a_stop_of_the_service_ends_streams_at_once(served: Served) -> None:
    """Watchers do not hold up a deployment: they come back to another replica."""
    workflow = await put(served, at(StepName.ROUTE))
    async with AsyncClient(timeout=30) as client:
        async with serving(served.app, "127.0.0.1", 0, 60) as address:
            url = f"{address}/leads/{workflow.workflow_id}/events"
            watching = asyncio.create_task(client.get(url))
            await asyncio.sleep(0.5)
            served.health.stopping = True
            stopped = time.monotonic()
        assert time.monotonic() - stopped < 40
        assert (await watching).status_code == 200


async def test_a_watcher_that_leaves_is_no_longer_served(served: Served) -> None:
    """Streams nobody reads cost nothing: the store is not asked any more."""
    workflow = await put(served, at(StepName.ROUTE))
    loads = 0
    load = served.store.load

    async def counted(workflow_ids: Any) -> dict[str, Workflow]:
        nonlocal loads
        loads += 1
        return await load(workflow_ids)

    served.store.load = counted  # type: ignore[method-assign]
    async with over_http(served) as client:
        async with client.stream("GET", f"/leads/{workflow.workflow_id}/events") as response:
            await anext(response.aiter_lines())
        await asyncio.sleep(0.3)
        loads = 0
        await asyncio.sleep(0.8)
        assert loads == 0
        served.health.stopping = True


async def test_a_store_that_goes_away_ends_the_stream(served: Served) -> None:
    """A stream that has begun ends cleanly, so that its client reconnects and gets the error then."""
    workflow = await put(served, at(StepName.ROUTE))
    watching = asyncio.create_task(served.client.get(f"/leads/{workflow.workflow_id}/events"))
    await asyncio.sleep(0.4)
    await served.store.close()
    response = await watching
    assert (response.status_code, response.text.count("data: ")) == (200, 1)
    problem(await served.client.get(f"/leads/{workflow.workflow_id}/events"), 503)
