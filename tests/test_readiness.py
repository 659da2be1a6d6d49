"""Every store adapter under the service that stands on it: ready with the store, and only with it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import pytest

from leadline_ai.app import build as build_ai
from leadline_ai.settings import AssessorSettings
from leadline_ai.stores.mongo import MongoAiStore
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Broker
from leadline_common.process.service import Health, Service
from leadline_common.storage.mongo import MongoStore
from leadline_common.storage.sqlite import SqliteStore
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_ingest.app import build as build_ingest
from leadline_ingest.stores.mongo import MongoIngestStore
from leadline_ingest.stores.sqlite import SqliteIngestStore
from leadline_results.app import build as build_results
from leadline_results.app import build_workflows
from leadline_results.runs.mongo import MongoResultStore
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.workflows.mongo import MongoWorkflowStore
from leadline_results.workflows.sqlite import SqliteWorkflowStore
from leadline_testing.tcp_proxy import TcpProxy


class Adapters(NamedTuple):
    """Both adapters of a port, and the service over one of them."""

    sqlite: Callable[[Path], SqliteStore]
    mongo: type[MongoStore]
    build: Callable[[Broker, Any, Metrics], Service]


PORTS = {
    "ingest_store": Adapters(
        SqliteIngestStore, MongoIngestStore, lambda *parts: build_ingest(*parts).service
    ),
    "ai_store": Adapters(
        SqliteAiStore,
        MongoAiStore,
        lambda broker, store, metrics: (
            build_ai(broker, store, None, AssessorSettings.model_validate({"ai": "offline"}), metrics).service
        ),
    ),
    "results_store": Adapters(SqliteResultStore, MongoResultStore, build_results),
    "workflow_store": Adapters(
        SqliteWorkflowStore, MongoWorkflowStore, lambda *parts: build_workflows(*parts).service
    ),
}
"""The ports by the names of their readiness checks."""


class Place(Protocol):
    """Where a store is, which can be taken from it and given back."""

    named: str
    """What the failed check names."""

    async def open(self, adapters: Adapters) -> SqliteStore | MongoStore:
        """Open the adapter that goes with this place."""

    async def take(self) -> None:
        """Let the store write no more."""

    async def give_back(self) -> None:
        """Let it write again."""


class LockedFile(Place):
    """A file that another process can hold locked."""

    named = "store.db"

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._path = folder / self.named
        self._stack = stack

    async def open(self, adapters: Adapters) -> SqliteStore:
        store = adapters.sqlite(self._path)
        self._stack.push_async_callback(store.close)
        self._other = sqlite3.connect(self._path, isolation_level=None)
        self._stack.callback(self._other.close)
        return store

    async def take(self) -> None:
        self._other.execute("BEGIN IMMEDIATE")

    async def give_back(self) -> None:
        self._other.execute("ROLLBACK")


class StalledServer(Place):
    """A server behind a proxy, which can fall silent."""

    named = "MongoDB (LEADLINE_STORE_URL)"

    def __init__(self, proxy: TcpProxy, database: str, stack: AsyncExitStack) -> None:
        self._proxy = proxy
        self._url = f"mongodb://{proxy.host}:{proxy.port}/{database}?directConnection=true"
        self._stack = stack

    async def open(self, adapters: Adapters) -> MongoStore:
        store = await adapters.mongo.connect(self._url)
        self._stack.push_async_callback(store.close)
        return store

    async def take(self) -> None:
        self._proxy.stall()

    async def give_back(self) -> None:
        await self._proxy.accept()


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.servers)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A place for one store; what was opened there is closed afterwards."""
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            yield LockedFile(tmp_path, stack)
        else:
            database = request.getfixturevalue("mongodb_database_name")
            server = urlsplit(request.getfixturevalue("mongodb_url"))
            proxy = TcpProxy(server.hostname or "", server.port or 27017)
            yield StalledServer(await stack.enter_async_context(proxy), database, stack)


@pytest.mark.parametrize("port", PORTS)
async def test_a_service_is_ready_only_with_its_store(port: str, place: Place, tmp_path: Path) -> None:
    """Readiness fails by the check of the store while it cannot be worked with, and comes back afterwards."""
    adapters = PORTS[port]
    broker = EmbeddedBroker(tmp_path / "broker.db")
    store = await place.open(adapters)
    health = Health([adapters.build(broker, store, Metrics(new_registry()))])
    assert (await health.ready()).ready
    await place.take()
    away = await health.ready()
    await place.give_back()
    assert not away.ready
    assert place.named in away.checks.pop(port)
    assert all(said.startswith("ok") for said in away.checks.values())
    async with asyncio.timeout(60):
        while not (await health.ready()).ready:
            pass
    await broker.close()


def test_every_store_adapter_is_tried() -> None:
    """A new adapter is held to this too."""
    tried = {kind for one in PORTS.values() for kind in (one.sqlite, one.mongo)}
    assert {*adapters_of(SqliteStore), *adapters_of(MongoStore)} == tried


def adapters_of(base: type) -> Iterator[type]:
    """Yield those classes of ours that are complete stores, not parts of one."""
    parts: list[type] = base.__subclasses__()
    ours = [part for part in parts if part.__module__.startswith("leadline_")]
    for one in ours:
        yield from adapters_of(one)
    if not ours:
        yield base
