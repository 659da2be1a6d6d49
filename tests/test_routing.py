"""The table of routes says what the services really serve."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from litestar.types import ControllerRouterHandler
from prometheus_client import CollectorRegistry

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.http.service_map import ROUTES, service_for
from leadline_common.process.service import Health
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_ingest.accounts.routes import account_routes
from leadline_ingest.app import build_accounts
from leadline_ingest.inbound.routes import message_routes
from leadline_ingest.inbound.service import Messages
from leadline_ingest.metrics import IngestMetrics
from leadline_ingest.prospects.offer_routes import offer_routes
from leadline_ingest.prospects.upload_routes import upload_routes
from leadline_ingest.runs.outbox import Outbox
from leadline_ingest.runs.routes import run_routes
from leadline_ingest.runs.service import Runs
from leadline_ingest.stores.sqlite import SqliteIngestStore
from leadline_results.app import build_workflows
from leadline_results.runs.routes import results_routes
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.workflows.routes import workflow_routes
from leadline_results.workflows.sqlite import SqliteWorkflowStore
from leadline_testing.tables import every_row

Routes = dict[str, list[ControllerRouterHandler]]


@pytest.fixture
async def routes(tmp_path: Path) -> AsyncIterator[Routes]:
    """Each service's routes, over empty stores."""
    ingest_store = SqliteIngestStore(tmp_path / "ingest.db")
    result_store = SqliteResultStore(tmp_path / "results.db")
    workflow_store = SqliteWorkflowStore(tmp_path / "workflows.db")
    broker = EmbeddedBroker(tmp_path / "broker.db")
    metrics = IngestMetrics(CollectorRegistry())
    runs = Runs(ingest_store, Outbox(ingest_store, broker, now, metrics))
    workflows = build_workflows(broker, workflow_store, Metrics(new_registry()))
    yield {
        "ingest": [
            *account_routes(build_accounts(ingest_store, Tokens([]), token_hours=1), trusted_proxies=0),
            *offer_routes(ingest_store),
            *upload_routes(ingest_store, now, metrics),
            *run_routes(runs),
            *message_routes(Messages(ingest_store, broker, now)),
        ],
        "results": [
            *results_routes(result_store, now),
            *workflow_routes(workflow_store, workflows.retries, lambda: False),
        ],
    }
    await broker.close()
    await workflow_store.close()
    await result_store.close()
    await ingest_store.close()


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


@pytest.mark.parametrize("service", ["ingest", "results"])
async def test_the_table_lists_what_a_service_serves(routes: Routes, service: str) -> None:
    """A route that is added or moved without the table is noticed before a gateway sends it astray."""
    listed = {(route.method, route.path) for route in ROUTES if route.service == service}
    assert await served(routes[service]) == listed


@every_row(
    ("method", "path", "service"),
    [
        ("POST", "/leads/upload/some-offer", "ingest"),
        ("GET", "/results/export", "results"),
        ("HEAD", "/results", "results"),
        ("POST", "/auth/login", "ingest"),
        ("GET", "/auth", None),
        ("GET", "/results/", "results"),
        ("GET", "/runs/some-run", "results"),
        ("POST", "/leads", "ingest"),
        ("GET", "/leads", "results"),
        ("GET", "/leads/", "results"),
        ("GET", "/leads/some-id", "results"),
        ("HEAD", "/leads/some-id", "results"),
        ("GET", "/leads/some-id/events", "results"),
        ("POST", "/leads/some-id/retry", "results"),
        ("POST", "/leads/some-id/retry/", "results"),
        ("POST", "/leads/some-id", "results"),
        ("POST", "/leads/upload", "ingest"),
        ("POST", "/leads/upload/retry", "ingest"),
        ("GET", "/leads/upload", "results"),
        ("DELETE", "/offer", "ingest"),
        ("GET", "/schema/openapi.json", "ingest"),
        ("GET", "/health/ready", "ingest"),
        ("GET", "/healthy", None),
        ("GET", "/metrics", None),
        ("GET", "/runs", "results"),
        ("GET", "/results/some-lead", "results"),
        ("GET", "/results/export/more", "results"),
        ("GET", "/offerings", None),
    ],
)
def test_a_request_finds_its_service(method: str, path: str, service: str | None) -> None:
    """Each path goes to one service, a wrong method to the one that can refuse it, and no more."""
    assert service_for(method, path) == service


async def served(routes: Sequence[ControllerRouterHandler]) -> set[tuple[str, str]]:
    """Return what an application over the routes says it serves, operations aside, in the table's words."""
    authentication = Authentication(Tokens([]), open_to_all=True)
    app = build_app("Routes", routes, Health([]), Metrics(new_registry()), authentication)
    transport = httpx.ASGITransport(cast(Any, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        paths = (await client.get("/schema/openapi.json")).json()["paths"]
    return {
        (method.upper(), re.sub(r"\{.*?\}", "*", path))
        for path, operations in paths.items()
        for method in operations
        if not path.startswith(("/health", "/metrics"))
    }
