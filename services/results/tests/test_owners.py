"""Each user reads what is theirs alone: somebody else's id is as good as an unknown one, waits included."""

import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient, Response
from litestar.types import ASGIApp
from pydantic import SecretStr

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.http.service_map import ROUTES
from leadline_common.ids import new_id
from leadline_common.process.service import Health
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.scoring import Lead
from leadline_results.app import build_workflows
from leadline_results.runs.routes import results_routes
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.runs.store import Run
from leadline_results.workflows.machine import begin
from leadline_results.workflows.routes import workflow_routes
from leadline_results.workflows.sqlite import SqliteWorkflowStore
from leadline_testing.tables import every_row

from .builders import OFFER, START, Clock, done_record
from .workflow_builders import accepted

TOKENS = Tokens([SecretStr("3WkZ6mNQJ1yP0cT9rB8vXhLdF5gKaUe2")])
CLOSED_ROUTES = [route for route in ROUTES if route.service == "results"]
UNKNOWN_OLD = "01980000-0000-7000-8000-000000000000"
FILTERS = ["", "offer_id=offer", "upload_id=upload", "run_id=RUN", "run_id=RUN&status=pending", "min_score=0"]


@pytest.fixture
def run_id() -> str:
    """A run of Ann's, asked for just now."""
    return new_id()


@pytest.fixture
def workflow_id() -> str:
    """The workflow of a message of Ann's, sent just now."""
    return new_id()


@pytest.fixture
async def app(tmp_path: Path, run_id: str, workflow_id: str) -> AsyncIterator[ASGIApp]:
    """The application over stores that hold a run of Ann's with two results, and a workflow of hers."""
    store = SqliteResultStore(tmp_path / "results.db")
    run = Run(
        run_id=run_id,
        owner="ann",
        offer_id=OFFER.id,
        model="standard",
        total=2,
        started_at=START,
        progress_at=START,
    )
    await store.see_run(run)
    done = done_record(Lead(id="l1", name="Kim", role="CEO"), run_id=run_id, owner="ann")
    other = done_record(Lead(id="l2", name="Lee", role="CEO"), run_id=run_id, owner="ann", points=10)
    await store.insert([done, other])
    await store.settle_latest([done, other])
    workflow_store = SqliteWorkflowStore(tmp_path / "workflows.db")
    await workflow_store.insert([begin(accepted(workflow_id, "ann"), START)])
    broker, metrics = EmbeddedBroker(tmp_path / "broker.db"), Metrics(new_registry())
    retries = build_workflows(broker, workflow_store, metrics).retries
    routes = [
        *results_routes(store, Clock()),
        *workflow_routes(workflow_store, retries, stopping=lambda: False),
    ]
    yield build_app("Results", routes, Health([]), metrics, Authentication(TOKENS, open_to_all=False))
    await broker.close()
    await workflow_store.close()
    await store.close()


@pytest.fixture
async def ann(app: ASGIApp) -> AsyncIterator[AsyncClient]:
    """Whose results they are."""
    async with client_of(app, "ann") as client:
        yield client


@pytest.fixture
async def bob(app: ASGIApp) -> AsyncIterator[AsyncClient]:
    """Who must not read them."""
    async with client_of(app, "bob") as client:
        yield client


def client_of(app: ASGIApp, user_id: str | None) -> AsyncClient:
    """A client that sends a token of the user, or none."""
    token = user_id and TOKENS.sign(user_id, datetime.now(UTC), timedelta(hours=1))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = ASGITransport(app)  # type: ignore[arg-type]
    return AsyncClient(transport=transport, base_url="http://localhost", timeout=30, headers=headers)


@pytest.mark.parametrize("route", CLOSED_ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_route_asks_who_it_is(app: ASGIApp, route: tuple[str, str, str]) -> None:
    """Whatever the table of routes lists, now and later, is closed to who sends no token."""
    async with client_of(app, None) as nobody:
        answer = await nobody.request(route[0], route[1].replace("*", UNKNOWN_OLD))
    assert answer.status_code == 401


@pytest.mark.parametrize("filters", FILTERS)
async def test_results_are_ones_own(ann: AsyncClient, bob: AsyncClient, run_id: str, filters: str) -> None:
    """GET /results shows another user nothing, whatever run, offer or upload is asked for."""
    path = f"/results?{filters.replace('RUN', run_id)}"
    mine, theirs = await ann.get(path), await bob.get(path)
    assert len(mine.json()) == (0 if "pending" in filters else 2)
    assert (theirs.status_code, theirs.json(), theirs.headers["x-total-count"]) == (200, [], "0")


async def test_a_cursor_opens_nothing(ann: AsyncClient, bob: AsyncClient) -> None:
    """The address of somebody's next page shows another user what is theirs, which is nothing."""
    page = await ann.get("/results?limit=1")
    following = page.links["next"]["url"]
    assert [result["name"] for result in (await ann.get(following)).json()] == ["Lee"]
    assert (await bob.get(following)).json() == []


@every_row("kind", ["csv", "json", "ndjson"])
@every_row("filters", FILTERS)
async def test_an_export_is_ones_own(
    ann: AsyncClient, bob: AsyncClient, run_id: str, filters: str, kind: str
) -> None:
    """GET /results/export writes nothing of another user's into any kind of file."""
    path = f"/results/export?format={kind}&{filters.replace('RUN', run_id)}"
    mine, theirs = (await ann.get(path)).text, (await bob.get(path)).text
    assert ("Kim" in mine) == ("pending" not in filters)
    assert theirs == (await bob.get(f"/results/export?format={kind}&run_id={UNKNOWN_OLD}")).text


def told(answer: Response) -> str:
    """Return what an answer says, but for the trace, which every request has of its own."""
    return re.sub(r'"trace_id":"[0-9a-f]{32}"', "", answer.text)


async def test_a_run_is_ones_own(ann: AsyncClient, bob: AsyncClient, run_id: str) -> None:
    """GET /runs/{id} answers for another user's young run as for a young id nobody knows: not known yet."""
    assert (await ann.get(f"/runs/{run_id}")).json()["total"] == 2
    unknown_id = new_id()
    theirs, unknown = await bob.get(f"/runs/{run_id}"), await bob.get(f"/runs/{unknown_id}")
    assert (theirs.status_code, unknown.status_code) == (404, 404)
    assert told(theirs) == told(unknown).replace(unknown_id, run_id)
    assert theirs.headers["retry-after"] == unknown.headers["retry-after"]


async def test_nobody_waits_for_somebody_elses_run(bob: AsyncClient, run_id: str) -> None:
    """GET /runs/{id}?wait= neither answers for another user's run nor lasts as long as that does."""
    seconds = []
    for asked in (run_id, new_id()):
        started = time.monotonic()
        assert (await bob.get(f"/runs/{asked}?wait=60")).status_code == 404
        seconds.append(time.monotonic() - started)
    assert max(seconds) < 40


async def test_workflows_are_ones_own(ann: AsyncClient, bob: AsyncClient, workflow_id: str) -> None:
    """GET /leads lists another user nothing, and does not count it either."""
    mine, theirs = await ann.get("/leads"), await bob.get("/leads")
    assert [workflow["id"] for workflow in mine.json()] == [workflow_id]
    assert (theirs.json(), theirs.headers["x-total-count"]) == ([], "0")


@pytest.mark.parametrize(("method", "below"), [("GET", ""), ("GET", "/events"), ("POST", "/retry")])
async def test_a_workflow_is_ones_own(bob: AsyncClient, workflow_id: str, method: str, below: str) -> None:
    """Reading, watching and retrying another user's workflow answers as for an id that nobody knows."""
    unknown_id = new_id()
    theirs = await bob.request(method, f"/leads/{workflow_id}{below}")
    unknown = await bob.request(method, f"/leads/{unknown_id}{below}")
    assert (theirs.status_code, unknown.status_code) == (404, 404)
    assert told(theirs) == told(unknown).replace(unknown_id, workflow_id)


async def test_runs_and_prospects_are_ones_own(ann: AsyncClient, bob: AsyncClient, run_id: str) -> None:
    """GET /runs lists another user nothing, and a prospect's id is unknown to them."""
    assert [run["run_id"] for run in (await ann.get("/runs")).json()] == [run_id]
    theirs = await bob.get("/runs?offer_id=offer")
    assert (theirs.status_code, theirs.json(), theirs.headers["x-total-count"]) == (200, [], "0")
    assert (await ann.get("/results/l1")).json()["name"] == "Kim"
    hidden, unknown = await bob.get("/results/l1"), await bob.get("/results/l9")
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.text.replace("l1", "l9").split("trace_id")[0] == unknown.text.split("trace_id")[0]
