"""The adapters of the IngestStore port, each opened as often as a test likes over the same data."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leadline_common.ids import new_id
from leadline_contracts.scoring import Lead, Offer
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.store import IngestStore
from leadline_ingest.stores.mongo import MongoIngestStore
from leadline_ingest.stores.sqlite import SqliteIngestStore

from .claims import Uploaded

OpenStore = Callable[[], Awaitable[IngestStore]]


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.servers)])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Opens one more store over the test's data, as another replica or a later start would."""
    opened: list[IngestStore] = []
    url = _database_url(request) if request.param == "mongodb" else ""

    async def open_one() -> IngestStore:
        store = await MongoIngestStore.connect(url) if url else SqliteIngestStore(tmp_path / "ingest.db")
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> IngestStore:
    """The store under test."""
    return await open_store()


@pytest.fixture
async def replica(open_store: OpenStore) -> IngestStore:
    """A second store over the same data."""
    return await open_store()


def _database_url(request: pytest.FixtureRequest) -> str:
    server: str = request.getfixturevalue("mongodb_url")
    name: str = request.getfixturevalue("mongodb_database_name")
    return urlsplit(server)._replace(path=f"/{name}").geturl()


@pytest.fixture
def offer() -> Offer:
    """An offer of its own id."""
    return Offer(id=new_id(), name="AI Outreach")


@pytest.fixture
def uploaded(store: IngestStore) -> Uploaded:
    """Stores an upload with so many prospects, from row 2 on, ready unless told otherwise."""

    async def make(
        count: int, *, owner: str = "ann", offer_id: str | None = None, ready: bool = True
    ) -> Upload:
        upload = Upload(id=new_id(), owner=owner, offer_id=offer_id)
        await store.open_upload(upload, datetime.now(UTC))
        await store.add_prospects(upload, _prospects(count), datetime.now(UTC))
        if not ready:
            return upload
        complete = upload.model_copy(update={"ready": True, "last_row": count + 1})
        await store.commit_upload(complete)
        return complete

    return make


def _prospects(count: int) -> Sequence[Prospect]:
    return [Prospect(row, Lead(id=new_id(), name=f"Name {row}", role="CTO")) for row in range(2, count + 2)]
