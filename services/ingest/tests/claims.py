"""What an outbox does to the IngestStore port, step by step."""

from collections.abc import Awaitable, Callable

from leadline_common.ids import new_id
from leadline_contracts.scoring import Offer
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.runs.store import RunRequest
from leadline_ingest.store import IngestStore

Uploaded = Callable[..., Awaitable[Upload]]


def run_for(offer: Offer, upload_id: str | None = None, *, refresh: bool = False) -> RunRequest:
    """Return a run of ann's that is not stored yet."""
    return RunRequest(
        id=new_id(), owner="ann", offer=offer, model="standard", upload_id=upload_id, refresh=refresh
    )


async def claimed(
    store: IngestStore, run: RunRequest, upload: Upload, first_row: int = 2, last_row: int | None = None
) -> list[Prospect]:
    """Claim rows of an upload, by default all; return what the run holds there."""
    pages = store.claim(run, upload, first_row, upload.last_row if last_row is None else last_row)
    return [prospect async for page in pages for prospect in page]


async def found(store: IngestStore, run: RunRequest) -> list[str]:
    """Return the ids of the uploads the run would walk through."""
    ids: list[str] = []
    while upload := await store.next_upload(run, ids[-1] if ids else None):
        ids.append(upload.id)
    return ids


async def walk(store: IngestStore, run: RunRequest) -> list[Prospect]:
    """Claim whatever is open, upload by upload, as an outbox does."""
    prospects: list[Prospect] = []
    after: str | None = None
    while upload := await store.next_upload(run, after):
        prospects += await claimed(store, run, upload)
        await store.cover(run, upload.id)
        after = upload.id
    return prospects
