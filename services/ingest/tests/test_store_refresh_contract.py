"""What every adapter of the IngestStore port guarantees of runs that score prospects again."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from leadline_common.ids import new_id
from leadline_contracts.scoring import Offer
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.runs.store import RunRequest
from leadline_ingest.store import IngestStore

from .claims import Uploaded, claimed, found, run_for, walk

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


async def stored(store: IngestStore, run: RunRequest) -> RunRequest:
    await store.add_run(run)
    return run


async def refresh_of(store: IngestStore, offer: Offer, upload_id: str | None = None) -> RunRequest:
    """Store a refresh run, as POST /score does before its outbox begins."""
    return await stored(store, run_for(offer, upload_id, refresh=True))


async def finish(store: IngestStore, run: RunRequest) -> None:
    await store.note_progress(run.id, 1, 0, finished=True)


async def scored(store: IngestStore, run: RunRequest) -> list[Prospect]:
    """Take a stored run from its first claim to its end."""
    prospects = await walk(store, run)
    await finish(store, run)
    return prospects


async def rows_held(store: IngestStore, run: RunRequest, upload: Upload) -> list[int]:
    return [prospect.row for prospect in await claimed(store, run, upload)]


async def test_a_run_is_kept_with_its_wish_to_refresh(store: IngestStore, offer: Offer) -> None:
    """The replica that takes a run up after a crash publishes what was asked for."""
    refresh = await refresh_of(store, offer)

    assert await store.run("ann", refresh.id) == refresh
    assert refresh.refresh


async def test_a_refresh_takes_what_is_scored_and_what_is_open(
    store: IngestStore, replica: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """Everything is scored anew, also in uploads that plain runs pass over, and as often as asked."""
    for count in (3, 2):
        await uploaded(count)
    everything = await scored(store, await stored(store, run_for(offer)))
    await uploaded(1)

    first = await scored(store, await refresh_of(store, offer))
    assert (first[:5], len(first)) == (everything, 6)
    assert await scored(replica, await refresh_of(replica, offer)) == first
    assert await walk(store, await stored(store, run_for(offer))) == []


async def test_a_refresh_leaves_what_is_under_way(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """What an unfinished run holds, whether it still publishes or not, is new enough."""
    upload = await uploaded(6)
    done, publishing, published = [await stored(store, run_for(offer)) for _ in range(3)]
    for run, row in ((done, 2), (publishing, 4), (published, 6)):
        assert len(await claimed(store, run, upload, row, row + 1)) == 2
    await finish(store, done)
    lease = await store.lease_run(published.id, NOW, NOW + timedelta(minutes=1))
    assert lease is not None
    assert await store.finish_publishing(lease)

    refresh = await refresh_of(store, offer)
    assert await rows_held(store, refresh, upload) == [2, 3]
    assert await rows_held(store, publishing, upload) == [4, 5]
    assert await rows_held(store, published, upload) == [6, 7]


async def test_a_second_refresh_takes_nothing_of_the_first(
    store: IngestStore, replica: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """A double click pays once, also where the second run is published only when the first is finished."""
    upload = await uploaded(5)
    await scored(store, await stored(store, run_for(offer)))
    first, second = await refresh_of(store, offer), await refresh_of(replica, offer)

    assert len(await claimed(store, first, upload)) == 5
    assert await claimed(replica, second, upload) == []
    await finish(store, first)
    assert await claimed(replica, second, upload) == []
    assert len(await claimed(store, await refresh_of(store, offer), upload)) == 5


@pytest.mark.parametrize("seed", range(3))
async def test_refreshes_at_once_never_share_a_prospect(
    store: IngestStore, replica: IngestStore, uploaded: Uploaded, offer: Offer, seed: int
) -> None:
    """Runs that take the same rows over at the same time, through two replicas, split them.

    Some are stored when others have begun, and plain runs take part.
    """
    upload = await uploaded(400)
    await scored(store, await stored(store, run_for(offer)))
    choose = random.Random(seed)

    async def take(number: int) -> list[Prospect]:
        await asyncio.sleep(choose.random() / 50)
        through = choose.choice((store, replica))
        run = await stored(through, run_for(offer, refresh=number > 0))
        ranges = [(first, first + 39) for first in range(2, 402, 40)]
        choose.shuffle(ranges)
        return [prospect for rows in ranges for prospect in await claimed(through, run, upload, *rows)]

    shares = await asyncio.gather(*(take(number) for number in range(6)))

    assert Counter(prospect.row for share in shares for prospect in share) == Counter(range(2, 402))


async def test_an_older_refresh_takes_nothing_of_a_newer_one(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """An outbox that was long away leaves alone what is newer than what it was asked for."""
    upload = await uploaded(4)
    await scored(store, await stored(store, run_for(offer)))
    older = await refresh_of(store, offer)
    held = await claimed(store, older, upload)
    await store.release(older.id, older.claim_key, [held[1].lead.id])
    newer = await refresh_of(store, offer)
    assert await scored(store, newer) == [held[1]]

    assert await claimed(store, older, upload) == [held[0], *held[2:]]
    assert await claimed(store, newer, upload) == [held[1]]


async def test_a_resumed_refresh_holds_the_same_prospects(
    store: IngestStore, replica: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """Its chunks come out again as they were, though another run has finished meanwhile."""
    upload = await uploaded(60)
    under_way = await stored(store, run_for(offer))
    await claimed(store, under_way, upload, 20, 29)
    await scored(store, await stored(store, run_for(offer)))
    refresh = await refresh_of(store, offer)
    first = await claimed(store, refresh, upload)
    await finish(store, under_way)

    assert len(first) == 50
    assert await claimed(replica, refresh, upload) == first


async def test_the_run_before_cannot_give_back_what_a_refresh_holds(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """A failure told late does not open a prospect that is being scored again."""
    upload, before = await uploaded(3), await stored(store, run_for(offer))
    held = await scored(store, before)
    refresh = await refresh_of(store, offer)
    assert await walk(store, refresh) == held
    await store.release(before.id, before.claim_key, [held[0].lead.id])

    assert await walk(store, run_for(offer)) == []
    assert await claimed(store, refresh, upload) == held


async def test_what_fails_in_a_refresh_is_open_again(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """The next plain run takes it, and finds it though the upload was covered before."""
    await uploaded(3)
    held = await scored(store, await stored(store, run_for(offer)))
    refresh = await refresh_of(store, offer)
    await walk(store, refresh)
    await store.release(refresh.id, refresh.claim_key, [held[1].lead.id])

    assert await walk(store, run_for(offer)) == [held[1]]


async def test_a_refresh_finds_what_a_run_without_the_flag_would_look_at(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """Covered or not; but neither what is for another offer, nor another upload than the one named."""
    for_any, for_this = await uploaded(1), await uploaded(1, offer_id=offer.id)
    for_other = await uploaded(1, offer_id=new_id())
    await scored(store, await stored(store, run_for(offer)))

    assert await found(store, run_for(offer, refresh=True)) == [for_any.id, for_this.id]
    assert await found(store, run_for(offer, for_this.id, refresh=True)) == [for_this.id]
    assert await found(store, run_for(offer, for_other.id, refresh=True)) == []


async def test_a_refresh_covers_what_has_no_open_prospect(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """What others hold counts as taken, and what it did not come to stays to be found."""
    shared, half = await uploaded(4), await uploaded(4)
    under_way = await stored(store, run_for(offer))
    await claimed(store, under_way, shared, 2, 3)
    refresh = await refresh_of(store, offer)
    assert await rows_held(store, refresh, shared) == [4, 5]
    await claimed(store, refresh, half, 2, 4)
    for upload in (shared, half):
        await store.cover(refresh, upload.id)

    assert await found(store, run_for(offer)) == [half.id]


async def test_a_refresh_is_for_its_offer_and_model_alone(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """What is scored by another model or for another offer stays as it is."""
    upload = await uploaded(3)
    graded = await stored(store, run_for(offer).model_copy(update={"model": "graded"}))
    other = await stored(store, run_for(Offer(id=new_id(), name="Other")))
    everything = await scored(store, graded)
    await scored(store, other)
    refresh = await refresh_of(store, offer)

    for run in (refresh, graded, other):
        assert await claimed(store, run, upload) == everything


async def test_a_refresh_leaves_other_owners_alone(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """Nobody's prospects are scored, or paid for, because somebody else asked anew."""
    theirs = await uploaded(3, owner="bob")
    run = await stored(store, run_for(offer).model_copy(update={"owner": "bob"}))
    held = await scored(store, run)
    await uploaded(1)
    refresh = await refresh_of(store, offer)

    assert len(await walk(store, refresh)) == 1
    assert await store.next_upload(run_for(offer, theirs.id, refresh=True), None) is None
    assert await claimed(store, run, theirs) == held
