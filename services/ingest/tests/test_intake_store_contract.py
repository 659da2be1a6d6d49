"""What the store says of identities, rejected rows and lists of offers and uploads, over every adapter."""

from datetime import UTC, datetime

from leadline_common.ids import new_id
from leadline_contracts.scoring import Lead, SourceColumn
from leadline_ingest.prospects.identity import Identity
from leadline_ingest.prospects.report import RejectedRow, UploadReport
from leadline_ingest.prospects.store import Known, Prospect, RejectedCells, Upload
from leadline_ingest.store import IngestStore

from .builders import offer
from .claims import claimed
from .test_store_contract import run_of

NOW = datetime.now(UTC)


async def kept(store: IngestStore, *prospects: Prospect, ready: bool = True) -> Upload:
    """Store these prospects as one upload."""
    upload = Upload(id=new_id(), owner="ann", last_row=max(one.row for one in prospects))
    await store.open_upload(upload, NOW)
    await store.add_prospects(upload, prospects, NOW)
    if ready:
        upload = upload.model_copy(update={"ready": True})
        await store.commit_upload(upload)
    return upload


def prospect(row: int, fields: int | None, mark: int | None) -> Prospect:
    return Prospect(row, Lead(id=new_id(), name=f"Ava {row}"), Identity(fields, mark))


async def test_a_known_identity_is_found_with_its_place(store: IngestStore) -> None:
    """Either number finds the prospect that was stored first; one of an unready upload is nobody yet."""
    largest, smallest = 2**63 - 1, -(2**63)
    first = await kept(store, prospect(2, largest, smallest), prospect(3, 11, None))
    await kept(store, prospect(9, largest, 12))
    await kept(store, prospect(4, 13, 14), ready=False)

    found = await store.known([largest, smallest, 11, 12, 13, 14, 15])

    assert found[largest] == Known(first.id, 2)
    assert found[smallest] == Known(first.id, 2)
    assert found[11] == Known(first.id, 3)
    assert found[12].row == 9
    assert found.keys() == {largest, smallest, 11, 12}
    assert await store.known([]) == {}


async def test_other_columns_come_back_with_the_prospect(store: IngestStore) -> None:
    """Titles with dots, dollars and nothing in them, and what another system calls a lead, are kept."""
    extra = {"a.b": "1", "$c": "2", "": "3", "Größe": "groß"}
    lead = Lead(id=new_id(), name="Ava", external_id="crm-1", extra=extra)
    upload = await kept(store, Prospect(2, lead))

    [found] = await claimed(store, run_of(upload.id), upload, 1, 2)

    assert found.lead == lead
    assert list(found.lead.extra or ()) == list(extra)


async def test_rejected_rows_come_back_as_they_came(store: IngestStore) -> None:
    """By their numbers, each once, and gone with an upload that is dropped."""
    upload = await kept(store, prospect(2, 1, None))
    rows = [RejectedCells(row, "role", "no", ("a", "ü")) for row in range(3, 1_300)]
    rows.append(RejectedCells(1_400, None, "cut off", None))
    await store.add_rejected(upload, rows)
    await store.add_rejected(upload, rows[:3])

    assert [one async for one in store.rejected(upload.id)] == rows

    dropped = await kept(store, prospect(2, 2, None), ready=False)
    await store.add_rejected(dropped, rows[:3])
    await store.drop_upload(dropped.id)
    assert [one async for one in store.rejected(dropped.id)] == []


async def test_an_upload_keeps_its_columns_and_report(store: IngestStore) -> None:
    """Whoever asks later is answered what the sender was."""
    report = UploadReport(
        upload_id=None,
        rows=3,
        inserted=1,
        rejected_count=1,
        blank=1,
        columns={"role": "Current Job"},
        rejected=[RejectedRow(row=3, column="x", reason="y")],
        warnings=["w"],
    )
    columns = [SourceColumn(title="Current Job", field="role"), SourceColumn(title="Phone")]
    upload = (await kept(store, prospect(2, 1, None))).model_copy(
        update={"columns": columns, "report": report}
    )
    await store.commit_upload(upload)

    assert await store.upload("ann", upload.id) == upload


async def test_offers_and_uploads_are_listed_newest_first_in_pages(store: IngestStore) -> None:
    """A page goes on below the last id; inline offers, submissions and what is another's are not listed."""
    offers = [offer() for _ in range(3)]
    for one in offers:
        await store.add_offer("ann", one, inline=False)
    await store.add_offer("ann", offer(), inline=True)
    await store.add_offer("bob", offer(), inline=False)
    assert await store.offers("ann", None, 2) == [offers[2], offers[1]]
    assert await store.offers("ann", offers[1].id, 2) == [offers[0]]

    uploads = [await kept(store, prospect(2, number, None)) for number in range(3)]
    await kept(store, prospect(2, 9, None), ready=False)
    queued = Upload(id=new_id(), owner="ann", source="queue", ready=True)
    await store.open_upload(queued, NOW)
    await store.commit_upload(queued)
    assert [one.id for one in await store.uploads("ann", None, 2)] == [uploads[2].id, uploads[1].id]
    assert [one.id for one in await store.uploads("ann", uploads[1].id, 2)] == [uploads[0].id]
    assert await store.uploads("bob", None, 2) == []
