"""A SQLite file of results that another process holds locked: the service is not ready to work."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.process.service import Health, Readiness
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_results.app import build, build_workflows
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.workflows.sqlite import SqliteWorkflowStore

OPEN: dict[str, Callable[[Path], SqliteResultStore | SqliteWorkflowStore]] = {
    "results_store": SqliteResultStore,
    "workflow_store": SqliteWorkflowStore,
}


@pytest.mark.parametrize("name", OPEN)
async def test_a_locked_file_is_not_ready(name: str, tmp_path: Path) -> None:
    """Readiness fails by the check of that store while nothing can be written, and comes back afterwards."""
    broker, metrics = EmbeddedBroker(tmp_path / "broker.db"), Metrics(new_registry())
    store = OPEN[name](tmp_path / "store.db")
    if isinstance(store, SqliteResultStore):
        health = Health([build(broker, store, metrics)])
    else:
        health = Health([build_workflows(broker, store, metrics).service])
    assert (await health.ready()).ready
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    locked = await health.ready()
    other.close()
    assert not locked.ready
    assert "store.db" in locked.checks[name]
    async with asyncio.timeout(30):
        while await health.ready() != Readiness(True, {name: "ok", "broker": "ok"}):
            pass
    await store.close()
    await broker.close()
