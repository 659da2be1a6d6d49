"""Asking for a run and waiting for it."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import ValidationError

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.clock import now
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import Conflict, Invalid, NotFound
from leadline_contracts.scoring import Offer
from leadline_ingest.prospects.report import UploadReport
from leadline_ingest.runs.outbox import Outbox
from leadline_ingest.runs.service import RunProgress, Runs, ScoreRequest
from leadline_ingest.runs.store import RunState
from leadline_ingest.store import IngestStore
from leadline_ingest.stores.sqlite import SqliteIngestStore

from .builders import COUNTED, eventually, leads, offer, uploaded


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteIngestStore]:
    store = SqliteIngestStore(tmp_path / "ingest.db")
    yield store
    await store.close()


@pytest.fixture
async def runs(store: SqliteIngestStore, tmp_path: Path) -> AsyncIterator[Runs]:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    outbox = Outbox(store, broker, now, COUNTED)
    resuming = asyncio.create_task(outbox.resume_forever())
    yield Runs(store, outbox)
    resuming.cancel()
    await asyncio.gather(resuming, return_exceptions=True)
    await broker.close()


async def offered(store: IngestStore, *, inline: bool = False, owner: str = LOCAL_OWNER) -> Offer:
    made = offer()
    await store.add_offer(owner, made, inline=inline)
    return made


async def test_the_newest_offer_made_by_hand_is_the_default(store: SqliteIngestStore, runs: Runs) -> None:
    """Neither an inline offer of the queue entrypoint nor somebody else's ever becomes the default."""
    await offered(store)
    newest = await offered(store)
    await offered(store, inline=True)
    await offered(store, owner="somebody else")
    await uploaded(store, leads(1))
    assert (await runs.start(LOCAL_OWNER, ScoreRequest())).offer == newest


async def test_an_upload_brings_its_own_offer(store: SqliteIngestStore, runs: Runs) -> None:
    """Naming an upload is enough, also where newer offers exist."""
    bound = await offered(store)
    newest = await offered(store)
    upload = await uploaded(store, leads(1), offer_id=bound.id)
    free = await uploaded(store, leads(1))
    run = await runs.start(LOCAL_OWNER, ScoreRequest(upload_id=upload.id))
    assert (run.offer, run.upload_id) == (bound, upload.id)
    assert (await runs.start(LOCAL_OWNER, ScoreRequest(upload_id=free.id))).offer == newest


async def test_an_upload_of_another_offer_is_refused(store: SqliteIngestStore, runs: Runs) -> None:
    """The caller learns which offer the upload is for."""
    bound, other = await offered(store), await offered(store)
    upload = await uploaded(store, leads(1), offer_id=bound.id)
    with pytest.raises(Invalid) as refused:
        await runs.start(LOCAL_OWNER, ScoreRequest(upload_id=upload.id, offer_id=other.id))
    assert bound.id in refused.value.detail


@pytest.mark.parametrize("named", ["offer_id", "upload_id"])
async def test_what_belongs_to_another_owner_is_not_found(
    store: SqliteIngestStore, runs: Runs, named: str
) -> None:
    """Ids of somebody else's offers and uploads open nothing, and do not even show that they exist."""
    theirs = await offered(store, owner="somebody else")
    upload = await uploaded(store, leads(1), owner="somebody else")
    await offered(store)
    await uploaded(store, leads(1))
    ids = {"offer_id": theirs.id, "upload_id": upload.id}
    with pytest.raises(NotFound):
        await runs.start(LOCAL_OWNER, ScoreRequest.model_validate({named: ids[named]}))


async def test_without_an_offer_or_a_prospect_the_caller_learns_what_to_call_first(
    store: SqliteIngestStore, runs: Runs
) -> None:
    """Only these two are conflicts; an upload that is not committed, or is empty, holds no prospect."""
    with pytest.raises(Conflict, match="POST /offer"):
        await runs.start(LOCAL_OWNER, ScoreRequest())
    await offered(store)
    await uploaded(store, [])
    await uploaded(store, leads(1), owner="somebody else")
    with pytest.raises(Conflict, match="POST /leads/upload"):
        await runs.start(LOCAL_OWNER, ScoreRequest())


async def test_waiting_ends_with_the_run_or_with_the_time(store: SqliteIngestStore, runs: Runs) -> None:
    """A caller waits no longer than need be, and hears how far the run is."""
    await offered(store)
    await uploaded(store, leads(3))
    run = await runs.start(LOCAL_OWNER, ScoreRequest())
    began = time.monotonic()
    assert (await runs.wait(run, 0.2))[1] is False
    assert time.monotonic() - began >= 0.2

    async def published() -> bool:
        found = await store.run(LOCAL_OWNER, run.id)
        return found is not None and found.state is RunState.PUBLISHED

    await eventually(published)
    begun = RunProgress(run_id=run.id, status="running", total=3, queued=3, processed=0, failed=0)
    assert await runs.wait(run, 0) == (begun, False)
    waiting = asyncio.create_task(runs.wait(run, 30))
    await store.note_progress(run.id, 2, 1, finished=True)
    async with asyncio.timeout(20):
        progress, finished = await waiting
    assert finished
    ended = {"status": "finished", "processed": 3, "failed": 1, "seconds_left": 0.0}
    assert progress == begun.model_copy(update=ended)


async def test_the_total_is_known_before_anything_is_claimed(store: SqliteIngestStore, runs: Runs) -> None:
    """A run of one file can have as many prospects as were taken in; where all are scored before, none."""
    made = await offered(store)
    file = await uploaded(store, leads(3))
    report = UploadReport(upload_id=file.id, inserted=3, rejected=[], rejected_count=0, warnings=[])
    await store.commit_upload(file.model_copy(update={"report": report}))
    wanted = ScoreRequest(offer_id=made.id, upload_id=file.id)
    run = await runs.start(LOCAL_OWNER, wanted)
    assert run.expected == 3
    assert (await runs.wait(run.model_copy(update={"id": "not stored"}), 0))[0].total == 3

    async def published() -> bool:
        found = await store.run(LOCAL_OWNER, run.id)
        return found is not None and found.state is RunState.PUBLISHED

    await eventually(published)
    assert (await runs.start(LOCAL_OWNER, wanted)).expected == 0
    assert (await runs.start(LOCAL_OWNER, wanted.model_copy(update={"refresh": True}))).expected == 3
    assert (await runs.start(LOCAL_OWNER, ScoreRequest(offer_id=made.id))).expected is None


async def test_the_time_that_is_left_is_told_from_the_pace_so_far(
    store: SqliteIngestStore, runs: Runs
) -> None:
    """Half of a run that began ten seconds ago takes about ten more."""
    await offered(store)
    began = str(UUID(int=(int((time.time() - 10) * 1000) << 80) | (7 << 76) | (2 << 62)))
    await uploaded(store, leads(2))
    run = await runs.start(LOCAL_OWNER, ScoreRequest())
    old = run.model_copy(update={"id": began, "expected": 4, "scored": 2})
    progress, _ = await runs.wait(old, 0)
    assert progress.seconds_left is not None
    assert 9 < progress.seconds_left < 20


def test_a_misspelt_field_is_refused() -> None:
    """A request that names an offer wrongly never runs against the newest one."""
    with pytest.raises(ValidationError, match="offerId"):
        ScoreRequest.model_validate({"offerId": "x"})
