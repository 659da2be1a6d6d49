"""What every adapter of the IngestStore port guarantees of finding, claiming and releasing prospects."""

import asyncio
import random
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from leadline_common.ids import new_id
from leadline_contracts.scoring import Lead, Offer
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.runs import store as store_module
from leadline_ingest.runs.store import RunRequest
from leadline_ingest.store import IngestStore

from .claims import Uploaded, claimed, found, run_for, walk


async def test_a_run_finds_what_is_for_its_offer_or_for_none(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """Prospects uploaded for one offer are scored against that one only, also when asked for by name."""
    for_any, for_this = await uploaded(1), await uploaded(1, offer_id=offer.id)
    for_other = await uploaded(1, offer_id=new_id())

    assert await found(store, run_for(offer)) == [for_any.id, for_this.id]
    assert await store.next_upload(run_for(offer, for_other.id), None) is None


async def test_a_run_of_one_upload_finds_that_alone(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """`leadline score FILE` and a queue submission score their own prospects only."""
    _, own, _ = [await uploaded(1) for _ in range(3)]

    assert await found(store, run_for(offer, own.id)) == [own.id]
    assert await found(store, run_for(offer, new_id())) == []


async def test_a_claim_yields_the_prospects_of_its_rows_in_order(store: IngestStore, offer: Offer) -> None:
    """An outbox gets each prospect as it was uploaded, however many there are and in whatever order."""
    upload = Upload(id=new_id(), owner="ann")
    bio = "x" * 1000
    prospects = [
        Prospect(row, Lead(id=new_id(), name=f"Zoë {row}", role="CTO", company="NA", linkedin_bio=bio))
        for row in range(2, 1300, 2)
    ]
    shuffled = random.Random(1).sample(prospects, len(prospects))
    await store.open_upload(upload, datetime.now(UTC))
    await store.add_prospects(upload, shuffled, datetime.now(UTC))

    rows = await claimed(store, run_for(offer), upload, 10, 1211)

    assert rows == [prospect for prospect in prospects if 10 <= prospect.row <= 1211]


async def test_long_fields_are_not_all_held_in_memory(store: IngestStore, offer: Offer) -> None:
    """Prospects with fields of a million characters come back whole, a few at a time."""
    upload = Upload(id=new_id(), owner="ann", last_row=65)
    leads = [Lead(id=new_id(), name=f"Name {number}", linkedin_bio="x" * 1_000_000) for number in range(64)]
    await store.open_upload(upload, datetime.now(UTC))
    for first in range(0, 64, 16):
        part = [Prospect(row, lead) for row, lead in enumerate(leads[first : first + 16], start=first + 2)]
        await store.add_prospects(upload, part, datetime.now(UTC))

    tracemalloc.start()
    row = 2
    async for page in store.claim(run_for(offer), upload, 2, 65):
        assert page == [Prospect(row, leads[row - 2]), Prospect(row + 1, leads[row - 1])][: len(page)]
        row += len(page)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert row == 66
    assert peak < 45_000_000


async def test_a_page_ends_by_rows_and_by_text(
    store: IngestStore, offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long prospects make short pages, and the same pages whoever claims them."""
    monkeypatch.setattr(store_module, "_PAGE_ROWS", 4)
    monkeypatch.setattr(store_module, "_PAGE_BYTES", 5_000)
    upload = Upload(id=new_id(), owner="ann", last_row=13)
    texts = [1, 1, 1, 1, 1, 3_000, 1, 3_000, 1, 9_000, 1, 1]
    leads = [Lead(id=new_id(), linkedin_bio="é" * (size // 2) or "e") for size in texts]
    prospects = [Prospect(row, lead) for row, lead in enumerate(leads, start=2)]
    await store.open_upload(upload, datetime.now(UTC))
    await store.add_prospects(upload, prospects, datetime.now(UTC))
    pages = [page async for page in store.claim(run_for(offer), upload, 2, 13)]
    assert [[one.row for one in page] for page in pages] == [[2, 3, 4, 5], [6, 7, 8, 9], [10, 11], [12, 13]]
    assert [prospect for page in pages for prospect in page] == prospects


async def test_claiming_again_yields_the_same_prospects(
    store: IngestStore, replica: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """An outbox that resumes makes the same chunks again."""
    upload, run = await uploaded(50), run_for(offer)
    first = await claimed(store, run, upload)

    assert len(first) == 50
    assert await claimed(replica, run, upload) == first


async def test_a_resumed_claim_also_takes_what_is_open_by_then(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """Prospects released while the outbox was away are not lost to it."""
    upload, run = await uploaded(5), run_for(offer)
    first = await claimed(store, run, upload)
    await store.release(run.id, run.claim_key, [first[0].lead.id])

    assert await claimed(store, run, upload) == first


async def test_a_prospect_is_held_once_for_each_offer_and_model(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """Nobody pays twice for the same score, and everybody can have another one."""
    upload, run = await uploaded(5), run_for(offer)
    everything = await claimed(store, run, upload)

    assert await claimed(store, run_for(offer), upload) == []
    graded = run_for(offer).model_copy(update={"model": "graded"})
    assert await claimed(store, graded, upload) == everything
    assert await claimed(store, run_for(Offer(id=new_id(), name="Other")), upload) == everything


async def test_overlapping_runs_never_share_a_prospect(
    store: IngestStore, replica: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """Runs that claim the same rows at the same time through two replicas split them."""
    upload = await uploaded(400)
    runs = [run_for(offer) for _ in range(6)]

    async def claim_in_ranges(store: IngestStore, run: RunRequest) -> list[Prospect]:
        ranges = [(first, first + 39) for first in range(2, 402, 40)]
        random.Random(run.id).shuffle(ranges)
        return [prospect for rows in ranges for prospect in await claimed(store, run, upload, *rows)]

    shares = await asyncio.gather(
        *(claim_in_ranges(one, run) for one, run in zip((store, replica) * 3, runs, strict=True))
    )

    rows = [prospect.row for share in shares for prospect in share]
    assert sorted(rows) == list(range(2, 402))


async def test_a_covered_upload_is_passed_over_for_that_key_alone(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """Later runs do not read again what is scored, and runs for something else do."""
    upload, run = await uploaded(5), run_for(offer)
    await claimed(store, run, upload)
    await store.cover(run, upload.id)
    await store.cover(run, upload.id)

    assert await found(store, run_for(offer)) == []
    assert await found(store, run_for(offer, upload.id)) == []
    assert await found(store, run_for(offer).model_copy(update={"model": "graded"})) == [upload.id]
    assert await found(store, run_for(Offer(id=new_id(), name="Other"))) == [upload.id]


async def test_an_upload_with_an_open_prospect_is_not_covered(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """An outbox that did not come to all rows cannot hide the rest."""
    upload, run = await uploaded(5), run_for(offer)
    await claimed(store, run, upload, 2, 5)
    await store.cover(run, upload.id)

    assert await found(store, run_for(offer)) == [upload.id]


@pytest.mark.parametrize("covered", ["before", "after"])
async def test_a_released_prospect_is_found_by_a_later_run(
    store: IngestStore, uploaded: Uploaded, offer: Offer, covered: str
) -> None:
    """A lead that failed is scored again, whether its upload was covered before or after it failed."""
    upload, run, later = await uploaded(5), run_for(offer), run_for(offer)
    failed = (await claimed(store, run, upload))[2]
    if covered == "before":
        await store.cover(run, upload.id)
    await store.release(run.id, run.claim_key, [failed.lead.id])
    if covered == "after":
        await store.cover(run, upload.id)

    assert await walk(store, later) == [failed]
    await store.release(run.id, run.claim_key, [failed.lead.id])
    assert await claimed(store, later, upload) == [failed]
    assert await walk(store, run_for(offer)) == []


async def test_only_the_holder_gives_a_claim_back(
    store: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """A message about another run, another offer or unknown leads takes nobody's prospects away."""
    upload, run = await uploaded(2), run_for(offer)
    held = await claimed(store, run, upload)
    leads = [prospect.lead.id for prospect in held]
    await store.release(new_id(), run.claim_key, leads)
    await store.release(run.id, run_for(Offer(id=new_id(), name="Other")).claim_key, leads)
    await store.release(run.id, run.claim_key, [new_id()])
    await store.release(run.id, run.claim_key, [])

    assert await claimed(store, run_for(offer), upload) == []


async def test_a_release_during_cover_is_not_lost(
    store: IngestStore, replica: IngestStore, uploaded: Uploaded, offer: Offer
) -> None:
    """A prospect that is given back while its upload is being looked through can still be found."""
    upload, run = await uploaded(20_000), run_for(offer)
    first = (await claimed(store, run, upload))[0]

    async def release(delay: float) -> None:
        await asyncio.sleep(delay)
        await replica.release(run.id, run.claim_key, [first.lead.id])

    for turn in range(20):
        await asyncio.gather(store.cover(run, upload.id), release(turn / 2000))
        assert await store.next_upload(run, None) == upload
        assert await claimed(store, run, upload, 2, 2) == [first]


@pytest.mark.parametrize("seed", range(3))
async def test_every_prospect_is_held_by_one_run_after_any_interleaving(
    store: IngestStore, replica: IngestStore, uploaded: Uploaded, offer: Offer, seed: int
) -> None:
    """Runs that claim, cover and give back at the same time neither share nor lose a prospect."""
    for count in (7, 40, 1):
        await uploaded(count)
    choose = random.Random(seed)
    holders: dict[str, str] = {}

    async def give_back(run: RunRequest, lead_id: str) -> None:
        await asyncio.sleep(choose.random() / 100)
        if holders.get(lead_id) == run.id:
            del holders[lead_id]
            await choose.choice((store, replica)).release(run.id, run.claim_key, [lead_id])

    async def publish(run: RunRequest) -> None:
        async with asyncio.TaskGroup() as releases:
            for prospect in await walk(choose.choice((store, replica)), run):
                assert holders.setdefault(prospect.lead.id, run.id) == run.id
                if choose.random() < 0.3:
                    releases.create_task(give_back(run, prospect.lead.id))

    async with asyncio.TaskGroup() as runs:
        for _ in range(6):
            runs.create_task(publish(run_for(offer)))
            await asyncio.sleep(choose.random() / 200)
    for prospect in await walk(store, last := run_for(offer)):
        assert holders.setdefault(prospect.lead.id, last.id) == last.id

    assert len(holders) == 48


async def test_what_was_claimed_and_covered_is_still_so_after_a_restart(
    store: IngestStore, open_store: Callable[[], Awaitable[IngestStore]], uploaded: Uploaded, offer: Offer
) -> None:
    """A later start of the service knows what is scored."""
    upload, run = await uploaded(3), run_for(offer)
    prospects = await walk(store, run)
    await store.close()
    restarted = await open_store()

    assert await found(restarted, run_for(offer)) == []
    assert await claimed(restarted, run, upload) == prospects
