"""The table of routes says what the services really serve."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from litestar.types import ControllerRouterHandler

from leadline_common.brokers.embedded import EmbeddedBroker
from leadline_common.http.api import build_app
from leadline_common.http.routing import ROUTES, service_for
from leadline_common.metrics import Metrics, new_registry
from leadline_common.service import Health
from leadline_ingest.publisher import Publisher
from leadline_ingest.routes import ingest_routes
from leadline_ingest.runs import Runs
from leadline_ingest.stores.sqlite import SqliteIngestStore
from leadline_results.routes import results_routes
from leadline_results.stores.sqlite import SqliteResultStore

Routes = dict[str, list[ControllerRouterHandler]]


@pytest.fixture
async def routes(tmp_path: Path) -> AsyncIterator[Routes]:
    """Each service's routes, over empty stores."""
    ingest_store = SqliteIngestStore(tmp_path / "ingest.db")
    result_store = SqliteResultStore(tmp_path / "results.db")
    broker = EmbeddedBroker(tmp_path / "broker.db")
    runs = Runs(ingest_store, Publisher(ingest_store, broker, now))
    yield {
        "ingest": ingest_routes(ingest_store, runs, now),
        "results": results_routes(result_store, now),
    }
    await broker.close()
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


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("POST", "/leads/upload/some-offer", "ingest"),
        ("GET", "/results/export", "results"),
        ("HEAD", "/results", "results"),
        ("GET", "/results/", "results"),
        ("GET", "/runs/some-run", "results"),
        ("DELETE", "/offer", "ingest"),
        ("GET", "/runs", None),
        ("GET", "/results/export/more", None),
        ("GET", "/offers", None),
    ],
)
def test_a_request_finds_its_service(method: str, path: str, service: str | None) -> None:
    """Each path goes to one service, a wrong method to the one that can refuse it, and no more."""
    assert service_for(method, path) == service


async def served(routes: Sequence[ControllerRouterHandler]) -> set[tuple[str, str]]:
    """Return what an application over the routes says it serves, operations aside, in the table's words."""
    app = build_app("Routes", routes, Health([]), Metrics(new_registry()))
    transport = httpx.ASGITransport(cast(Any, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://leadline") as client:
        paths = (await client.get("/schema/openapi.json")).json()["paths"]
    return {
        (method.upper(), re.sub(r"\{.*?\}", "*", path))
        for path, operations in paths.items()
        for method in operations
        if not path.startswith(("/health", "/metrics"))
    }
