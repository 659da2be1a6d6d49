from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leadline_ai.limiter import breaker
from leadline_ai.store import AiStore
from leadline_ai.stores.mongo import MongoAiStore
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_contracts.scoring import Lead, Offer
from leadline_testing.model_answers import answer_from_schema
from leadline_testing.model_server import ModelServer

OpenStore = Callable[[], Awaitable[AiStore]]


@pytest.fixture
def offer() -> Offer:
    return Offer(
        id="offer-1",
        name="AI Outreach",
        value_props=["24/7 outreach", "6x more meetings"],
        ideal_use_cases=["B2B SaaS mid-market"],
    )


@pytest.fixture
def leads() -> list[Lead]:
    """Three that a table of roles and industries tells apart, and one of which nothing is known."""
    return [
        Lead(id="ava", name="Ava Patel", role="Head of Growth", company="FlowMetrics", industry="SaaS"),
        Lead(id="ben", name="Ben Ito", role="Marketing Manager", company="Milk & Co", industry="Dairy"),
        Lead(id="cleo", name="Cléo Roy", role="Boulangère", company="Au Pain", industry="Bakery"),
        Lead(id="blank"),
    ]


@pytest.fixture
async def server(request: pytest.FixtureRequest) -> AsyncIterator[ModelServer]:
    """A local provider, which answers as the test's module says in ANSWER."""
    async with ModelServer(answer=getattr(request.module, "ANSWER", answer_from_schema)) as running:
        yield running


@pytest.fixture
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a failing provider be asked again at once, so that no lead is spared a call by waiting."""
    monkeypatch.setattr(breaker, "_FIRST_PROBE_DELAY", 0.0)
    monkeypatch.setattr(breaker, "_LONGEST_PROBE_DELAY", 0.0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteAiStore]:
    """An empty store of one process."""
    opened = SqliteAiStore(tmp_path / "ai.db")
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.servers)])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Open the test's store, again and again as replicas do."""
    opened: list[AiStore] = []
    if request.param == "mongo":
        name = request.getfixturevalue("mongodb_database_name")
        url = urlsplit(request.getfixturevalue("mongodb_url"))._replace(path=f"/{name}").geturl()

    async def open_one() -> AiStore:
        store: AiStore
        if request.param == "mongo":
            store = await MongoAiStore.connect(url)
        else:
            store = SqliteAiStore(tmp_path / "ai.db")
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def each_store(open_store: OpenStore) -> AiStore:
    """An empty store of each kind."""
    return await open_store()
