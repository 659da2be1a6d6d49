"""What every adapter of the IngestStore port guarantees of offers, uploads, runs and leases."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from leadline_common.ids import new_id
from leadline_contracts.errors import NotFound
from leadline_contracts.scoring import IcpSpec, Lead, Offer
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.runs.store import Cursor, Lease, RunRequest, RunState
from leadline_ingest.store import IngestStore

from .claims import claimed

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def offer() -> Offer:
    return Offer(
        id=new_id(),
        name="AI Outreach",
        value_props=["24/7 outreach"],
        ideal_use_cases=["B2B SaaS"],
        icp=IcpSpec(roles=["CTO"]),
    )


def run_of(upload_id: str | None = None, owner: str = "ann") -> RunRequest:
    return RunRequest(id=new_id(), owner=owner, offer=offer(), model="graded", upload_id=upload_id)


async def leased(store: IngestStore, run: RunRequest, at: datetime) -> Lease:
    """Take the right to publish for a minute; the test fails where it is not free."""
    lease = await store.lease_run(run.id, at, at + MINUTE)
    assert lease is not None
    return lease


async def test_an_offer_is_kept_whole_and_only_once(store: IngestStore) -> None:
    """A repeated request cannot change an offer that results were scored against."""
    first = offer()
    await store.add_offer("ann", first, inline=False)
    await store.add_offer("ann", first.model_copy(update={"name": "Other"}), inline=False)

    assert await store.offer("ann", first.id) == first


async def test_the_newest_offer_has_the_highest_id_and_is_not_inline(store: IngestStore) -> None:
    """POST /score without an offer takes the last one a person made, never one out of a queue message."""
    older, newer, inline = offer(), offer(), offer()
    await store.add_offer("ann", newer, inline=False)
    await store.add_offer("ann", older, inline=False)
    await store.add_offer("ann", inline, inline=True)

    assert await store.newest_offer("ann") == newer
    assert await store.offer("ann", inline.id) == inline


async def test_an_owner_without_offers_has_no_newest_one(store: IngestStore) -> None:
    """Nothing of another owner, and nothing inline, stands in for an offer."""
    await store.add_offer("ann", offer(), inline=True)
    await store.add_offer("bob", offer(), inline=False)

    assert await store.newest_offer("ann") is None


async def test_owners_do_not_see_each_others_things(
    store: IngestStore, uploaded: Callable[..., Awaitable[Upload]]
) -> None:
    """Knowing an id is not enough to reach what another owner keeps."""
    kept, run = offer(), run_of()
    await store.add_offer("ann", kept, inline=False)
    await store.add_run(run)
    upload = await uploaded(3, owner="ann")

    assert await store.offer("bob", kept.id) is None
    assert await store.run("bob", run.id) is None
    assert await store.upload("bob", upload.id) is None
    assert not await store.has_prospects("bob")
    assert await store.next_upload(run_of(owner="bob"), None) is None
    assert await store.next_upload(run_of(upload.id, owner="bob"), None) is None


async def test_an_upload_counts_for_nothing_until_it_is_ready(
    store: IngestStore, uploaded: Callable[..., Awaitable[Upload]]
) -> None:
    """An interrupted upload is never scored; a complete one is, against the offer known by then alone."""
    upload = await uploaded(3, ready=False)
    run = run_of(upload.id)

    assert await store.upload("ann", upload.id) is None
    assert not await store.has_prospects("ann")
    assert await store.next_upload(run, None) is None

    complete = upload.model_copy(update={"ready": True, "last_row": 4, "offer_id": run.offer.id})
    await store.commit_upload(complete)
    await store.commit_upload(complete)

    assert await store.upload("ann", upload.id) == complete
    assert await store.has_prospects("ann")
    assert await store.next_upload(run, None) == complete
    assert await store.next_upload(run_of(upload.id), None) is None


async def test_an_upload_without_prospects_gives_its_owner_none(
    store: IngestStore, uploaded: Callable[..., Awaitable[Upload]]
) -> None:
    """A file whose rows were all rejected does not count as something to score."""
    await uploaded(0)

    assert not await store.has_prospects("ann")


async def test_opening_an_upload_again_changes_nothing(
    store: IngestStore, uploaded: Callable[..., Awaitable[Upload]]
) -> None:
    """A submission that comes twice leaves its upload ready, with the offer it was for."""
    upload = await uploaded(3, offer_id=new_id())
    await store.open_upload(Upload(id=upload.id, owner="bob"), NOW)

    assert await store.upload("ann", upload.id) == upload


async def test_a_known_lead_is_left_as_it_is(store: IngestStore) -> None:
    """Adding again, in this upload or another, neither changes a prospect nor makes a second one."""
    first, second = (Upload(id=new_id(), owner="ann") for _ in range(2))
    known, new = Prospect(2, Lead(id=new_id(), name="Ava")), Prospect(3, Lead(id=new_id(), name="Ben"))
    changed = Prospect(9, known.lead.model_copy(update={"name": "Eve"}))
    for upload, prospects in ((first, [known]), (first, [changed]), (second, [changed, new])):
        await store.open_upload(upload, NOW)
        await store.add_prospects(upload, prospects, NOW)

    run = run_of()
    assert await claimed(store, run, first, 2, 9) == [known]
    assert await claimed(store, run, second, 2, 9) == [new]


async def test_a_dropped_upload_is_forgotten_with_its_prospects(
    store: IngestStore, uploaded: Callable[..., Awaitable[Upload]]
) -> None:
    """What an interrupted upload left takes no room, and the same leads can come again."""
    dropped, lead = await uploaded(3, ready=False), Lead(id=new_id(), name="Ava")
    await store.add_prospects(dropped, [Prospect(5, lead)], NOW)
    await store.drop_upload(dropped.id)
    await store.drop_upload(dropped.id)

    assert await store.abandoned_uploads(datetime.now(UTC) + MINUTE) == []
    assert await claimed(store, run_of(), dropped, 2, 5) == []
    again = await uploaded(0)
    await store.add_prospects(again, [Prospect(2, lead)], NOW)
    assert await store.has_prospects("ann")


async def test_a_ready_upload_cannot_be_dropped(
    store: IngestStore, uploaded: Callable[..., Awaitable[Upload]]
) -> None:
    """A late sweep does not delete an upload whose sender got a success."""
    upload = await uploaded(3)
    await store.drop_upload(upload.id)

    assert await store.upload("ann", upload.id) == upload
    assert len(await claimed(store, run_of(), upload, 2, 4)) == 3


async def test_nothing_is_added_to_an_upload_that_was_dropped(
    store: IngestStore, uploaded: Callable[..., Awaitable[Upload]]
) -> None:
    """Whoever still fills a dropped upload learns it instead of answering that all is in."""
    upload = await uploaded(1, ready=False)
    await store.drop_upload(upload.id)

    with pytest.raises(NotFound):
        await store.add_prospects(upload, [Prospect(2, Lead(id=new_id()))], NOW)
    with pytest.raises(NotFound):
        await store.commit_upload(upload)


async def test_an_upload_is_made_ready_whole_or_dropped(
    store: IngestStore, replica: IngestStore, uploaded: Callable[..., Awaitable[Upload]]
) -> None:
    """A sweep at the very moment of the commit never leaves a caller with a part of the file."""
    for _ in range(10):
        upload = await uploaded(300, ready=False)
        dropped, committed = await asyncio.gather(
            store.drop_upload(upload.id), replica.commit_upload(upload), return_exceptions=True
        )
        kept = await claimed(store, run_of(), upload, 2, 301)

        assert dropped is None
        assert (committed is None) == (await store.upload("ann", upload.id) is not None)
        assert len(kept) == (300 if committed is None else 0)


async def test_an_upload_is_abandoned_once_nothing_came_for_long(store: IngestStore) -> None:
    """The sweep finds what a crash left open, and neither a slow upload nor a finished one."""
    dead, slow, reopened, finished = (Upload(id=new_id(), owner="ann") for _ in range(4))
    for upload in (dead, slow, reopened, finished):
        await store.open_upload(upload, NOW)
    await store.add_prospects(slow, [Prospect(2, Lead(id=new_id()))], NOW + 2 * MINUTE)
    await store.open_upload(reopened, NOW + 2 * MINUTE)
    await store.commit_upload(finished)

    assert await store.abandoned_uploads(NOW) == []
    assert await store.abandoned_uploads(NOW + MINUTE) == [dead.id]


async def test_a_run_is_kept_whole_and_only_once(store: IngestStore) -> None:
    """A repeated request cannot change what a run scores."""
    run = run_of(new_id()).model_copy(update={"foreground": True})
    await store.add_run(run)
    await store.add_run(run.model_copy(update={"model": "standard"}))

    assert await store.run("ann", run.id) == run
    assert await store.run("ann", new_id()) is None


async def test_a_submission_has_one_run_whoever_asks(store: IngestStore, replica: IngestStore) -> None:
    """A message delivered to several replicas, several times, is scored by one run."""
    upload_id = new_id()
    asked = [run_of(upload_id) for _ in range(20)]
    stores = (store, replica) * 10

    kept = await asyncio.gather(
        *(one.add_submission_run(run) for one, run in zip(stores, asked, strict=True))
    )

    assert all(run == kept[0] for run in kept)
    assert await store.add_submission_run(kept[0]) == kept[0]
    assert await store.publishable_runs(NOW) == [kept[0].id]


async def test_a_submission_does_not_take_over_other_runs(store: IngestStore) -> None:
    """POST /score of the same upload, or another submission, stays a run of its own."""
    ordinary = run_of(new_id())
    await store.add_run(ordinary)
    submitted, other = run_of(ordinary.upload_id), run_of(new_id())

    assert await store.add_submission_run(submitted) == submitted
    assert await store.add_submission_run(other) == other
    assert await store.run("ann", ordinary.id) == ordinary


async def test_a_lease_is_held_by_one_until_it_ends(store: IngestStore, replica: IngestStore) -> None:
    """Two replicas never publish the same run at the same time."""
    run = run_of()
    await store.add_run(run)

    asked = [one.lease_run(run.id, NOW, NOW + MINUTE) for one in (store, replica) * 5]
    leases = [lease for lease in await asyncio.gather(*asked) if lease]

    assert [lease.run for lease in leases] == [run]
    assert await replica.lease_run(run.id, NOW + MINUTE / 2, NOW + 2 * MINUTE) is None
    assert (await leased(replica, run, NOW + MINUTE)).token == leases[0].token + 1


async def test_no_lease_for_a_run_that_is_not_known(store: IngestStore) -> None:
    """A stale id leads to nothing being published."""
    assert await store.lease_run(new_id(), NOW, NOW + MINUTE) is None


async def test_a_publisher_that_lost_its_lease_changes_nothing(
    store: IngestStore, replica: IngestStore
) -> None:
    """A paused process that wakes up late cannot move the run of its successor."""
    run = run_of()
    await store.add_run(run)
    late = await leased(store, run, NOW)
    current = await leased(replica, run, NOW + MINUTE)
    assert await replica.advance(current, Cursor("u2", 50), 49, NOW + 3 * MINUTE)

    assert not await store.advance(late, Cursor("u1", 9), 8, NOW + 9 * MINUTE)
    assert not await store.finish_publishing(late)

    kept = run.model_copy(update={"cursor": Cursor("u2", 50), "queued": 49})
    assert await store.run("ann", run.id) == kept
    assert await store.lease_run(run.id, NOW + 2 * MINUTE, NOW + 9 * MINUTE) is None
    assert (await leased(store, run, NOW + 3 * MINUTE)).run == kept


async def test_runs_are_publishable_while_nobody_holds_them(store: IngestStore) -> None:
    """After a crash every run left in the middle is taken up again, oldest first, and no other."""
    runs = [run_of() for _ in range(4)]
    for run in reversed(runs):
        await store.add_run(run)
    open_, held, published, finished = runs
    await leased(store, held, NOW)
    assert await store.finish_publishing(await leased(store, published, NOW))
    await store.note_progress(finished.id, 0, 0, finished=True)

    assert await store.publishable_runs(NOW + MINUTE / 2) == [open_.id]
    assert await store.publishable_runs(NOW + MINUTE) == [open_.id, held.id]


async def test_a_published_run_has_nothing_left_to_publish(store: IngestStore) -> None:
    """Telling it twice is fine, and nobody publishes the run again."""
    run = run_of()
    await store.add_run(run)
    lease = await leased(store, run, NOW)

    assert await store.finish_publishing(lease)
    assert await store.finish_publishing(lease)

    assert await store.run("ann", run.id) == run.model_copy(update={"state": RunState.PUBLISHED})
    assert await store.lease_run(run.id, NOW + MINUTE, NOW + 2 * MINUTE) is None
    assert not await store.advance(lease, Cursor("u", 2), 1, NOW + MINUTE)


async def test_progress_is_what_was_told_last(store: IngestStore) -> None:
    """A caller that waits sees how far the run is, while it is still published."""
    run = run_of()
    await store.add_run(run)
    await store.note_progress(run.id, 5, 1, finished=False)
    await store.note_progress(run.id, 7, 2, finished=False)
    await store.note_progress(new_id(), 1, 1, finished=False)

    assert await store.run("ann", run.id) == run.model_copy(update={"scored": 7, "failed": 2})


async def test_a_finished_run_stays_finished(store: IngestStore) -> None:
    """Messages that arrive late or out of order cannot reopen a run or change its final counts."""
    run = run_of()
    await store.add_run(run)
    lease = await leased(store, run, NOW)
    await store.note_progress(run.id, 9, 1, finished=True)
    await store.note_progress(run.id, 4, 0, finished=False)
    await store.note_progress(run.id, 4, 0, finished=True)

    assert await store.finish_publishing(lease)
    expected = {"state": RunState.FINISHED, "scored": 9, "failed": 1}
    assert await store.run("ann", run.id) == run.model_copy(update=expected)
