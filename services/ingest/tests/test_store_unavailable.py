"""What every adapter of the IngestStore port does while its store does not answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from leadline_common.idempotency.store import KeyRecord, StoredAnswer
from leadline_common.ids import new_id
from leadline_contracts.errors import SettingsError, Unavailable
from leadline_contracts.inbound import MessageAccepted, MessageSpec
from leadline_contracts.scoring import Lead, Offer
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.runs.store import Cursor, Lease, RunRequest
from leadline_ingest.store import IngestStore
from leadline_ingest.stores.mongo import MongoIngestStore
from leadline_ingest.stores.sqlite import SqliteIngestStore
from leadline_testing.running_server import free_port

from .claims import claimed

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["closed file", "no server"])
async def silent(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[IngestStore]:
    """A store that cannot answer any more, or never could."""
    if request.param == "closed file":
        store: IngestStore = SqliteIngestStore(tmp_path / "ingest.db")
        await store.close()
    else:
        url = f"mongodb://127.0.0.1:{free_port()}"
        store = MongoIngestStore(AsyncIOMotorClient(url, serverSelectionTimeoutMS=200)["leadline"])
    yield store
    await store.close()


def every_use(store: IngestStore) -> Sequence[Awaitable[object]]:
    """Call each method of the port once, but for `close`."""
    offer = Offer(id=new_id(), name="AI Outreach")
    run = RunRequest(id=new_id(), owner="ann", offer=offer, model="standard", upload_id=new_id())
    upload, lease = Upload(id=new_id(), owner="ann"), Lease(run, 1)
    spec = MessageSpec(name=None, contact_channel="email", message="Hello")
    message = MessageAccepted(owner="ann", workflow_id=new_id(), input=spec, received_at=NOW)
    record = KeyRecord(object_id=new_id(), token="token", leased_until=NOW, expires_at=NOW)

    async def claim() -> None:
        await claimed(store, run, upload, 2, 9)

    return [
        store.add_offer("ann", offer, inline=False),
        store.offer("ann", offer.id),
        store.newest_offer("ann"),
        store.open_upload(upload, NOW),
        store.add_prospects(upload, [Prospect(2, Lead(id=new_id()))], NOW),
        store.commit_upload(upload),
        store.drop_upload(upload.id),
        store.abandoned_uploads(NOW),
        store.upload("ann", upload.id),
        store.has_prospects("ann"),
        store.add_run(run),
        store.add_submission_run(run),
        store.run("ann", run.id),
        store.lease_run(run.id, NOW, NOW),
        store.publishable_runs(NOW),
        store.next_upload(run, None),
        claim(),
        store.cover(run, upload.id),
        store.advance(lease, Cursor(upload.id, 2), 1, NOW),
        store.finish_publishing(lease),
        store.note_progress(run.id, 1, 0, finished=True),
        store.release(run.id, run.claim_key, [new_id()]),
        store.first_message(new_id(), message),
        store.attempts("ann", NOW),
        store.take_key("a", record, NOW),
        store.hold_key("a", "token", NOW),
        store.keep_answer("a", "token", StoredAnswer(status=201, headers={}, body="")),
        store.free_key("a", "token", NOW, forget=True),
        store.ping(),
    ]


async def test_every_method_says_that_the_store_does_not_answer(silent: IngestStore) -> None:
    """Callers hold their work and try again, whatever they asked for."""
    answers = await asyncio.gather(*every_use(silent), return_exceptions=True)

    assert [type(answer) for answer in answers] == [Unavailable] * len(answers)


async def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    """A start over a missing folder fails in one line."""
    with pytest.raises(Unavailable, match=r"ingest\.db"):
        SqliteIngestStore(tmp_path / "missing" / "ingest.db")


async def test_an_unreadable_url_is_a_wrong_setting() -> None:
    """The person who started the service learns which variable to mend."""
    with pytest.raises(SettingsError, match="LEADLINE_STORE_URL"):
        await MongoIngestStore.connect("http://127.0.0.1")
