"""Taking a file in: all of it becomes ready at once, or nothing of it stays."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import NotFound, Overloaded, Unavailable
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.prospects.table import CsvRefused
from leadline_ingest.prospects.upload_memory import UploadMemory
from leadline_ingest.prospects.uploads import ABANDONED_AFTER, UploadReceiver, receiving, sweep_uploads
from leadline_ingest.runs.store import RunRequest
from leadline_ingest.stores.sqlite import SqliteIngestStore

from .builders import HEADER, START, csv_of, eventually, leads, offer, uploaded
from .claims import claimed


class WatchedStore(SqliteIngestStore):
    """Notes what it is given, and fails or stops when told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.batches: list[list[Prospect]] = []
        self.fail_at = 0
        self.stop_at = 0
        self.stopped = asyncio.Event()

    async def add_prospects(self, upload: Upload, prospects: Sequence[Prospect], at: datetime) -> None:
        await super().add_prospects(upload, prospects, at)
        self.batches.append(list(prospects))
        if len(self.batches) == self.fail_at:
            raise Unavailable("the store went away")
        if len(self.batches) == self.stop_at:
            self.stopped.set()
            await asyncio.sleep(60)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[WatchedStore]:
    store = WatchedStore(tmp_path / "ingest.db")
    yield store
    await store.close()


@pytest.fixture
def receiver(store: WatchedStore) -> UploadReceiver:
    return UploadReceiver(store, LOCAL_OWNER, lambda: START, UploadMemory())


async def kept(store: SqliteIngestStore) -> list[str]:
    """The uploads that are begun and not ready, whose prospects take up room."""
    return await store.abandoned_uploads(START + timedelta(days=1))


async def prospects_of(store: SqliteIngestStore, upload_id: str) -> list[Prospect]:
    upload = await store.upload(LOCAL_OWNER, upload_id)
    assert upload is not None
    run = RunRequest(id=f"look-{upload_id}", owner=LOCAL_OWNER, offer=offer(), model="standard")
    return await claimed(store, run, upload, 1, upload.last_row)


async def test_every_row_is_kept_under_its_number_in_the_file(
    store: WatchedStore, receiver: UploadReceiver
) -> None:
    """A result can be traced to its row, whatever lies between the rows."""
    await receiver.feed((HEADER + "Ada,CTO,A,SaaS,Rome,bio\n\nBob,CEO,B,SaaS,Bern,bio\n").encode())
    report = await receiver.commit()
    assert (report.inserted, report.rejected_count, report.warnings) == (2, 0, [])
    assert report.upload_id is not None
    found = [(one.row, one.lead.name) for one in await prospects_of(store, report.upload_id)]
    assert found == [(2, "Ada"), (4, "Bob")]


async def test_an_upload_counts_for_nothing_before_it_is_committed(
    store: WatchedStore, receiver: UploadReceiver
) -> None:
    """No run scores half a file."""
    await receiver.feed(csv_of(5_000))
    assert store.batches
    assert not await store.has_prospects(LOCAL_OWNER)
    report = await receiver.commit()
    assert report.inserted == 5_000
    assert await store.has_prospects(LOCAL_OWNER)


async def test_bad_rows_are_told_up_to_a_thousand_and_all_counted(receiver: UploadReceiver) -> None:
    """A file that is wrong throughout cannot make an answer without bounds."""
    bad = "".join(f"Ada,CTO,A,SaaS,Rome,bio,more {row}\n" for row in range(1_500))
    await receiver.feed((HEADER + bad + "Bob,CEO,B,SaaS,Bern,bio\n").encode())
    report = await receiver.commit()
    assert (report.inserted, report.rejected_count, len(report.rejected)) == (1, 1_500, 1_000)
    assert [rejected.row for rejected in report.rejected] == list(range(2, 1_002))
    assert all("cells" in rejected.reason for rejected in report.rejected)


async def test_a_row_of_too_much_text_is_rejected(receiver: UploadReceiver) -> None:
    """The sender learns the row, how much text it has and may have, and which field to shorten."""
    long = "é" * 40_000
    await receiver.feed(f"{HEADER}Ada,CTO,Acme,SaaS,Rome,{long}\nBob,CEO,B,SaaS,Bern,b\n".encode())
    report = await receiver.commit()
    assert report.inserted == 1
    [rejected] = report.rejected
    assert (rejected.row, rejected.column) == (2, None)
    assert rejected.reason == (
        "the row holds 80,018 bytes of text and may hold 65,536, all fields together; "
        "shorten linkedin_bio, the longest"
    )


async def test_a_batch_is_bounded_by_the_text_of_all_fields(
    store: WatchedStore, receiver: UploadReceiver
) -> None:
    """Long texts in any column are stored early, so that a batch never holds many megabytes."""
    rows = "".join(f"Ada {row},{'x' * 60_000},A,SaaS,Rome,b\n" for row in range(100))
    await receiver.feed((HEADER + rows).encode())
    await receiver.commit()
    assert sum(len(batch) for batch in store.batches) == 100
    assert max(len(batch) for batch in store.batches) <= 18


async def test_uploads_store_early_where_memory_is_short(store: WatchedStore) -> None:
    """However many uploads come in at once, what they hold together is bounded."""
    memory = UploadMemory(limit=8 * 70_000)
    receivers = [UploadReceiver(store, LOCAL_OWNER, lambda: START, memory) for _ in range(8)]
    for _ in range(3):
        for receiver in receivers:
            await receiver.feed(csv_of(3_000))
    assert not memory.short
    for receiver in receivers:
        await receiver.drop()
    assert await kept(store) == []


async def test_a_long_record_is_refused_where_memory_is_short(store: WatchedStore) -> None:
    """An upload that holds much of a record in memory is refused with a later time, and others go on."""
    memory = UploadMemory(limit=1_000_000)
    long, short = (UploadReceiver(store, LOCAL_OWNER, lambda: START, memory) for _ in range(2))
    with pytest.raises(Overloaded) as refused:
        async with receiving(long):
            await long.feed((HEADER + '"' + "x\U0001f600" * 400_000).encode())
    assert refused.value.retry_after == 5
    assert not memory.short
    await short.feed(csv_of(10))
    assert (await short.commit()).inserted == 10


async def test_a_refused_file_leaves_nothing(store: WatchedStore, receiver: UploadReceiver) -> None:
    """What came in before a file proved useless goes again."""
    await receiver.feed(csv_of(5_000))
    assert await kept(store)
    with pytest.raises(CsvRefused):
        async with receiving(receiver):
            raise CsvRefused(400, "useless")
    assert await kept(store) == []


async def test_a_failing_store_leaves_nothing(store: WatchedStore, receiver: UploadReceiver) -> None:
    """After an error in the middle the sender starts again from nothing."""
    store.fail_at = 2
    with pytest.raises(Unavailable):
        async with receiving(receiver):
            await receiver.feed(csv_of(5_000))
    assert await kept(store) == []


async def test_a_sender_who_goes_away_leaves_nothing(store: WatchedStore, receiver: UploadReceiver) -> None:
    """A connection cut while rows are stored cancels the request, and its rows go."""
    store.stop_at = 1

    async def take() -> None:
        async with receiving(receiver):
            await receiver.feed(csv_of(5_000))

    task = asyncio.create_task(take())
    await store.stopped.wait()
    assert await kept(store)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await kept(store) == []


async def test_a_committed_upload_cannot_be_dropped(store: WatchedStore, receiver: UploadReceiver) -> None:
    """Losing the connection after the commit takes nothing back that was perhaps answered."""
    await receiver.feed(csv_of(3))
    report = await receiver.commit()
    await receiver.drop()
    assert report.upload_id is not None
    assert len(await prospects_of(store, report.upload_id)) == 3


async def test_the_sweep_takes_interrupted_uploads_alone(store: WatchedStore) -> None:
    """What a killed process left half done goes after ten silent minutes; the rest stays."""
    now = START + ABANDONED_AFTER * 2
    ready = await uploaded(store, leads(1))
    interrupted = UploadReceiver(store, LOCAL_OWNER, lambda: START, UploadMemory())
    await interrupted.feed(csv_of(5_000))
    alive = UploadReceiver(store, LOCAL_OWNER, lambda: now, UploadMemory())
    await alive.feed(csv_of(5_000))
    assert len(await kept(store)) == 2
    sweep = asyncio.create_task(sweep_uploads(store, lambda: now))

    async def swept() -> bool:
        return len(await kept(store)) == 1

    await eventually(swept)
    sweep.cancel()
    assert len(await prospects_of(store, ready.id)) == 1
    assert (await alive.commit()).inserted == 5_000
    with pytest.raises(NotFound):
        await interrupted.commit()
