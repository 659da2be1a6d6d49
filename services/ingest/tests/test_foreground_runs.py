"""Runs that belong to a command: kept for whoever opens the file next, and published by nobody else."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.clock import now
from leadline_common.ids import new_id
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_ingest.runs.outbox import Outbox
from leadline_ingest.runs.store import RunRequest, RunState
from leadline_ingest.stores.sqlite import SqliteIngestStore

from .builders import COUNTED, eventually, leads, offer, uploaded


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteIngestStore]:
    store = SqliteIngestStore(tmp_path / "ingest.db")
    yield store
    await store.close()


async def add_run(store: SqliteIngestStore, *, foreground: bool, count: int = 3) -> RunRequest:
    """Store a run over so many prospects."""
    upload = await uploaded(store, leads(count))
    run = RunRequest(
        id=new_id(),
        owner=LOCAL_OWNER,
        offer=offer(),
        model="standard",
        upload_id=upload.id,
        foreground=foreground,
    )
    await store.add_run(run)
    return run


async def test_foreground_runs_without_an_end_are_found(store: SqliteIngestStore) -> None:
    """Those whose command ended early come with how many prospects they have; others are none of them."""
    await add_run(store, foreground=False)
    ended = await add_run(store, foreground=True)
    await store.note_progress(ended.id, 3, 0, finished=True)
    early = [await add_run(store, foreground=True, count=count) for count in (3, 5)]
    assert await store.unfinished_foreground_runs() == [(early[0], 3), (early[1], 5)]


async def test_a_cancelled_run_waits_for_no_command(store: SqliteIngestStore) -> None:
    """Whoever opens the file next need not be told of a run that somebody has cancelled."""
    run = await add_run(store, foreground=True)
    await store.cancel(LOCAL_OWNER, run.id)
    assert await store.unfinished_foreground_runs() == []
    assert await store.publishable_runs(now()) == [run.id]


async def test_a_paused_run_is_published_by_nobody(store: SqliteIngestStore, tmp_path: Path) -> None:
    """The sweep takes up every run that is left to publish but those it was told to leave alone."""
    broker = EmbeddedBroker(tmp_path / "broker.db")
    paused, other = await add_run(store, foreground=True), await add_run(store, foreground=True)
    outbox = Outbox(store, broker, now, COUNTED, paused=[paused.id])
    sweep = asyncio.create_task(outbox.resume_forever())

    async def published() -> bool:
        run = await store.run(LOCAL_OWNER, other.id)
        return run is not None and run.state is RunState.PUBLISHED

    await eventually(published)
    sweep.cancel()
    assert await store.run(LOCAL_OWNER, paused.id) == paused
    await broker.close()


async def test_runs_of_an_earlier_version_belong_to_no_command(tmp_path: Path) -> None:
    """A file from before there were foreground runs opens, and its runs go on as they did."""
    path = tmp_path / "earlier.db"
    store = SqliteIngestStore(path)
    run = await add_run(store, foreground=False)
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        for column in ("foreground", "cancelled", "expected"):
            connection.execute(f"ALTER TABLE runs DROP COLUMN {column}")
    store = SqliteIngestStore(path)
    assert await store.run(LOCAL_OWNER, run.id) == run
    assert await store.publishable_runs(now()) == [run.id]
    assert await store.unfinished_foreground_runs() == []
    await store.close()
