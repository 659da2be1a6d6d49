"""Both adapters of each store's port, each on a store of the test's own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leadline_results.runs.mongo import MongoResultStore
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.runs.store import ResultStore
from leadline_results.workflows.mongo import MongoWorkflowStore
from leadline_results.workflows.sqlite import SqliteWorkflowStore
from leadline_results.workflows.store import WorkflowStore

OpenStore = Callable[[], Awaitable[ResultStore]]


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.servers)])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Open the test's store, again and again as replicas do."""
    opened: list[ResultStore] = []
    if request.param == "mongo":
        name = request.getfixturevalue("mongodb_database_name")
        url = urlsplit(request.getfixturevalue("mongodb_url"))._replace(path=f"/{name}").geturl()

    async def open_one() -> ResultStore:
        store: ResultStore
        if request.param == "mongo":
            store = await MongoResultStore.connect(url)
        else:
            store = SqliteResultStore(tmp_path / "results.db")
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> ResultStore:
    """An empty store."""
    return await open_store()


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.servers)])
async def workflow_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WorkflowStore]:
    """An empty store of workflows."""
    store: WorkflowStore
    if request.param == "mongo":
        name = request.getfixturevalue("mongodb_database_name")
        url = urlsplit(request.getfixturevalue("mongodb_url"))._replace(path=f"/{name}").geturl()
        store = await MongoWorkflowStore.connect(url)
    else:
        store = SqliteWorkflowStore(tmp_path / "workflows.db")
    yield store
    await store.close()
