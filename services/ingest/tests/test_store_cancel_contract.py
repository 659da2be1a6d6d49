"""What every adapter of the IngestStore port guarantees of runs that are cancelled."""

import asyncio
from datetime import UTC, datetime, timedelta

from leadline_common.ids import new_id
from leadline_contracts.scoring import Offer
from leadline_ingest.runs.store import Cursor, Lease, RunState
from leadline_ingest.store import IngestStore

from .claims import Uploaded, claimed, found, run_for, walk

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def leased(store: IngestStore, run_id: str, at: datetime = NOW) -> Lease:
    """Take the right to publish for a minute; the test fails where it is not free."""
    lease = await store.lease_run(run_id, at, at + MINUTE)
    assert lease is not None
    return lease


async def test_a_cancelled_run_is_to_be_published_once_more(
    store: IngestStore, replica: IngestStore, offer: Offer
) -> None:
    """Published or not, and however often it is asked for, its cancellation is left to publish once."""
    runs = [run_for(offer), run_for(offer)]
    for run in runs:
        await store.add_run(run)
    assert await store.finish_publishing(await leased(store, runs[1].id))
    for run in runs:
        asked = (one.cancel("ann", run.id) for one in (store, replica) * 5)
        expected = run.model_copy(update={"cancelled": True})
        assert await asyncio.gather(*asked) == [expected] * 10
        lease = await leased(replica, run.id)
        assert lease.run == expected
        assert await replica.finish_publishing(lease)
        assert await store.cancel("ann", run.id) == expected.model_copy(update={"state": RunState.PUBLISHED})
    assert await store.publishable_runs(NOW + 2 * MINUTE) == []


async def test_only_its_owner_cancels_a_run(store: IngestStore, offer: Offer) -> None:
    """An id of another owner is as good as an unknown one, and changes nothing."""
    run = run_for(offer)
    await store.add_run(run)
    assert await store.cancel("bob", run.id) is None
    assert await store.cancel("ann", new_id()) is None
    assert await store.run("ann", run.id) == run


async def test_a_finished_run_is_not_cancelled(store: IngestStore, offer: Offer) -> None:
    """It comes back as it is, so that the caller can say so."""
    run = run_for(offer)
    await store.add_run(run)
    await store.note_progress(run.id, 3, 1, finished=True)
    finished = run.model_copy(update={"state": RunState.FINISHED, "scored": 3, "failed": 1})
    assert await store.cancel("ann", run.id) == finished
    assert await store.run("ann", run.id) == finished
    assert await store.publishable_runs(NOW) == []


async def test_the_end_tells_what_won(store: IngestStore, offer: Offer) -> None:
    """A run whose end came before its cancellation is finished, and stays so."""
    for cancelled in (False, True):
        run = run_for(offer)
        await store.add_run(run)
        await store.cancel("ann", run.id)
        await store.note_progress(run.id, 3, 0, finished=True, cancelled=cancelled)
        await store.note_progress(run.id, 3, 0, finished=True, cancelled=not cancelled)
        ended = await store.cancel("ann", run.id)
        assert ended is not None
        assert (ended.state, ended.cancelled) == (RunState.FINISHED, cancelled)


async def test_a_publisher_does_not_miss_a_cancellation(
    store: IngestStore, replica: IngestStore, offer: Offer
) -> None:
    """Cancelled between its last message and its last note, a run is not noted as published."""
    run = run_for(offer)
    await store.add_run(run)
    lease = await leased(store, run.id)
    await replica.cancel("ann", run.id)
    assert await store.advance(lease, Cursor("u", 2), 1, NOW + MINUTE)
    assert not await store.finish_publishing(lease)
    assert await store.publishable_runs(NOW + MINUTE) == [run.id]


async def test_a_published_run_has_no_lease(store: IngestStore, offer: Offer) -> None:
    """Its cancellation need not wait until the lease of its publisher would have ended."""
    run = run_for(offer)
    await store.add_run(run)
    assert await store.finish_publishing(await leased(store, run.id))
    await store.cancel("ann", run.id)
    assert (await leased(store, run.id)).token == 2


async def test_claims_in_some_rows_are_released(store: IngestStore, uploaded: Uploaded, offer: Offer) -> None:
    """The next run takes those and no others, though one found nothing open in between."""
    upload = await uploaded(10)
    cancelled, between, after = run_for(offer), run_for(offer), run_for(offer)
    assert len(await claimed(store, cancelled, upload)) == 10
    assert await walk(store, between) == []
    assert await found(store, after) == []
    for _ in range(2):
        await store.release_rows(cancelled, upload.id, 5, 8)
    await store.release_rows(between, upload.id, 2, 11)
    assert [prospect.row for prospect in await walk(store, after)] == [5, 6, 7, 8]
    await store.release_rows(cancelled, upload.id, 5, 8)
    assert [prospect.row for prospect in await claimed(store, after, upload)] == [5, 6, 7, 8]
